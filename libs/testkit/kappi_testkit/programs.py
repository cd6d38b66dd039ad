"""Finds programs that tests compare with. A bare machine has none of them."""

from __future__ import annotations

import os
import shutil

import pytest

from kappi_testkit.servers.plan import REQUIRE_REAL

_DAEMONS = "/usr/sbin"  # Debian installs servers here, and only root's PATH contains it


def require_program(name: str) -> str:
    """Returns the program's path.

    Skips the test if it is missing, fails it if the run requires real servers.
    """
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_DAEMONS}")
    if path is None:
        missing = f"{name} is not installed"
        if os.environ.get(REQUIRE_REAL):
            pytest.fail(f"{REQUIRE_REAL} is set, but {missing}")
        pytest.skip(missing)
    return path
