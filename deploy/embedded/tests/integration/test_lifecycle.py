"""`kappi up` from start to stop, with crashes in between: one stack, changed by each test."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from kappi_contracts.services import NAMES
from kappi_embedded.data_dir import DataDir
from kappi_testkit.eventually import eventually
from kappi_testkit.programs import require_program
from kappi_testkit.stack import EmbeddedStack, is_alive, parent_of

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("embedded-lifecycle")]


@pytest.fixture(scope="module")
def embedded_stack(tmp_path_factory: pytest.TempPathFactory) -> Any:
    stack = EmbeddedStack(tmp_path_factory.mktemp("life cycle") / "my data")
    stack.start()
    yield stack
    if stack.running:
        stack.stop()


def create_gallery(stack: EmbeddedStack, title: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{stack.base_url}/v1/galleries",
        data=json.dumps({"title": title}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        created: dict[str, Any] = json.load(answer)
        return created


def title_of(stack: EmbeddedStack, code: str) -> str:
    with urllib.request.urlopen(f"{stack.base_url}/v1/g/{code}", timeout=10) as answer:
        title: str = json.load(answer)["gallery"]["title"]
        return title


def second_up(stack: EmbeddedStack, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kappi_embedded.cli", "up"],
        env={**stack.env, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_printed_address_and_command_work(embedded_stack: EmbeddedStack) -> None:
    text = embedded_stack.output.read_text()
    assert f"{embedded_stack.base_url}/docs" in text
    for page in ("/docs", "/"):
        with urllib.request.urlopen(embedded_stack.base_url + page, timeout=10) as answer:
            assert answer.status == 200
    require_program("curl")
    paste = next(line for line in text.splitlines() if "Paste" in line).split("Paste")[1].strip()
    done = subprocess.run(["/bin/sh", "-c", paste], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["access_key"]


def test_only_the_owner_can_read_the_folder(embedded_stack: EmbeddedStack) -> None:
    data = DataDir(embedded_stack.data_dir)
    create_gallery(embedded_stack, "Kept")
    found = [data.root, *data.root.rglob("*")]
    assert {data.run_note, data.secrets / "store", data.postgres / "postgres.log"} <= set(found)
    assert not [path for path in found if _is_open_to_others(path)]


def _is_open_to_others(path: Path) -> bool:
    try:
        return path.lstat().st_mode & 0o077 != 0
    except FileNotFoundError:
        return False  # PostgreSQL creates and removes files all the time


def test_no_secret_is_shown(embedded_stack: EmbeddedStack) -> None:
    data = DataDir(embedded_stack.data_dir)
    text = embedded_stack.output.read_text()
    for secret in data.secrets.iterdir():
        assert secret.read_text().strip() not in text


def test_a_second_stack_on_the_folder_is_refused(embedded_stack: EmbeddedStack) -> None:
    done = second_up(embedded_stack)
    assert done.returncode == 1
    assert "already runs" in done.stdout
    assert embedded_stack.note.services["gateway"].pid


def test_a_taken_port_is_named(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    done = second_up(embedded_stack, KAPPI_DATA_DIR=str(tmp_path / "other"))
    assert done.returncode == 1
    assert "KAPPI_PORT" in done.stdout


def test_a_bad_setting_is_named(embedded_stack: EmbeddedStack) -> None:
    done = second_up(embedded_stack, KAPPI_PORT="eighty")
    assert done.returncode == 1
    assert "KAPPI_PORT" in done.stdout


@pytest.mark.parametrize("service", [*NAMES, "store"])
async def test_only_the_killed_service_is_restarted(embedded_stack: EmbeddedStack, service: str) -> None:
    before = embedded_stack.note
    killed = embedded_stack.kill(service)

    def restarted() -> None:
        assert embedded_stack.note.services[service].pid not in {0, killed}

    await eventually(restarted, 20)
    await embedded_stack.wait_ready()
    after = embedded_stack.note
    assert after.services[service].port == before.services[service].port
    for name, other in before.services.items():
        if name != service:
            assert after.services[name].pid == other.pid
    assert f"{service} was ended by SIGKILL" in embedded_stack.output.read_text()


async def test_all_services_restart_after_a_kill_of_the_forkserver(
    embedded_stack: EmbeddedStack,
) -> None:
    before = embedded_stack.note
    forkserver = parent_of(before.services["media"].pid)
    os.kill(forkserver, signal.SIGKILL)

    def all_new() -> None:
        for name, service in embedded_stack.note.services.items():
            assert service.pid not in {0, before.services[name].pid}

    await eventually(all_new, 60)
    await embedded_stack.wait_ready()
    assert title_of(embedded_stack, create_gallery(embedded_stack, "after")["code"]) == "after"


async def test_a_killed_database_server_is_restarted(embedded_stack: EmbeddedStack) -> None:
    created = create_gallery(embedded_stack, "before the crash")
    before = embedded_stack.note
    assert before.postgres_pid is not None
    os.kill(before.postgres_pid, signal.SIGKILL)

    def served_again() -> None:
        assert embedded_stack.note.postgres_pid not in {None, before.postgres_pid}
        assert "postgres is ready again" in embedded_stack.output.read_text()

    await eventually(served_again, 40)
    await embedded_stack.wait_ready()
    assert title_of(embedded_stack, created["code"]) == "before the crash"


async def test_a_killed_supervisor_leaves_no_process_and_the_next_one_continues(
    embedded_stack: EmbeddedStack,
) -> None:
    created = create_gallery(embedded_stack, "kept")
    embedded_stack.crash()  # raises unless all its processes are gone
    embedded_stack.start()
    assert title_of(embedded_stack, created["code"]) == "kept"
    # The broker lost everything: the records that consumers had not read are sent again.
    await embedded_stack.wait_idle()


def test_stopping_drains_everything_and_reports_it(embedded_stack: EmbeddedStack) -> None:
    note = embedded_stack.note
    assert embedded_stack.stop() == 0
    assert not any(is_alive(service.pid) for service in note.services.values())
    assert note.postgres_pid is not None
    assert not is_alive(note.postgres_pid)
    assert not DataDir(embedded_stack.data_dir).run_note.exists()
    text = embedded_stack.output.read_text()
    assert "Kappi has stopped" in text
    assert "Traceback" not in text
    embedded_stack.start()
