"""The choice of the slow tests that CI runs for a change."""

from __future__ import annotations

import ast
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

import pytest

from tests.ci.scripts import load

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> ModuleType:
    return load("slow_suites")


def has_slow_tests(source: str) -> bool:
    return "mark.slow" in source and any(
        isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.slow"
        for node in ast.walk(ast.parse(source))
    )


def test_every_file_with_slow_tests_is_a_suite_with_existing_paths(script: ModuleType) -> None:
    tests = [
        path
        for folder in ("clients", "libs", "services", "deploy", "tests")
        for path in _ROOT.glob(f"{folder}/**/test_*.py")
    ]
    marked = {str(path.relative_to(_ROOT)) for path in tests if has_slow_tests(path.read_text())}
    assert marked == set(script.SUITES)
    patterns = {pattern for watched in script.SUITES.values() for pattern in watched}
    files = script._git("ls-files").splitlines()
    assert not [pattern for pattern in patterns if not any(fnmatchcase(path, pattern) for path in files)]


@pytest.mark.parametrize(
    ("changed", "chosen"),
    [
        ("services/media/kappi_media/archive/layout.py", "tests/e2e/test_archive.py"),
        ("tests/e2e/test_resumable.py", "tests/e2e/test_resumable.py"),
        ("requirements.lock", "tests/deploy/test_image.py"),
    ],
)
def test_a_change_chooses_the_suites_that_it_could_affect(
    script: ModuleType, changed: str, chosen: str
) -> None:
    assert chosen in script.suites_for([changed])


def test_a_change_of_a_page_chooses_no_suite(script: ModuleType) -> None:
    assert script.suites_for(["README.md", "docs/clients.md"]) == []


def test_the_change_consists_of_the_commits_since_the_base(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "ROOT", tmp_path)
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "ada@example.com")

    def commit(name: str, hour: int) -> str:
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-05-01T{hour:02}:00:00Z")
        (tmp_path / name).touch()
        script._git("add", name)
        script._git("commit", "-q", "-m", name)
        return str(script._git("rev-parse", "HEAD")).strip()

    monkeypatch.delenv("KAPPI_CI_BASE", raising=False)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    first = commit("yesterday", 1)
    assert script.changed_paths() == ["yesterday"], "there is no older commit"
    commit("noon", 16)
    commit("evening", 19)
    assert script.changed_paths() == ["evening", "noon"]
    monkeypatch.setenv("KAPPI_CI_BASE", first)
    commit("night", 23)
    assert script.changed_paths() == ["evening", "night", "noon"]

    lock, pin = tmp_path / "requirements.lock", "aiohttp==3.14.5"
    lock.write_text(f"{pin}\n    # via kappi-client\n")
    monkeypatch.setenv("KAPPI_CI_BASE", commit(lock.name, 23))
    lock.write_text(f"{pin}\n    # via\n    #   kappi-client\n    #   kappi-gateway\n")
    commit(lock.name, 23)
    assert script.changed_paths() == [], "the same packages, with other users"
    lock.write_text(f"{pin}\n    # via kappi-client\nrawpy==0.28.0\n    # via kappi-media\n")
    commit(lock.name, 23)
    assert script.changed_paths() == [], "one more package: what uses it has changed, too"
    lock.write_text("aiohttp==3.14.6\n    # via kappi-client\n")
    commit(lock.name, 23)
    assert script.changed_paths() == [lock.name]
