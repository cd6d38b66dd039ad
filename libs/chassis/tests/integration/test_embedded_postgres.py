"""The embedded PostgreSQL: it ends with its owner, and committed data survives."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from kappi_chassis.embedded import postgres
from kappi_chassis.embedded.postgres import (
    THROWAWAY,
    EmbeddedPostgres,
    PostgresInUse,
    PostgresUnavailable,
    binaries,
)
from kappi_testkit.eventually import eventually

pytestmark = pytest.mark.integration

# Starts a server, writes a row, prints the server's pid, then waits to be killed.
_OWNER = """
import asyncio, sys, time
from pathlib import Path
import asyncpg
from kappi_chassis.embedded.postgres import THROWAWAY, EmbeddedPostgres

server = EmbeddedPostgres(Path(sys.argv[1]), settings=THROWAWAY)
server.start()

async def write():
    await server.create_database("kept")
    connection = await asyncpg.connect(server.url("kept"))
    await connection.execute("CREATE TABLE note (text text)")
    await connection.execute("INSERT INTO note VALUES ('committed')")
    await connection.close()

asyncio.run(write())
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(data_dir, settings=THROWAWAY) as running:
        yield running


@pytest.fixture
def owner(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_OWNER), str(data_dir)], stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def _pid_from(owner: subprocess.Popen[str]) -> int:
    assert owner.stdout is not None
    return int(owner.stdout.readline())


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def _fetch(server: EmbeddedPostgres, *, database: str, query: str) -> object:
    connection = await asyncpg.connect(server.url(database))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_it_is_postgresql_18_in_utf8_with_a_locale_for_every_script(
    server: EmbeddedPostgres,
) -> None:
    assert str(await _fetch(server, database="postgres", query="SHOW server_version")).startswith("18.")
    assert await _fetch(server, database="postgres", query="SHOW server_encoding") == "UTF8"
    assert await _fetch(server, database="postgres", query="SELECT lower('ÄΣЖ')") == "äσж"


async def test_creating_an_existing_database_changes_nothing(server: EmbeddedPostgres) -> None:
    await server.create_database("galleries")
    await server.create_database("galleries")

    assert await _fetch(server, database="galleries", query="SELECT current_database()") == "galleries"


@pytest.mark.parametrize("name", ["", "Galleries", 'a"; DROP DATABASE postgres; --', "9lives", "x" * 64])
async def test_an_invalid_database_name_is_refused(server: EmbeddedPostgres, name: str) -> None:
    with pytest.raises(ValueError, match="not a database name"):
        await server.create_database(name)


async def test_the_password_is_required_and_its_file_is_private(
    server: EmbeddedPostgres, data_dir: Path
) -> None:
    password = (data_dir / "password").read_text()
    assert len(password) >= 32
    assert (data_dir / "password").stat().st_mode & 0o077 == 0

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url("postgres").replace(password, "guessed"))


async def test_data_survives_stop_and_start(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir, settings=THROWAWAY)
    server.start()
    await server.create_database("kept")
    server.stop()

    assert not server.is_running()
    with pytest.raises(PostgresUnavailable):
        server.url("kept")

    server.start()
    try:
        assert await _fetch(server, database="kept", query="SELECT 1") == 1
    finally:
        server.stop()


async def test_kill_9_of_the_owner_ends_the_server_and_keeps_data(
    owner: subprocess.Popen[str], data_dir: Path
) -> None:
    pid = _pid_from(owner)
    assert _runs(pid)

    owner.kill()
    owner.wait()

    def ended() -> None:
        assert not _runs(pid)

    await eventually(ended, 10.0)
    with EmbeddedPostgres(data_dir, settings=THROWAWAY) as server:
        assert await _fetch(server, database="kept", query="SELECT text FROM note") == "committed"


async def test_an_immediate_restart_waits_for_the_old_server(
    owner: subprocess.Popen[str], data_dir: Path
) -> None:
    pid = _pid_from(owner)
    os.kill(pid, signal.SIGSTOP)  # it cannot react to the signal that it gets when its owner dies
    owner.kill()
    owner.wait()
    assert _runs(pid)
    os.kill(pid, signal.SIGCONT)

    with EmbeddedPostgres(data_dir, settings=THROWAWAY) as server:
        assert not _runs(pid)
        assert await _fetch(server, database="kept", query="SELECT text FROM note") == "committed"


async def test_the_server_recovers_from_kill_9(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir, settings=THROWAWAY)
    server.start()
    await server.create_database("kept")
    os.kill(server.pid, signal.SIGKILL)

    def ended() -> None:
        assert not server.is_running()

    await eventually(ended)
    assert (data_dir / "cluster" / "postmaster.pid").exists()
    server.stop()

    server.start()
    try:
        assert await _fetch(server, database="kept", query="SELECT 1") == 1
    finally:
        server.stop()


async def test_the_log_is_kept_short_while_the_server_writes_it(
    server: EmbeddedPostgres, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = data_dir / "postgres.log"
    monkeypatch.setattr(postgres, "_LOG_LIMIT_BYTES", 4_000)
    for word in ("first", "second"):
        with pytest.raises(asyncpg.UndefinedColumnError):
            await _fetch(server, database="postgres", query=f"SELECT {word}")
        server.trim_log()
        assert word in log.read_text()  # still short
    with pytest.raises(asyncpg.UndefinedColumnError):
        await _fetch(server, database="postgres", query="SELECT third /*" + "x" * 4_000 + "*/")
    server.trim_log()
    assert log.stat().st_size == 0
    assert "first" in log.with_suffix(".log.1").read_text()
    with pytest.raises(asyncpg.UndefinedColumnError):
        await _fetch(server, database="postgres", query="SELECT fourth")
    assert log.read_text().count("fourth") == 2
    assert "\0" not in log.read_text()


async def test_it_starts_if_the_pid_file_names_an_unrelated_process(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, settings=THROWAWAY):
        note = (data_dir / "cluster" / "postmaster.pid").read_text()
    _, _, rest = note.partition("\n")
    (data_dir / "cluster" / "postmaster.pid").write_text(f"{os.getppid()}\n{rest}")

    with EmbeddedPostgres(data_dir, settings=THROWAWAY) as server:
        assert await _fetch(server, database="postgres", query="SELECT 1") == 1


def test_a_folder_in_use_is_refused(server: EmbeddedPostgres, data_dir: Path) -> None:
    with pytest.raises(PostgresInUse, match="another process"):
        EmbeddedPostgres(data_dir, settings=THROWAWAY).start()
    assert server.is_running()


def test_a_cluster_of_another_version_is_refused_and_unchanged(data_dir: Path) -> None:
    (data_dir / "cluster").mkdir(parents=True)
    (data_dir / "cluster" / "PG_VERSION").write_text("16\n")

    with pytest.raises(PostgresUnavailable, match="PostgreSQL 16"):
        EmbeddedPostgres(data_dir, settings=THROWAWAY).start()
    assert (data_dir / "cluster" / "PG_VERSION").read_text() == "16\n"


async def test_an_interrupted_initdb_is_repeated(data_dir: Path) -> None:
    (data_dir / "cluster.new").mkdir(parents=True)
    (data_dir / "cluster.new" / "half").write_text("done")

    with EmbeddedPostgres(data_dir, settings=THROWAWAY) as server:
        assert await _fetch(server, database="postgres", query="SELECT 1") == 1
    assert not (data_dir / "cluster.new").exists()


async def test_it_works_below_a_private_folder(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)

    with EmbeddedPostgres(private / "data" / "postgres", settings=THROWAWAY) as server:
        assert await _fetch(server, database="postgres", query="SELECT 1") == 1
    assert private.stat().st_mode & 0o777 == 0o700


async def test_it_works_with_programs_below_a_private_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = binaries().parents[1]
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    # Both side by side, because the programs find their libraries by a relative path.
    for folder in (binaries().parent, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, private / folder.relative_to(package.parent), symlinks=True)
    copied = private / binaries().relative_to(package.parent)
    monkeypatch.setattr("kappi_chassis.embedded.postgres.binaries", lambda: copied)

    with EmbeddedPostgres(tmp_path / "postgres", settings=THROWAWAY) as server:
        assert await _fetch(server, database="postgres", query="SELECT 1") == 1
