"""Contributors: who becomes one, what its key gives, and how it is removed."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.auth import GrantVerifier, JwksSource, SigningKey, TokenVerifier
from kappi_chassis.clock import utc_now
from kappi_contracts.events import AccountDeleted, GalleryExpired, MediaDeleted, MediaMoved, MediaReady
from kappi_contracts.grants import GRANT_AUDIENCE, GRANT_HEADER, GRANT_ISSUER, Contributor, Grant
from kappi_galleries.domain.credentials import new_access_key
from kappi_testkit.auth import key_set

pytestmark = pytest.mark.integration

GALLERIES = "/v1/galleries"
VIEW, BY_KEY = "/internal/grants/view", "/internal/grants/contributor"


@pytest.fixture
def clock(clock: Any) -> Any:
    """Returns the clock set to the current time, because verifiers read the wall clock."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def make_gallery(http: Any) -> Any:
    async def make(token: str | None = None, **body: Any) -> Any:
        answer = await http("POST", GALLERIES, body={"contributions": "open", **body}, token=token)
        assert answer.status == 201, answer.body
        return answer.json

    return make


@pytest.fixture
def granted(http: Any) -> Any:
    """Returns `await granted(code)`: the header with the grant to view that the gateway would send."""

    async def granted(code: str) -> dict[str, str]:
        answer = await http("POST", VIEW, body={"code": code})
        assert answer.status == 200, answer.body
        return {GRANT_HEADER: answer.json["grant"]}

    return granted


@pytest.fixture
def join(http: Any, granted: Any) -> Any:
    """Returns `await join(gallery, name="Grace")`: the answer to a new contributor."""

    async def join(gallery: Any, *, headers: Any = None, **body: Any) -> Any:
        named = {**await granted(gallery["code"]), **(headers or {})}
        return await http("POST", f"/v1/g/{gallery['code']}/contributors", body=body, headers=named)

    return join


@pytest.fixture
def opened(grant_key: SigningKey) -> Any:
    tokens = TokenVerifier(JwksSource(key_set(grant_key)), issuer=GRANT_ISSUER, audience=GRANT_AUDIENCE)
    verifier = GrantVerifier(tokens, clock=utc_now)

    async def opened(answer: Any) -> Grant:
        assert answer.status == 200, answer.body
        return await verifier.open(answer.json["grant"])

    return opened


@pytest.fixture
def by_key(http: Any) -> Any:
    return lambda key: http("POST", BY_KEY, body={"contributor_key": key})


def outcome(answer: Any) -> tuple[int, str]:
    return answer.status, "" if answer.status < 300 else answer.json["code"]


def path(gallery: Any, contributor: Any = None) -> str:
    every = f"{GALLERIES}/{gallery['id']}/contributors"
    return every if contributor is None else f"{every}/{contributor['id']}"


def ready(gallery: Any, media_id: UUID, contributor: Any, *, at: datetime) -> MediaReady:
    return MediaReady(
        media_id=media_id,
        gallery_id=UUID(gallery["id"]),
        kind="image",
        content_type="image/jpeg",
        size_bytes=1_000,
        width=1,
        height=1,
        duration_ms=None,
        ready_at=at,
        contributor_id=None if contributor is None else UUID(contributor["id"]),
    )


async def test_contributions_are_closed_unless_the_manager_opens_them(
    http: Any, join: Any, published: Any
) -> None:
    gallery = (await http("POST", GALLERIES)).json
    assert gallery["contributions"] == "closed"
    assert outcome(await join(gallery)) == (403, "contributions_closed")

    for wanted in ("drop", "open"):
        changed = await http(
            "PATCH",
            f"{GALLERIES}/{gallery['id']}",
            body={"contributions": wanted},
            key=gallery["access_key"],
        )
        assert changed.json["contributions"] == wanted
        assert (await join(gallery)).status == 201
    told = [data.get("contributions") for topic, _, data in await published() if topic == "GalleryUpdated"]
    assert told == ["drop", "open"]
    unknown = await http(
        "PATCH", f"{GALLERIES}/{gallery['id']}", body={"contributions": "ajar"}, key=gallery["access_key"]
    )
    assert outcome(unknown) == (422, "validation_failed")


async def test_a_contributor_gets_a_key_once_and_only_its_hash_is_stored(
    database: Any, make_gallery: Any, join: Any
) -> None:
    gallery = await make_gallery()
    answer = await join(gallery, name="  Grace  ")

    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json) == {"id", "gallery_id", "name", "contributor_key", "created_at"}
    assert (answer.json["name"], answer.json["gallery_id"]) == ("Grace", gallery["id"])
    key = answer.json["contributor_key"]
    assert key.startswith("kappi_")
    assert len(key) == len(new_access_key())
    stored = await database.hot.fetchrow("SELECT * FROM contributors")
    assert key.encode() not in b"".join(str(value).encode() for value in stored.values())
    assert (await join(gallery)).json["name"] is None


@pytest.mark.parametrize(
    ("name", "code"),
    [("x" * 81, "too_long"), ("a\nb", "control_character"), ("a\x00b", "control_character")],
)
async def test_a_name_is_one_short_line(make_gallery: Any, join: Any, name: str, code: str) -> None:
    answer = await join(await make_gallery(), name=name)
    assert outcome(answer) == (422, "validation_failed")
    assert [(error["field"], error["code"]) for error in answer.json["errors"]] == [("name", code)]


async def test_a_repeated_call_gets_the_same_contributor(make_gallery: Any, join: Any) -> None:
    gallery, call = await make_gallery(), {"Idempotency-Key": str(uuid4())}
    first = await join(gallery, headers=call, name="Grace")
    again = await join(gallery, headers=call, name="Grace")
    assert first.json == again.json
    assert outcome(await join(gallery, headers=call)) == (422, "idempotency_key_reused")
    assert outcome(await join(gallery, headers={"Idempotency-Key": "12345678"})) == (
        400,
        "idempotency_key_invalid",
    )


async def test_the_call_needs_a_grant_of_that_code(http: Any, make_gallery: Any, granted: Any) -> None:
    gallery, other = await make_gallery(), await make_gallery()
    joining = f"/v1/g/{gallery['code']}/contributors"
    assert outcome(await http("POST", joining)) == (401, "credentials_missing")
    forged = {GRANT_HEADER: "eyJhbGciOiJFZERTQSJ9.e30.c2ln"}
    assert outcome(await http("POST", joining, headers=forged)) == (401, "grant_invalid")
    foreign = await granted(other["code"])
    assert outcome(await http("POST", joining, headers=foreign)) == (404, "gallery_not_found")


async def test_a_grant_that_is_older_than_a_change_adds_no_contributor(
    http: Any, make_gallery: Any, granted: Any, account: Any
) -> None:
    gallery = await make_gallery(account.token)
    held = await granted(gallery["code"])
    joining, one = f"/v1/g/{gallery['code']}/contributors", f"{GALLERIES}/{gallery['id']}"
    for change, refused in (
        ({"contributions": "closed"}, (403, "contributions_closed")),
        ({"contributions": "open", "visibility": "private"}, (404, "gallery_not_found")),
    ):
        assert (await http("PATCH", one, body=change, token=account.token)).status == 200
        assert outcome(await http("POST", joining, headers=held)) == refused
    await http("DELETE", one, token=account.token)
    assert outcome(await http("POST", joining, headers=held)) == (404, "gallery_not_found")


async def test_a_gallery_has_a_limited_number_of_contributors(
    make_http: Any, make_gallery: Any, granted: Any, http: Any
) -> None:
    gallery, few = await make_gallery(), make_http(contributors_per_gallery=3)
    headers = await granted(gallery["code"])

    async def ask() -> Any:
        return await few("POST", f"/v1/g/{gallery['code']}/contributors", headers=headers)

    answers = await asyncio.gather(*(ask() for _ in range(8)))
    assert sorted(map(outcome, answers)) == [(201, "")] * 3 + [(409, "too_many_contributors")] * 5

    (added, *_) = [answer.json for answer in answers if answer.status == 201]
    assert (await http("DELETE", path(gallery, added), key=gallery["access_key"])).status == 204
    assert (await ask()).status == 201


async def test_places_that_were_not_used_for_a_day_are_given_to_others(
    make_http: Any,
    make_gallery: Any,
    granted: Any,
    clock: Any,
    by_key: Any,
    processor: Any,
    record: Any,
    published: Any,
    database: Any,
) -> None:
    gallery, few = await make_gallery(), make_http(contributors_per_gallery=2)

    async def ask() -> Any:
        headers = await granted(gallery["code"])
        return await few("POST", f"/v1/g/{gallery['code']}/contributors", headers=headers)

    used, unused = (await ask()).json, (await ask()).json
    await processor.process(record(ready(gallery, uuid4(), used, at=clock.now), sequence=2))
    assert outcome(await ask()) == (409, "too_many_contributors")
    await database.hot.execute("UPDATE contributors SET created_at = created_at - interval '1 day 1 second'")
    assert (await ask()).status == 201
    assert outcome(await ask()) == (409, "too_many_contributors")
    assert (await by_key(used["contributor_key"])).status == 200
    assert (await by_key(unused["contributor_key"])).status != 200
    told = [data for topic, _, data in await published() if topic == "ContributorRemoved"]
    assert [(data["contributor_id"], data["items_deleted"]) for data in told] == [(unused["id"], False)]


async def test_a_key_is_exchanged_for_a_grant_that_names_the_contributor(
    make_gallery: Any, join: Any, by_key: Any, opened: Any, account: Any
) -> None:
    for token, contributions in ((None, "open"), (account.token, "drop")):
        gallery = await make_gallery(token, contributions=contributions)
        added = (await join(gallery, name="Grace")).json
        answer = await by_key(added["contributor_key"])
        grant = await opened(answer)
        assert grant.contributor == Contributor(UUID(added["id"]), "Grace")
        assert (grant.right, str(grant.gallery_id)) == ("contribute", gallery["id"])
        assert grant.gallery.contributions == contributions
        assert grant.owner_id == (None if token is None else account.id)
        assert answer.json["hides_items"] is False


async def test_a_grant_to_view_says_that_a_drop_hides_its_items(http: Any, make_gallery: Any) -> None:
    for contributions in ("open", "drop"):
        gallery = await make_gallery(contributions=contributions)
        answer = await http("POST", VIEW, body={"code": gallery["code"]})
        assert answer.json["hides_items"] is (contributions == "drop")
        managing = await http("POST", "/internal/grants/key", body={"access_key": gallery["access_key"]})
        assert managing.json["hides_items"] is False


async def test_other_texts_are_no_contributor_key(make_gallery: Any, by_key: Any) -> None:
    gallery = await make_gallery()
    for key in (gallery["access_key"], new_access_key(), gallery["code"], ""):
        assert outcome(await by_key(key)) == (403, "contributor_key_wrong")


async def test_a_key_works_while_the_code_opens_the_gallery(
    http: Any, make_gallery: Any, join: Any, by_key: Any, account: Any, opened: Any, clock: Any
) -> None:
    gallery = await make_gallery(account.token, password="open sesame", contributions="closed")
    one = f"{GALLERIES}/{gallery['id']}"

    async def change(**body: Any) -> None:
        assert (await http("PATCH", one, body=body, token=account.token)).status == 200

    await change(password=None, contributions="open")
    key = (await join(gallery)).json["contributor_key"]
    await change(password="open sesame")
    assert (await by_key(key)).status == 200  # it was given to a viewer that knew the password of that time
    await change(contributions="closed")
    assert (await opened(await by_key(key))).gallery.contributions == "closed"
    await change(visibility="private")
    assert outcome(await by_key(key)) == (404, "gallery_not_found")
    await change(visibility="shared", contributions="open")
    assert (await by_key(key)).status == 200
    await change(max_views=1)
    await http("POST", f"/internal/galleries/{gallery['id']}/views")
    assert (await by_key(key)).status == 200
    clock.now += timedelta(hours=2)
    assert outcome(await by_key(key)) == (404, "gallery_not_found")


async def test_a_key_ends_with_its_anonymous_gallery(
    make_gallery: Any, join: Any, by_key: Any, clock: Any
) -> None:
    key = (await join(await make_gallery(expires_in=3_600))).json["contributor_key"]
    clock.now += timedelta(seconds=3_600)
    assert outcome(await by_key(key)) == (404, "gallery_not_found")


async def test_the_manager_lists_contributors_with_what_they_added(
    http: Any, make_gallery: Any, join: Any, processor: Any, record: Any, clock: Any
) -> None:
    gallery, elsewhere = await make_gallery(), await make_gallery()
    added = [(await join(gallery, name=name)).json for name in ("Ada", "Grace", "Mary")]
    own, deleted, moved = uuid4(), uuid4(), uuid4()

    for media_id, contributor in (
        *((uuid4(), added[0]), (uuid4(), added[0]), (own, None)),
        *((deleted, added[1]), (moved, added[1]), (uuid4(), added[1])),
    ):
        await processor.process(record(ready(gallery, media_id, contributor, at=clock.now), sequence=2))
    there = {"gallery_id": UUID(gallery["id"])}
    gone = MediaDeleted(media_id=deleted, reason="requested", deleted_at=clock.now, **there)
    await processor.process(record(gone, sequence=3))
    away = MediaMoved(
        media_id=moved,
        gallery_id=UUID(elsewhere["id"]),
        from_gallery_id=UUID(gallery["id"]),
        size_bytes=1_000,
        moved_at=clock.now,
    )
    await processor.process(record(away, sequence=3))

    first = await http("GET", f"{path(gallery)}?limit=2", key=gallery["access_key"])
    second = await http(
        "GET", f"{path(gallery)}?limit=2&cursor={first.json['next_cursor']}", key=gallery["access_key"]
    )
    items = [*first.json["items"], *second.json["items"]]
    assert second.json["next_cursor"] is None
    assert [set(item) for item in items] == [{"id", "name", "created_at", "item_count", "size_bytes"}] * 3
    assert [(item["name"], item["item_count"], item["size_bytes"]) for item in items] == [
        ("Mary", 0, 0),
        ("Grace", 1, 1_000),
        ("Ada", 2, 2_000),
    ]
    assert (await http("GET", f"{GALLERIES}/{gallery['id']}", key=gallery["access_key"])).json[
        "item_count"
    ] == 4


async def test_a_removed_contributor_has_no_key_and_is_told_of_once(
    http: Any, make_gallery: Any, join: Any, by_key: Any, published: Any
) -> None:
    gallery = await make_gallery()
    added = (await join(gallery, name="Grace")).json
    for _ in range(2):
        assert (await http("DELETE", path(gallery, added), key=gallery["access_key"])).status == 204
    assert outcome(await by_key(added["contributor_key"])) == (403, "contributor_key_wrong")
    assert (await http("GET", path(gallery), key=gallery["access_key"])).json["items"] == []

    # Its items may be deleted later.
    deleting = f"{path(gallery, added)}?items=delete"
    assert (await http("DELETE", deleting, key=gallery["access_key"])).status == 204
    told = [(sequence, data) for topic, sequence, data in await published() if topic == "ContributorRemoved"]
    assert [(sequence, data["items_deleted"]) for sequence, data in told] == [(2, False), (3, True)]
    assert {data["contributor_id"] for _, data in told} == {added["id"]}
    assert "Grace" not in str(told)


async def test_only_the_manager_sees_and_removes_contributors(
    http: Any, make_gallery: Any, join: Any, account: Any, other: Any
) -> None:
    gallery, foreign = await make_gallery(account.token), await make_gallery()
    added = (await join(gallery)).json
    for method, where in (("GET", path(gallery)), ("DELETE", path(gallery, added))):
        assert outcome(await http(method, where)) == (401, "gallery_key_missing")
        assert outcome(await http(method, where, key=foreign["access_key"])) == (403, "gallery_key_wrong")
        assert outcome(await http(method, where, key=added["contributor_key"])) == (403, "gallery_key_wrong")
        assert outcome(await http(method, where, token=other.token)) == (404, "gallery_not_found")
    for unknown in (uuid4(), (await join(foreign)).json["id"]):
        where = path(gallery, {"id": unknown})
        assert outcome(await http("DELETE", where, token=account.token)) == (404, "contributor_not_found")
    bad = await http("DELETE", f"{path(gallery, added)}?items=some", token=account.token)
    assert outcome(bad) == (422, "validation_failed")
    assert (await http("DELETE", path(gallery, added), token=account.token)).status == 204


async def test_contributors_end_with_their_gallery(
    http: Any,
    make_gallery: Any,
    join: Any,
    database: Any,
    account: Any,
    processor: Any,
    record: Any,
    clock: Any,
) -> None:
    deleted, expired = await make_gallery(), await make_gallery(expires_in=3_600)
    owned, kept = await make_gallery(account.token), await make_gallery()
    for gallery in (deleted, expired, owned, kept):
        assert (await join(gallery, name="Grace")).status == 201
    await http("DELETE", f"{GALLERIES}/{deleted['id']}", key=deleted["access_key"])
    clock.now += timedelta(hours=1)
    due = GalleryExpired(gallery_id=UUID(expired["id"]), expires_at=clock.now, as_of=clock.now)
    await processor.process(record(due))
    await processor.process(record(AccountDeleted(account_id=account.id, deleted_at=clock.now)))
    left = await database.hot.fetch("SELECT gallery_id FROM contributors")
    assert [str(row["gallery_id"]) for row in left] == [kept["id"]]
