"""The script behind `make test`: in CI only, a failure that does not repeat is reported as flaky."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / ".ci" / "test.py"
_TESTS = """
from pathlib import Path

def test_fails_the_first_time():
    seen = Path("seen")
    if not seen.exists():
        seen.touch()
        print("said before it failed")
        assert 1 + 1 == 3

def test_passes(): pass
"""
_BROKEN = "def test_fails_each_time(): assert 2 + 2 == 5\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p xdist\n")
    (tmp_path / "test_luck.py").write_text(_TESTS)
    return tmp_path


def run(folder: Path, *, ci: bool) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR"}}
    kept["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.run(
        [sys.executable, str(_SCRIPT), "-n", "1"],
        cwd=folder,
        env={**kept, **({"CI": "true"} if ci else {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_in_ci_a_test_that_passes_alone_is_flaky_and_the_run_succeeds(folder: Path) -> None:
    done = run(folder, ci=True)

    assert done.returncode == 0, done.stdout
    verdict = done.stdout.rpartition("FLAKY ")[2]
    assert verdict.startswith("test_luck.py::test_fails_the_first_time\n")
    assert "assert (1 + 1) == 3" in verdict
    assert "said before it failed" in verdict


def test_in_ci_a_test_that_fails_again_is_a_failure(folder: Path) -> None:
    (folder / "test_broken.py").write_text(_BROKEN)

    done = run(folder, ci=True)

    assert done.returncode == 1
    assert "FLAKY test_luck.py::test_fails_the_first_time" in done.stdout
    assert "FLAKY test_broken.py" not in done.stdout


def test_failures_in_many_files_are_not_run_again(folder: Path) -> None:
    for number in range(6):
        (folder / f"test_broken_{number}.py").write_text(_BROKEN)

    done = run(folder, ci=True)

    assert done.returncode == 1
    assert "Tests of 7 files failed" in done.stdout
    assert "FLAKY" not in done.stdout


def test_outside_ci_no_test_is_run_again(folder: Path) -> None:
    done = run(folder, ci=False)

    assert done.returncode == 1
    assert "FLAKY" not in done.stdout
    assert "1 failed, 1 passed" in done.stdout


def test_a_run_without_tests_is_a_failure(folder: Path) -> None:
    (folder / "test_luck.py").unlink()

    assert run(folder, ci=True).returncode == pytest.ExitCode.NO_TESTS_COLLECTED
