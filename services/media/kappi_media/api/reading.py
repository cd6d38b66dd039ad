"""Reading JSON bodies: bounded, decoded by msgspec, every fault a problem that names its field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec
from kappi_chassis.problems import FieldError, MalformedJson, PayloadTooLarge, ValidationFailed
from starlette.requests import Request

from kappi_media.schemas import MAX_ATTRIBUTES_BYTES, MAX_ATTRIBUTES_DEPTH

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
    """attributes: field and value. Raises ValidationFailed for those that are too large or too deep.

    What is stored is decoded again for every page it is on. A decoder gives up at a depth that depends on the
    frames above it, so one that is deeper than the bound could spoil the page of a gallery.
    """
    faults = []
    for field, value in attributes:
        if not value:
            continue
        if len(msgspec.json.encode(value)) > MAX_ATTRIBUTES_BYTES:
            code, message = "too_large", f"more than {MAX_ATTRIBUTES_BYTES} bytes"
        elif any(depth > MAX_ATTRIBUTES_DEPTH for depth, _ in _walk(value)):
            code, message = "too_deep", f"nested more than {MAX_ATTRIBUTES_DEPTH} deep"
        else:
            continue
        faults.append(FieldError(field=field, code=code, message=message))
    if faults:
        names = ", ".join(fault.field for fault in faults)
        raise ValidationFailed(f"Look at: {names}.", errors=tuple(faults))


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
    return any(isinstance(value, str) and "\x00" in value for _, value in _walk(document))


def _walk(document: Any) -> Iterator[tuple[int, Any]]:
    """Every value and name in a JSON document, with its depth. No recursion: a client could exhaust it."""
    left = [(0, document)]
    while left:
        depth, value = left.pop()
        yield depth, value
        if isinstance(value, dict):
            left += [(depth + 1, part) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            left += [(depth + 1, part) for part in value]
