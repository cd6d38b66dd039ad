"""Facts that programs and people write about a picture beside EXIF: in XMP, earlier in IPTC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.probing.facts import (
    MAX_CAPTION_CHARS,
    MAX_KEYWORD_CHARS,
    MAX_KEYWORDS,
    NO_DETAILS,
    Coordinates,
    Details,
)
from kappi_mediameta.probing.written import WrittenTime

_CONTROLS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
# Texts that cameras and programs write in place of a caption.
_NO_CAPTION: Final = re.compile(
    r".{0,40}DIGITAL (?:STILL )?CAMERA|SONY DSC|DCIM[\\/].*|Exif[_ ]JPEG.*|[Dd]efault|[Uu]ntitled|-+"
    r'|<\?xml.*|\{".*\}?|ImageJ=.*',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Annotations:
    """taken: when the picture was made. digitized: when it was scanned or stored, if that differs.
    film_from_end: as in `CaptureFacts`."""

    taken: WrittenTime | None = None
    digitized: WrittenTime | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()
    location: Coordinates | None = None
    details: Details = NO_DETAILS
    film_from_end: int | None = None

    def or_else(self, other: Annotations) -> Annotations:
        """Returns each field of this one, or of the other where this one has none."""
        return Annotations(
            taken=self.taken or other.taken,
            digitized=self.digitized or other.digitized,
            caption=self.caption or other.caption,
            keywords=self.keywords or other.keywords,
            location=self.location or other.location,
            details=self.details.or_else(other.details),
            film_from_end=self.film_from_end or other.film_from_end,
        )


NO_ANNOTATIONS: Final = Annotations()


def clean_caption(written: str | None) -> str | None:
    """Returns a caption as the API takes it, or None for one that a camera gives to every picture."""
    lines = (written or "").replace("\r\n", "\n").replace("\r", "\n")
    caption = _CONTROLS.sub(" ", lines).strip()[:MAX_CAPTION_CHARS].strip()
    return None if not caption or _NO_CAPTION.fullmatch(caption) else caption


def clean_keywords(written: Iterable[str]) -> tuple[str, ...]:
    """Returns keywords as the API takes tags, each once, without those that are too long for it.

    A keyword that is too long is often a list with commas.
    """
    kept: dict[str, str] = {}
    for keyword in _apart(written):
        tag = " ".join(_CONTROLS.sub(" ", keyword).split())
        if 0 < len(tag) <= MAX_KEYWORD_CHARS:
            kept.setdefault(tag.casefold(), tag)
        if len(kept) == MAX_KEYWORDS:
            break
    return tuple(kept.values())


def _apart(written: Iterable[str]) -> Iterator[str]:
    for keyword in written:
        yield from [keyword] if len(keyword) <= MAX_KEYWORD_CHARS else re.split("[,;]", keyword)
