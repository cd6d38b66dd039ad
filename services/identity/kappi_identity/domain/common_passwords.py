"""The passwords that attackers try first: the long ones at the top of every published list."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def common_passwords() -> frozenset[str]:
    """Returns the common passwords, case-folded."""
    return frozenset(files(__package__).joinpath("common_passwords.txt").read_text().split())
