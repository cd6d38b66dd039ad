"""Prints the slow suites that a change could affect, for `make test SLOW=…`: paths separated by commas.

The change consists of the commits since KAPPI_CI_BASE, or, without that, of those in the four hours before
the newest commit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUITES: Mapping[str, Sequence[str]] = tomllib.loads((ROOT / ".ci/slow_suites.toml").read_text())
WINDOW_S = 4 * 3600
EVERYTHING = ("requirements.lock",)  # a change of it could affect any suite


def suites_for(changed: Sequence[str]) -> list[str]:
    """Returns the suites. changed: paths from the root of the repository."""
    return [
        suite
        for suite, watched in SUITES.items()
        if any(fnmatchcase(path, pattern) for path in changed for pattern in (suite, *watched, *EVERYTHING))
    ]


def changed_paths() -> list[str]:
    base = os.environ.get("KAPPI_CI_BASE") or _commit_before_window()
    changed = _git("diff", "--name-only", "--no-renames", base, "HEAD").splitlines()
    return [path for path in changed if path not in EVERYTHING or not _only_more(base, path)]


def _only_more(base: str, path: str) -> bool:
    """Returns whether a lock file only got packages that the others do not need, or other comments, which
    name the users of a package. Code that uses a new package has changed, and is watched."""
    _, _, hunks = _git("diff", "--unified=0", base, "HEAD", "--", path).partition("\n@@")
    removed = (line[1:].strip() for line in hunks.splitlines() if line.startswith("-"))
    return all(line.startswith("#") for line in removed)


def _commit_before_window() -> str:
    newest = int(_git("log", "-1", "--format=%ct"))
    older = _git("rev-list", "-1", f"--before={newest - WINDOW_S}", "HEAD").strip()
    # Without an older commit, every file counts as changed.
    return older or _git("hash-object", "-t", "tree", "/dev/null").strip()


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.stdout.write(",".join(suites_for(changed_paths())))
