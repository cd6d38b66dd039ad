"""The facts of an original as tags of its object: how they are written, and how read tags are checked.

Only the standard library and `kappi_mediameta`: the function that runs at the store packs this file. Tags are
untrusted: every holder of the right to tag objects of the bucket can write anything there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from kappi_mediameta.probing.facts import Probe, ProbeLimits
from kappi_mediameta.probing.formats import MediaKind

KIND: Final = "kappi-kind"
WIDTH: Final = "kappi-width"
HEIGHT: Final = "kappi-height"
DURATION_MS: Final = "kappi-duration-ms"
MAX_TAGS: Final = 10

_LIMITS: Final = ProbeLimits()
_NUMBER: Final = re.compile("0|[1-9][0-9]{0,9}")
_KINDS: Final[Mapping[str, MediaKind]] = {"image": "image", "video": "video"}


class TagsUnreadable(Exception):
    """There are Kappi tags, but not as Kappi writes them."""


@dataclass(frozen=True, slots=True)
class TaggedFacts:
    """Facts in tags. width, height: pixels as displayed. duration_ms: None for a still picture."""

    kind: MediaKind
    width: int
    height: int
    duration_ms: int | None = None

    @classmethod
    def of(cls, probe: Probe) -> TaggedFacts:
        return cls(probe.kind, probe.width, probe.height, probe.duration_ms)


def tags_of(facts: TaggedFacts) -> dict[str, str]:
    tags = {KIND: facts.kind, WIDTH: str(facts.width), HEIGHT: str(facts.height)}
    return tags if facts.duration_ms is None else {**tags, DURATION_MS: str(facts.duration_ms)}


def facts_of(tags: Mapping[str, str]) -> TaggedFacts | None:
    """Returns the facts; None when they were not written yet. Raises TagsUnreadable."""
    if not tags.keys() & {KIND, WIDTH, HEIGHT, DURATION_MS}:
        return None
    kind = _KINDS.get(tags.get(KIND, ""))
    if kind is None:
        raise TagsUnreadable(KIND)
    width = _number(tags, WIDTH, least=1, most=_LIMITS.max_side)
    height = _number(tags, HEIGHT, least=1, most=_LIMITS.max_side)
    if width * height > _LIMITS.max_pixels:
        raise TagsUnreadable(f"{WIDTH}, {HEIGHT}")
    if DURATION_MS not in tags:
        return TaggedFacts(kind, width, height)
    longest = _LIMITS.max_duration // timedelta(milliseconds=1)
    return TaggedFacts(kind, width, height, _number(tags, DURATION_MS, least=0, most=longest))


def with_facts(tags: Mapping[str, str], facts: TaggedFacts) -> dict[str, str] | None:
    """Returns an object's tags with the facts added and other tags kept; None when the facts are already
    there.

    Raises TagsUnreadable when the other tags leave no room.
    """
    others = {name: value for name, value in tags.items() if name not in {KIND, WIDTH, HEIGHT, DURATION_MS}}
    wanted = {**others, **tags_of(facts)}
    if len(wanted) > MAX_TAGS:
        raise TagsUnreadable(f"more than {MAX_TAGS} tags")
    return None if wanted == dict(tags) else wanted


def _number(tags: Mapping[str, str], name: str, *, least: int, most: int) -> int:
    text = tags.get(name, "")
    if _NUMBER.fullmatch(text) is None or not least <= int(text) <= most:
        raise TagsUnreadable(name)
    return int(text)
