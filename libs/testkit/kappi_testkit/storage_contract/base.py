"""The common base of the stores' contract suite."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

MINUTES_5 = timedelta(minutes=5)
BODY = bytes(range(256)) * 40
# A plain key, then keys with all characters that were ever encoded wrongly. Keys with `//`, dot segments, or
# another key as their folder are left out. Stores that map keys to paths cannot hold them; Kappi has none.
KEYS = [
    "original",
    "日本 語/お土産の写真.jpg",
    "emoji 🏔️/👩‍👩‍👧.png",
    "percent %41 %2F %zz",
    "plus+and space&amp=?#[]@!$'()*,;:",
    "tilde~-_.quote\"'",
    "UPPER/upper",
]


class ContractSuite:
    """Base of the suite. Keys are under a random prefix, so tests may share one bucket."""

    @pytest.fixture
    def prefix(self) -> str:
        return f"contract/{uuid.uuid4()}/"

    @pytest.fixture
    def now(self) -> datetime:
        return datetime.now(UTC)
