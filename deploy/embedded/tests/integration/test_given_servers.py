"""Each embedded server is replaced by another one, by settings alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from kappi_client.api import Api
from kappi_embedded.plan import WITH_DATABASE
from kappi_testkit.eventually import eventually
from kappi_testkit.servers.databases import DatabaseMaker
from kappi_testkit.stack import GENEROUS, EmbeddedStack


@pytest.fixture(scope="module")
def given_stack(
    tmp_path_factory: pytest.TempPathFactory,
    make_module_database: DatabaseMaker,
    kafka_bootstrap: str,
    request: pytest.FixtureRequest,
) -> Iterator[EmbeddedStack]:
    settings = {
        **GENEROUS,
        **{service.database_url_name: make_module_database() for service in WITH_DATABASE},
        "KAPPI_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "KAPPI_TOPIC_PREFIX": f"given{uuid.uuid4().hex[:8]}.",
    }
    if _is_embedded(request, kafka_bootstrap):
        settings["KAPPI_KAFKA_CREATE_TOPICS"] = "false"  # it does not support CreateTopics
    stack = EmbeddedStack(tmp_path_factory.mktemp("given") / "data", settings=settings)
    stack.start()
    yield stack
    if stack.running:
        stack.stop()


def _is_embedded(request: pytest.FixtureRequest, bootstrap: str) -> bool:
    return bool(request.getfixturevalue("embedded_broker").bootstrap == bootstrap)


async def test_the_stack_uses_the_given_databases_and_broker(given_stack: EmbeddedStack) -> None:
    note = given_stack.note
    assert (note.embedded_postgres, note.embedded_broker) == (False, False)
    assert note.postgres_pid is None
    assert not (given_stack.data_dir / "postgres").exists()
    assert "replayer" not in given_stack.output.read_text()

    async with Api(given_stack.base_url) as api:
        created = await api.call("POST", "/v1/galleries", json={"title": "given"})
        await given_stack.wait_idle()
        given_stack.restart()
        found = await api.call("GET", f"/v1/g/{created['code']}")
    assert found["gallery"]["title"] == "given"


async def test_a_killed_service_processes_the_events_it_missed(given_stack: EmbeddedStack) -> None:
    given_stack.kill("janitor")
    async with Api(given_stack.base_url) as api:
        created = await api.call("POST", "/v1/galleries", json={})
        await api.call(
            "DELETE", f"/v1/galleries/{created['id']}", headers={"X-Gallery-Key": created["access_key"]}
        )
    await given_stack.wait_ready()
    await given_stack.wait_idle()

    def janitor_is_ready() -> None:
        assert "janitor is ready again" in given_stack.output.read_text()

    await eventually(janitor_is_ready)
