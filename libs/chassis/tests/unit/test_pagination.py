from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.pagination import (
    Count,
    PageSize,
    Text,
    Timestamp,
    cursor_after,
    cursor_of,
    cut_page,
    fields_of,
    page_by_id,
    position_of,
)
from kappi_chassis.problems import ValidationFailed

ID = UUID("01936d30-5b10-7d44-9a3e-0c6d5f2a7e11")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@given(st.uuids())
def test_a_cursor_decodes_to_its_id(last: UUID) -> None:
    cursor = cursor_after(last)
    assert cursor is not None
    assert position_of(cursor) == last


@pytest.mark.parametrize("cursor", [None, ""])
def test_without_a_cursor_the_first_page_is_returned(cursor: str | None) -> None:
    assert position_of(cursor) is None


def test_the_last_page_has_no_cursor() -> None:
    assert cursor_after(None) is None


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with suppress(ValidationFailed):
        assert (cursor_after(position_of(text)) or "")[:21] == text[:21]


@pytest.mark.parametrize(
    "text",
    ["x", "=", "nonsense", "not a cursor", "é" * 22, f"{cursor_after(ID)}AAAA", " " * 22, "AAAA", "A" * 400],
)
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    for read in (position_of, lambda cursor: fields_of(cursor, tuple[Count, UUID])):
        with pytest.raises(ValidationFailed) as refused:
            read(text)
        assert [(error.field, error.code) for error in refused.value.errors] == [("cursor", "cursor_invalid")]


def test_a_cursor_decodes_to_its_fields() -> None:
    fields = (7, NOON, ID, "Zürich")
    assert fields_of(cursor_of(*fields), tuple[Count, Timestamp, UUID, Text]) == fields


@pytest.mark.parametrize(
    ("kinds", "fields"),
    [
        (tuple[Count], (-1,)),
        (tuple[Count], (1 << 63,)),
        (tuple[Count], ("1",)),
        (tuple[Count], (1, 2)),
        (tuple[Count, UUID], (1,)),
        (tuple[Text], ("a\x00",)),
        (tuple[Timestamp], ("2026-05-01T12:00:00",)),
        (tuple[Timestamp], ("0001-01-01T00:00:00+23:00",)),
        (tuple[UUID], (str(ID),)),
        (tuple[UUID], (ID.bytes[:15],)),
    ],
)
def test_fields_of_another_kind_are_refused(kinds: Any, fields: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationFailed):
        fields_of(cursor_of(*fields), kinds)


def test_bytes_after_the_fields_are_refused() -> None:
    raw = msgspec.msgpack.encode((1,))
    with pytest.raises(ValidationFailed):
        fields_of(base64.urlsafe_b64encode(raw + b"\x00").decode().rstrip("="), tuple[Count])


@pytest.mark.parametrize(
    ("found", "page", "last"), [([], [], None), ([1, 2], [1, 2], None), ([1, 2, 3], [1, 2], 2)]
)
def test_a_page_ends_at_its_limit_if_more_rows_follow(
    found: list[int], page: list[int], last: int | None
) -> None:
    assert cut_page(found, limit=2) == (page, last)


def test_a_page_by_id_has_the_cursor_of_its_last_row_where_more_follow() -> None:
    @dataclass(frozen=True)
    class Row:
        id: UUID

    rows = [Row(UUID(int=number)) for number in range(3)]
    page, cursor = page_by_id(rows, limit=2)
    assert (page, position_of(cursor)) == (rows[:2], rows[1].id)
    assert page_by_id(rows, limit=3) == (rows, None)


@pytest.mark.parametrize(("text", "limit"), [("1", 1), ("500", 500), ("501", 500), ("999999999", 500)])
def test_a_limit_is_capped_at_the_maximum(text: str, limit: int) -> None:
    assert PageSize(500).read(text) == limit


@pytest.mark.parametrize("text", ["", "0", "-1", "ten", "1.0", "\u0661", "9" * 10])
def test_a_text_that_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        PageSize(500).read(text)
    assert [error.field for error in refused.value.errors] == ["limit"]
