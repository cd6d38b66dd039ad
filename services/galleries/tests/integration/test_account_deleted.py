"""The deletion of an account deletes everything it owned here, and the account gets nothing any more."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.bus.processor import Record
from kappi_chassis.outbox import UnitOfWork
from kappi_contracts.envelope import decode
from kappi_contracts.events import AccountDeleted, MediaReady
from kappi_galleries.repository.accounts import AccountRows
from kappi_galleries.use_cases.delete_account_content import PAGE, DeleteAccountContent
from kappi_testkit.eventually import eventually

pytestmark = pytest.mark.integration

GALLERIES = "/v1/galleries"


@pytest.fixture
def deleted(account: Any, clock: Any, record: Any) -> Any:
    """Returns `deleted(sequence=…, id=…)`: the record of the deletion."""

    def make(**named: Any) -> Record:
        made: Record = record(AccountDeleted(account_id=account.id, deleted_at=clock.now), **named)
        return made

    return make


@pytest.fixture
def own(http: Any) -> Any:
    async def own(account: Any, count: int = 1) -> list[Any]:
        return [(await http("POST", GALLERIES, token=account.token)).json for _ in range(count)]

    return own


@pytest.fixture
def fill(database: Any, account: Any, clock: Any) -> Any:
    """Returns `await fill(1_000)`: so many galleries of the account, made in one statement."""

    async def fill(count: int) -> None:
        await database.hot.execute(
            "INSERT INTO galleries (id, code, visibility, owner_id, created_at, updated_at) "
            "SELECT gen_random_uuid(), 'filler' || n, 'shared', $1, $2, $2 "
            "FROM generate_series(1, $3::int) n",
            account.id,
            clock.now,
            count,
        )

    return fill


async def _alive(database: Any, owner: UUID) -> int:
    count: int = await database.hot.fetchval(
        "SELECT count(*) FROM galleries WHERE owner_id = $1 AND deleted_at IS NULL", owner
    )
    return count


async def _deletions(published: Any) -> list[Any]:
    return [event for topic, _, event in await published() if topic == "GalleryDeleted"]


async def test_its_galleries_go_and_others_stay(
    processor: Any, deleted: Any, http: Any, account: Any, other: Any, own: Any, database: Any, published: Any
) -> None:
    mine, theirs = await own(account, 3), await own(other, 2)
    anonymous = (await http("POST", GALLERIES)).json
    await http(
        "PATCH",
        f"{GALLERIES}/{mine[0]['id']}",
        token=account.token,
        body={"title": "x", "visibility": "private", "password": "sesame"},
    )

    await processor.process(deleted())

    events = await _deletions(published)
    assert {event["gallery_id"] for event in events} == {gallery["id"] for gallery in mine}
    assert {(event["reason"], event["owner_id"]) for event in events} == {
        ("account_deleted", str(account.id))
    }
    rows = await database.hot.fetch("SELECT * FROM galleries WHERE owner_id = $1", account.id)
    assert all(row["deleted_at"] and row["title"] is None and row["password_hash"] is None for row in rows)
    assert await _alive(database, other.id) == len(theirs)
    assert (await http("GET", f"{GALLERIES}/{anonymous['id']}", key=anonymous["access_key"])).status == 200
    listed = await http("GET", GALLERIES, token=account.token)
    assert listed.json["items"] == []
    assert (await http("POST", "/internal/grants/view", body={"code": mine[1]["code"]})).status == 404


async def test_their_items_are_forgotten_and_stay_forgotten(
    processor: Any,
    deleted: Any,
    record: Any,
    account: Any,
    own: Any,
    database: Any,
    clock: Any,
    dead_letters: Any,
) -> None:
    (gallery,) = await own(account)

    def ready() -> Record:
        event = MediaReady(
            media_id=uuid4(),
            gallery_id=UUID(gallery["id"]),
            kind="image",
            content_type="image/jpeg",
            size_bytes=10,
            width=4,
            height=3,
            duration_ms=None,
            ready_at=clock.now,
        )
        made: Record = record(event)
        return made

    await processor.process(ready())
    await processor.process(deleted())
    await processor.process(ready())

    assert await database.hot.fetchval("SELECT count(*) FROM gallery_items") == 0
    assert not dead_letters.letters


async def test_a_thousand_galleries_go_in_pages(
    processor: Any, deleted: Any, fill: Any, account: Any, database: Any, published: Any
) -> None:
    await fill(1_000)

    await processor.process(deleted())

    events = await _deletions(published)
    assert len({event["gallery_id"] for event in events}) == len(events) == 1_000
    assert await _alive(database, account.id) == 0
    rows = await database.hot.fetch("SELECT xmin::text AS transaction FROM outbox")
    transactions = {row["transaction"] for row in rows}
    assert len(transactions) == 1_000 // PAGE


async def test_once_is_enough(
    processor: Any, deleted: Any, own: Any, account: Any, database: Any, published: Any, dead_letters: Any
) -> None:
    await own(account, 2)
    same = deleted(id=uuid4())

    await asyncio.gather(*(processor.process(each) for each in (same, same, deleted(sequence=9))))
    await processor.process(same)

    assert len(await _deletions(published)) == 2
    assert await database.hot.fetchval("SELECT count(*) FROM deleted_accounts") == 1
    assert await database.hot.fetchval("SELECT count(*) FROM inbox") == 2
    assert not dead_letters.letters


async def test_an_account_this_service_never_saw_is_no_poison(
    processor: Any, deleted: Any, dead_letters: Any, published: Any
) -> None:
    await processor.process(deleted())
    assert not dead_letters.letters
    assert await published() == []


async def test_an_event_without_an_account_becomes_a_dead_letter(
    processor: Any, deleted: Any, dead_letters: Any
) -> None:
    good = deleted()
    for value in (b"{}", b'{"account_id": "x", "deleted_at": "2026-05-01T00:00:00Z"}', b"nonsense", None):
        await processor.process(Record(good.topic, 0, 0, good.key, value, good.headers))
    assert len(dead_letters.letters) == 4


async def test_a_crash_between_pages_is_picked_up_where_it_was(
    deps: Any,
    processor: Any,
    deleted: Any,
    fill: Any,
    account: Any,
    database: Any,
    published: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        """Not an Exception, so that no code catches it."""

    await fill(25)
    record_, pages = deleted(id=uuid4()), 0
    delete_page = DeleteAccountContent._delete_page

    async def dying(self: Any, unit: UnitOfWork, account_id: UUID) -> int:
        nonlocal pages
        pages += 1
        count = await delete_page(self, unit, account_id)
        if pages == 3:
            raise Killed  # its page is not committed
        return count

    deletion = DeleteAccountContent(outbox=deps.outbox, clock=deps.clock, consumer="galleries", page=10)
    monkeypatch.setattr(DeleteAccountContent, "_delete_page", dying)
    with pytest.raises(Killed):
        await deletion(decode(record_.value, record_.headers))
    assert await _alive(database, account.id) == 5
    assert await database.hot.fetchval("SELECT count(*) FROM inbox") == 0

    await processor.process(record_)

    events = await _deletions(published)
    assert len({event["gallery_id"] for event in events}) == len(events) == 25
    assert await _alive(database, account.id) == 0
    assert await database.hot.fetchval("SELECT count(*) FROM inbox") == 1


async def test_a_token_that_outlived_its_account_makes_nothing(
    processor: Any, deleted: Any, http: Any, account: Any, other: Any, database: Any
) -> None:
    await processor.process(deleted())
    headers = {"idempotency-key": "gallery-of-today-and-no-other"}
    answers = [
        await http("POST", GALLERIES, token=account.token),
        await http("POST", GALLERIES, token=account.token, headers=headers),
    ]

    assert {(answer.status, answer.json["code"]) for answer in answers} == {(401, AccessTokenInvalid.code)}
    assert await database.hot.fetchval("SELECT count(*) FROM galleries") == 0
    assert (await http("POST", GALLERIES, token=other.token)).status == 201


async def test_a_creation_under_way_is_waited_for_and_deleted(
    processor: Any,
    deleted: Any,
    http: Any,
    account: Any,
    database: Any,
    published: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admitted, go_on = asyncio.Event(), asyncio.Event()
    admit = AccountRows.admit

    async def hesitating(self: AccountRows, account_id: UUID) -> bool:
        answer = await admit(self, account_id)
        admitted.set()
        await go_on.wait()
        return answer

    monkeypatch.setattr(AccountRows, "admit", hesitating)
    creation = asyncio.create_task(http("POST", GALLERIES, token=account.token))
    await admitted.wait()
    deletion = asyncio.create_task(processor.process(deleted()))

    async def waits() -> None:
        assert await database.hot.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )

    await eventually(waits)
    assert not deletion.done()
    go_on.set()
    created = await creation
    await deletion

    assert created.status == 201
    assert await _alive(database, account.id) == 0
    assert [event["gallery_id"] for event in await _deletions(published)] == [created.json["id"]]


async def test_creations_and_a_deletion_at_once_leave_nothing_alive(
    processor: Any, deleted: Any, http: Any, account: Any, database: Any, published: Any
) -> None:
    answers = await asyncio.gather(
        *(http("POST", GALLERIES, token=account.token) for _ in range(10)),
        processor.process(deleted()),
        *(http("POST", GALLERIES, token=account.token) for _ in range(10)),
    )

    created = [answer for answer in answers if answer is not None and answer.status == 201]
    refused = [answer for answer in answers if answer is not None and answer.status == 401]
    assert len(created) + len(refused) == 20
    assert await _alive(database, account.id) == 0
    assert len(await _deletions(published)) == len(created)
