"""Reads a JSON document with one long text, `content_base64`, which is streamed while all else is kept.

The kept document has an empty text in its place. The usual decoder reads it at the end, and reports its
faults as for other bodies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

import msgspec
from kappi_chassis.http.form_stream import MAX_BESIDE_BYTES, BesideTooLarge
from kappi_chassis.problems import MalformedJson

from kappi_media.api.direct_upload.base64_text import Base64Text
from kappi_media.api.reading import check_attributes, decode
from kappi_media.domain.declarations import PostedFile

CONTENT_KEY: Final = "content_base64"
_QUOTE, _BACKSLASH, _COLON, _COMMA = b'"\\:,'
_OPENING, _CLOSING = frozenset(b"{["), frozenset(b"}]")

_declaration = msgspec.json.Decoder(PostedFile)


class _Outline:
    """Follows the structure of a document far enough to find where the content's text begins."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self._depth = 0
        self._text_at: int | None = None
        self._escaped = False
        self._key: bytes | None = None
        self._is_value = False
        self.at_content = False

    def follow(self, piece: bytes) -> int:
        """Returns how much of `piece` was taken: all of it, or up to and including the quote that opens the
        content; then `at_content` is true.
        """
        for position, byte in enumerate(piece):
            self.kept.append(byte)
            if self._text_at is not None:
                self._within_text(byte)
            elif byte == _QUOTE:
                if self._depth == 1 and self._is_value and self._names_content():
                    self.at_content = True
                    return position + 1
                self._text_at = len(self.kept) - 1
            else:
                self._between(byte)
        return len(piece)

    def leave_content(self) -> None:
        """Note that the content's text has ended."""
        self.kept.append(_QUOTE)
        self._key = None
        self.at_content = False

    def _within_text(self, byte: int) -> None:
        if self._escaped:
            self._escaped = False
        elif byte == _BACKSLASH:
            self._escaped = True
        elif byte == _QUOTE:
            if self._depth == 1 and not self._is_value:
                self._key = bytes(self.kept[self._text_at :])
            self._text_at = None

    def _between(self, byte: int) -> None:
        if byte in _OPENING:
            self._depth += 1
        elif byte in _CLOSING:
            self._depth -= 1
        elif self._depth == 1 and byte == _COLON:
            self._is_value = True
        elif self._depth == 1 and byte == _COMMA:
            self._is_value, self._key = False, None

    def _names_content(self) -> bool:
        try:
            return self._key is not None and msgspec.json.decode(self._key) == CONTENT_KEY
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedJson("The body could not be parsed as JSON.") from error


class JsonBody:
    """A `PostedBody` in JSON. chunks: the body as it arrives."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._outline = _Outline()
        self._text: Base64Text | None = None
        self._seen = False

    async def content(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            for piece in self._decoded(chunk):
                yield piece
        if self._text is not None:
            raise MalformedJson("The body ends in the middle of content_base64.")

    def declaration(self) -> PostedFile:
        declaration = decode(_declaration, bytes(self._outline.kept))
        check_attributes([("attributes", declaration.attributes or {})])
        return declaration

    def _decoded(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._text is None:
                room = MAX_BESIDE_BYTES - len(self._outline.kept)
                taken = self._outline.follow(chunk[: room + 1])
                if len(self._outline.kept) > MAX_BESIDE_BYTES:
                    raise BesideTooLarge
                chunk = chunk[taken:]
                if self._outline.at_content:
                    self._begin()
                continue
            end = chunk.find(_QUOTE)
            raw, chunk = (chunk, b"") if end < 0 else (chunk[:end], chunk[end + 1 :])
            if piece := self._text.feed(raw):
                yield piece
            if end >= 0:
                self._text.end()
                self._text = None
                self._outline.leave_content()

    def _begin(self) -> None:
        if self._seen:
            raise MalformedJson("content_base64 is there twice.")
        self._seen = True
        self._text = Base64Text()
