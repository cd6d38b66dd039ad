"""The files from which the site of the documentation is built."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.ci.scripts import load


@pytest.fixture
def script() -> ModuleType:
    return load("site_pages")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "repository/docs").mkdir(parents=True)
    (tmp_path / "repository/schemas").mkdir()
    (tmp_path / "repository/schemas/Event.json").write_text("{}")
    return tmp_path / "repository"


def test_links_to_files_and_folders_work_on_the_site(script: ModuleType, root: Path, tmp_path: Path) -> None:
    (root / "docs/page.md").write_text(
        "[a](../schemas/Event.json) [all](../schemas) [away](https://example.com)"
    )
    files = ["docs/page.md", "schemas/Event.json"]
    assert script.gather(root, tmp_path / "site", files, ["docs/page.md"]) == []
    assert (tmp_path / "site/docs/page.md").read_text() == (
        "[a](../schemas/Event.json) [all](../schemas/README.md) [away](https://example.com)"
    )
    assert (tmp_path / "site/schemas/README.md").read_text() == "# schemas\n\n- [Event.json](Event.json)\n"
    assert (tmp_path / "site/schemas/Event.json").read_text() == "{}"


@pytest.mark.parametrize("target", ["missing.md", "missing.json", "../missing", "../schemas/Event.v2.json"])
def test_a_broken_link_is_reported(script: ModuleType, root: Path, tmp_path: Path, target: str) -> None:
    (root / "docs/page.md").write_text(f"[a]({target}#part)")
    files = ["docs/page.md", "schemas/Event.json"]
    (broken,) = script.gather(root, tmp_path / "site", files, ["docs/page.md"])
    assert broken.startswith("docs/page.md: ")


def test_the_navigation_is_read_at_every_depth(script: ModuleType) -> None:
    entries = [{"Start": "README.md"}, {"Using it": [{"Clients": "docs/clients.md"}]}]
    assert list(script.navigation(entries)) == ["README.md", "docs/clients.md"]
