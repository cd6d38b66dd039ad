"""The checkout that the stack runs from, for the metric `kappi_build_info`."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 5.0


@lru_cache(maxsize=1)
def commit(root: Path = CHECKOUT) -> str:
    """Returns the short commit that is checked out; empty without a checkout or without git."""
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"],  # noqa: S607 - git of this machine
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
