"""Reads JSON bodies: bounded in size, decoded by msgspec; every fault becomes a problem that names
its field.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from kappi_chassis.problems import (
    FieldError,
    MalformedJson,
    PayloadTooLarge,
    Problem,
    UnknownField,
    ValidationFailed,
)
from starlette.requests import Request

from kappi_media.api.faults import faults_of, parsed, walk
from kappi_media.domain.declarations import MAX_ATTRIBUTES_BYTES, MAX_ATTRIBUTES_DEPTH

T = TypeVar("T")

MAX_BODY_BYTES = 1 << 20
_SHOWN_FIELDS = 20
_PIECE_BYTES = 64 << 10


async def read_body(request: Request, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Returns the whole body. Raises PayloadTooLarge without reading further."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise PayloadTooLarge(f"The body may have {max_bytes} bytes.")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def pieces_of(request: Request) -> AsyncIterator[bytes]:
    """Yields the body in pieces no larger than a buffer, however it arrives. Raises ClientDisconnect."""
    async for chunk in request.stream():
        for start in range(0, len(chunk), _PIECE_BYTES):
            yield chunk[start : start + _PIECE_BYTES]


def uuid_of(text: str) -> UUID | None:
    """Returns the id in a path; None for a text that is no id."""
    try:
        return UUID(text)
    except ValueError:
        return None


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Returns the decoded body. Raises MalformedJson, UnknownField, ValidationFailed."""
    try:
        document = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        faults = faults_of(parsed(body), decoder.type)
        if not faults:
            raise MalformedJson("The body could not be parsed as JSON.") from error
        raise refusal(faults) from error
    if b"\\u0000" in body and (faults := faults_of(parsed(body), decoder.type)):
        raise refusal(faults)
    return document


def refusal(faults: Sequence[FieldError]) -> Problem:
    """Returns the problem of a body with these faults."""
    fields = [fault.field or "the body" for fault in faults]
    more = f" and {len(fields) - _SHOWN_FIELDS} more" if len(fields) > _SHOWN_FIELDS else ""
    unknown = any(fault.code == UnknownField.code for fault in faults)
    kind = UnknownField if unknown else ValidationFailed
    return kind(f"Look at: {', '.join(fields[:_SHOWN_FIELDS])}{more}.", errors=tuple(faults))


def check_attributes(attributes: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Raises ValidationFailed for attributes that are too large or too deep. attributes: field and value."""
    if faults := attribute_faults(attributes):
        raise refusal(faults)


def attribute_faults(attributes: Iterable[tuple[str, dict[str, Any]]]) -> list[FieldError]:
    """Returns the faults of attributes that are too large or too deep. attributes: field and value.

    Stored attributes are decoded again for every page that shows them. A decoder fails at a depth that
    depends on the stack frames above it, so attributes deeper than the bound could break the page of a
    gallery.
    """
    faults = []
    for field, value in attributes:
        if not value:
            continue
        if len(msgspec.json.encode(value)) > MAX_ATTRIBUTES_BYTES:
            code, message = "too_large", f"It has more than {MAX_ATTRIBUTES_BYTES} bytes."
        elif any(depth > MAX_ATTRIBUTES_DEPTH for depth, _ in walk(value)):
            code, message = "too_deep", f"It is nested more than {MAX_ATTRIBUTES_DEPTH} deep."
        else:
            continue
        faults.append(FieldError(field=field, code=code, message=message))
    return faults
