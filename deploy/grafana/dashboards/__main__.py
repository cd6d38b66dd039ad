"""Writes the dashboards as JSON files."""

from __future__ import annotations

import sys
from pathlib import Path

from dashboards.boards import PAGES, as_json


def main(folder: Path) -> None:
    """Writes one file per dashboard, named after its uid, and removes other dashboards from the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    for page in PAGES:
        (folder / f"{page.uid}.json").write_text(as_json(page), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
