from __future__ import annotations

from uuid import uuid4

import pytest
from kappi_chassis.problems import ValidationFailed
from kappi_galleries.cursors import cursor_after, position_of


def test_a_cursor_leads_back_to_its_id() -> None:
    last = uuid4()
    assert position_of(cursor_after(last)) == last


@pytest.mark.parametrize("text", ["x", "=", "not a cursor", "é", "AAAA", "A" * 400])
def test_what_was_not_handed_out_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        position_of(text)
    assert [error.field for error in refused.value.errors] == ["cursor"]
