"""Runs the tests in parallel, then those marked `alone`. In CI a failed test is run once more, alone.

Usage: .ci/test.py [pytest's arguments]. The exit status is pytest's; it is also 0 if every failed test passed
in its second run. The last lines then contain `FLAKY`, the test's name and its first failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

# So many files with failures are no accident, so they are not run again.
MOST_FILES_RUN_AGAIN = 5

# Tests spend half of their time waiting for servers and clocks.
WORKERS = 2 * (os.cpu_count() or 1)

OK, FAILED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED
NOTHING = pytest.ExitCode.NO_TESTS_COLLECTED


class Run:
    """A pytest plugin of the process that starts the workers: it assigns the tests and records failures."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        from scheduler import FilePerWorker  # pytest must load pytest-xdist first

        return FilePerWorker(config, log)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            sections = (f"--- {name} ---\n{text}" for name, text in report.sections)
            self.failures.setdefault(report.nodeid, "\n".join([report.longreprtext, *sections]))


def main(arguments: Sequence[str]) -> int:
    # Tests start hundreds of processes, and each would compile all of Kappi.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    run = Run()
    parallel = ["-n", str(WORKERS), "-m", "not alone", "--durations=20", "--durations-min=1"]
    status = pytest.main([*parallel, *arguments], plugins=[run])
    if status in (OK, FAILED, NOTHING) and "--slow=none" not in arguments:
        alone = pytest.main(["-n", "0", "-m", "alone", *arguments, *slow_paths(arguments)], plugins=[run])
        if status == NOTHING or alone not in (OK, NOTHING):
            status = alone
    if status != FAILED or not os.environ.get("CI"):
        return int(status)
    files: dict[str, list[str]] = {}
    for nodeid in run.failures:
        files.setdefault(nodeid.partition("::")[0], []).append(nodeid)
    if len(files) > MOST_FILES_RUN_AGAIN:
        print(f"\nTests of {len(files)} files failed: too many to run them again.")
        return int(status)
    flaky = [nodeid for nodeids in files.values() if passes_alone(nodeids) for nodeid in nodeids]
    for nodeid in flaky:
        print(f"\nFLAKY {nodeid}\n{run.failures[nodeid]}")
    return 0 if len(flaky) == len(run.failures) else int(status)


def slow_paths(arguments: Sequence[str]) -> list[str]:
    """Returns the paths in `--slow`, where the tests marked `alone` are: they are slow, too.

    A process that has collected all tests is a slower client. Empty if other paths or none are given.
    """
    choice = next((each.removeprefix("--slow=") for each in arguments if each.startswith("--slow=")), "all")
    named = any(not each.startswith("-") for each in arguments)
    return [] if named or choice in {"all", "only"} else choice.split(",")


def passes_alone(nodeids: Sequence[str]) -> bool:
    """Returns whether a file's failed tests pass while no other test runs."""
    print(f"\nOnce more, alone: {' '.join(nodeids)}", flush=True)
    return subprocess.run([sys.executable, "-m", "pytest", "-n", "0", *nodeids], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
