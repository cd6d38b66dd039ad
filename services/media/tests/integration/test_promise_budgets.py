"""The number of open reservations of an address, and of an anonymous gallery."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryDeleted, GalleryUpdated, JanitorTick
from kappi_contracts.keys import original_key
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import tick_steps
from kappi_media.consumers import handlers
from kappi_media.settings import MediaSettings
from kappi_testkit.asgi import Answer
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller
from kappi_testkit.media.metadata_blocks import xmp_packet
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(16, 16), "JPEG")
SIZE = len(JPEG)
NO_PICTURE = b"MZ" + bytes(SIZE - 2)
ROOM = 100 << 20
STILL_COUNTED = timedelta(minutes=30)
"""Two lifetimes of a signed URL."""

GalleryMaker = Callable[..., Gallery]


def file(size: int = SIZE) -> dict[str, Any]:
    return {"filename": "a.jpg", "size": size, "content_type": "image/jpeg"}


async def ask(
    http: Http, gallery: Gallery, *files: Any, client: str = "192.0.2.1", key: str | None = None
) -> Answer:
    named = {"X-Forwarded-For": client} | ({"Idempotency-Key": key} if key else {})
    return await http(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        grant=gallery.grant("contribute"),
        body={"files": files},
        headers=named,
    )


async def abort(http: Http, gallery: Gallery, promised: Any) -> None:
    assert (await http("DELETE", f"/v1/uploads/{promised['id']}", grant=gallery.grant())).status == 204


async def open_now(database: Database, holder: UUID | None = None) -> tuple[int, int]:
    """Returns the files and bytes that count for a gallery, or for the only address, and checks that all
    budgets are the correct sums.
    """
    kept = await database.hot.fetch("SELECT holder, files, bytes FROM promise_budgets WHERE files > 0")
    summed = await database.hot.fetch(
        """
        WITH counted AS (
          SELECT address_id, gallery_id, 1 AS files, charged_bytes AS bytes FROM uploads
          WHERE state = 'pending' AND address_id IS NOT NULL
          UNION ALL SELECT address_id, gallery_id, files, bytes FROM ended_promises),
        by_holder AS (
          SELECT address_id AS holder, files, bytes FROM counted
          UNION ALL SELECT gallery_id, files, bytes FROM counted)
        SELECT holder, sum(files)::bigint, sum(bytes)::bigint FROM by_holder GROUP BY holder
        """
    )
    budgets = {row[0]: (row[1], row[2]) for row in kept}
    assert budgets == {row[0]: (row[1], row[2]) for row in summed}
    if holder is not None:
        return budgets.get(holder, (0, 0))
    galleries = await database.hot.fetch("SELECT gallery_id FROM contents")
    (only,) = [each for key, each in budgets.items() if key not in {row[0] for row in galleries}] or [(0, 0)]
    return only


@pytest.fixture
def tight(make_http: Callable[..., Http]) -> Http:
    """Three files of a gallery may be open, and five of an address."""
    return make_http(
        promised_files_per_gallery=3,
        promised_bytes_per_gallery=ROOM,
        promised_files_per_address=5,
    )


@pytest.fixture
def tick(deps: Dependencies, make_settings: Callable[..., MediaSettings], clock: Clock, record: Any) -> Any:
    """`await tick()` runs everything that the service does on a tick."""

    async def tick() -> None:
        on_tick = handlers(deps.outbox, on_tick_first=tick_steps(deps, make_settings()))["JanitorTick"]
        event = JanitorTick(schedule="hourly", at=clock(), origin="timer")
        await on_tick(Envelope(id=new_id(), source="/tests", time=clock(), sequence=1, data=event))

    return tick


@pytest.mark.parametrize("end", ["completed", "sidecar aborted", "picture aborted", "gallery deleted"])
async def test_a_sidecar_counts_with_its_picture(
    http: Http, gallery: Gallery, database: Database, tell: Teller, clock: Clock, end: str
) -> None:
    client, xmp = Client(http), xmp_packet()
    beside = {"filename": "a.xmp", "size": len(xmp), "content_type": "text/xml"}
    picture, sidecar = (await ask(http, gallery, file(), beside)).json["uploads"]
    assert await open_now(database) == (1, SIZE + len(xmp))
    if end == "completed":
        assert await client.put(picture, JPEG) == 200
        assert (await client.complete(gallery, picture["id"])).status == 200
    elif end == "gallery deleted":
        deletion = GalleryDeleted(
            gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock()
        )
        await tell(deletion)
    else:
        await abort(http, gallery, sidecar if end == "sidecar aborted" else picture)
    counted = {"completed": (0, 0), "sidecar aborted": (1, SIZE)}
    assert await open_now(database, gallery.id) == counted.get(end, (1, SIZE + len(xmp)))


async def test_a_gallery_has_so_much_open_and_says_what(
    tight: Http, gallery: Gallery, make_gallery: GalleryMaker, database: Database
) -> None:
    assert (await ask(tight, gallery, file(), file())).status == 201
    refused = await ask(tight, gallery, file(), file())
    assert (refused.status, refused.code) == (429, "too_much_promised")
    assert refused.headers["retry-after"] == "60"
    for told in (f"2 files of {2 * SIZE} bytes", f"at most 3 files of {ROOM} bytes", "this gallery"):
        assert told in refused.json["detail"]
    assert await open_now(database, gallery.id) == (2, 2 * SIZE)
    assert await database.hot.fetchval("SELECT count(*) FROM uploads") == 2
    # From another address it is the same gallery.
    assert (await ask(tight, gallery, file(), file(), client="192.0.2.2")).code == "too_much_promised"
    assert (await ask(tight, gallery, file())).status == 201
    assert (await ask(tight, make_gallery(), file())).status == 201


async def test_an_address_has_so_much_open_in_all_galleries(
    tight: Http, make_gallery: GalleryMaker, database: Database
) -> None:
    for _ in range(2):
        assert (await ask(tight, make_gallery(), file(), file())).status == 201
    refused = await ask(tight, make_gallery(), file(), file())
    assert (refused.status, refused.code) == (429, "too_much_promised")
    assert "this address" in refused.json["detail"]
    assert await open_now(database) == (4, 4 * SIZE)
    assert (await ask(tight, make_gallery(), file(), file(), client="192.0.2.2")).status == 201
    # An account's gallery counts against its quota instead.
    owned = make_gallery(owner_id=new_id(), expires_at=None)
    assert (await ask(tight, owned, *[file()] * 10)).status == 201


@pytest.mark.parametrize("whose", ["gallery", "address"])
async def test_bytes_count_as_files_do(make_http: Callable[..., Http], gallery: Gallery, whose: str) -> None:
    http = make_http(**{f"promised_bytes_per_{whose}": 10 * SIZE})
    assert (await ask(http, gallery, file(9 * SIZE))).status == 201
    assert (await ask(http, gallery, file(SIZE + 1))).code == "too_much_promised"
    assert (await ask(http, gallery, file(SIZE))).status == 201
    # A batch that can never pass has no Retry-After.
    alone = await ask(http, gallery, file(10 * SIZE + 1))
    assert alone.code == "too_much_promised"
    assert "retry-after" not in alone.headers
    assert "Declare fewer" in alone.json["detail"]


async def test_a_holiday_goes_up_at_once(http: Http, gallery: Gallery, database: Database) -> None:
    films, photos = [file(1 << 30)] * 20, [file(35 << 20)] * 300
    batches = [films, photos[:100], photos[100:200], photos[200:]]
    answers = await asyncio.gather(*(ask(http, gallery, *batch) for batch in batches))
    assert [answer.status for answer in answers] == [201] * 4
    assert (await open_now(database))[1] > 30 * 10**9


async def test_what_is_completed_frees_its_room_at_once(
    tight: Http, gallery: Gallery, database: Database
) -> None:
    client = Client(tight)
    for _ in range(10):
        (promised,) = (await ask(tight, gallery, file())).json["uploads"]
        await client.put(promised, JPEG)
        assert (await client.complete(gallery, promised["id"])).status == 200
    assert await open_now(database) == (0, 0)
    assert await database.hot.fetchval("SELECT count(*) FROM uploads WHERE address_id IS NOT NULL") == 0


@pytest.mark.parametrize("end", ["abort", "reject", "delete the gallery"])
async def test_what_ended_otherwise_counts_until_its_url_is_dead(
    tight: Http,
    gallery: Gallery,
    make_gallery: GalleryMaker,
    database: Database,
    clock: Clock,
    tell: Teller,
    end: str,
) -> None:
    client = Client(tight)
    uploads = (await ask(tight, gallery, *[file()] * 3)).json["uploads"]
    for promised in uploads:
        if end == "abort":
            await abort(tight, gallery, promised)
        elif end == "reject":
            assert await client.put(promised, NO_PICTURE) == 200
            assert (await client.complete(gallery, promised["id"])).code == "content_mismatch"
    if end == "delete the gallery":
        await tell(
            GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock())
        )
    assert await open_now(database) == (3, 3 * SIZE)
    other = make_gallery()
    assert (await ask(tight, other, *[file()] * 3)).code == "too_much_promised"
    clock.pass_by(STILL_COUNTED - timedelta(minutes=1))
    assert (await ask(tight, other, *[file()] * 3)).code == "too_much_promised"
    clock.pass_by(timedelta(minutes=2))
    # No tick is needed.
    assert (await ask(tight, other, *[file()] * 3)).status == 201
    assert await open_now(database) == (3, 3 * SIZE)


async def test_what_is_abandoned_counts_until_it_is_swept(
    tight: Http, gallery: Gallery, database: Database, clock: Clock, tick: Callable[[], Awaitable[None]]
) -> None:
    uploads = (await ask(tight, gallery, *[file()] * 3)).json["uploads"]
    await Client(tight).put(uploads[0], JPEG)
    await abort(tight, gallery, uploads[1])
    clock.pass_by(timedelta(hours=25))
    # Its bytes are in the store until then.
    assert (await ask(tight, gallery, *[file()] * 2)).code == "too_much_promised"
    assert await open_now(database) == (2, 2 * SIZE), "the aborted one is free by now"
    for _ in range(2):
        await tick()
        assert await open_now(database) == (0, 0)
    assert await database.hot.fetchval("SELECT count(*) FROM promise_budgets") == 0, "no address is kept"
    assert (await ask(tight, gallery, *[file()] * 3)).status == 201


async def test_a_tick_gives_back_what_ended_long_ago_and_nothing_else(
    tight: Http, gallery: Gallery, database: Database, clock: Clock, tick: Callable[[], Awaitable[None]]
) -> None:
    early, late, kept = (await ask(tight, gallery, *[file()] * 3)).json["uploads"]
    await abort(tight, gallery, early)
    clock.pass_by(STILL_COUNTED - timedelta(minutes=5))
    await abort(tight, gallery, late)
    clock.pass_by(timedelta(minutes=6))
    await tick()
    assert await open_now(database, gallery.id) == (2, 2 * SIZE), kept


async def test_posted_files_count_while_they_come(
    tight: Http, gallery: Gallery, database: Database, store: FaultyStore
) -> None:
    where = f"/v1/galleries/{gallery.id}/media?"
    headers = {"X-Forwarded-For": "192.0.2.1", "Content-Type": "application/json"}

    async def post(content: bytes) -> Answer:
        body = {"filename": "a.jpg", "content_base64": b64encode(content).decode()}
        return await tight("POST", where, grant=gallery.grant("contribute"), body=body, headers=headers)

    for _ in range(5):
        assert (await post(JPEG)).status == 201
    assert await open_now(database) == (0, 0)
    (await ask(tight, gallery, *[file()] * 3)).json["uploads"]
    refused = await post(JPEG)
    assert (refused.status, refused.code) == (429, "too_much_promised")
    assert await open_now(database) == (3, 3 * SIZE)


async def test_a_retry_counts_once_and_a_refused_key_is_free(
    tight: Http, gallery: Gallery, database: Database
) -> None:
    answers = [await ask(tight, gallery, file(), file(), key="the-same-key") for _ in range(3)]
    assert {answer.status for answer in answers} == {201}
    assert await open_now(database) == (2, 2 * SIZE)
    assert (await ask(tight, gallery, file(), file(), key="another-key")).code == "too_much_promised"
    assert (await ask(tight, gallery, file(), key="another-key")).status == 201


async def test_a_claim_leaves_what_was_promised_before_counted(
    tight: Http, gallery: Gallery, database: Database, tell: Teller, clock: Clock
) -> None:
    first, second, third = (await ask(tight, gallery, *[file()] * 3)).json["uploads"]
    owner_id = new_id()
    await tell(
        GalleryUpdated(
            gallery_id=gallery.id, owner_id=owner_id, visibility="shared", expires_at=None, updated_at=clock()
        )
    )
    owned, client = gallery.of(owner_id), Client(tight)
    assert await open_now(database) == (3, 3 * SIZE)
    assert (await ask(tight, owned, *[file()] * 5)).status == 201
    await client.put(first, JPEG)
    assert (await client.complete(owned, first["id"])).status == 200
    await abort(tight, owned, second)
    assert await open_now(database) == (2, 2 * SIZE), third


async def test_many_at_once_fill_a_budget_exactly(
    make_http: Callable[..., Http],
    make_gallery: GalleryMaker,
    database: Database,
    store: FaultyStore,
    clock: Clock,
    tick: Callable[[], Awaitable[None]],
) -> None:
    room = 120
    http = make_http(
        max_in_flight=4_000,
        promised_files_per_address=room,
        promised_files_per_gallery=room // 2,
        promised_bytes_per_address=room * SIZE,
    )
    galleries = [make_gallery() for _ in range(4)]
    outcomes: Counter[str] = Counter()

    async def upload(number: int) -> None:
        gallery = galleries[number % 4]
        fate = ("complete", "abort", "abandon")[number // 4 % 3]
        client = f"192.0.2.{number % 2}"
        signed = await ask(
            http, gallery, file(), client=client, key=f"upload-{number}" if number % 7 == 0 else None
        )
        if signed.status == 429:
            assert signed.code == "too_much_promised"
            outcomes["refused"] += 1
            return
        assert signed.status == 201, signed.body
        outcomes[fate] += 1
        (promised,) = signed.json["uploads"]
        if fate == "abort":
            await abort(http, gallery, promised)
        elif fate == "complete":
            key = original_key(gallery.id, UUID(promised["media_id"]))
            await store.put(key, JPEG, content_type="image/jpeg")
            path = f"/v1/uploads/{promised['id']}/complete"
            answers = await asyncio.gather(*(http("POST", path, grant=gallery.grant()) for _ in "ab"))
            assert {answer.status for answer in answers} == {200}

    await asyncio.gather(*(upload(number) for number in range(600)))
    assert sum(outcomes.values()) == 600
    assert outcomes["refused"] > 0

    # Files one by one until all are refused: then all budgets are full to the file, and none is exceeded.
    for number, gallery in enumerate(galleries):
        await asyncio.gather(
            *(ask(http, gallery, file(), client=f"192.0.2.{number % 2}") for _ in range(room))
        )
    by_gallery = [await open_now(database, gallery.id) for gallery in galleries]
    assert by_gallery == [(room // 2, room // 2 * SIZE)] * 4
    rows = await database.hot.fetch("SELECT files FROM promise_budgets ORDER BY files")
    assert [row["files"] for row in rows] == [room // 2] * 4 + [room] * 2

    clock.pass_by(timedelta(hours=25))
    await tick()
    answers = await asyncio.gather(*(ask(http, gallery, *[file()] * 30) for gallery in galleries))
    assert {answer.status for answer in answers} == {201}
    assert [await open_now(database, gallery.id) for gallery in galleries] == [(30, 30 * SIZE)] * 4


async def test_first_batches_at_once_of_new_galleries_are_counted_exactly(
    tight: Http, make_gallery: GalleryMaker, database: Database
) -> None:
    """Their budgets are inserted while others are."""
    for number in range(20):
        galleries = [make_gallery() for _ in range(4)]
        client = f"198.51.100.{number}"
        answers = await asyncio.gather(
            *(ask(tight, gallery, file(), file(), client=client) for gallery in galleries for _ in range(2))
        )
        assert Counter(answer.status for answer in answers) == {201: 2, 429: 6}
        assert {(await open_now(database, gallery.id))[0] for gallery in galleries} <= {0, 2}


async def test_what_is_kept_of_an_address_is_no_address(
    http: Http, gallery: Gallery, database: Database, published: Callable[..., Awaitable[list[Published]]]
) -> None:
    await ask(http, gallery, file(), client="192.0.2.77")
    dump = [
        str(dict(row))
        for table in ("uploads", "promise_budgets", "outbox", "idempotency")
        for row in await database.hot.fetch(f"SELECT * FROM {table}")
    ]
    assert dump
    assert not [line for line in dump if "192.0.2.77" in line]
