"""A library and a plain list, changed and searched side by side: they never differ."""

from __future__ import annotations

import asyncio
import math
import unicodedata
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database, driver_of
from kappi_media.domain.library import Box, Circle, Filters, Order, Position, Span
from kappi_media.domain.media import AccountId, Description, GalleryId, MediaId
from kappi_media.repository.closing import close_galleries
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.library import Estimate, LibraryQueries
from kappi_media.repository.library_catch_up import CatchUpQueries
from kappi_media.repository.ownership import adopt
from kappi_media.use_cases import search_library
from kappi_media.use_cases.catch_up_library import CatchUpLibrary
from kappi_media.use_cases.search_library import SearchLibrary

T = TypeVar("T")
_MARKS = ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
_START = datetime(2024, 1, 15, tzinfo=UTC)
_INSERT = """
INSERT INTO items (id, gallery_id, upload_id, filename, content_type, kind, status, size_bytes, etag, width,
  height, taken_at, gps, caption, tags, location, created_at)
VALUES ($1, $2, $1, $3, 'image/jpeg', $4, 'ready', 1, 'e', 1, 1, $5, $6, $7, $8, $9, $10)
"""

words = st.text("aAbÄäßéİ\u0131\u017fŁ京都カガकि 1_\u0301", max_size=4)
names = st.sampled_from(["alps", "Alps", "ÅLPS", "sea", "Straße", "STRASSE", "京都", "き", "ぎ", " "])
instants = st.integers(0, 15).map(lambda weeks: _START + timedelta(days=weeks * 9))
spans = st.tuples(st.none() | instants, st.none() | instants).map(lambda ends: Span(*ends))
latitudes = st.sampled_from([-90.0, 0.0, 45.9237, 45.93, 46.0, 89.95])
longitudes = st.sampled_from([-180.0, -179.97, 6.8694, 6.9, 179.98])
circles = st.builds(Circle, latitudes, longitudes, st.sampled_from([0.5, 10.0, 1000.0]))
boxes = st.builds(
    lambda west, south, east, north: Box(west, min(south, north), east, max(south, north)),
    *(longitudes, latitudes, longitudes, latitudes),
)

_filters: dict[str, st.SearchStrategy[Any]] = {
    "tags": st.lists(names, min_size=1, max_size=2).map(tuple),
    "place": st.sampled_from(["a", "ALPS", "s", "stras", "京", "ぎ"]),
    "kind": st.sampled_from(["image", "video"]),
    "taken": spans,
    "uploaded": spans,
    "text": st.sampled_from(["a", "A", "ä", "ss", "京", "京都", "b", "カ", "ガ", "ab", "a b", "aa京"])
    | words,
    "circle": circles,
    "box": boxes,
}
# At most two: hardly any item passes all of them.
asked = st.sets(st.sampled_from(sorted(_filters)), max_size=2).flatmap(
    lambda names: st.fixed_dictionaries({name: _filters[name] for name in sorted(names)})
)

uploads = st.fixed_dictionaries(
    {
        "filename": words,
        "kind": st.sampled_from(["image", "image", "video"]),
        "created_at": instants,
        "taken_at": st.none() | instants,
        "place": st.none() | st.tuples(latitudes, longitudes),
        "caption": st.none() | words,
        "tags": st.lists(names, max_size=3).map(tuple),
        "location": st.none() | names,
    }
)


def fold(written: str) -> str:
    """Returns the text without case and accents."""
    bare = "".join(
        one
        for one in unicodedata.normalize("NFKD", written)
        if not any(first <= ord(one) <= last for first, last in _MARKS)
    )
    folded = unicodedata.normalize("NFKC", bare).casefold().translate(str.maketrans("øłđħŧı", "oldhti"))
    return " ".join(folded.split())


@dataclass(frozen=True)
class Known:
    """An item of the model."""

    id: UUID
    gallery_id: UUID
    filename: str
    kind: str
    created_at: datetime
    taken_at: datetime | None
    place: tuple[float, float] | None
    caption: str | None
    tags: tuple[str, ...]
    location: str | None

    def position(self, order: Order) -> Position:
        by_taken = order.column == "taken_at" and self.taken_at is not None
        return Position(self.taken_at if by_taken and self.taken_at else self.created_at, self.id)

    def passes(self, wanted: Filters) -> bool:
        texts = [fold(self.filename), fold(self.caption or ""), *map(fold, self.tags)]
        tags = set(map(fold, self.tags)) - {""}
        place = fold(self.location or "")
        return (
            {fold(tag) for tag in wanted.tags} <= tags
            and (wanted.place is None or (place != "" and place.startswith(fold(wanted.place))))
            and wanted.kind in {None, self.kind}
            and wanted.gallery_id in {None, self.gallery_id}
            and within(self.taken_at or self.created_at, wanted.taken)
            and within(self.created_at, wanted.uploaded)
            and all(any(word in text for text in texts) for word in fold(wanted.text or "").split())
            and (wanted.box is None or in_box(self.place, wanted.box))
            and (wanted.circle is None or in_circle(self.place, wanted.circle))
        )


def within(at: datetime, span: Span) -> bool:
    return (span.start is None or span.start <= at) and (span.end is None or at < span.end)


def in_box(place: tuple[float, float] | None, box: Box) -> bool:
    if place is None or not box.south <= place[0] <= box.north:
        return False
    if box.west <= box.east:
        return box.west <= place[1] <= box.east
    return place[1] >= box.west or place[1] <= box.east


def in_circle(place: tuple[float, float] | None, circle: Circle) -> bool:
    """Computed by the angle between two vectors, which is another formula than the tested one."""
    if place is None:
        return False
    one, other = _vector(*place), _vector(circle.latitude, circle.longitude)
    cross = math.dist((0, 0, 0), _cross(one, other))
    angle = math.atan2(cross, sum(a * b for a, b in zip(one, other, strict=True)))
    return 6371.0088 * angle <= circle.within_km


def _vector(latitude: float, longitude: float) -> tuple[float, float, float]:
    up, along = math.radians(latitude), math.radians(longitude)
    return math.cos(up) * math.cos(along), math.cos(up) * math.sin(along), math.sin(up)


def _cross(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


class Side:
    """The parts shared by all runs of the machine: a loop and a database."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.database = Database(url, pool_size=2)
        self.found_some: Counter[str] = Counter()
        self.run(self.database.start())

    def note(self, told: Mapping[str, Any], found: int, *, of: int) -> None:
        """Record a search that found some items and not all."""
        if 0 < found < of:
            self.found_some.update(list(told))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self.database.close())
        self.loop.close()


class LibraryMachine(RuleBasedStateMachine):
    def __init__(self, side: Side) -> None:
        super().__init__()
        self.side = side
        self.owner = AccountId(new_id())
        self.galleries = [GalleryId(new_id()) for _ in range(3)]
        self.unclaimed = GalleryId(new_id())
        self.items: dict[UUID, Known] = {}
        self.unseen: dict[UUID, Known] = {}
        for gallery_id in self.galleries:
            self._claim(gallery_id)

    def _claim(self, gallery_id: GalleryId) -> None:
        async def claimed() -> None:
            async with self.side.database.transaction() as connection:
                await adopt(connection, gallery_id, owner_id=self.owner)
            await CatchUpLibrary(CatchUpQueries(self.side.database))()

        self.side.run(claimed())

    def _one(self, choice: int) -> Known | None:
        """Returns one of the items, the same for the same choice."""
        return (
            sorted(self.items.values(), key=lambda item: item.id)[choice % len(self.items)]
            if (self.items)
            else None
        )

    @initialize(first=st.lists(uploads, min_size=6, max_size=10))
    def begin(self, first: list[dict[str, Any]]) -> None:
        """Add items, so that searches find something from the start."""
        self.upload(0, first)

    @rule(gallery=st.integers(0, 3), uploads=st.lists(uploads, min_size=4, max_size=10))
    def upload(self, gallery: int, uploads: list[dict[str, Any]]) -> None:
        gallery_id = [*self.galleries, self.unclaimed][gallery % (len(self.galleries) + 1)]
        self._put_into_contents(gallery_id)
        for told in uploads:
            item = Known(id=new_id(), gallery_id=gallery_id, **told)
            gps = dict(zip(("latitude", "longitude"), item.place, strict=True)) if item.place else None
            self.side.run(
                self.side.database.hot.execute(
                    _INSERT,
                    *(item.id, gallery_id, item.filename, item.kind, item.taken_at, gps, item.caption),
                    *(list(item.tags), item.location, item.created_at),
                )
            )
            (self.unseen if gallery_id == self.unclaimed else self.items)[item.id] = item

    def _put_into_contents(self, gallery_id: GalleryId) -> None:
        statement = "INSERT INTO contents (gallery_id) VALUES ($1) ON CONFLICT DO NOTHING"
        self.side.run(self.side.database.hot.execute(statement, gallery_id))

    @rule(choice=st.integers(0, 99), caption=st.none() | words, tags=st.lists(names, max_size=3))
    def describe(self, choice: int, caption: str | None, tags: list[str]) -> None:
        if item := self._one(choice):
            self.side.run(
                ItemQueries(self.side.database).describe(
                    MediaId(item.id),
                    GalleryId(item.gallery_id),
                    description=Description(caption=caption, tags=tuple(tags)),
                    fields=frozenset({"caption", "tags"}),
                )
            )
            self.items[item.id] = replace(item, caption=caption, tags=tuple(tags))

    @rule(
        choice=st.integers(0, 99),
        statement=st.sampled_from(
            ["DELETE FROM items WHERE id = $1", "UPDATE items SET status = 'rejected' WHERE id = $1"]
        ),
    )
    def remove(self, choice: int, statement: str) -> None:
        if item := self._one(choice):
            self.side.run(self.side.database.hot.execute(statement, item.id))
            del self.items[item.id]

    @rule()
    def claim(self) -> None:
        self._put_into_contents(self.unclaimed)
        self._claim(self.unclaimed)
        self.galleries.append(self.unclaimed)
        self.items |= self.unseen
        self.unclaimed, self.unseen = GalleryId(new_id()), {}

    @rule(choice=st.integers(0, 99))
    def close_one(self, choice: int) -> None:
        if len(self.galleries) < 3:
            return
        gallery_id = self.galleries.pop(choice % len(self.galleries))

        async def closed() -> None:
            async with self.side.database.transaction() as connection:
                await connection.exec_driver_sql("UPDATE accounts SET used_bytes = used_bytes + 1000")
                await close_galleries(await driver_of(connection), {gallery_id: utc_now()})

        self.side.run(closed())
        self.items = {item.id: item for item in self.items.values() if item.gallery_id != gallery_id}

    @rule(
        searches=st.lists(asked, min_size=1, max_size=5),
        gallery=st.sampled_from([None, None, None, 0, 1]),
        order=st.sampled_from(list(Order)),
        limit=st.integers(1, 5),
        rare=st.booleans(),
    )
    def search(
        self, searches: list[dict[str, Any]], gallery: int | None, order: Order, limit: int, rare: bool
    ) -> None:
        gallery_id = None if gallery is None else self.galleries[gallery % len(self.galleries)]
        queries = LibraryQueries(self.side.database)
        if rare:
            queries.estimate = self._rare  # type: ignore[method-assign]  # libraries here are too small for it
        for told in searches:
            wanted = Filters(owner_id=self.owner, gallery_id=gallery_id, **told)
            expected = sorted(
                (item.position(order) for item in self.items.values() if item.passes(wanted)),
                reverse=order.descends,
            )
            self.side.note(told, len(expected), of=len(self.items))
            found = self._found(SearchLibrary(queries, clock=utc_now), wanted, order, limit)
            assert found == [position.item_id for position in expected], wanted

    async def _rare(self, *_: Any, **__: Any) -> Estimate:
        return Estimate(0, 0)

    def _found(self, search: SearchLibrary, wanted: Filters, order: Order, limit: int) -> list[UUID]:
        found: list[UUID] = []
        after: Position | None = None
        for _ in range(500):
            page = self.side.run(search(wanted, order=order, after=after, limit=limit))
            found += [item.id for item in page.items]
            after = page.next_after
            if after is None:
                return found
        raise AssertionError("a search that does not end")

    @rule()
    def count(self) -> None:
        for kind in ("tag", "place"):
            counted: dict[str, int] = {}
            for item in self.items.values():
                keys = {fold(tag) for tag in (item.tags if kind == "tag" else [item.location or ""])}
                for key in keys - {""}:
                    counted[key] = counted.get(key, 0) + 1
            page = self.side.run(
                SearchLibrary(LibraryQueries(self.side.database), clock=utc_now).names(
                    self.owner, kind, prefix="", after=None, limit=500
                )
            )
            assert {name.key: name.item_count for name in page.names} == counted
            ranks = [(-name.item_count, name.key.encode()) for name in page.names]
            assert ranks == sorted(ranks)


@pytest.mark.parametrize("examples", [40, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.timeout(300)
def test_a_library_is_what_a_list_would_be(url: str, monkeypatch: pytest.MonkeyPatch, examples: int) -> None:
    # With these limits a few items use every way of searching.
    monkeypatch.setattr(search_library, "SHORT_LIST", 4)
    monkeypatch.setattr(search_library, "MAX_CANDIDATES", 6)
    monkeypatch.setattr(search_library, "WINDOWS", (3, 5))
    monkeypatch.setattr(search_library, "LEAST_OF_EACH", 2)
    side = Side(url)
    try:
        run_state_machine_as_test(
            lambda: LibraryMachine(side),  # type: ignore[arg-type]  # a factory is documented
            settings=settings(
                max_examples=examples,
                stateful_step_count=25,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.generate,),  # shrinking takes longer than a test may
            ),
        )
        searched = sum(side.found_some.values())
        assert searched > examples // 4, side.found_some
        if examples > 100:
            assert min(side.found_some[name] for name in _filters) >= 5, side.found_some
    finally:
        side.close()
