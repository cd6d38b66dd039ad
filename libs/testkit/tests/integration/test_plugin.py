"""The pytest plugin, tested in separate pytest runs."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request

import asyncpg
import pytest
from kappi_testkit.servers.databases import DatabaseMaker
from kappi_testkit.servers.s3 import S3Server

pytestmark = pytest.mark.integration
pytest_plugins = ("pytester",)

_VARIABLES_OF_THIS_RUN = ("KAPPI_TEST_REQUIRE_REAL", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER")
_TESTS = """
import asyncio
import asyncpg, pytest

async def _run(url, statement):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()

def migrate(url):
    with open("migrated", "a") as log:
        log.write("once\\n")
    asyncio.run(_run(url, "CREATE TABLE gallery (code text)"))

@pytest.mark.parametrize("number", range(8))
def test_has_a_migrated_database_of_its_own(make_database, number, postgres_url):
    url = make_database("galleries", migrate)
    assert asyncio.run(_run(url, "SELECT count(*) FROM gallery")) == 0
    asyncio.run(_run(url, "INSERT INTO gallery VALUES ('abcd')"))
    with open("servers", "a") as log:
        log.write(postgres_url.rpartition("@")[2] + "\\n")

def test_unit(): pass
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name in _VARIABLES_OF_THIS_RUN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # other plugins take seconds to load
    pytester.makeini(
        "[pytest]\naddopts = -p xdist -p kappi_testkit.plugin\n"
        "markers =\n    integration: needs servers\n    slow: takes minutes\n"
    )
    pytester.makepyfile(_TESTS)
    return pytester


def test_workers_share_one_server_and_one_template(inner: pytest.Pytester) -> None:
    result = inner.runpytest_subprocess("-n", "2", "--strict-markers", timeout=60)

    result.assert_outcomes(passed=9)
    assert str(result.stdout).count("servers: PostgreSQL: ") == 1
    assert len(set((inner.path / "servers").read_text().splitlines())) == 1
    assert (inner.path / "migrated").read_text() == "once\n"


def test_a_run_without_workers_shares_one_server_too(inner: pytest.Pytester) -> None:
    result = inner.runpytest_subprocess("-n", "0", timeout=60)

    result.assert_outcomes(passed=9)
    assert (inner.path / "migrated").read_text() == "once\n"


def test_tests_with_a_server_are_marked_integration(inner: pytest.Pytester) -> None:
    result = inner.runpytest_subprocess("-m", "not integration", timeout=60)

    result.assert_outcomes(passed=1, deselected=8)


@pytest.mark.parametrize(
    ("choice", "passed"),
    [("all", 3), ("none", 1), ("only", 2), ("test_deep.py", 2), ("test_deep.py,test_long.py", 3)],
)
def test_slow_tests_are_chosen_by_option(inner: pytest.Pytester, choice: str, passed: int) -> None:
    inner.path.joinpath("test_slow_tests_are_chosen_by_option.py").unlink()
    slow = "import pytest\n@pytest.mark.slow\ndef test_slow(): pass\n"
    inner.makepyfile(test_deep=slow, test_long=slow, test_quick="def test_quick(): pass\n")

    result = inner.runpytest_subprocess(f"--slow={choice}", timeout=60)

    result.assert_outcomes(passed=passed, deselected=3 - passed)


def test_a_missing_path_of_slow_tests_is_named(inner: pytest.Pytester) -> None:
    result = inner.runpytest_subprocess("--slow=test_deap.py", "-n", "2", timeout=60)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--slow takes all, none, only, or paths; there is no *test_deap.py"])


def test_a_run_that_requires_real_servers_fails_without_them(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPI_TEST_REQUIRE_REAL", "1")
    monkeypatch.delenv("KAPPI_TEST_KAFKA_BOOTSTRAP", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")

    result = inner.runpytest_subprocess(timeout=60)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*there is no Apache Kafka*: make real-servers"])


def test_without_real_servers_only_embedded_ones_are_used(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAPPI_TEST_KAFKA_BOOTSTRAP", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    inner.makepyfile("def test_broker(every_broker): assert every_broker.kind == 'embedded'")

    result = inner.runpytest_subprocess(timeout=60)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["servers: *Kafka: embedded broker only (make real-servers for a real one)*"])


def test_a_test_that_leaves_its_thread_real_time_fails_and_is_corrected(inner: pytest.Pytester) -> None:
    inner.makepyfile("""
        import os
        def test_that_leaves_it_so():
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        def test_after_it():
            assert os.sched_getscheduler(0) == os.SCHED_OTHER
    """)

    result = inner.runpytest_subprocess(timeout=60)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*left its thread with a scheduling policy*"])


def test_the_s3_server_has_buckets_and_refuses_unknown_accounts(s3_server: S3Server) -> None:
    bucket = s3_server.create_bucket()

    with (
        pytest.raises(urllib.error.HTTPError) as refusal,
        urllib.request.urlopen(f"{s3_server.endpoint}/{bucket}"),
    ):
        pass

    assert refusal.value.code == 403
    refusal.value.close()


async def test_a_database_is_dropped_after_its_test(make_database: DatabaseMaker) -> None:
    url = make_database()
    lingering = await asyncpg.connect(url)

    make_database.close()

    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await lingering.execute("SELECT 1")


async def test_a_template_that_failed_is_filled_again(make_database: DatabaseMaker) -> None:
    attempts: list[str] = []

    def migrate(url: str) -> None:
        attempts.append(url)
        if len(attempts) == 1:
            raise RuntimeError("migration 3 failed")

    key = "filled-anew"
    with pytest.raises(RuntimeError, match="migration 3"):
        make_database(key, migrate)

    await (await asyncpg.connect(make_database(key, migrate))).close()
    assert len(attempts) == 2


def test_a_background_run_can_be_interrupted(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shells make background processes ignore Ctrl-C, and child processes inherit that."""
    for name in _VARIABLES_OF_THIS_RUN:
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(
        """
        import signal, subprocess, sys

        def test_it():
            ask = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
            said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout
            assert said == "False\\n"
        """
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "xdist",
        "-p",
        "kappi_testkit.plugin",
        *("-n", "1"),
    ]
    ran = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
