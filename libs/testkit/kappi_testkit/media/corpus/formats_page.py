"""The tables of `docs/formats.md`: the accepted formats, and how each file of the corpus is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta, timezone
from typing import Final

from kappi_mediameta.probing import MediaFormat, Probe
from kappi_mediameta.probing.probe import HEADER_READERS

_ACCEPTED_MARK, _CORPUS_MARK = "<!-- accepted -->\n", "<!-- corpus -->\n"
_EXTENSIONS: Final = {
    MediaFormat.HEIC: ".heic .heif .hif",
    MediaFormat.JP2: ".jp2 .j2k .j2c .jpf .jpx",
    MediaFormat.THREE_GP: ".3gp .3g2",
    MediaFormat.MPEG_TS: ".ts .mts .m2ts",
    MediaFormat.WMV: ".wmv .asf",
}


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    fmt: MediaFormat
    facts: Probe


def page(text: str, rows: Iterable[Row]) -> str:
    """Returns `text` with its two tables filled in."""
    return text.replace(_ACCEPTED_MARK, _accepted()).replace(_CORPUS_MARK, _corpus(rows))


def _accepted() -> str:
    lines = ["| format | content type | also declared as | usual extension |", "|---|---|---|---|"]
    for fmt in HEADER_READERS:
        facts = fmt.value
        aliases = ", ".join(f"`{alias}`" for alias in sorted(facts.aliases))
        extension = _EXTENSIONS.get(fmt, facts.extension)
        lines.append(f"| {fmt.title} | `{facts.content_type}` | {aliases} | {extension} |")
    return "\n".join(lines) + "\n"


def _corpus(rows: Iterable[Row]) -> str:
    titles = "file", "format", "codec", "displayed", "turn", "seconds", "taken", "place", "camera"
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    facts = row.facts
    return (
        f"`{row.name}`",
        row.fmt.title,
        facts.codec,
        f"{facts.width} x {facts.height}",
        str(facts.orientation) if facts.orientation > 1 else "",
        _seconds(facts),
        _taken(facts),
        f"{facts.location.latitude:.4f}, {facts.location.longitude:.4f}" if facts.location else "",
        " ".join(filter(None, (facts.camera.make, facts.camera.model))) if facts.camera else "",
    )


def _seconds(facts: Probe) -> str:
    """Returns seconds to a tenth: muxers of different versions differ by a frame."""
    return f"{facts.duration_ms / 1000:.1f}" if facts.duration_ms is not None else ""


def _taken(facts: Probe) -> str:
    if facts.taken_at is None:
        return ""
    if facts.taken_offset_minutes is not None:
        return facts.taken_at.astimezone(timezone(timedelta(minutes=facts.taken_offset_minutes))).isoformat()
    instant = facts.taken_at.replace(tzinfo=None).isoformat()
    return f"{instant}Z" if facts.taken_offset_known else f"{instant} (zone unknown)"
