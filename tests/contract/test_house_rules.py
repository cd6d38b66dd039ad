"""House rules that ruff and import-linter do not check; `make lint` runs these tests, too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SERVICES = sorted(_ROOT.glob("services/*/kappi_*/**/*.py"))
_TOOLS_OF_TESTS = frozenset({"hypothesis", "pytest", "testcontainers", "tifffile"})
_DOMAINS = [path for path in _SERVICES if path.name == "domain.py" or path.parent.name == "domain"]
_DOES_IO = re.compile(
    r"(aiohttp|aiokafka|asyncio|asyncpg|boto3|botocore|fastapi|faust|http|mode|socket|sqlalchemy|starlette|subprocess"
    r"|kappi_chassis\.(backbone|bus|db|embedded|http|outbox|runtime|storage\.(contract|local|s3|settings)))\b"
)
_EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "manager", "common", "misc"})
_TESTS = sorted(
    path
    for folder in ("clients/*/tests", "libs/*/tests", "services/*/tests", "deploy/*/tests", "tests")
    for path in _ROOT.glob(f"{folder}/**/*.py")
)
_STOPWATCH = re.compile(
    r"(time\.)?(monotonic|perf_counter|process_time|thread_time)(_ns)?|.*loop(\(\))?\.time"
)
_METRICS = sorted(_ROOT.glob("services/*/kappi_*/metrics.py"))
_PACKAGES = sorted(
    path
    for folder in ("clients/*/kappi_*", "libs/*/kappi_*", "services/*/kappi_*", "deploy/embedded/kappi_*")
    for path in _ROOT.glob(f"{folder}/**/*.py")
)
_BENCHMARKS = sorted(_ROOT.glob("benchmarks/**/*.py"))
_MODULE_LINES, _FUNCTION_LINES = 400, 40


def imported(source: str) -> set[str]:
    """Returns the full names of the imported modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." if node.level else str(node.module))
    return found


def reads_the_clock(source: str) -> Iterator[int]:
    """Returns the lines that read the current time instead of receiving it as an argument."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and re.fullmatch(
            r"(datetime\.)?datetime\.(now|utcnow|today)|(datetime\.)?date\.today|time\.time(_ns)?",
            ast.unparse(node.func),
        ):
            yield node.lineno


def asserts_a_duration(source: str) -> Iterator[int]:
    """Returns the lines that assert how long something took, which depends on the load of the machine."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        measured: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign | ast.AugAssign) and _is_measured(node.value, measured):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                measured |= {ast.unparse(target) for target in targets}
            elif isinstance(node, ast.Assert) and _is_measured(node.test, measured):
                yield node.lineno


def _is_measured(expression: ast.expr, measured: set[str]) -> bool:
    return any(
        (isinstance(node, ast.Call) and _STOPWATCH.fullmatch(ast.unparse(node.func)))
        or (isinstance(node, ast.Name) and node.id in measured)
        for node in ast.walk(expression)
    )


def has_an_empty_name(path: Path) -> bool:
    return bool(_EMPTY_NAMES & {path.stem, path.parent.name})


def too_long(source: str) -> Iterator[str]:
    """Returns the module or the functions that are longer than the limits."""
    if (lines := len(source.splitlines())) > _MODULE_LINES:
        yield f"{lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > _FUNCTION_LINES:
                yield f"{node.name}: {lines} lines"


def misnamed_metrics(source: str, *, service: str) -> list[str]:
    """Returns the names of metrics that do not begin with the service's name."""
    names = [
        str(node.args[0].value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
    ]
    assert names
    return [name for name in names if not name.startswith(f"{service}_")]


def service_of(path: Path) -> str:
    return next(part for part in path.parts if part.startswith("kappi_"))


@pytest.mark.parametrize("path", _DOMAINS, ids=lambda path: f"{service_of(path)}-{path.stem}")
def test_a_domain_does_no_input_or_output(path: Path) -> None:
    assert [name for name in imported(path.read_text()) if _DOES_IO.match(name)] == []


@pytest.mark.parametrize(
    "line", ["import asyncpg", "from kappi_chassis.db import Database", "import http.client"]
)
def test_an_import_that_does_input_or_output_is_found(line: str) -> None:
    assert any(_DOES_IO.match(name) for name in imported(line))


def test_every_service_with_a_database_has_a_domain() -> None:
    services = {service_of(path) for path in _DOMAINS}
    assert services >= {"kappi_galleries", "kappi_identity", "kappi_janitor", "kappi_media"}


def test_services_receive_the_time_as_an_argument() -> None:
    found = [
        f"{path.relative_to(_ROOT)}:{line}"
        for path in _SERVICES
        for line in reads_the_clock(path.read_text())
    ]
    assert not found


def test_no_test_asserts_how_long_something_takes() -> None:
    """Speed is compared in benchmarks/ only."""
    found = [
        f"{path.relative_to(_ROOT)}:{line}"
        for path in _TESTS
        for line in asserts_a_duration(path.read_text())
    ]
    assert not found


def test_modules_are_named_after_their_content() -> None:
    assert not [path for path in _PACKAGES if has_an_empty_name(path)]


def test_modules_and_functions_are_short() -> None:
    found = [
        f"{path.relative_to(_ROOT)} {what}"
        for path in (*_PACKAGES, *_BENCHMARKS)
        for what in too_long(path.read_text())
    ]
    assert not found


def test_only_the_testkit_imports_tools_of_tests() -> None:
    found = [
        f"{path.relative_to(_ROOT)}: {name}"
        for path in _PACKAGES
        if service_of(path) != "kappi_testkit"
        for name in imported(path.read_text())
        if name.partition(".")[0] in _TOOLS_OF_TESTS
    ]
    assert not found


@pytest.mark.parametrize("path", _METRICS, ids=lambda path: path.parent.name)
def test_metrics_are_named_after_their_service(path: Path) -> None:
    assert not misnamed_metrics(path.read_text(), service=path.parent.name)


def test_the_rules_find_planted_faults() -> None:
    assert imported("import json\nfrom kappi_chassis.db import Database") == {"json", "kappi_chassis.db"}
    assert "." in imported("from .models import Row")
    assert list(reads_the_clock("def f():\n    return datetime.now(UTC)\n")) == [2]
    assert not list(reads_the_clock("now = clock()\nstarted = time.monotonic()\n"))
    timed = (
        "def f():\n    began = time.monotonic()\n    took = time.monotonic() - began\n    assert took < 2\n"
    )
    assert list(asserts_a_duration(timed)) == [4]
    assert not list(asserts_a_duration("def f():\n    until = time.monotonic() + 2\n    assert ready\n"))
    assert has_an_empty_name(Path("kappi_media/utils.py"))
    assert has_an_empty_name(Path("kappi_media/helpers/dates.py"))
    assert not has_an_empty_name(Path("kappi_media/use_cases/links.py"))
    assert list(too_long("x = 1\n" * 401)) == ["401 lines"]
    assert list(too_long("def f():\n" + "    x = 1\n" * 40)) == ["f: 41 lines"]
    assert not list(too_long("def f():\n" + "    x = 1\n" * 39))
    metrics = 'A = Counter("kappi_media_a", "")\nB = Counter("media_b", "")\n'
    assert misnamed_metrics(metrics, service="kappi_media") == ["media_b"]
