"""Galleries with a password: setting, changing and removing it, entering it, and guessing it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from kappi_chassis.fair_queue import Shares
from kappi_chassis.passwords import Passwords
from kappi_galleries.use_cases.change_gallery import ChangeGallery

pytestmark = pytest.mark.integration

GALLERIES, VIEW = "/v1/galleries", "/internal/grants/view"
HERE, ELSEWHERE = "203.0.113.7", "2001:db8::/64"
REQUIRED, WRONG = (401, "gallery_password_required"), (401, "gallery_password_wrong")
THROTTLED = (429, "too_many_password_attempts")


def path(gallery: Any) -> str:
    return f"{GALLERIES}/{gallery['id']}"


def outcome(answer: Any) -> tuple[int, str]:
    return answer.status, "" if answer.status == 200 else answer.json["code"]


@pytest.fixture
async def gallery(http: Any, account: Any) -> Any:
    body = {"title": "Lisbon", "password": "open sesame"}
    return (await http("POST", GALLERIES, body=body, token=account.token)).json


@pytest.fixture
def view(http: Any, gallery: Any) -> Any:
    """Returns `await view(password, client=…)`: the outcome of viewing the gallery."""

    async def view(password: str | None = None, *, client: str | None = HERE, code: str = "") -> Any:
        body = {"code": code or gallery["code"], "password": password, "client": client}
        return await http(
            "POST", VIEW, body={name: value for name, value in body.items() if value is not None}
        )

    return view


async def test_the_password_opens_it_and_nothing_else_does(view: Any, gallery: Any) -> None:
    answer = await view("open sesame")
    assert answer.status == 200
    assert answer.json["gallery_id"] == gallery["id"]
    assert gallery["password_protected"]

    assert outcome(await view()) == REQUIRED
    assert outcome(await view("")) == REQUIRED
    for wrong in ("Open sesame", "open sesame ", "x" * 5_000, "open\u0000sesame"):
        assert outcome(await view(wrong)) == WRONG


async def test_a_refusal_shows_nothing_of_the_gallery(view: Any, gallery: Any) -> None:
    for answer in (await view(), await view("wrong")):
        assert gallery["id"].encode() not in answer.body
        assert b"Lisbon" not in answer.body
        assert b"grant" not in answer.body


async def test_a_password_is_the_same_however_a_device_composes_it(
    http: Any, account: Any, gallery: Any, view: Any
) -> None:
    await http("PATCH", path(gallery), body={"password": "caf\u00e9\u00a01"}, token=account.token)
    assert outcome(await view("cafe\u0301 1")) == (200, "")


async def test_only_a_hash_is_stored_and_nothing_is_published(
    http: Any, account: Any, gallery: Any, database: Any, published: Any
) -> None:
    await http(
        "PATCH",
        path(gallery),
        body={"password": "another sesame"},
        token=account.token,
    )
    tables = ("galleries", "outbox", "idempotency", "password_attempts")
    rows = [str(row) for table in tables for row in await database.hot.fetch(f"SELECT * FROM {table}")]

    assert not [row for row in rows if "sesame" in row]
    stored = await database.hot.fetchval("SELECT password_hash FROM galleries")
    assert stored.startswith("$argon2id$")
    assert "argon2" not in str(await published())
    assert "password_hash" not in (await http("GET", path(gallery), token=account.token)).json


async def test_it_is_changed_and_cleared_and_each_time_published(
    http: Any, account: Any, gallery: Any, view: Any, published: Any
) -> None:
    changed = await http("PATCH", path(gallery), body={"password": "new"}, token=account.token)
    old, new = outcome(await view("open sesame")), outcome(await view("new"))
    cleared = await http("PATCH", path(gallery), body={"password": None}, token=account.token)
    without = outcome(await view())
    with_one = outcome(await view("whatever"))
    again = await http("PATCH", path(gallery), body={"password": "third"}, token=account.token)

    assert [each.json["password_protected"] for each in (changed, cleared, again)] == [True, False, True]
    assert (old, new, without, with_one) == (WRONG, (200, ""), (200, ""), (200, ""))
    assert [sequence for _, sequence, _ in await published()] == [1, 2, 3, 4]


async def test_only_its_owner_changes_it(
    http: Any, other: Any, gallery: Any, view: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Passwords, "hash", lambda *_, **__: pytest.fail("hashed for a stranger"))
    answer = await http("PATCH", path(gallery), body={"password": "mine"}, token=other.token)

    assert outcome(answer) == (404, "gallery_not_found")
    assert outcome(await view("open sesame")) == (200, "")


async def test_of_passwords_set_at_once_one_stays_and_each_is_published(
    http: Any, account: Any, gallery: Any, make_http: Any, database: Any, published: Any
) -> None:
    candidates = [f"password {number}" for number in range(8)]
    answers = await asyncio.gather(
        *(
            http("PATCH", path(gallery), body={"password": each, "title": each}, token=account.token)
            for each in candidates
        )
    )

    assert {answer.status for answer in answers} == {200}
    assert [sequence for _, sequence, _ in await published()] == list(range(1, 10))
    title = (await http("GET", path(gallery), token=account.token)).json["title"]
    opened = [
        each
        for each in candidates
        if outcome(await http("POST", VIEW, body={"code": gallery["code"], "password": each, "client": each}))
        == (200, "")
    ]
    # The password and the title come from the same change.
    assert opened == [title]


async def test_a_gallery_deleted_while_its_password_is_hashed_stays_deleted(
    http: Any, account: Any, gallery: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = ChangeGallery._hashed

    async def slowly(*args: Any, **named: Any) -> Any:
        secrets = await hashed(*args, **named)
        assert (await http("DELETE", path(gallery), token=account.token)).status == 204
        return secrets

    monkeypatch.setattr(ChangeGallery, "_hashed", slowly)
    answer = await http("PATCH", path(gallery), body={"password": "new"}, token=account.token)

    assert outcome(answer) == (404, "gallery_not_found")
    assert await database.hot.fetchval("SELECT password_hash FROM galleries") is None


# Guessing.


async def test_wrong_passwords_run_out_and_come_back_by_the_clock(view: Any, clock: Any) -> None:
    guesses = [outcome(await view(f"guess {number}")) for number in range(12)]
    assert guesses == [WRONG] * 10 + [THROTTLED] * 2

    refused = await view("open sesame")
    assert (outcome(refused), refused.headers["retry-after"]) == (THROTTLED, "60")
    clock.pass_by(timedelta(seconds=59))
    assert (await view("open sesame")).headers["retry-after"] == "1"

    clock.pass_by(timedelta(seconds=1))
    assert [outcome(await view("wrong")), outcome(await view("wrong"))] == [WRONG, THROTTLED]
    clock.pass_by(timedelta(minutes=1))
    assert outcome(await view("open sesame")) == (200, "")
    clock.pass_by(timedelta(minutes=30))
    assert [outcome(await view("wrong")) for _ in range(11)] == [WRONG] * 10 + [THROTTLED]


async def test_the_right_password_costs_nothing(view: Any) -> None:
    assert [outcome(await view("open sesame")) for _ in range(25)] == [(200, "")] * 25
    assert [outcome(await view("wrong")) for _ in range(11)] == [WRONG] * 10 + [THROTTLED]


async def test_asking_without_a_password_costs_nothing(view: Any) -> None:
    assert [outcome(await view()) for _ in range(15)] == [REQUIRED] * 15
    assert outcome(await view("open sesame")) == (200, "")


async def test_guesses_at_once_are_counted_each(view: Any) -> None:
    outcomes = [outcome(answer) for answer in await asyncio.gather(*(view(f"guess {n}") for n in range(30)))]
    assert (outcomes.count(WRONG), outcomes.count(THROTTLED)) == (10, 20)


async def test_each_client_and_each_gallery_is_counted_apart(
    http: Any, account: Any, view: Any, gallery: Any
) -> None:
    second = (await http("POST", GALLERIES, body={"password": "other"}, token=account.token)).json
    for _ in range(11):
        await view("wrong")

    assert outcome(await view("open sesame")) == THROTTLED
    assert outcome(await view("open sesame", client=ELSEWHERE)) == (200, "")
    assert outcome(await view("other", code=second["code"])) == (200, "")


async def test_clients_nobody_names_are_one(view: Any) -> None:
    outcomes = [outcome(await view("wrong", client=None)) for _ in range(11)]
    assert outcomes == [WRONG] * 10 + [THROTTLED]


async def test_replicas_count_together(make_http: Any, gallery: Any) -> None:
    replicas = [make_http(), make_http()]
    body = {"code": gallery["code"], "password": "wrong", "client": HERE}
    outcomes = [outcome(await replicas[number % 2]("POST", VIEW, body=body)) for number in range(12)]
    assert outcomes == [WRONG] * 10 + [THROTTLED] * 2


async def test_what_is_forgotten_is_swept_and_no_address_is_kept(
    view: Any, clock: Any, database: Any
) -> None:
    for number in range(6):
        await view("wrong", client=f"203.0.113.{number}")
    rows = await database.hot.fetch("SELECT * FROM password_attempts")
    assert len(rows) == 6
    assert "203.0.113" not in str(rows)

    clock.pass_by(timedelta(hours=1))
    for _ in range(2):
        await view("wrong")
    assert await database.hot.fetchval("SELECT count(*) FROM password_attempts") == 1


async def test_limits_come_from_the_settings(make_http: Any, gallery: Any) -> None:
    http = make_http(unlock_burst=1, unlock_refill=timedelta(minutes=5))
    body = {"code": gallery["code"], "password": "wrong", "client": HERE}
    first, second = [await http("POST", VIEW, body=body) for _ in range(2)]
    assert (outcome(first), outcome(second)) == (WRONG, THROTTLED)
    assert second.headers["retry-after"] == "300"


# The hasher.


async def test_too_many_at_once_are_told_to_come_back_and_not_counted(
    http_on: Any, gallery: Any, view: Any
) -> None:
    crowded = Passwords(time_cost=1, memory_kib=8, longest_queue=1, share=1)
    http = http_on(passwords=crowded)

    body = {"code": gallery["code"], "password": "wrong", "client": HERE}
    async with crowded._queue.turn(Shares(address=ELSEWHERE)):
        busy = [await http("POST", VIEW, body=body) for _ in range(15)]

    assert {outcome(answer) for answer in busy} == {(503, "busy")}
    assert busy[0].headers["retry-after"] == "2"
    assert outcome(await view("open sesame")) == (200, "")
    assert [outcome(await http("POST", VIEW, body=body)) for _ in range(11)] == [WRONG] * 10 + [THROTTLED]
    await crowded.close()


async def test_under_a_used_key_nothing_is_hashed(
    http: Any, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"idempotency-key": "protected-gallery-of-today"}
    body = {"title": "Porto", "password": "open sesame"}
    first = await http("POST", GALLERIES, body=body, token=account.token, headers=headers)
    monkeypatch.setattr(Passwords, "hash", lambda *_, **__: pytest.fail("hashed again"))
    again = await http("POST", GALLERIES, body=body, token=account.token, headers=headers)
    other = await http("POST", GALLERIES, body={"password": "other"}, token=account.token, headers=headers)

    assert (again.status, again.body) == (201, first.body)
    assert outcome(other) == (422, "idempotency_key_reused")


async def test_an_owner_who_sets_many_passwords_leaves_the_queue_to_others(
    http_on: Any, account: Any, gallery: Any
) -> None:
    shared = Passwords(time_cost=1, memory_kib=8, longest_queue=8, share=4)
    http = http_on(passwords=shared)

    def change(number: int) -> Any:
        return http(
            "PATCH",
            path(gallery),
            body={"password": "open sesame"},
            token=account.token,
            headers={"x-forwarded-for": f"203.0.113.{number}"},
        )

    body = {"code": gallery["code"], "password": "open sesame", "client": HERE}
    *changes, viewed = await asyncio.gather(
        *(change(number) for number in range(40)), http("POST", VIEW, body=body)
    )

    assert outcome(viewed) == (200, "")
    assert {outcome(answer) for answer in changes} == {(200, ""), (503, "busy")}
    await shared.close()


async def test_an_old_hash_is_made_anew_when_its_password_comes_by(
    http_on: Any, gallery: Any, database: Any, published: Any
) -> None:
    before = await database.hot.fetchval("SELECT password_hash FROM galleries")
    stronger = Passwords(time_cost=2, memory_kib=8, longest_queue=8, share=8)
    http = http_on(passwords=stronger)

    wrong = await http("POST", VIEW, body={"code": gallery["code"], "password": "wrong"})
    unchanged = await database.hot.fetchval("SELECT password_hash FROM galleries")
    right = await http("POST", VIEW, body={"code": gallery["code"], "password": "open sesame"})
    after = await database.hot.fetchval("SELECT password_hash FROM galleries")
    again = await http("POST", VIEW, body={"code": gallery["code"], "password": "open sesame"})

    assert (outcome(wrong), unchanged) == (WRONG, before)
    assert "t=1" in before
    assert "t=2" in after
    assert (outcome(right), outcome(again)) == ((200, ""), (200, ""))
    # Nothing visible has changed.
    assert len(await published()) == 1
    await stronger.close()
