"""The commit of a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kappi_embedded.checkout import commit


def test_the_commit_of_a_checkout_is_found(tmp_path: Path) -> None:
    assert commit(tmp_path) == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message=First"], check=True)
    shown = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    commit.cache_clear()
    assert len(commit(tmp_path)) == 12
    assert shown.startswith(commit(tmp_path))


def test_a_folder_that_only_looks_like_a_checkout_has_none(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert commit(tmp_path) == ""
