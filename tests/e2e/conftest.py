"""Stacks for the tests here: the embedded one, and one on real servers for tests marked `real_servers`.

`stack` is shared by successive tests of a worker; `own_stack` belongs to a module whose tests kill or
overload it. The contract suites test the same behaviour on all brokers and stores, so few tests need both.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from kappi_testkit.media.photos import installed_photographs, real_photos
from kappi_testkit.plugin import server_plan
from kappi_testkit.servers.plan import REQUIRE_REAL

from tests.e2e.browser import Page, browsing, find_browser
from tests.e2e.phone import Phone
from tests.e2e.recording import RECORDING
from tests.e2e.stacks import StackKind, StackUnderTest, running_stack

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.e2e)


def pytest_sessionfinish() -> None:
    if RECORDING is not None:
        RECORDING.write()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stack_kind" not in metafunc.fixturenames:
        return
    kinds = ["embedded"]
    marker = metafunc.definition.get_closest_marker("real_servers")
    if marker is not None:
        plan = server_plan(metafunc.config)
        real = ["real"] if plan.real_kafka and plan.real_s3 else []
        kinds = real if marker.kwargs.get("only") else [*kinds, *real]
    metafunc.parametrize("stack_kind", kinds, scope="session")


@pytest.fixture(scope="package")
def stack(
    stack_kind: StackKind, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackUnderTest]:
    """A running, shared stack: a test leaves it running, and looks at its own galleries only.

    It stops when the worker leaves this folder, because an idle stack takes processor time from other tests.
    """
    with _running(stack_kind, request, tmp_path_factory, settings={}) as running:
        yield running


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    """Returns the settings of the module's own stack; a module may override this fixture."""
    return {}


@pytest.fixture(scope="module")
def own_stack(
    stack_kind: StackKind,
    own_settings: Mapping[str, str],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StackUnderTest]:
    """Yields a running stack of the module's own."""
    with _running(stack_kind, request, tmp_path_factory, settings=own_settings) as running:
        yield running


@pytest.fixture
async def phone(stack: StackUnderTest) -> AsyncIterator[Phone]:
    async with Phone(stack.base_url, secrets=stack.secrets) as phone:
        yield phone


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Returns thirty photographs and films, as people bring them home from a journey."""
    return real_photos(tmp_path_factory.mktemp("photos"), 30, installed_photographs())


def _running(
    kind: StackKind,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    settings: Mapping[str, str],
) -> AbstractContextManager[StackUnderTest]:
    real: dict[str, Any] = (
        {name: request.getfixturevalue(name) for name in ("kafka_bootstrap", "s3_server")}
        if kind == "real"
        else {}
    )
    return running_stack(kind, tmp_path_factory.mktemp(f"stack-{kind}"), settings=settings, **real)


@pytest.fixture
def browser_options() -> Sequence[str]:
    return ()


@pytest.fixture
async def page(tmp_path: Path, browser_options: Sequence[str]) -> AsyncIterator[Page]:
    if find_browser() is None:
        if os.environ.get(REQUIRE_REAL):
            pytest.fail(f"{REQUIRE_REAL} is set, but there is no browser: apt-get install chromium")
        pytest.skip("there is no browser here: apt-get install chromium")
    async with browsing(tmp_path, *browser_options) as page:
        yield page
