"""MediaAccessed is added to daily counters exactly, which only managers and administrators can read."""

from __future__ import annotations

import asyncio
import random
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.db import driver_of
from kappi_contracts.events import (
    AccountDeleted,
    ItemCount,
    JanitorTick,
    KindCount,
    MediaAccessed,
    MediaDeleted,
    TraitCount,
)
from kappi_galleries.api import statistics as statistics_api
from kappi_galleries.repository.statistics import BURIED_AT_ONCE, StatisticsRows, tombstone_statistics
from sqlalchemy import event

pytestmark = pytest.mark.integration

TODAY = date(2026, 5, 1)
TABLES = ("access_days", "access_item_days", "access_trait_days")


@pytest.fixture
async def gallery(http: Any) -> Any:
    return (await http("POST", "/v1/galleries")).json


def accessed(
    gallery: Any,
    *,
    day: date = TODAY,
    views: int = 1,
    language: str = "de",
    role: str = "anonymous",
    downloads: dict[UUID, int] | None = None,
) -> MediaAccessed:
    items = downloads or {}
    kinds = {"view": views, "download": sum(items.values())}
    return MediaAccessed(
        gallery_id=UUID(gallery["id"]),
        day=day,
        kinds=tuple(KindCount(kind=kind, count=count) for kind, count in kinds.items() if count),
        traits=(
            TraitCount(trait="language", value=language, count=views),
            TraitCount(trait="role", value=role, count=views),
            TraitCount(trait="app", value="safari", count=views),
        ),
        items=tuple(
            ItemCount(media_id=media_id, kind="download", count=count) for media_id, count in items.items()
        ),
    )


async def stats(http: Any, gallery: Any, query: str = "") -> Any:
    answer = await http("GET", f"/v1/galleries/{gallery['id']}/stats{query}", key=gallery["access_key"])
    assert answer.status == 200, answer.body
    return answer.json


async def rows(database: Any) -> dict[str, int]:
    return {name: await database.hot.fetchval(f"SELECT count(*) FROM {name}") for name in TABLES}


async def test_accesses_are_told_by_day_kind_trait_and_item(
    processor: Any, record: Any, http: Any, gallery: Any
) -> None:
    first, second = uuid4(), uuid4()
    yesterday, before = TODAY - timedelta(days=1), TODAY - timedelta(days=2)
    for each in (
        accessed(gallery, day=yesterday, views=12, downloads={first: 3, second: 4}),
        accessed(gallery, day=before, views=2, language="fi"),
        accessed(gallery, views=20),
    ):
        await processor.process(record(each))
    await processor.process(record(accessed(gallery, day=TODAY - timedelta(days=40))))

    found = await stats(http, gallery)
    assert (found["from"], found["to"]) == ("2026-04-02", "2026-05-01")
    assert found["totals"] == {
        "count": 41,
        "kinds": {"view": 34, "download": 7},
        "languages": {"de": 10, "other": 24},
        "roles": {"anonymous": 10, "other": 24},
        "apps": {"safari": 10, "other": 24},
    }
    assert [(day["day"], day["count"], day["languages"]) for day in found["days"]] == [
        ("2026-04-29", 2, {"other": 2}),
        ("2026-04-30", 19, {"de": 10, "other": 2}),
        ("2026-05-01", 20, {"other": 20}),
    ], "what is told of a day is told when it is over"
    assert found["items"] == [
        {"media_id": str(second), "count": 4, "kinds": {"download": 4}},
        {"media_id": str(first), "count": 3, "kinds": {"download": 3}},
    ]
    only = await stats(http, gallery, "?from=2026-03-01&to=2026-03-31")
    assert only["totals"]["count"] == 1


async def test_a_record_delivered_again_after_a_crash_counts_once(
    processor: Any, record: Any, http: Any, gallery: Any, dead_letters: Any
) -> None:
    # The effect was committed, but the offset was not: the broker delivers the same record again.
    again = record(accessed(gallery, views=3))
    await asyncio.gather(*(processor.process(again) for _ in range(4)))
    await processor.process(again)
    assert (await stats(http, gallery))["totals"]["count"] == 3
    assert not dead_letters.letters


async def test_a_crash_before_the_commit_leaves_nothing_and_repeats(
    processor: Any, record: Any, http: Any, gallery: Any, database: Any
) -> None:
    await database.hot.execute("ALTER TABLE access_total_days RENAME TO away")
    handling = asyncio.create_task(processor.process(record_ := record(accessed(gallery, views=3))))
    await asyncio.wait([handling], timeout=0.3)
    handling.cancel()
    await asyncio.wait([handling])
    assert await rows(database) == dict.fromkeys(TABLES, 0)

    await database.hot.execute("ALTER TABLE away RENAME TO access_total_days")
    await processor.process(record_)
    assert (await stats(http, gallery))["totals"]["count"] == 3


async def test_order_does_not_matter(processor: Any, record: Any, http: Any, gallery: Any) -> None:
    events = [record(accessed(gallery, views=number + 1), sequence=number + 1) for number in range(20)]
    random.Random(7).shuffle(events)
    await asyncio.gather(*(processor.process(event) for event in events))
    assert (await stats(http, gallery))["totals"]["count"] == 210


async def test_events_of_many_galleries_meet_at_the_totals_and_none_is_lost(
    processor: Any, record: Any, http: Any, identity_key: Any, account: Any
) -> None:
    galleries = [(await http("POST", "/v1/galleries")).json for _ in range(8)]
    await asyncio.gather(
        *(
            processor.process(record(accessed(gallery, language=language, role="admin")))
            for gallery in galleries
            for language in ("de", "fr", "pt")
        )
    )
    answer = await http("GET", "/v1/admin/stats", token=account.token_with(role="admin"))
    assert answer.status == 200
    # The counts are exact, and include the administrators' own views.
    assert answer.json["totals"] == {
        "count": 24,
        "kinds": {"view": 24},
        "languages": {"de": 8, "fr": 8, "pt": 8},
        "roles": {"admin": 24},
        "apps": {"safari": 24},
    }
    assert [day["day"] for day in answer.json["days"]] == ["2026-05-01"]
    assert not {gallery["id"] for gallery in galleries} & set(answer.body.decode().split('"'))


async def test_a_batch_counts_as_its_events_would_one_by_one(
    processor: Any, record: Any, http: Any, gallery: Any, account: Any, database: Any
) -> None:
    other, gone = [(await http("POST", "/v1/galleries")).json for _ in range(2)]
    await http("DELETE", f"/v1/galleries/{gone['id']}", key=gone["access_key"])
    item, yesterday = uuid4(), TODAY - timedelta(days=1)
    events = (
        accessed(gallery, day=yesterday, views=2),
        accessed(gallery, day=yesterday, views=3, downloads={item: 1}),
        accessed(gallery, views=5, downloads={item: 4}),
        accessed(other, views=7, language="fr"),
        accessed(gone, views=11),
        accessed({"id": str(uuid4())}, views=13),
    )
    batch = [record(each, sequence=number) for number, each in enumerate(events, start=1)]
    assert all(await processor.process_together([*batch, batch[0]]))

    found = await stats(http, gallery)
    assert [(day["day"], day["count"]) for day in found["days"]] == [("2026-04-30", 6), ("2026-05-01", 9)]
    assert [(each["media_id"], each["count"]) for each in found["items"]] == [(str(item), 5)]
    assert (await stats(http, other))["totals"]["count"] == 7
    answer = await http("GET", "/v1/admin/stats", token=account.token_with(role="admin"))
    assert answer.json["totals"]["kinds"] == {"view": 17, "download": 5}
    assert await database.hot.fetchval("SELECT count(DISTINCT gallery_id) FROM access_days") == 2


async def test_an_unknown_gallery_has_no_counts(processor: Any, record: Any, dead_letters: Any) -> None:
    await processor.process(record(accessed({"id": str(uuid4())})))
    assert dead_letters.letters == []


async def test_a_count_of_nothing_or_less_is_poison(
    processor: Any, record: Any, gallery: Any, dead_letters: Any
) -> None:
    await processor.process(record(accessed(gallery, views=-3)))
    assert len(dead_letters.letters) == 1


async def test_an_event_that_names_a_thing_twice_is_added_up(
    processor: Any, record: Any, http: Any, gallery: Any
) -> None:
    once = accessed(gallery, downloads={uuid4(): 2})
    twice = MediaAccessed(
        gallery_id=once.gallery_id,
        day=once.day,
        kinds=once.kinds * 2,
        traits=once.traits * 2,
        items=once.items * 2,
    )
    await processor.process(record(twice))
    found = await stats(http, gallery)
    assert (found["totals"]["count"], found["items"][0]["count"]) == (6, 4)


async def test_an_item_that_is_gone_is_in_no_list(
    processor: Any, record: Any, http: Any, gallery: Any
) -> None:
    before, after = uuid4(), uuid4()
    await processor.process(record(accessed(gallery, downloads={before: 1, after: 1})))
    for media_id in (before, after):
        await processor.process(
            record(
                MediaDeleted(
                    media_id=media_id,
                    gallery_id=UUID(gallery["id"]),
                    reason="requested",
                    deleted_at=datetime(2026, 5, 1, tzinfo=UTC),
                ),
                sequence=2,
            )
        )
    await processor.process(record(accessed(gallery, downloads={after: 1})))
    found = await stats(http, gallery)
    assert found["items"] == []
    assert found["totals"]["kinds"]["download"] == 3


async def tick(processor: Any, record: Any, at: datetime) -> None:
    await processor.process(record(JanitorTick(schedule="hourly", at=at, origin="operator")))


async def test_a_deleted_gallery_has_no_counters_and_gets_none(
    processor: Any, record: Any, http: Any, gallery: Any, database: Any
) -> None:
    other = (await http("POST", "/v1/galleries")).json
    for each in (gallery, other):
        await processor.process(record(accessed(each, downloads={uuid4(): 1})))
    path, key = f"/v1/galleries/{gallery['id']}", gallery["access_key"]
    assert (await http("DELETE", path, key=key)).status == 204
    assert (await http("GET", f"{path}/stats", key=key)).json["code"] == "gallery_not_found"
    await processor.process(record(accessed(gallery)))
    kept = {"access_days": 2, "access_item_days": 1, "access_trait_days": 3}
    assert await rows(database) == kept
    assert await database.hot.fetchval("SELECT count(*) FROM buried_statistics") == 0


async def test_many_counters_of_a_deleted_gallery_go_with_the_next_tick(
    processor: Any, record: Any, http: Any, gallery: Any, database: Any, clock: Any
) -> None:
    for number in range(3):
        many = {uuid4(): 1 for _ in range(BURIED_AT_ONCE)}
        await processor.process(record(accessed(gallery, downloads=many, day=TODAY - timedelta(days=number))))
    assert (await http("DELETE", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"])).status == 204
    assert (await rows(database))["access_item_days"] == 2 * BURIED_AT_ONCE
    await tick(processor, record, clock())
    assert await rows(database) == dict.fromkeys(TABLES, 0)
    assert await database.hot.fetchval("SELECT count(*) FROM buried_statistics") == 0


async def test_sweep_and_deletion_take_tables_in_one_order(
    processor: Any, record: Any, http: Any, gallery: Any, database: Any, clock: Any
) -> None:
    """Two different orders would deadlock when both reach the same gallery."""
    await processor.process(record(accessed(gallery, downloads={uuid4(): 1})))
    orders: list[list[str]] = []
    async with database.transaction() as connection:
        driver = await driver_of(connection)
        taken: list[str] = []

        def note(statement: str) -> None:
            taken.extend(re.findall(r"DELETE FROM (\w+)", statement))

        event.listen(connection.sync_connection, "before_cursor_execute", lambda *asked: note(asked[2]))
        driver.add_query_logger(lambda asked: note(asked.query))
        for act in (
            StatisticsRows(connection).forget(before=TODAY - timedelta(days=9), limit=9),
            tombstone_statistics(driver, [UUID(gallery["id"])]),
        ):
            await act
            orders.append([*taken])
            taken.clear()
    forgotten, letters = orders
    assert set(letters) == set(TABLES)
    assert [table for table in forgotten if table in TABLES] == letters


async def test_statistics_are_read_by_two_at_once_and_grants_never_wait(
    gallery: Any, http: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics_api, "TIMEOUT_S", 0.05)
    path, key = f"/v1/galleries/{gallery['id']}/stats", gallery["access_key"]
    async with database.hot.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE access_days")
        reading = [asyncio.create_task(http("GET", path, key=key)) for _ in range(20)]
        done, waiting = await asyncio.wait(reading, timeout=2)
        refused = [task.result() for task in done]
        assert {(each.status, each.json["code"]) for each in refused} == {(503, "overloaded")}
        assert len(waiting) == statistics_api.AT_ONCE
        assert (await http("GET", f"/v1/galleries/{gallery['id']}", key=key)).status == 200
    assert [(await task).status for task in waiting] == [200, 200]


async def test_an_accounts_statistics_go_with_it(
    processor: Any, record: Any, http: Any, account: Any, database: Any, clock: Any
) -> None:
    gallery = (await http("POST", "/v1/galleries", token=account.token)).json
    await processor.process(record(accessed(gallery, downloads={uuid4(): 1})))
    await processor.process(record(AccountDeleted(account_id=account.id, deleted_at=clock())))
    assert await rows(database) == dict.fromkeys(TABLES, 0)


async def test_a_tick_forgets_after_two_years(
    processor: Any, record: Any, gallery: Any, database: Any
) -> None:
    await processor.process(record(accessed(gallery, downloads={uuid4(): 1})))
    then = datetime(2026, 5, 1, 12, tzinfo=UTC)
    await tick(processor, record, then + timedelta(days=730))
    assert (await rows(database))["access_days"] == 2
    await tick(processor, record, then + timedelta(days=731))
    assert await rows(database) == dict.fromkeys(TABLES, 0)
    assert await database.hot.fetchval("SELECT count(*) FROM access_total_days") == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=tomorrow", "from"),
        ("to=2026-13-01", "to"),
        ("from=2026-05-02", "from"),
        ("from=2020-01-01", "from"),
    ],
)
async def test_what_is_no_range_is_refused(
    http: Any, gallery: Any, account: Any, query: str, field: str
) -> None:
    for answer in (
        await http("GET", f"/v1/galleries/{gallery['id']}/stats?{query}", key=gallery["access_key"]),
        await http("GET", f"/v1/admin/stats?{query}", token=account.token_with(role="admin")),
    ):
        assert (answer.status, answer.json["code"]) == (422, "validation_failed")
        assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_who_may_not(http: Any, gallery: Any, account: Any, other: Any) -> None:
    own = (await http("POST", "/v1/galleries", token=account.token)).json
    path = f"/v1/galleries/{own['id']}/stats"
    assert (await http("GET", path, token=account.token)).status == 200
    for asked, status, code in (
        ({}, 401, "gallery_key_missing"),
        ({"token": other.token}, 404, "gallery_not_found"),
        ({"token": other.token_with(role="admin")}, 404, "gallery_not_found"),
        ({"key": gallery["access_key"]}, 403, "gallery_key_wrong"),
        ({"token": "no token"}, 401, "access_token_invalid"),
    ):
        answer = await http("GET", path, **asked)
        assert (answer.status, answer.json["code"]) == (status, code)
    for asked, status, code in (
        ({}, 401, "credentials_missing"),
        ({"token": account.token}, 403, "admin_required"),
        ({"token": "no token"}, 401, "access_token_invalid"),
    ):
        answer = await http("GET", "/v1/admin/stats", **asked)
        assert (answer.status, answer.json["code"]) == (status, code)
