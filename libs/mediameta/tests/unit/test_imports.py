"""The library runs without installed packages, as in the function at the object store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from pkgutil import walk_packages

import kappi_mediameta


def test_every_module_needs_the_standard_library_only() -> None:
    modules = [found.name for found in walk_packages(kappi_mediameta.__path__, "kappi_mediameta.")]
    assert "kappi_mediameta.gps_free.find" in modules
    folder = str(Path(kappi_mediameta.__file__).parents[1])
    program = f"import sys; sys.path.insert(0, {folder!r}); import {', '.join(modules)}"
    # Without site-packages.
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)
