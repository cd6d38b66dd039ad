"""A multipart form with one file, parsed as a stream that keeps nothing of the file in memory (RFC 7578)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from kappi_chassis.problems import BadRequest, FieldError, PayloadTooLarge

FILE_FIELD: Final = "file"
MAX_BESIDE_BYTES: Final = 64 << 10
"""Limit of a body without its file: fields, headers of form parts."""
_MAX_PART_HEADERS: Final = 16
_MAX_PARTS: Final = 200
# Room for a file name of 255 escaped characters and more. The parser takes quadratic time for a name.
_MAX_HEADER_BYTES: Final = 8 << 10
# The three characters that browsers escape like this inside a quoted file name (WHATWG HTML,
# multipart/form-data).
_ESCAPED_BY_BROWSERS: Final = re.compile(r"%(22|0D|0A)", re.IGNORECASE)
_GENERIC_TYPES: Final = frozenset({"", "application/octet-stream"})


class MalformedForm(BadRequest):
    code, title = "malformed_form", "The body is not a usable multipart form"


class BesideTooLarge(PayloadTooLarge):
    """The fields around the file are too large; the file itself may be fine."""

    def __init__(self) -> None:
        super().__init__(f"What surrounds the file may have {MAX_BESIDE_BYTES} bytes.")


@dataclass(slots=True)
class FormFile:
    """The form's data about its file. content_type: None if the form gives no useful one."""

    filename: str | None = None
    content_type: str | None = None


class FormStream:
    """A form that is being received.

    Iterate over `content` once for the file; only then are `file` and `fields` complete, because fields may
    follow the file. chunks: the body as it arrives. Raises MalformedForm for an unusable boundary.
    """

    def __init__(self, chunks: AsyncIterator[bytes], *, content_type: str) -> None:
        self._chunks = chunks
        _, options = parse_options_header(content_type)
        try:
            self._parser = MultipartParser(
                options[b"boundary"], self._callbacks(), max_header_count=_MAX_PART_HEADERS
            )
        except (KeyError, FormParserError) as error:
            raise MalformedForm("Content-Type names no usable boundary.") from error
        self._beside_bytes = 0
        self._parts = 0
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._headers: dict[bytes, str] = {}
        self._name = ""
        self._value: bytearray | None = None
        self._pieces: list[bytes] = []
        self._fields: dict[str, list[str]] = {}
        self._ended = False
        self.file: FormFile | None = None

    @property
    def fields(self) -> Mapping[str, Sequence[str]]:
        """The values of each field except the file, in the order of arrival."""
        return self._fields

    async def content(self) -> AsyncIterator[bytes]:
        """Yields the file's bytes. Raises MalformedForm, BesideTooLarge, and what `chunks` raises."""
        async for chunk in self._chunks:
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise MalformedForm("Its parts could not be told apart.") from error
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                yield piece
        if not self._ended:
            raise MalformedForm("It ends without its closing boundary.")

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": lambda data, start, end: self._on_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._on_header(1, data[start:end]),
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise MalformedForm(f"It has more than {_MAX_PARTS} parts.")
        self._headers = {}

    def _on_header(self, side: int, data: bytes) -> None:
        self._count(len(data))
        self._header[side].extend(data)
        if len(self._header[side]) > _MAX_HEADER_BYTES:
            raise MalformedForm("A part's header is too long.")

    def _on_header_end(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = value.decode("utf-8", "replace")
        self._header = (bytearray(), bytearray())

    def _on_headers_finished(self) -> None:
        kind, options = _disposition(self._headers.get(b"content-disposition", ""))
        self._name = options.get("name", "")
        if kind != "form-data" or not self._name:
            raise MalformedForm("A part has no name.")
        self._value = None if self._name == FILE_FIELD else bytearray()
        if self._name == FILE_FIELD:
            if self.file is not None:
                raise field_fault(FILE_FIELD, "Send one file at a time.")
            self.file = FormFile(filename=options.get("filename"))
            if (declared := self._headers.get(b"content-type", "").strip()).lower() not in _GENERIC_TYPES:
                self.file.content_type = declared

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._value is None:
            self._pieces.append(data[start:end])
            return
        self._count(end - start)
        self._value.extend(data[start:end])

    def _on_part_end(self) -> None:
        if self._value is None:
            return
        try:
            text = self._value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise field_fault(self._name, "It is not UTF-8.") from error
        if "\x00" in text:
            raise field_fault(self._name, "A text may not hold the character U+0000.")
        self._fields.setdefault(self._name, []).append(text)

    def _on_end(self) -> None:
        self._ended = True

    def _count(self, size_bytes: int) -> None:
        self._beside_bytes += size_bytes
        if self._beside_bytes > MAX_BESIDE_BYTES:
            raise BesideTooLarge


def field_fault(field: str, message: str) -> BadRequest:
    """Returns the problem for one field of a form."""
    error = FieldError(field=field, code=MalformedForm.code, message=message)
    return MalformedForm(f"Look at: {field}. {message}", errors=(error,))


def _disposition(header: str) -> tuple[str, dict[str, str]]:
    """Returns kind and parameters.

    The parser's own function decodes a header as latin-1; names here are UTF-8.
    """
    kind, options = parse_options_header(header.encode("utf-8").decode("latin-1"))
    texts = {name.decode("latin-1"): value.decode("utf-8", "replace") for name, value in options.items()}
    for name in ("name", "filename"):
        if name in texts:
            texts[name] = _ESCAPED_BY_BROWSERS.sub(lambda found: chr(int(found[1], 16)), texts[name])
    return kind.decode("latin-1"), texts
