"""Pages of lists: their size, where they are cut, and the cursor that leads to the next one.

A cursor is opaque to clients. It holds the fields of the place where a page ended.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Protocol, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from fastapi import Query
from pydantic import AfterValidator

from kappi_chassis.problems import FieldError, ValidationFailed

T = TypeVar("T")


class _Row(Protocol):
    @property
    def id(self) -> UUID: ...


R = TypeVar("R", bound=_Row)

Timestamp: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time in a cursor."""
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""A number in a cursor that PostgreSQL can compare with a bigint."""
Text: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]*\Z")]
"""A text in a cursor that PostgreSQL can store."""

_encoder: Final = msgspec.msgpack.Encoder(uuid_format="bytes")


def cursor_query(*, max_length: int | None = None) -> Any:
    """Returns the declaration of the parameter `cursor`."""
    return Query(max_length=max_length, description="`next_cursor` of the page before")


Cursor: TypeAlias = Annotated[str | None, cursor_query()]


class PageSize:
    """Sizes of a list's pages. maximum: rows; a larger `limit` counts as this one."""

    def __init__(self, maximum: int, *, rows: str = "How many a page has") -> None:
        self.maximum = maximum
        self.query: Any = Query(ge=1, description=f"{rows}; more than {maximum} are {maximum}")
        self.clamp = AfterValidator(lambda limit: min(limit, maximum))

    def read(self, text: str) -> int:
        """Returns the rows per page, of a query that FastAPI does not read. Raises ValidationFailed."""
        if text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= 1:
            return min(int(text), self.maximum)
        raise ValidationFailed(
            "Look at: limit.",
            errors=(FieldError(field="limit", code="invalid", message=f"a number from 1 to {self.maximum}"),),
        )


def cut_page(found: Sequence[T], *, limit: int) -> tuple[Sequence[T], T | None]:
    """Returns the rows of the page, and the last of them if more follow.

    found: one row more than the page has, if there are more.
    """
    page = found[:limit]
    return page, page[-1] if len(found) > limit else None


def cursor_after(last: UUID | None) -> str | None:
    """Returns the cursor of the page after the row with this id; None without one."""
    return None if last is None else _text(last.bytes)


def page_by_id(found: Sequence[R], *, limit: int) -> tuple[Sequence[R], str | None]:
    """As `cut_page`, of a list ordered by id: the rows of the page, and the cursor of the next one."""
    page, last = cut_page(found, limit=limit)
    return page, cursor_after(last.id if last else None)


def position_of(cursor: str | None) -> UUID | None:
    """Returns the id in a cursor; None without one, for the first page.

    Raises ValidationFailed for a cursor that `cursor_after` did not make.
    """
    if not cursor:
        return None
    try:
        return UUID(bytes=_bytes(cursor))
    except ValueError as error:
        raise cursor_invalid() from error


def cursor_of(*fields: Any) -> str:
    """Returns the cursor that holds these fields, of a list that is not ordered by id alone."""
    return _text(_encoder.encode(fields))


def fields_of(cursor: str, kinds: type[T]) -> T:
    """Returns the fields in a cursor. kinds: a tuple of their types.

    Raises ValidationFailed for a cursor that `cursor_of` cannot make of such fields.
    """
    try:
        raw = _bytes(cursor)
        fields = msgspec.msgpack.decode(raw, type=kinds)
        # A field has other encodings as well, such as a time with an offset that no database takes.
        is_own = _encoder.encode(fields) == raw
    except (ValueError, OverflowError, msgspec.DecodeError) as error:
        raise cursor_invalid() from error
    if not is_own:
        raise cursor_invalid()
    return fields


def cursor_invalid() -> ValidationFailed:
    return ValidationFailed(
        "Pass on next_cursor as it came, with the same parameters.",
        errors=(FieldError(field="cursor", code="cursor_invalid", message="not a cursor of this list"),),
    )


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(cursor: str) -> bytes:
    """Returns the bytes of base64url. Raises ValueError."""
    return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
