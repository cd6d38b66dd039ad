"""Decodes base64 that arrives in pieces, inside a JSON text (RFC 4648 section 4, RFC 8259 section 7)."""

from __future__ import annotations

import binascii
from typing import Final

import msgspec

from kappi_media.api.direct_upload.body import MalformedBase64

_ESCAPE, _UNICODE_ESCAPE_BYTES = 0x5C, 6
# Some encoders break lines. A line break has no meaning here (RFC 2045).
_WHITE_SPACE: Final = b" \t\r\n"


class Base64Text:
    """Decodes the raw bytes of a JSON string, between its quotes, as they arrive. It holds back a few bytes
    at most.
    """

    def __init__(self) -> None:
        self._escape = b""
        self._quantum = b""
        self._ended = False

    def feed(self, raw: bytes) -> bytes:
        """Returns the content that is complete. Raises MalformedBase64."""
        text = self._unescaped(self._escape + raw).translate(None, _WHITE_SPACE)
        if not text:
            return b""
        if self._ended:
            raise MalformedBase64("There is something after the padding.")
        text = self._quantum + text
        whole = len(text) - len(text) % 4
        self._quantum = text[whole:]
        if not whole:
            return b""
        self._ended = text[whole - 1 : whole] == b"="
        if self._ended and self._quantum:
            raise MalformedBase64("There is something after the padding.")
        try:
            return binascii.a2b_base64(memoryview(text)[:whole], strict_mode=True)
        except binascii.Error as error:
            raise MalformedBase64("It has + and /, and padding at its end only.") from error

    def end(self) -> None:
        """Raises MalformedBase64 when the text ends too early."""
        if self._escape or self._quantum:
            raise MalformedBase64("It is cut short; padding belongs to it.")

    def _unescaped(self, raw: bytes) -> bytes:
        r"""Returns the text without escapes: some JSON encoders write base64 characters as `\/`, `\n` or
        `\u002B`.
        """
        self._escape = b""
        if _ESCAPE not in raw:
            return raw
        last = _open_escape(raw)
        raw, self._escape = raw[:last], raw[last:]
        try:
            decoded: str = msgspec.json.decode(b'"' + raw + b'"')
            return decoded.encode("ascii")
        except (msgspec.DecodeError, UnicodeError) as error:
            raise MalformedBase64("It holds an escape that base64 has no use for.") from error


def _open_escape(raw: bytes) -> int:
    """Returns the position of an escape that is not complete yet, or the end."""
    at = raw.rfind(b"\\", max(0, len(raw) - _UNICODE_ESCAPE_BYTES + 1))
    if at < 0:
        return len(raw)
    before = at
    while before > 0 and raw[before - 1] == _ESCAPE:
        before -= 1
    if (at - before) % 2:  # the backslash is itself escaped
        return len(raw)
    needed = _UNICODE_ESCAPE_BYTES if raw[at + 1 : at + 2] == b"u" else 2
    return at if len(raw) - at < needed else len(raw)
