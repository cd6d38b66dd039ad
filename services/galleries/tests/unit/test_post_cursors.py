from __future__ import annotations

from uuid import UUID

import pytest
from kappi_chassis.pagination import cursor_after, cursor_of
from kappi_chassis.problems import ValidationFailed
from kappi_galleries.api.post_cursors import cursor_after_post, post_position_of
from kappi_galleries.domain.posts import ListPosition, PostId

POST_ID = UUID("01936d30-5b10-7d44-9a3e-0c6d5f2a7e11")


@pytest.mark.parametrize("snapshot", ["10:10:", "10:20:10,14,19", "9223372036854775806:9223372036854775807:"])
def test_a_cursor_of_posts_leads_back_to_its_place(snapshot: str) -> None:
    position = ListPosition(7, PostId(POST_ID), snapshot)
    assert post_position_of(cursor_after_post(position)) == position


@pytest.mark.parametrize(
    "text",
    ["x", "=", "not a cursor", "\u00e9", "A" * 400, cursor_after(POST_ID), cursor_of(1, 2, 3), "bnVsbA"],
)
def test_a_cursor_of_posts_that_was_not_handed_out_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        post_position_of(text)
    assert [error.field for error in refused.value.errors] == ["cursor"]


@pytest.mark.parametrize(
    ("count", "snapshot"),
    [
        *((-1, "1:1:"), (1 << 63, "1:1:"), (1, ""), (1, "1:1"), (1, "2:1:"), (1, "0:1:"), (1, "1:9:9")),
        *(
            (1, "5:9:4"),
            (1, "1:9:5,5"),
            (1, "1:9:6,5"),
            (1, "1:9:,"),
            (1, "1:99999999999999999999:"),
            (1, "a:b:"),
        ),
        (1, "\u0661:\u0662:"),
    ],
)
def test_a_place_the_database_would_not_understand_is_refused(count: int, snapshot: str) -> None:
    with pytest.raises(ValidationFailed):
        post_position_of(cursor_after_post(ListPosition(count, PostId(POST_ID), snapshot)))
