"""Extracts the examples of pages in docs/, unchanged."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

_DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = _DOCS / "clients.md"
EVENTS_PAGE = _DOCS / "events.md"
_BLOCK = re.compile(
    r"<!-- run: (?P<name>[a-z0-9]+) -->\n```[a-z]+\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


def examples(name: str, page: Path = PAGE) -> list[str]:
    """Returns the examples of a page that are run together, in order."""
    found = [
        block["code"] for block in _BLOCK.finditer(page.read_text(encoding="utf-8")) if block["name"] == name
    ]
    assert found, f"{page.name} has no example {name!r} any more"
    return found


def has_tables(database: Path) -> bool:
    """Returns whether an example of docs/events.md has made its two tables."""
    if not database.exists():
        return False
    connection = sqlite3.connect(database, timeout=10)
    try:
        (found,) = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view')"
        ).fetchone()
    finally:
        connection.close()
    return bool(found == 2)
