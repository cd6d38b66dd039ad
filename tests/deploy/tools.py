"""Finds programs that these tests need; `.ci/deploy-tools` installs them into .tools."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kappi_testkit.servers.plan import REQUIRE_REAL

from tests.deploy.composition import ROOT


def deploy_tool(name: str) -> Path:
    """Returns the program's path. Skips if it is missing, and fails if the run requires all programs."""
    for folder in (ROOT / ".tools/bin", ROOT / ".tools/deploy/bin"):
        if os.access(folder / name, os.X_OK):
            return folder / name
    missing = f"no {name} here (.ci/deploy-tools)"
    if os.environ.get(REQUIRE_REAL):
        pytest.fail(missing)
    pytest.skip(missing)
