"""An original's facts as tags of its object: what is written, and what is believed of what is read.

Only the standard library and `kappi_mediameta`: the function that runs at the store packs this file. Tags are
untrusted: whoever may tag objects of the bucket can write anything there.
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
    """There are tags of ours, and they are not what Kappi writes."""


@dataclass(frozen=True, slots=True)
class TaggedFacts:
    """width, height: pixels as displayed. duration_ms: None for what does not move."""

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
    """None where nobody wrote them yet. Raises TagsUnreadable."""
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
    """An object's tags with the facts among them, others' kept; None where they say so already.

    Raises TagsUnreadable when others' leave no room.
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
