"""/v1/admin: tiers and the tiers of accounts; for administrators only, published to media as events."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from kappi_identity.use_cases.tiers import AnnounceTiers

TIERS, ACCOUNTS = "/v1/admin/tiers", "/v1/admin/accounts"
STUDIO = {
    "name": "Studio",
    "rendition_sizes": [777, 123, 777],
    "original_access": True,
    "expiring_links": False,
    "max_file_bytes": 1_000,
    "quota_bytes": None,
}
NOBODY = UUID(int=7)
CALLS = [
    ("GET", TIERS, None),
    ("POST", TIERS, STUDIO),
    ("GET", f"{TIERS}/Basic", None),
    ("PATCH", f"{TIERS}/Basic", {"max_file_bytes": 5}),
    ("DELETE", f"{TIERS}/Basic", None),
    ("GET", ACCOUNTS, None),
    ("PUT", f"{ACCOUNTS}/{NOBODY}/tier", {"tier": "Premium"}),
]


async def _events(published: Any) -> list[tuple[str, int, Any]]:
    return [event for event in await published() if event[0] != "AccountCreated"]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_nobody_and_users_may_not(
    http: Any, sign_up: Any, published: Any, method: str, path: str, body: Any
) -> None:
    ada = await sign_up()
    anonymous = await http(method, path, body=body)
    user = await http(method, path, body=body, token=ada.access_token)
    assert (anonymous.status, anonymous.code) == (401, "credentials_missing")
    assert (user.status, user.code) == (403, "admin_required")
    assert not await _events(published)


async def test_the_role_counts_as_it_is_now_not_as_the_token_says(
    http: Any, admin: Any, database: Any
) -> None:
    await database.hot.execute("UPDATE accounts SET role = 'user'")
    answer = await http("GET", TIERS, token=admin.access_token)
    assert (answer.status, answer.code) == (403, "admin_required")


SEEDED = ["Anonymous", "Basic", "Enterprise", "Premium", "Traveller"]


async def test_tiers_are_listed_and_read(http: Any, admin: Any) -> None:
    listed = (await http("GET", TIERS, token=admin.access_token)).json
    assert [tier["name"] for tier in listed["items"]] == [
        "Anonymous",
        "Basic",
        "Enterprise",
        "Premium",
        "Traveller",
    ]
    assert listed["next_cursor"] is None
    read = await http("GET", f"{TIERS}/bAsIc", token=admin.access_token)
    assert read.json == listed["items"][1]
    assert set(read.json) == set(STUDIO)


async def test_a_tier_is_made_and_told(http: Any, admin: Any, published: Any) -> None:
    answer = await http("POST", TIERS, body=STUDIO, token=admin.access_token)

    assert answer.status == 201
    assert answer.json == {**STUDIO, "rendition_sizes": [123, 777]}
    ((topic, sequence, event),) = await _events(published)
    assert (topic, sequence) == ("TierChanged", 1)
    del event["changed_at"]
    assert event == {**STUDIO, "rendition_sizes": [123, 777], "deleted": False}


async def test_of_many_tiers_of_one_name_one_is_made(http: Any, admin: Any, published: Any) -> None:
    bodies = [{**STUDIO, "name": name} for name in ("Studio", "studio", "STUDIO", "Studio")]
    answers = await asyncio.gather(
        *(http("POST", TIERS, body=body, token=admin.access_token) for body in bodies)
    )
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]
    assert {answer.code for answer in answers if answer.status == 409} == {"tier_taken"}
    assert len(await _events(published)) == 1


async def test_a_repeated_creation_gets_the_first_answer_again(http: Any, admin: Any, published: Any) -> None:
    headers = {"idempotency-key": "make-the-studio"}
    first, again = [
        await http("POST", TIERS, body=STUDIO, token=admin.access_token, headers=headers) for _ in range(2)
    ]
    assert (first.status, first.body) == (again.status, again.body) == (201, first.body)
    assert len(await _events(published)) == 1
    other = await http("POST", TIERS, body={**STUDIO, "name": "B"}, token=admin.access_token, headers=headers)
    assert (other.status, other.code) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "7up"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a" * 51}, "name"),
        ({"rendition_sizes": [15]}, "rendition_sizes.0"),
        ({"rendition_sizes": [200, 5_000]}, "rendition_sizes.1"),
        ({"rendition_sizes": list(range(100, 121))}, "rendition_sizes"),
        ({"rendition_sizes": "200"}, "rendition_sizes"),
        ({"rendition_sizes": None}, "rendition_sizes"),
        ({"original_access": "yes"}, "original_access"),
        ({"max_file_bytes": 0}, "max_file_bytes"),
        ({"max_file_bytes": 2**63}, "max_file_bytes"),
        ({"quota_bytes": -1}, "quota_bytes"),
    ],
)
async def test_rules_that_cannot_be_are_refused(
    http: Any, admin: Any, published: Any, changed: dict[str, Any], field: str
) -> None:
    answer = await http("POST", TIERS, body={**STUDIO, **changed}, token=admin.access_token)
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert {error["field"] for error in answer.json["errors"]} == {field}
    if field.partition(".")[0] != "name":
        patched = await http("PATCH", f"{TIERS}/Basic", body=changed, token=admin.access_token)
        assert (patched.status, patched.code) == (422, "validation_failed")
    assert not await _events(published)


async def test_only_what_is_sent_is_changed(http: Any, admin: Any, published: Any) -> None:
    await http("POST", TIERS, body={**STUDIO, "quota_bytes": 9}, token=admin.access_token)
    path = f"{TIERS}/studio"
    changed = await http("PATCH", path, body={"expiring_links": True}, token=admin.access_token)
    assert changed.json == {
        **STUDIO,
        "rendition_sizes": [123, 777],
        "quota_bytes": 9,
        "expiring_links": True,
    }
    unlimited = await http("PATCH", path, body={"quota_bytes": None}, token=admin.access_token)
    assert unlimited.json["quota_bytes"] is None
    same = await http("PATCH", path, body={"quota_bytes": None}, token=admin.access_token)
    assert same.json == unlimited.json
    events = await _events(published)
    assert [(sequence, event["name"]) for _, sequence, event in events] == [
        (1, "Studio"),
        (2, "Studio"),
        (3, "Studio"),
    ]


async def test_seeded_tiers_change_but_stay(http: Any, admin: Any, published: Any) -> None:
    changed = await http(
        "PATCH", f"{TIERS}/Premium", body={"rendition_sizes": [300]}, token=admin.access_token
    )
    assert changed.json["rendition_sizes"] == [300]
    for name in ("Anonymous", "traveller", "basic", "Premium", "Enterprise"):
        answer = await http("DELETE", f"{TIERS}/{name}", token=admin.access_token)
        assert (answer.status, answer.code) == (409, "tier_protected")
    assert [(sequence, event["name"]) for _, sequence, event in await _events(published)] == [(2, "Premium")]


async def test_a_deleted_tier_may_be_made_again_and_goes_on_counting(
    http: Any, admin: Any, published: Any
) -> None:
    await http("POST", TIERS, body=STUDIO, token=admin.access_token)
    assert (await http("DELETE", f"{TIERS}/studio", token=admin.access_token)).status == 204
    for method, body in (("GET", None), ("PATCH", {"max_file_bytes": 2}), ("DELETE", None)):
        answer = await http(method, f"{TIERS}/Studio", body=body, token=admin.access_token)
        assert (answer.status, answer.code) == (404, "tier_not_found")
    again = await http("POST", TIERS, body={**STUDIO, "name": "studio"}, token=admin.access_token)

    assert (again.status, again.json["name"]) == (201, "Studio")
    assert [(sequence, event["deleted"]) for _, sequence, event in await _events(published)] == [
        (1, False),
        (2, True),
        (3, False),
    ]


async def test_an_account_is_moved_and_that_is_told(
    http: Any, admin: Any, sign_up: Any, refresh: Any, published: Any
) -> None:
    ada = await sign_up()
    path = f"{ACCOUNTS}/{ada.id}/tier"
    moved = await http("PUT", path, body={"tier": "premium"}, token=admin.access_token)
    again = await http("PUT", path, body={"tier": "Premium"}, token=admin.access_token)

    assert (moved.status, moved.json["tier"]) == (200, "Premium")
    assert again.json == moved.json
    ((topic, sequence, event),) = await _events(published)
    assert (topic, sequence) == ("AccountTierChanged", 2)
    assert (event["account_id"], event["tier"]) == (ada.id, "Premium")
    assert (await http("GET", "/v1/me", token=ada.access_token)).json["tier"] == "Premium"


@pytest.mark.parametrize(
    ("who", "tier", "status", "code"),
    [
        ("ada", "Nothing", 404, "tier_not_found"),
        ("ada", "Anonymous", 422, "tier_not_for_accounts"),
        ("nobody", "Premium", 404, "account_not_found"),
    ],
)
async def test_a_move_that_cannot_be_is_refused(
    http: Any, admin: Any, sign_up: Any, who: str, tier: str, status: int, code: str
) -> None:
    account_id = (await sign_up()).id if who == "ada" else NOBODY
    answer = await http("PUT", f"{ACCOUNTS}/{account_id}/tier", body={"tier": tier}, token=admin.access_token)
    assert (answer.status, answer.code) == (status, code)


async def test_a_tier_with_accounts_is_not_deleted_even_at_the_same_moment(
    http: Any, admin: Any, sign_up: Any, database: Any
) -> None:
    ada = await sign_up()
    await http("POST", TIERS, body=STUDIO, token=admin.access_token)
    move, deletion = await asyncio.gather(
        http("PUT", f"{ACCOUNTS}/{ada.id}/tier", body={"tier": "Studio"}, token=admin.access_token),
        http("DELETE", f"{TIERS}/Studio", token=admin.access_token),
    )
    outcome = (move.status, deletion.status)
    assert outcome in {(200, 409), (404, 204)}
    if outcome == (200, 409):
        assert deletion.code == "tier_in_use"
    dangling = await database.hot.fetchval(
        "SELECT count(*) FROM accounts a JOIN tiers t ON t.name = a.tier WHERE t.deleted_at IS NOT NULL"
    )
    assert dangling == 0


async def test_the_tier_of_deleted_accounts_may_be_deleted(http: Any, admin: Any, sign_up: Any) -> None:
    ada = await sign_up()
    await http("POST", TIERS, body=STUDIO, token=admin.access_token)
    await http("PUT", f"{ACCOUNTS}/{ada.id}/tier", body={"tier": "Studio"}, token=admin.access_token)
    refused = await http("DELETE", f"{TIERS}/Studio", token=admin.access_token)
    assert (refused.status, refused.code) == (409, "tier_in_use")
    await http("DELETE", "/v1/me", token=ada.access_token)
    assert (await http("DELETE", f"{TIERS}/Studio", token=admin.access_token)).status == 204


async def test_accounts_are_found_by_a_part_of_their_address(http: Any, admin: Any, sign_up: Any) -> None:
    for email in ("ada@example.com", "eve@example.com", "a_a@example.net"):
        await sign_up(email)

    async def found(query: str) -> list[str]:
        answer = await http("GET", f"{ACCOUNTS}?{query}", token=admin.access_token)
        return [account["email"] for account in answer.json["items"]]

    assert await found("email=ADA@") == ["ada@example.com"]
    assert await found("email=a_a") == ["a_a@example.net"]  # not a wildcard
    assert await found("") == ["a_a@example.net", "eve@example.com", "ada@example.com", "root@example.com"]
    page = (await http("GET", f"{ACCOUNTS}?limit=3", token=admin.access_token)).json
    rest = (await http("GET", f"{ACCOUNTS}?cursor={page['next_cursor']}", token=admin.access_token)).json
    assert [account["email"] for account in rest["items"]] == ["root@example.com"]
    assert "password" not in str(page)


async def test_seeded_tiers_are_announced_once_by_many_replicas(deps: Any, published: Any) -> None:
    announce = AnnounceTiers(outbox=deps.outbox, clock=deps.clock)
    counts = await asyncio.gather(*(announce() for _ in range(5)))
    assert sorted(counts) == [0, 0, 0, 0, 5]
    assert await announce() == 0
    events = await published()
    assert {(topic, sequence) for topic, sequence, _ in events} == {("TierChanged", 1)}
    assert sorted(event["name"] for _, _, event in events) == [
        "Anonymous",
        "Basic",
        "Enterprise",
        "Premium",
        "Traveller",
    ]
