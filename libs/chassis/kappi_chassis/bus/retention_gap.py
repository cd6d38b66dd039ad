"""Signals that the broker removed records of a topic before a consumer read them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from kappi_chassis.settings import PlatformSettings

OnGap = Callable[[str], Awaitable[None]]


def loss_of_records(settings: PlatformSettings) -> OnGap | None:
    """Returns a hook for `Consumer(on_gap=...)` that creates a file named after the topic in
    `gap_signal_dir`.

    Returns None when no folder is set: a broker that keeps its records for days is watched by its metrics.
    """
    folder = settings.gap_signal_dir
    if folder is None:
        return None

    async def leave_note(topic: str) -> None:
        _touch(folder, topic)

    return leave_note


def _touch(folder: Path, topic: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / topic).touch()
