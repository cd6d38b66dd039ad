from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from kappi_chassis.bus import create_topics


@pytest.mark.parametrize("named", [[], ["arrivals"], ["arrivals", "others"]])
def test_the_job_creates_external_topics_and_their_dead_letters(
    monkeypatch: pytest.MonkeyPatch, named: list[str]
) -> None:
    """If services may not create topics, an unreadable message would otherwise have no dead-letter topic."""
    declared: list[Sequence[str]] = []

    async def declare(connection: Any, *, replication_factor: int, foreign: Sequence[str]) -> None:
        declared.append(foreign)

    monkeypatch.setattr(create_topics, "declare_topics", declare)
    assert create_topics.main(named) == 0
    assert declared == [named]
