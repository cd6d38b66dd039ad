"""Reading JSON bodies: bounded, decoded by msgspec, every fault a problem that names its field."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from kappi_chassis.problems import FieldError, MalformedJson, PayloadTooLarge, ValidationFailed
from starlette.requests import Request

from kappi_media.schemas import MAX_ATTRIBUTES_BYTES

T = TypeVar("T")

MAX_BODY_BYTES = 1 << 20
_place = re.compile(r"^(?P<what>.*) - at `\$(?P<path>[^`]*)`$", re.DOTALL).match
_missing = re.compile(r"missing required field `(?P<name>[^`]+)`").search
_index = re.compile(r"\[(\d+)\]")


async def read_body(request: Request, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises PayloadTooLarge without reading on."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise PayloadTooLarge(f"The body may have {max_bytes} bytes.")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Raises MalformedJson, ValidationFailed."""
    try:
        document = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJson("The body could not be parsed as JSON.") from error
    if b"\\u0000" in body and _holds_nul(msgspec.json.decode(body)):
        # PostgreSQL keeps no NUL in a text.
        raise ValidationFailed("A text may not hold the character U+0000.")
    return document


def check_attributes(attributes: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """attributes: field and value. Raises ValidationFailed for those that are too large."""
    too_large = [
        field
        for field, value in attributes
        if value and len(msgspec.json.encode(value)) > MAX_ATTRIBUTES_BYTES
    ]
    if too_large:
        message = f"more than {MAX_ATTRIBUTES_BYTES} bytes"
        raise ValidationFailed(
            f"Look at: {', '.join(too_large)}.",
            errors=tuple(FieldError(field=field, code="too_large", message=message) for field in too_large),
        )


def invalid(message: str) -> ValidationFailed:
    found = _place(message)
    what, path = (found["what"], found["path"]) if found else (message, "")
    if missing := _missing(what):
        path = f"{path}.{missing['name']}"
    field = _index.sub(r".\1", path).strip(".")
    code = "missing" if missing else "invalid"
    return ValidationFailed(
        f"Look at: {field or 'the body'}.",
        errors=(FieldError(field=field, code=code, message=what.replace("`", "")),),
    )


def _holds_nul(document: Any) -> bool:
    if isinstance(document, str):
        return "\x00" in document
    if isinstance(document, dict):
        return any(_holds_nul(part) for pair in document.items() for part in pair)
    return isinstance(document, list) and any(_holds_nul(part) for part in document)
