"""Time, place, words and details of an XMP packet (ISO 16684-1; Metadata Working Group guidelines 2.0).

XMP is untrusted XML. It is parsed from its root element on, so it has no document type, no entities but the
five of XML, and nothing to fetch. Size, elements, depth and text are bounded. Nothing here raises: of a
packet that breaks off, the first part is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from xml.parsers import expat

from kappi_mediameta.probing.annotations import Annotations, clean_caption, clean_keywords
from kappi_mediameta.probing.details import XMP_NAMES, XMP_TITLE, details_of_xmp
from kappi_mediameta.probing.exif import plausible_place
from kappi_mediameta.probing.facts import Coordinates
from kappi_mediameta.probing.projections import XMP_NAMES as PANORAMA_NAMES
from kappi_mediameta.probing.projections import projection_of_xmp
from kappi_mediameta.probing.written import WrittenTime, written_number, written_time

MAX_XMP_BYTES: Final = 1 << 20
XMP_MARK: Final = b"http://ns.adobe.com/xap/1.0/\x00"
"""The mark before a packet in a JPEG."""
_MAX_ELEMENTS: Final = 20_000
_MAX_DEPTH: Final = 64
_MAX_VALUES: Final = 1_000
_MAX_TEXT_CHARS: Final = 16_384
_ROOT: Final = re.compile(r"<(?:[A-Za-z_][\w.-]{0,50}:)?(?:xmpmeta|xapmeta|RDF)[\s>]")
# A document of XMP alone: what may precede the root, without what other readers would take it for.
_DOCUMENT: Final = re.compile(
    rf"\ufeff?(?>(?:\s|<\?x(?:ml|packet)\s[^>]{{0,200}}\?>|<!--(?:(?!-->).)*-->)*){_ROOT.pattern}", re.DOTALL
)
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
_LANGUAGE: Final = "http://www.w3.org/XML/1998/namespace lang"
_DC: Final = "http://purl.org/dc/elements/1.1/ "
_EXIF: Final = "http://ns.adobe.com/exif/1.0/ "
_CAPTION: Final = _DC + "description"
_KEYWORDS: Final = _DC + "subject"
_KEYWORD_PATHS: Final = "http://ns.adobe.com/lightroom/1.0/ hierarchicalSubject"
_LATITUDE, _LONGITUDE = _EXIF + "GPSLatitude", _EXIF + "GPSLongitude"
_ALTITUDE, _ALTITUDE_REFERENCE = _EXIF + "GPSAltitude", _EXIF + "GPSAltitudeRef"
# The parts of a motion photo, in their order, and the older form.
_GOOGLE: Final = "http://ns.google.com/photos/1.0/"
_PART: Final = _GOOGLE + "container/ Item"
_PART_FIELD: Final = _GOOGLE + "container/item/ "
_PART_MEANING, _PART_LENGTH = _PART_FIELD + "Semantic", _PART_FIELD + "Length"
_MICRO_VIDEO_OFFSET: Final = _GOOGLE + "camera/ MicroVideoOffset"
# In the order of trust. The time when a program last saved is not a time of the picture.
_TAKEN: Final = ("http://ns.adobe.com/photoshop/1.0/ DateCreated", _EXIF + "DateTimeOriginal")
_DIGITIZED: Final = ("http://ns.adobe.com/xap/1.0/ CreateDate", _EXIF + "DateTimeDigitized")
_WANTED: Final = frozenset(
    {_CAPTION, _KEYWORDS, _KEYWORD_PATHS, *_TAKEN, *_DIGITIZED}
    | {_LATITUDE, _LONGITUDE, _ALTITUDE, _ALTITUDE_REFERENCE}
    | {*XMP_NAMES, *PANORAMA_NAMES, _MICRO_VIDEO_OFFSET}
)
# 48,53.316N by the specification. Other writers: 48,53,19N, 48.8886 and 48°53'19" N.
_APART: Final = r"(?:[\s,;:°º'\u2032m]|deg|d){1,6}"
_DEGREES: Final = re.compile(
    rf"([+-]?)(\d{{1,3}}(?:\.\d{{1,15}})?)(?:{_APART}(\d{{1,2}}(?:\.\d{{1,15}})?))?"
    rf"(?:{_APART}(\d{{1,2}}(?:\.\d{{1,15}})?))?[\s,;°º'\u2032\u2033\"ms]{{0,6}}([NSEW]?)",
    re.ASCII,
)
_LENGTH: Final = re.compile(r"\d{1,15}", re.ASCII)

_Value = tuple[str, str]
"""Language and text."""


def read_xmp(packets: Iterable[bytes]) -> Annotations:
    """Returns the facts of the packets of one picture: the main packet, then an extended one."""
    values: dict[str, list[_Value]] = {}
    for packet in packets:
        for name, found in _properties(packet).items():
            values.setdefault(name, []).extend(found)
    texts = _texts(values)
    return Annotations(
        taken=_time(values, _TAKEN),
        digitized=_time(values, _DIGITIZED),
        caption=_caption(values.get(_CAPTION, ())),
        keywords=_keywords(values),
        location=_place(values),
        details=replace(details_of_xmp(texts), projection=projection_of_xmp(texts)),
        film_from_end=_film_from_end(values),
    )


def is_xmp(document: bytes) -> bool:
    """Returns whether a file is a packet of XMP, as in a sidecar, and nothing else at first sight."""
    return _DOCUMENT.match(_decoded(document)) is not None


def _properties(packet: bytes) -> Mapping[str, list[_Value]]:
    text = _FORBIDDEN.sub(" ", _decoded(packet[:MAX_XMP_BYTES]))
    root = _ROOT.search(text)
    reader = _PropertyReader()
    if root is not None:
        reader.read(text[root.start() :])
    return reader.values


def _decoded(packet: bytes) -> str:
    """Returns the text. XMP is UTF-8, or a wider form, with a mark or a bracket first."""
    for start, mark, encoding in _WIDE:
        if packet.startswith(start):
            return (mark + packet).decode(encoding, "replace")
    return packet.decode("utf-8", "replace")


# The start of a packet, the mark that it lacks, and the codec: codecs without a mark are modules, and a
# confined decoder opens no file.
_WIDE: Final = (
    (b"\xff\xfe\x00\x00", b"", "utf-32"),
    (b"\x00\x00\xfe\xff", b"", "utf-32"),
    (b"<\x00\x00\x00", b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\x00<", b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", b"", "utf-16"),
    (b"\xfe\xff", b"", "utf-16"),
    (b"<\x00", b"\xff\xfe", "utf-16"),
    (b"\x00<", b"\xfe\xff", "utf-16"),
)


class _EnoughError(Exception):
    """The packet has more parts than are read."""


class _PropertyReader:
    """Collects the wanted properties of the description: elements and attributes, but no nested structures,
    which describe other pictures and places."""

    def __init__(self) -> None:
        self.values: dict[str, list[_Value]] = {}
        self._path: list[str] = []
        self._elements = 0
        self._kept = 0
        self._property: str | None = None
        self._language = ""
        self._text = ""

    def read(self, text: str) -> None:
        parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(text.encode("utf-8", "replace"), True)
        except (expat.ExpatError, _EnoughError):
            return

    @property
    def _in_description(self) -> bool:
        return len(self._path) >= 2 and self._path[-2] == _RDF + "RDF"

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > _MAX_ELEMENTS or len(self._path) >= _MAX_DEPTH:
            raise _EnoughError
        if self._property is None and self._in_description and name in _WANTED:
            self._property, self._depth = name, len(self._path)
        if name == _PART:
            self._keep(_PART, attributes.get(_PART_MEANING, ""), attributes.get(_PART_LENGTH, "0"))
        self._path.append(name)
        self._language, self._text = attributes.get(_LANGUAGE, ""), ""
        if self._property is None and self._in_description:
            for attribute in _WANTED & attributes.keys():
                self._keep(attribute, "", attributes[attribute])

    def _characters(self, text: str) -> None:
        if self._property is not None and len(self._text) < _MAX_TEXT_CHARS:
            self._text += text

    def _end(self, name: str) -> None:
        self._path.pop()
        if self._property is None:
            return
        below = len(self._path) - self._depth
        if below == 0 or (below == 2 and name == _RDF + "li"):
            self._keep(self._property, self._language, self._text)
        if below == 0:
            self._property = None
        self._text = ""

    def _keep(self, name: str, language: str, text: str) -> None:
        self._kept += 1
        if self._kept > _MAX_VALUES:
            raise _EnoughError
        if text.strip():
            self.values.setdefault(name, []).append((language, text[:_MAX_TEXT_CHARS].strip()))


def _first(values: Mapping[str, Sequence[_Value]], name: str) -> str:
    return values[name][0][1] if values.get(name) else ""


def _time(values: Mapping[str, Sequence[_Value]], names: Iterable[str]) -> WrittenTime | None:
    written = (written_time(_first(values, name)) for name in names)
    return next((time for time in written if time is not None), None)


def _texts(values: Mapping[str, Sequence[_Value]]) -> Mapping[str, str]:
    """Returns the texts of the details by name."""
    texts = {name: _first(values, name) for name in XMP_NAMES | PANORAMA_NAMES}
    titles = _by_language(values.get(XMP_TITLE, ()))
    return texts | {XMP_TITLE: titles[0]} if titles else texts


def _film_from_end(values: Mapping[str, Sequence[_Value]]) -> int | None:
    """Returns the lengths of a motion photo's film and of the parts behind it. A part has a meaning and a
    length."""
    parts = values.get(_PART, ())
    film = next((at for at, (meaning, _) in enumerate(parts) if meaning == "MotionPhoto"), None)
    lengths = [length for _, length in parts[film:]] if film is not None else []
    written = lengths or [_first(values, _MICRO_VIDEO_OFFSET)]
    return sum(map(int, written)) if all(map(_LENGTH.fullmatch, written)) else None


def _by_language(values: Sequence[_Value]) -> list[str]:
    """Returns the texts, the one in the default language of its writer first."""
    return [text for _, text in sorted(values, key=lambda value: value[0].lower() != "x-default")]


def _caption(values: Sequence[_Value]) -> str | None:
    return next(filter(None, map(clean_caption, _by_language(values))), None)


def _keywords(values: Mapping[str, Sequence[_Value]]) -> tuple[str, ...]:
    plain = [text for _, text in values.get(_KEYWORDS, ())]
    leaves = [text.rpartition("|")[2] for _, text in values.get(_KEYWORD_PATHS, ())]
    return clean_keywords([*plain, *leaves])


def _place(values: Mapping[str, Sequence[_Value]]) -> Coordinates | None:
    latitude = _degrees(_first(values, _LATITUDE), letters="NS")
    longitude = _degrees(_first(values, _LONGITUDE), letters="EW")
    if latitude is None or longitude is None:
        return None
    metres = written_number(_first(values, _ALTITUDE))
    below = _first(values, _ALTITUDE_REFERENCE) == "1"
    return plausible_place(latitude, longitude, -metres if below and metres is not None else metres)


def _degrees(written: str, *, letters: str) -> float | None:
    """Returns degrees, or None. letters: for positive and negative; one may follow the number."""
    match = _DEGREES.fullmatch(written[:64])
    if match is None or match.group(5) not in ("", *letters):
        return None
    sign, *parts, letter = match.groups()
    whole = sum(float(part or 0) / 60.0**power for power, part in enumerate(parts))
    return -whole if sign == "-" or letter == letters[1] else whole
