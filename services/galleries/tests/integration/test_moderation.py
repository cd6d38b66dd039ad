"""Administrators' decisions: galleries that are down, and those of suspended accounts, are not shown."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.clock import new_id
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import AccountSuspensionChanged, GalleryTakedownChanged
from kappi_galleries.use_cases.apply_moderation import ApplySuspension

from .posting import Poster

pytestmark = pytest.mark.integration

GALLERIES, VIEW, KEY, OWNER = (
    "/v1/galleries",
    "/internal/grants/view",
    "/internal/grants/key",
    "/internal/grants/owner",
)
REASON = "Reported as spam"


@pytest.fixture
def takedown(record: Any, processor: Any, clock: Any) -> Any:
    """Returns `await takedown(id, gallery, lifted=…, sequence=…)`: the event takes effect."""

    async def apply(takedown_id: UUID, gallery: str, *, lifted: bool = False, reason: str = REASON) -> None:
        event = GalleryTakedownChanged(
            takedown_id=takedown_id, gallery=gallery, reason=reason, lifted=lifted, changed_at=clock.now
        )
        await processor.process(record(event, sequence=2 if lifted else 1))

    return apply


@pytest.fixture
def suspension(record: Any, processor: Any, clock: Any, account: Any) -> Any:
    async def apply(*, suspended: bool, sequence: int) -> None:
        event = AccountSuspensionChanged(account_id=account.id, suspended=suspended, changed_at=clock.now)
        await processor.process(record(event, sequence=sequence))

    return apply


async def _updates(published: Any) -> list[tuple[str, bool]]:
    return [
        (event["gallery_id"], event.get("closed", False))
        for topic, _, event in await published()
        if topic == "GalleryUpdated"
    ]


@pytest.mark.parametrize("by", ["id", "code"])
async def test_a_gallery_that_is_down_is_not_shown_and_its_manager_is_told_why(
    http: Any, takedown: Any, published: Any, by: str
) -> None:
    gallery = (await http("POST", GALLERIES, body={"title": "Lisbon"})).json
    path, key, takedown_id = f"{GALLERIES}/{gallery['id']}", gallery["access_key"], uuid4()
    await takedown(takedown_id, gallery[by])

    assert (await http("POST", VIEW, body={"code": gallery["code"]})).json["code"] == "gallery_not_found"
    managed = await http("POST", KEY, body={"access_key": key})
    assert (managed.status, managed.json["code"], managed.json["detail"]) == (
        403,
        "gallery_taken_down",
        REASON,
    )
    told = (await http("GET", path, key=key)).json
    assert (told["takedown_reason"], told["title"]) == (REASON, "Lisbon")
    renamed = await http("PATCH", path, key=key, body={"title": "Porto"})
    assert renamed.json["takedown_reason"] == REASON

    await takedown(takedown_id, gallery[by], lifted=True)
    assert (await http("POST", VIEW, body={"code": gallery["code"]})).status == 200
    assert (await http("POST", KEY, body={"access_key": key})).status == 200
    assert (await http("GET", path, key=key)).json["takedown_reason"] is None
    assert await _updates(published) == [
        (gallery["id"], True),
        (gallery["id"], True),
        (gallery["id"], False),
    ]


async def test_a_gallery_is_down_until_the_last_of_its_takedowns_is_lifted(
    http: Any, takedown: Any, database: Any
) -> None:
    gallery = (await http("POST", GALLERIES)).json
    path, key = f"{GALLERIES}/{gallery['id']}", gallery["access_key"]
    older, newer = new_id(), new_id()
    await takedown(newer, gallery["code"], reason="Newer")
    await takedown(older, gallery["id"], reason="Told late")
    for lifted, reason in ((newer, "Told late"), (newer, "Told late"), (older, None)):
        assert (await http("POST", VIEW, body={"code": gallery["code"]})).status == 404
        await takedown(lifted, gallery["id"], lifted=True)
        assert (await http("GET", path, key=key)).json["takedown_reason"] == reason
    assert (await http("POST", VIEW, body={"code": gallery["code"]})).status == 200
    await takedown(new_id(), gallery["id"])
    assert (await http("DELETE", path, key=key)).status == 204
    assert await database.hot.fetchval("SELECT count(*) FROM standing_takedowns") == 0


async def test_what_names_no_gallery_changes_nothing(http: Any, takedown: Any, published: Any) -> None:
    gallery = (await http("POST", GALLERIES)).json
    for named in ("nosuchcode", str(uuid4())):
        await takedown(uuid4(), named)
    await takedown(uuid4(), gallery["code"], lifted=True)
    assert await _updates(published) == []
    assert (await http("POST", VIEW, body={"code": gallery["code"]})).status == 200


async def test_a_gallery_that_is_down_may_be_deleted(http: Any, takedown: Any, database: Any) -> None:
    gallery = (await http("POST", GALLERIES)).json
    await takedown(uuid4(), gallery["id"])
    path = f"{GALLERIES}/{gallery['id']}"
    assert (await http("DELETE", path, key=gallery["access_key"])).status == 204
    row = await database.hot.fetchrow("SELECT takedown_id, takedown_reason FROM galleries")
    assert tuple(row) == (None, None)


async def test_galleries_of_a_suspended_account_are_not_found_until_it_is_reinstated(
    http: Any, account: Any, other: Any, suspension: Any, published: Any
) -> None:
    own = [(await http("POST", GALLERIES, token=account.token)).json for _ in range(3)]
    foreign = (await http("POST", GALLERIES, token=other.token)).json
    anonymous = (await http("POST", GALLERIES)).json
    await suspension(suspended=True, sequence=2)

    for gallery in own:
        answer = await http("POST", VIEW, body={"code": gallery["code"]})
        assert answer.json["code"] == "gallery_not_found"
    asked = {"gallery_id": own[0]["id"], "token": account.token}
    assert (await http("POST", OWNER, body=asked)).json["code"] == "gallery_not_found"
    assert (await http("POST", GALLERIES, token=account.token)).json["code"] == "access_token_invalid"
    # Its access token is good for some minutes.
    path = f"{GALLERIES}/{own[0]['id']}"
    assert (await http("GET", GALLERIES, token=account.token)).json["items"] == []
    for method, below in (
        ("GET", ""),
        ("GET", "/stats"),
        ("PATCH", ""),
        ("POST", "/rotate-code"),
        ("DELETE", ""),
    ):
        body = {"title": "Mine"} if method == "PATCH" else None
        answer = await http(method, path + below, token=account.token, body=body)
        assert (answer.status, answer.json["code"]) == (404, "gallery_not_found")
    claim = f"{GALLERIES}/{anonymous['id']}/claim"
    claimed = await http("POST", claim, token=account.token, key=anonymous["access_key"])
    assert claimed.json["code"] == "access_token_invalid"
    assert (await http("POST", VIEW, body={"code": foreign["code"]})).status == 200
    assert sorted(await _updates(published)) == sorted((gallery["id"], True) for gallery in own)

    await suspension(suspended=False, sequence=3)
    await suspension(suspended=True, sequence=2)  # delivered late
    for gallery in own:
        assert (await http("POST", VIEW, body={"code": gallery["code"]})).status == 200
    assert (await http("POST", OWNER, body=asked)).status == 200
    assert len((await http("GET", GALLERIES, token=account.token)).json["items"]) == 3
    assert (await http("GET", path, token=account.token)).json["code"] == own[0]["code"]
    assert (await http("POST", GALLERIES, token=account.token)).status == 201


async def test_many_galleries_are_closed_page_by_page(
    http: Any, account: Any, outbox: Any, clock: Any, database: Any, published: Any
) -> None:
    for _ in range(5):
        assert (await http("POST", GALLERIES, token=account.token)).status == 201
    event = AccountSuspensionChanged(account_id=account.id, suspended=True, changed_at=clock.now)
    envelope = Envelope(id=new_id(), source="/identity", time=clock.now, sequence=2, data=event)
    handler = ApplySuspension(outbox=outbox, clock=clock, consumer="galleries", page=2)
    assert await handler(envelope)
    assert not await handler(envelope), "told twice"
    assert await database.hot.fetchval("SELECT count(*) FROM galleries WHERE owner_suspended") == 5
    assert len(await _updates(published)) == 5


async def test_a_suspended_account_neither_posts_nor_comments_until_it_is_reinstated(
    http: Any, account: Any, other: Any, suspension: Any
) -> None:
    poster = Poster(http)
    post = await poster.post(other)
    await poster.comment(account, post["id"])
    await suspension(suspended=True, sequence=2)
    for refused in (await poster.send(account), await poster.send_comment(account, post["id"], "Again")):
        assert (refused.status, refused.json["code"]) == (401, "access_token_invalid")
    assert (await poster.read(post["id"]))["comment_count"] == 1
    await suspension(suspended=False, sequence=3)
    await poster.post(account)
    await poster.comment(account, post["id"])


async def test_posts_of_a_suspended_account_are_hidden_until_it_is_reinstated(
    http: Any, account: Any, other: Any, suspension: Any
) -> None:
    poster = Poster(http)
    hidden, shown = [await poster.post(each) for each in (account, other)]
    await poster.comment(other, hidden["id"])
    await suspension(suspended=True, sequence=2)
    for limit in (1, 20):
        assert [post["id"] for post in await poster.walk(limit=limit)] == [shown["id"]]
    for path in (f"/v1/posts/{hidden['id']}", f"/v1/posts/{hidden['id']}/comments"):
        assert (await http("GET", path)).json["code"] == "post_not_found"
    commented = await poster.send_comment(other, hidden["id"], "Again")
    assert (commented.status, commented.json["code"]) == (404, "post_not_found")

    await suspension(suspended=False, sequence=3)
    assert [post["id"] for post in await poster.walk(limit=1)] == [hidden["id"], shown["id"]]
    assert (await poster.read(hidden["id"]))["comment_count"] == 1
    await poster.comment(other, hidden["id"])
