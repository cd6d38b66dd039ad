"""The pytest plugin: databases, brokers and object stores for tests that need real ones.

`pytest --fixtures -v` lists the fixtures. A test that uses one gets the mark `integration` automatically.
"""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from kappi_chassis.embedded.broker import EmbeddedBroker

from kappi_testkit.servers.databases import DatabaseMaker, DatabasePool
from kappi_testkit.servers.plan import HOW_TO_GET, REQUIRE_REAL, RealServerMissing, ServerPlan, plan_servers
from kappi_testkit.servers.s3 import S3Server
from kappi_testkit.servers.shared import AddressServer, SharedServers, ask

_SERVER_FIXTURES = frozenset(
    {"postgres_url", "embedded_broker", "kafka_bootstrap", "every_broker", "s3_server"}
)


@dataclass(slots=True)
class _Run:
    """State of this process in the run. address: returns the address of a kind of server."""

    id: str
    worker: str
    plan: ServerPlan
    address: Callable[[str], str]
    servers: SharedServers | None = None  # only in the process that pytest was started as
    address_server: AddressServer | None = None  # for the workers


_RUN = pytest.StashKey[_Run]()


@dataclass(frozen=True, slots=True)
class BrokerUnderTest:
    """kind: the implementation. bootstrap: `host:port`."""

    kind: Literal["embedded", "kafka"]
    bootstrap: str


def server_plan(config: pytest.Config) -> ServerPlan:
    """Returns the servers of this run, for a conftest that parametrizes by them."""
    return config.stash[_RUN].plan


def pytest_configure(config: pytest.Config) -> None:
    _let_programs_be_interrupted()
    _set_how_examples_are_drawn()
    _log_plain_tracebacks()
    _slow_paths(config)
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        location, key = worker["kappi_address_server"]
        config.stash[_RUN] = _Run(
            id=worker["kappi_run"],
            worker=worker["workerid"],
            plan=ServerPlan(**worker["kappi_plan"]),
            address=lambda kind: ask(location, bytes.fromhex(key), kind),
        )
        return
    try:
        plan = plan_servers(config.rootpath)
    except RealServerMissing as missing:
        raise pytest.UsageError(str(missing)) from missing
    servers = SharedServers(plan, root=config.rootpath)
    config.stash[_RUN] = _Run(
        id=uuid.uuid4().hex[:8], worker="main", plan=plan, address=servers.address, servers=servers
    )


def _set_how_examples_are_drawn() -> None:
    """Sets how Hypothesis draws examples.

    If real servers are required, as in CI, examples come from a fixed seed: chance should not decide about a
    commit. Otherwise each run draws new ones, KAPPI_TEST_EXAMPLES per property if it is set. (Hypothesis also
    takes constants from the loaded modules, so a seed alone does not fix all.)
    """
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "kappi",
        # Hypothesis fails an example that takes 200 ms, which any may take on a busy machine.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=bool(os.environ.get(REQUIRE_REAL)),
        max_examples=int(os.environ.get("KAPPI_TEST_EXAMPLES", 100)),
    )
    settings.load_profile("kappi")


def _log_plain_tracebacks() -> None:
    """Logs plain tracebacks: with `rich` installed, structlog takes five seconds to draw one in colours."""
    import structlog

    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])


def _let_programs_be_interrupted() -> None:
    """Restores Ctrl-C: shells make background processes ignore it, and a test's children inherit that."""
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        and threading.current_thread() is threading.main_thread()
    ):
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Fails a test that changed its thread's scheduling: children inherit it, and real-time ones take all of
    the processor.
    """
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        pytest.fail("the test left its thread with a scheduling policy that is not the usual one")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Prepares a worker before its start; pytest-xdist calls it in the process that pytest was started as."""
    run = node.config.stash[_RUN]
    if run.address_server is None:
        run.address_server = AddressServer(run.servers)
    node.workerinput["kappi_address_server"] = (run.address_server.location, run.address_server.key.hex())
    node.workerinput["kappi_run"] = run.id
    node.workerinput["kappi_plan"] = asdict(run.plan)


def pytest_unconfigure(config: pytest.Config) -> None:
    run = config.stash.get(_RUN, None)
    if run is None or run.servers is None:
        return
    if run.address_server is not None:
        run.address_server.close()
    if run.plan.postgres == "given" and run.servers.started("postgres"):
        # This server outlives the run, so no template may stay on it.
        _database_pool(run).drop_templates()
    run.servers.close()


def pytest_report_header(config: pytest.Config) -> str:
    return config.stash[_RUN].plan.header()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow",
        default="all",
        metavar="all|none|only|PATHS",
        help="tests marked slow: run them, leave them out, run nothing else, or run those under these paths, "
        "separated by commas, among the rest",
    )


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _choose_slow(config, items)
    for item in items:
        if not _SERVER_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)


def _slow_paths(config: pytest.Config) -> list[Path]:
    """Returns the paths in `--slow`. Raises UsageError if one does not exist."""
    choice: str = config.getoption("slow")
    if choice in {"all", "none", "only"}:
        return []
    paths = [config.rootpath / path for path in choice.split(",")]
    if missing := [str(path) for path in paths if not path.exists()]:
        raise pytest.UsageError(f"--slow takes all, none, only, or paths; there is no {', '.join(missing)}")
    return paths


def _choose_slow(config: pytest.Config, items: list[pytest.Item]) -> None:
    choice: str = config.getoption("slow")
    folders = _slow_paths(config)

    def is_chosen(item: pytest.Item) -> bool:
        slow = item.get_closest_marker("slow") is not None
        if choice == "only":
            return slow
        return choice == "all" or not slow or any(item.path.is_relative_to(folder) for folder in folders)

    config.hook.pytest_deselected(items=[item for item in items if not is_chosen(item)])
    items[:] = filter(is_chosen, items)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    plan = metafunc.config.stash[_RUN].plan
    if "every_broker" in metafunc.fixturenames:
        kinds = ["embedded", "kafka"] if plan.real_kafka else ["embedded"]
        metafunc.parametrize("every_broker", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> str:
    """Address of the run's PostgreSQL 18, for an account that may create databases."""
    return pytestconfig.stash[_RUN].address("postgres")


@pytest.fixture(scope="session")
def database_pool(postgres_url: str, pytestconfig: pytest.Config) -> Iterator[DatabasePool]:
    """This worker's databases."""
    pool = _database_pool(pytestconfig.stash[_RUN])
    yield pool
    pool.close()


@pytest.fixture
def make_database(database_pool: DatabasePool) -> Iterator[DatabaseMaker]:
    """`make_database()` returns the address of an empty database, dropped after the test.

    `make_database("galleries", migrate)` returns one as `migrate(address)` left it: a copy of a template
    filled once per run, emptied after the test and reused.
    """
    maker = DatabaseMaker(database_pool)
    yield maker
    maker.close()


@pytest.fixture(scope="module")
def make_module_database(database_pool: DatabasePool) -> Iterator[DatabaseMaker]:
    """`make_database` for fixtures that live as long as a module."""
    maker = DatabaseMaker(database_pool)
    yield maker
    maker.close()


@pytest.fixture
def database_url(make_database: DatabaseMaker) -> str:
    """Address of an empty database for this test alone."""
    return make_database()


def _database_pool(run: _Run) -> DatabasePool:
    return DatabasePool(
        run.address("postgres"),
        prefix=f"kappi_test_{run.id}_{run.worker}",
        template_prefix=f"kappi_template_{run.id}",
    )


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """This worker's embedded broker. It is shared: a test that interrupts or closes one makes its own."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka_bootstrap(request: pytest.FixtureRequest) -> str:
    """`host:port` of the most real broker of this run."""
    run = request.config.stash[_RUN]
    if run.plan.real_kafka:
        return run.address("kafka")
    broker: EmbeddedBroker = request.getfixturevalue("embedded_broker")
    return broker.bootstrap


@pytest.fixture(scope="session")
def every_broker(request: pytest.FixtureRequest) -> BrokerUnderTest:
    """Runs the test once per broker of this run: the embedded one, and Apache Kafka if available."""
    if request.param == "kafka":
        return BrokerUnderTest(kind="kafka", bootstrap=request.config.stash[_RUN].address("kafka"))
    broker: EmbeddedBroker = request.getfixturevalue("embedded_broker")
    return BrokerUnderTest(kind="embedded", bootstrap=broker.bootstrap)


@pytest.fixture(scope="session")
def s3_server(pytestconfig: pytest.Config) -> S3Server:
    """A real S3 server that checks signatures: `create_bucket`, `store`, `signer`, `environment`.

    Skips if there is none; a run that requires real servers was refused before.
    """
    run = pytestconfig.stash[_RUN]
    if not run.plan.real_s3:
        pytest.skip(f"no S3 server here ({HOW_TO_GET})")
    return S3Server.at(run.address("s3"))


@pytest.fixture
def topic_prefix() -> str:
    """Start of the names of this test's topics and groups, unique on a shared broker."""
    return f"t{uuid.uuid4().hex[:12]}."
