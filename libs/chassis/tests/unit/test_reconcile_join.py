from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.reconcile.check import joined, start_of

IDS = st.sets(st.integers(1, 60), max_size=40)


@given(mine=IDS, theirs=IDS, limit=st.integers(1, 7))
def test_pages_show_every_id_of_both_sides_once_and_in_order(
    mine: set[int], theirs: set[int], limit: int
) -> None:
    after: str | None = ""
    seen: list[tuple[int, bool, bool]] = []
    while after is not None:
        pages = [_page(side, start_of(after).int, limit) for side in (mine, theirs)]
        rows, after = joined(*pages, limit=limit)
        seen += [(each.int, here is not None, there is not None) for each, here, there in rows]
    assert seen == [(each, each in mine, each in theirs) for each in sorted(mine | theirs)]


def _page(ids: set[int], after: int, limit: int) -> dict[UUID, int]:
    return {UUID(int=each): each for each in [each for each in sorted(ids) if each > after][:limit]}
