"""Programs that tests compare with, and that a bare machine lacks."""

from __future__ import annotations

import os
import shutil

import pytest

from kappi_chassis.testing.plan import REQUIRE_REAL

_DAEMONS = "/usr/sbin"  # where Debian keeps servers, and accounts but root's do not look


def require_program(name: str) -> str:
    """Its path. Skips the test when it is not installed, fails it where everything real is required."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_DAEMONS}")
    if path is None:
        missing = f"{name} is not installed"
        if os.environ.get(REQUIRE_REAL):
            pytest.fail(f"{REQUIRE_REAL} is set, but {missing}")
        pytest.skip(missing)
    return path
