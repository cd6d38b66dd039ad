"""Claiming turns an anonymous gallery into an account's."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing
from kappi_contracts.events import AccountDeleted, GalleryExpired
from kappi_galleries.domain.credentials import new_access_key
from kappi_galleries.errors import ClaimFileTooLarge, ClaimInProgress, ClaimOverQuota, ClaimsUnavailable

pytestmark = pytest.mark.integration

MONTH = timedelta(days=30)


@pytest.fixture
async def gallery(http: Any) -> Any:
    return (await http("POST", "/v1/galleries", body={"title": "Lisbon"})).json


def path(gallery: Any) -> str:
    return f"/v1/galleries/{gallery['id']}"


def outcome(answer: Any) -> tuple[int, str]:
    return answer.status, "" if answer.status == 200 else answer.json["code"]


@pytest.fixture
def claim(http: Any, gallery: Any) -> Any:
    async def claim(
        account: Any, *, key: str | None = "", headers: Any = None, target: Any = None, body: Any = None
    ) -> Any:
        where = f"{path(target or gallery)}/claim"
        sent = gallery["access_key"] if key == "" else key
        token = account and account.token
        return await http("POST", where, body=body, token=token, key=sent, headers=headers)

    return claim


async def test_it_gets_an_owner_and_loses_its_end_and_its_key(
    http: Any, account: Any, gallery: Any, claim: Any, published: Any, database: Any
) -> None:
    answer = await claim(account)

    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["expires_at"] is None
    assert (answer.json["code"], answer.json["title"]) == (gallery["code"], "Lisbon")
    assert "access_key" not in answer.json
    topic, sequence, event = (await published())[-1]
    assert (topic, sequence) == ("GalleryUpdated", 2)
    assert (event["owner_id"], event["expires_at"]) == (str(account.id), None)
    assert await database.hot.fetchval("SELECT access_key_hash FROM galleries") is None


async def test_the_key_is_void_and_the_token_opens_it(
    http: Any, account: Any, gallery: Any, claim: Any
) -> None:
    await claim(account)

    for method in ("GET", "PATCH", "DELETE"):
        answer = await http(method, path(gallery), key=gallery["access_key"], body={"title": "x"})
        assert outcome(answer) == (403, "gallery_key_wrong")
    key_grant = await http("POST", "/internal/grants/key", body={"access_key": gallery["access_key"]})
    assert outcome(key_grant) == (403, "gallery_key_wrong")
    assert (await http("GET", path(gallery), token=account.token)).status == 200
    mine = await http("GET", "/v1/galleries", token=account.token)
    assert [item["id"] for item in mine.json["items"]] == [gallery["id"]]
    # The gallery may now have the features of an account's gallery.
    private = await http("PATCH", path(gallery), token=account.token, body={"visibility": "private"})
    assert private.json["visibility"] == "private"


async def test_it_takes_a_token_and_the_right_key(
    http: Any, account: Any, gallery: Any, claim: Any, published: Any
) -> None:
    foreign = (await http("POST", "/v1/galleries")).json

    assert outcome(await claim(None)) == (401, AccessTokenMissing.code)
    assert outcome(await claim(account, key=None)) == (401, "gallery_key_missing")
    for wrong in (new_access_key(), "nonsense", foreign["access_key"]):
        assert outcome(await claim(account, key=wrong)) == (403, "gallery_key_wrong")
    nowhere = {"id": str(uuid4())}
    assert outcome(await claim(account, target=nowhere)) == (403, "gallery_key_wrong")
    assert [topic for topic, _, _ in await published()] == ["GalleryCreated"] * 2


async def test_what_is_gone_cannot_be_claimed(
    http: Any, account: Any, gallery: Any, claim: Any, clock: Any
) -> None:
    clock.pass_by(MONTH)
    expired = await claim(account)
    await http("DELETE", path(gallery), key=gallery["access_key"])
    deleted = await claim(account)

    assert outcome(expired) == outcome(deleted) == (404, "gallery_not_found")


async def test_claiming_again_is_claiming_once(account: Any, claim: Any, published: Any) -> None:
    first = await claim(account)
    again = await claim(account)

    assert (again.status, again.json) == (200, first.json)
    assert [topic for topic, _, _ in await published()] == ["GalleryCreated", "GalleryUpdated"]


async def test_a_retry_gets_the_first_answer_again(
    http: Any, account: Any, other: Any, gallery: Any, claim: Any
) -> None:
    headers = {"idempotency-key": "claim-of-today"}
    first = await claim(account, headers=headers)
    await http("PATCH", path(gallery), token=account.token, body={"title": "Porto"})
    # The answer is stored under the key and the account, so the session's next token gets it too.
    again = await claim(account, headers=headers)
    stranger = await claim(other, headers=headers)

    assert again.body == first.body
    assert outcome(stranger) == (403, "gallery_key_wrong")


async def test_of_two_accounts_with_one_key_one_wins(
    http: Any, account: Any, other: Any, gallery: Any, claim: Any, published: Any
) -> None:
    answers = await asyncio.gather(*(claim(who) for who in (account, other) * 4))

    by_account = [{outcome(answer) for answer in answers[number::2]} for number in (0, 1)]
    # The winner gets the same answer each time.
    assert sorted(map(list, by_account)) == [[(200, "")], [(403, "gallery_key_wrong")]]
    assert [topic for topic, _, _ in await published()] == ["GalleryCreated", "GalleryUpdated"]


@pytest.mark.parametrize("lead_s", [0.0, 0.002, 0.004, 0.008])
async def test_a_claim_and_an_expiry_at_once_end_in_one_of_two_ways(
    processor: Any,
    record: Any,
    http: Any,
    account: Any,
    gallery: Any,
    claim: Any,
    clock: Any,
    published: Any,
    lead_s: float,
) -> None:
    deadline = datetime.fromisoformat(gallery["expires_at"])
    due = GalleryExpired(
        gallery_id=UUID(gallery["id"]), expires_at=deadline, as_of=deadline, origin="operator"
    )

    async def expire() -> None:
        await asyncio.sleep(lead_s)  # each side wins some of the four runs
        await processor.process(record(due))

    answer, _ = await asyncio.gather(claim(account), expire())

    topics = [topic for topic, _, _ in await published()]
    read = await http("GET", path(gallery), token=account.token)
    if answer.status == 200:
        assert topics == ["GalleryCreated", "GalleryUpdated"]
        assert read.status == 200
        assert read.json["expires_at"] is None
    else:
        assert outcome(answer) == (404, "gallery_not_found")
        assert topics == ["GalleryCreated", "GalleryDeleted"]
        assert read.status == 404


async def test_an_expiry_that_comes_after_the_claim_is_ignored(
    processor: Any,
    record: Any,
    http: Any,
    account: Any,
    gallery: Any,
    claim: Any,
    clock: Any,
    dead_letters: Any,
) -> None:
    await claim(account)
    clock.pass_by(2 * MONTH)
    deadline = datetime.fromisoformat(gallery["expires_at"])
    await processor.process(
        record(GalleryExpired(gallery_id=UUID(gallery["id"]), expires_at=deadline, as_of=clock.now))
    )

    assert (await http("GET", path(gallery), token=account.token)).status == 200
    assert not dead_letters.letters


async def test_an_account_that_was_deleted_claims_nothing(
    processor: Any, record: Any, http: Any, account: Any, gallery: Any, claim: Any, clock: Any
) -> None:
    await processor.process(record(AccountDeleted(account_id=account.id, deleted_at=clock.now)))

    assert outcome(await claim(account)) == (401, AccessTokenInvalid.code)
    assert (await http("GET", path(gallery), key=gallery["access_key"])).status == 200


async def test_room_is_reserved_before_the_gallery_changes_hands_and_not_again(
    account: Any, other: Any, gallery: Any, claim: Any, room: Any
) -> None:
    wanted = (UUID(gallery["id"]), account.id)
    await claim(account, headers={"idempotency-key": "claim-of-today"})
    assert room.reserved == [wanted]
    # The gallery is the account's already, or can never be the other's, so nothing is reserved.
    for who, headers in ((account, None), (account, {"idempotency-key": "claim-of-today"}), (other, None)):
        await claim(who, headers=headers)
    assert room.reserved == [wanted]


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (ClaimOverQuota("It holds 7 bytes."), 409, "quota_exceeded"),
        (ClaimFileTooLarge("One has 7 bytes."), 409, "file_too_large"),
        (ClaimInProgress(), 409, "claim_in_progress"),
        (ClaimsUnavailable(retry_after_s=2), 503, "claims_unavailable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_without_room_nothing_is_changed(
    http: Any,
    account: Any,
    gallery: Any,
    claim: Any,
    room: Any,
    published: Any,
    refusal: Any,
    status: int,
    code: str,
) -> None:
    room.refusal = refusal
    headers = {"idempotency-key": "claim-of-today"}
    answer = await claim(account, headers=headers)

    assert outcome(answer) == (status, code)
    assert answer.json["detail"] == refusal.detail
    assert [topic for topic, _, _ in await published()] == ["GalleryCreated"]
    by_key = await http("GET", path(gallery), key=gallery["access_key"])
    assert (by_key.status, by_key.json) == (
        200,
        {name: value for name, value in gallery.items() if name != "access_key"},
    )
    assert (await http("GET", "/v1/galleries", token=account.token)).json["items"] == []
    # A refusal leaves the idempotency key unused.
    room.refusal = None
    assert (await claim(account, headers=headers)).status == 200


async def test_a_tier_that_withholds_is_accepted_or_nothing_is_changed(
    account: Any, claim: Any, room: Any, published: Any
) -> None:
    room.withholds = True
    headers = {"idempotency-key": "claim-of-today"}
    for body in (None, {}, {"accept_tier": False}):
        assert outcome(await claim(account, headers=headers, body=body)) == (409, "tier_withholds")
    assert outcome(await claim(account, body={"accept_tier": "yes"})) == (422, "validation_failed")
    assert [topic for topic, _, _ in await published()] == ["GalleryCreated"]
    assert (await claim(account, headers=headers, body={"accept_tier": True})).status == 200


async def test_what_happens_while_room_is_reserved_decides(
    http: Any, account: Any, gallery: Any, claim: Any, room: Any, published: Any
) -> None:
    async def rotate() -> None:
        await http("POST", f"{path(gallery)}/rotate-key", key=gallery["access_key"])

    async def remove() -> None:
        await http("DELETE", path(gallery), key=gallery["access_key"])

    room.before = remove
    assert outcome(await claim(account)) == (404, "gallery_not_found")
    gallery |= (await http("POST", "/v1/galleries")).json
    room.before = rotate
    assert outcome(await claim(account)) == (403, "gallery_key_wrong")
    topics = [topic for topic, _, _ in await published()]
    assert topics == ["GalleryCreated", "GalleryDeleted", "GalleryCreated", "GalleryUpdated"]
    assert (await http("GET", "/v1/galleries", token=account.token)).json["items"] == []


async def test_no_transaction_is_open_while_room_is_reserved(
    account: Any, claim: Any, room: Any, database: Any
) -> None:
    open_ones: list[int] = []

    async def look() -> None:
        open_ones.append(
            await database.hot.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle in transaction'"
            )
        )

    room.before = look
    assert (await claim(account)).status == 200
    assert open_ones == [0]
