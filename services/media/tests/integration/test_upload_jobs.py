"""The order in which uploads are processed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_media.domain.shares import Party
from kappi_media.repository.upload_jobs import _TAKE, LeasedUpload, Room, UploadJobQueries
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Worker, redelivered
from kappi_testkit.media.samples import encode, quadrants

Publications = Callable[..., Awaitable[list[Published]]]
LEASE = timedelta(seconds=20)
ALL = Room(places=100, further=100, late=100)
SMALL = encode(quadrants(64, 48), "JPEG")
_QUEUE = """
INSERT INTO upload_jobs (media_id, gallery_id, object_key, content_type, size_bytes, completed_at, tenant,
  anonymous, address, due_at)
VALUES ($1, $2, 'key', 'image/jpeg', 1, $3, $2, $4, $5, $6)
"""


def from_address(http: Http, address: str) -> Any:
    """Returns calls as the gateway passes them on."""

    async def ask(method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        return await http(method, path, headers={**(headers or {}), "x-forwarded-for": address}, **more)

    return ask


class Queue:
    """A queue of jobs. names: in the order in which they were queued."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._jobs = UploadJobQueries(database)
        self._names: dict[UUID, str] = {}
        self.tenants: dict[str, UUID] = {}

    async def add(
        self, name: str, *, gallery: str, address: int, anonymous: bool = True, due: timedelta | None = None
    ) -> None:
        media_id = new_id()
        self._names[media_id] = name
        tenant = self.tenants.setdefault(gallery, new_id())
        due_at = None if due is None else self._clock() + due
        await self._database.hot.execute(_QUEUE, media_id, tenant, self._clock(), anonymous, address, due_at)

    async def take(self, room: Room = ALL, spent: Mapping[Party, float] | None = None) -> list[str]:
        taken = await self.lease(room, spent)
        return [self._names[job.media_id] for job in taken]

    async def lease(
        self, room: Room = ALL, spent: Mapping[Party, float] | None = None
    ) -> Sequence[LeasedUpload]:
        now = self._clock()
        return await self._jobs.take(room, now=now, until=now + LEASE, spent=spent or {}, budget_s=60.0)

    async def done(self, name: str) -> None:
        (media_id,) = [media_id for media_id, known in self._names.items() if known == name]
        await self._database.hot.execute("DELETE FROM upload_jobs WHERE media_id = $1", media_id)


@pytest.fixture
def queue(database: Database, clock: Clock) -> Queue:
    return Queue(database, clock)


async def test_many_galleries_of_one_address_are_one(queue: Queue) -> None:
    for number in range(60):
        await queue.add(f"theirs {number}", gallery=f"theirs {number}", address=1)
    await queue.add("mine", gallery="mine", address=2)
    assert await queue.take(Room(2, 2, 2)) == ["theirs 0", "mine"]
    await queue.add("another's", gallery="another's", address=3)
    assert await queue.take(Room(1, 1, 1)) == ["another's"]


async def test_many_addresses_of_one_gallery_are_one(queue: Queue) -> None:
    for number in range(60):
        await queue.add(f"theirs {number}", gallery="theirs", address=number)
    await queue.add("mine", gallery="mine", address=99)
    assert set(await queue.take(Room(2, 2, 2))) == {"theirs 0", "mine"}


async def test_behind_one_address_galleries_take_turns(queue: Queue) -> None:
    for number in range(5):
        await queue.add(f"busy {number}", gallery="busy", address=1)
    await queue.add("quiet", gallery="quiet", address=1)
    assert await queue.take(Room(2, 2, 2)) == ["busy 0", "quiet"]


async def test_what_is_under_way_counts(queue: Queue) -> None:
    for number in range(4):
        await queue.add(f"theirs {number}", gallery="theirs", address=1)
    assert await queue.take(Room(2, 2, 2)) == ["theirs 0", "theirs 1"]
    for number in range(2):
        await queue.add(f"mine {number}", gallery="mine", address=2)
    assert await queue.take(Room(2, 2, 2)) == ["mine 0", "mine 1"]


async def test_the_spare_place_is_for_who_has_none(queue: Queue) -> None:
    for number in range(4):
        await queue.add(f"theirs {number}", gallery="theirs", address=1)
    assert await queue.take(Room(3, 2, 2)) == ["theirs 0", "theirs 1", "theirs 2"]
    assert await queue.take(Room(1, 0, 0)) == []
    await queue.add("mine", gallery="mine", address=2)
    assert await queue.take(Room(1, 0, 0)) == ["mine"]


async def test_of_equal_ones_who_had_decoders_the_least_is_next(queue: Queue) -> None:
    await queue.add("heavy", gallery="heavy", address=1)
    await queue.add("light", gallery="light", address=2)
    assert await queue.take(Room(1, 1, 1), spent={1: 30.0, 2: 1.0}) == ["light"]


@pytest.mark.parametrize("party", ["gallery", "address"])
async def test_beyond_the_budget_comes_last_and_leaves_a_place(queue: Queue, party: str) -> None:
    for number in range(3):
        await queue.add(f"late {number}", gallery="late", address=1)
        await queue.add(f"account {number}", gallery="account", address=1, anonymous=False)
    spent: dict[Party, float] = {1: 61.0} if party == "address" else {queue.tenants["late"]: 61.0}
    taken = await queue.lease(Room(5, 5, 1), spent)
    assert [(job.anonymous, job.late) for job in taken].count((True, True)) == 1
    assert [(job.anonymous, job.late) for job in taken].count((False, False)) == 3
    assert await queue.take(Room(5, 5, 0), spent) == []
    assert len(await queue.take(Room(5, 5, 2), spent)) == 2


async def test_what_is_not_due_waits_and_a_lease_runs_out(queue: Queue, clock: Clock) -> None:
    await queue.add("now", gallery="a", address=1)
    await queue.add("later", gallery="b", address=2, due=timedelta(seconds=5))
    (first,) = await queue.lease()
    assert first.attempts == 1
    assert await queue.take() == []
    clock.pass_by(timedelta(seconds=5))
    assert await queue.take() == ["later"]
    clock.pass_by(LEASE - timedelta(seconds=5))
    (again,) = await queue.lease()
    assert (again.media_id, again.attempts) == (first.media_id, 2)


async def test_two_workers_never_take_the_same(queue: Queue) -> None:
    for number in range(40):
        await queue.add(f"{number}", gallery=f"{number % 7}", address=number % 5)
    taken = await asyncio.gather(*(queue.take(Room(10, 10, 10)) for _ in range(8)))
    every = [name for names in taken for name in names]
    assert len(every) == len(set(every))


async def test_a_long_queue_is_not_read_through(queue: Queue, database: Database, clock: Clock) -> None:
    """Of a gallery with very many jobs, only as many are read as could be chosen."""
    tenant = new_id()
    await database.hot.execute(
        "INSERT INTO upload_jobs (media_id, gallery_id, object_key, content_type, size_bytes, completed_at, "
        "tenant, anonymous, address) SELECT gen_random_uuid(), $1, 'key', 'image/jpeg', 1, $2, $1, true, 1 "
        "FROM generate_series(1, 50000)",
        tenant,
        clock(),
    )
    await queue.add("mine", gallery="mine", address=2)
    await database.hot.execute("ANALYZE upload_jobs")
    now = clock()
    values: tuple[Any, ...] = (now, now + LEASE, *Room(3, 3, 3), [], [], [], [], 60.0)
    (plan,) = json.loads(await database.hot.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {_TAKE}", *values))
    assert _rows_read(plan["Plan"]) < 1_000
    assert await database.hot.fetchval("SELECT count(*) FROM upload_jobs WHERE leased_until IS NOT NULL") == 3


def _rows_read(plan: dict[str, Any]) -> float:
    """Returns the rows that an executed plan read from the table."""
    own = plan["Actual Rows"] * plan["Actual Loops"] if plan.get("Relation Name") == "upload_jobs" else 0
    dropped = plan.get("Rows Removed by Filter", 0) * plan["Actual Loops"]
    return float(own + dropped + sum(map(_rows_read, plan.get("Plans", ()))))


async def test_an_upload_is_queued_with_whose_it_is(
    http: Http,
    make_gallery: Callable[..., Gallery],
    worker: Worker,
    published: Publications,
    database: Database,
) -> None:
    """The number of the address is the same for a /64, and kept no longer than needed."""
    account = new_id()
    anonymous, owned = make_gallery(), make_gallery(owner_id=account)
    for gallery, address in ((anonymous, "2001:db8::1"), (owned, "2001:db8::2"), (anonymous, "192.0.2.1")):
        await Client(from_address(http, address)).upload(gallery, SMALL)
    for event in await published("UploadCompleted"):
        for _ in range(2):
            await worker.processor.process(redelivered(event))
    rows = await database.hot.fetch("SELECT tenant, anonymous, address FROM upload_jobs ORDER BY media_id")
    assert [(row["tenant"], row["anonymous"]) for row in rows] == [
        (anonymous.id, True),
        (account, False),
        (anonymous.id, True),
    ]
    assert rows[0]["address"] == rows[1]["address"] != rows[2]["address"]
    assert await database.hot.fetchval("SELECT count(uploader_address) FROM uploads") == 0


async def test_out_of_order_and_told_twice_it_is_queued_once(
    client: Client, gallery: Gallery, worker: Worker, published: Publications, database: Database
) -> None:
    for _ in range(3):
        await client.upload(gallery, SMALL)
    events: list[Any] = [redelivered(event) for event in await published("UploadCompleted")]
    await asyncio.gather(*(worker.processor.process(event) for event in [*reversed(events), *events]))
    assert await database.hot.fetchval("SELECT count(*) FROM upload_jobs") == 3
