from __future__ import annotations

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.problems import ValidationFailed
from kappi_media.api.gallery_page import names
from kappi_media.api.paging import cursor_after, position_of


@given(st.uuids())
def test_a_cursor_leads_back_to_where_it_was_made(last: UUID) -> None:
    assert position_of(cursor_after(last)) == last


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with suppress(ValidationFailed):
        assert cursor_after(position_of(text))[:21] == text[:21]


@pytest.mark.parametrize("text", ["x", "nonsense", "é" * 22, cursor_after(UUID(int=7)) + "AAAA", " " * 22])
def test_what_is_no_cursor_is_named(text: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        position_of(text)
    assert [error.field for error in caught.value.errors] == ["cursor"]


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ('W/"1.1.0"', True),
        ('"1.1.0"', True),
        ('"0", W/"1.1.0"', True),
        ("*", True),
        ('W/"1.1.00"', False),
        ('"1.1"', False),
        ("1.1.0", False),
    ],
)
def test_a_tag_is_named_or_not(header: str, named: bool) -> None:
    assert names(header, 'W/"1.1.0"') is named
