"""Cursors, which encode the last item's id in an opaque form so that clients do not depend on it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from kappi_chassis.problems import FieldError, ValidationFailed


class Identified(Protocol):
    @property
    def id(self) -> UUID: ...


T = TypeVar("T", bound=Identified)


def read_cursor(cursor: str | None) -> UUID | None:
    """Returns the id that a cursor encodes. Raises ValidationFailed."""
    if cursor is None:
        return None
    try:
        return UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except (ValueError, binascii.Error) as error:
        problem = FieldError(field="cursor", code="invalid", message="Use a next_cursor, or none.")
        raise ValidationFailed("Look at: cursor.", errors=(problem,)) from error


def cut_page(found: Sequence[T], *, limit: int) -> tuple[Sequence[T], str | None]:
    """Returns the page and its next cursor. found: one item more than the page holds, if there are more."""
    page = found[:limit]
    if len(found) <= limit:
        return page, None
    return page, base64.urlsafe_b64encode(page[-1].id.bytes).rstrip(b"=").decode()
