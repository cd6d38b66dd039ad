"""Generators of clients and compilers of their output, fetched by their registries' own clients into .tools.

A test is skipped, with the reason, if a tool is missing, and fails if the run requires real servers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Literal

import pytest
from kappi_testkit.programs import require_program
from kappi_testkit.servers.plan import REQUIRE_REAL

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "tests" / "clients"
GENERATED = PACKAGES / "generated"
Profile = Literal["generator", "kotlin-compiler", "kotlin", "java"]
_POM = GENERATED / "pom.xml"
_INSTALL_TIMEOUT_S = 300
_RUN_TIMEOUT_S = 600


def jars(profile: Profile) -> str:
    """Returns the class path of a profile of generated/pom.xml."""
    folder = ROOT / ".tools" / "clients" / sha256(_POM.read_bytes()).hexdigest()[:12] / profile
    if not folder.is_dir():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        _install(
            require_program("mvn"),
            *("--quiet", "--batch-mode", "--file", str(_POM), f"--activate-profiles={profile}"),
            *("dependency:copy-dependencies", f"-DoutputDirectory={partial}", "-DincludeScope=runtime"),
        )
        partial.rename(folder)
    return f"{folder}/*"


def npm_packages() -> Path:
    """Returns `node_modules` with exactly the packages of tests/clients/package-lock.json."""
    installed, lock = PACKAGES / "node_modules" / ".package-lock.json", PACKAGES / "package-lock.json"
    if not (installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime):
        _install(require_program("npm"), "ci", "--no-progress", "--no-audit", "--no-fund")
    return PACKAGES / "node_modules"


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """Returns the output of a command. Fails the test if the command fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=_RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
    return done.stdout + done.stderr


def _install(*command: str) -> None:
    done = subprocess.run(
        command, cwd=PACKAGES, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        reason = f"{Path(command[0]).name} cannot fetch the tools: {(done.stdout + done.stderr)[-500:]}"
        if os.environ.get(REQUIRE_REAL):
            pytest.fail(reason)
        pytest.skip(reason)
