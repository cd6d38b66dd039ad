"""Suspended accounts and taken-down galleries: decided by administrators alone, published as events,
reversible.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

ACCOUNTS, TAKEDOWNS, ME = "/v1/admin/accounts", "/v1/admin/takedowns", "/v1/me"
REASON = "Reported as spam"
TAKEDOWN = {"gallery": "k7wq", "reason": REASON}
CALLS = [
    ("PUT", f"{ACCOUNTS}/{UUID(int=7)}/suspension", {"reason": REASON}),
    ("DELETE", f"{ACCOUNTS}/{UUID(int=7)}/suspension", None),
    ("GET", TAKEDOWNS, None),
    ("POST", TAKEDOWNS, TAKEDOWN),
    ("DELETE", f"{TAKEDOWNS}/{UUID(int=7)}", None),
]


def suspension(account_id: str) -> str:
    return f"{ACCOUNTS}/{account_id}/suspension"


async def _events(published: Any, topic: str) -> list[tuple[int, Any]]:
    return [(sequence, event) for name, sequence, event in await published() if name == topic]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_only_administrators_may(http: Any, sign_up: Any, method: str, path: str, body: Any) -> None:
    ada = await sign_up()
    assert (await http(method, path, body=body)).code == "credentials_missing"
    answer = await http(method, path, body=body, token=ada.access_token)
    assert (answer.status, answer.code) == (403, "admin_required")


async def test_a_suspended_account_is_out_everywhere_until_it_is_reinstated(
    http: Any, sign_up: Any, log_in: Any, refresh: Any, admin: Any, published: Any
) -> None:
    ada = await sign_up()
    answer = await http("PUT", suspension(ada.id), body={"reason": REASON}, token=admin.access_token)
    assert answer.status == 200
    assert answer.json["suspension_reason"] == REASON
    assert answer.json["suspended_at"] is not None

    assert (await http("GET", ME, token=ada.access_token)).code == "access_token_invalid"
    assert (await refresh(ada.refresh_token)).code == "invalid_grant"
    refused = await log_in(ada.email)
    assert (refused.status, refused.code, refused.json["error"]) == (
        400,
        "account_suspended",
        "invalid_grant",
    )
    assert refused.json["detail"] == REASON
    assert (await log_in(ada.email, password="not the password")).code == "invalid_grant"

    again = await http("PUT", suspension(ada.id), body={"reason": "Spam"}, token=admin.access_token)
    assert again.json["suspended_at"] == answer.json["suspended_at"]
    assert again.json["suspension_reason"] == "Spam"

    for _ in range(2):
        back = await http("DELETE", suspension(ada.id), token=admin.access_token)
        assert (back.status, back.json["suspended_at"], back.json["suspension_reason"]) == (200, None, None)
    assert (await log_in(ada.email)).status == 200
    told = await _events(published, "AccountSuspensionChanged")
    assert [(sequence, event["suspended"]) for sequence, event in told] == [(2, True), (3, False)]
    assert set(told[0][1]) == {"account_id", "suspended", "changed_at"}


async def test_a_password_that_is_reset_lets_no_suspended_account_in(
    http: Any, sign_up: Any, log_in: Any, admin: Any
) -> None:
    ada = await sign_up()
    await http("PUT", suspension(ada.id), body={"reason": REASON}, token=admin.access_token)
    moved = await http("PUT", f"{ACCOUNTS}/{ada.id}/tier", body={"tier": "Premium"}, token=admin.access_token)
    assert moved.json["suspension_reason"] == REASON, "another change leaves it"
    assert (await log_in(ada.email)).code == "account_suspended"


async def test_who_cannot_be_suspended(http: Any, admin: Any) -> None:
    own = (await http("GET", ME, token=admin.access_token)).json["id"]
    answer = await http("PUT", suspension(own), body={"reason": REASON}, token=admin.access_token)
    assert (answer.status, answer.code) == (409, "admin_not_suspendable")
    for method, body in (("PUT", {"reason": REASON}), ("DELETE", None)):
        answer = await http(method, suspension(str(uuid4())), body=body, token=admin.access_token)
        assert (answer.status, answer.code) == (404, "account_not_found")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"gallery": "k7wq", "reason": " "}, ["reason"]),
        ({"gallery": "k7wq", "reason": "x" * 501}, ["reason"]),
        ({"gallery": "k7wq", "reason": "a\nb"}, ["reason"]),
        ({"gallery": "not one", "reason": REASON}, ["gallery"]),
        ({}, ["gallery", "reason"]),
    ],
)
async def test_what_is_no_takedown_is_refused(
    http: Any, admin: Any, published: Any, body: Any, fields: list[str]
) -> None:
    answer = await http("POST", TAKEDOWNS, body=body, token=admin.access_token)
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert [error["field"] for error in answer.json["errors"]] == fields
    assert not await _events(published, "GalleryTakedownChanged")


async def test_a_takedown_is_told_listed_and_lifted(
    http: Any, admin: Any, published: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    link = {"gallery": "https://kappi.example/g/K7WQ", "reason": REASON}
    made = await http("POST", TAKEDOWNS, body=link, token=admin.access_token)
    assert made.status == 201
    assert (made.json["gallery"], made.json["reason"]) == ("k7wq", REASON)
    clock.pass_by(timedelta(minutes=1))
    other = await http(
        "POST", TAKEDOWNS, body={"gallery": str(uuid4()), "reason": REASON}, token=admin.access_token
    )
    for _ in range(2):
        path = f"{TAKEDOWNS}/{made.json['id']}"
        assert (await http("DELETE", path, token=admin.access_token)).status == 204
    first = (await http("GET", f"{TAKEDOWNS}?limit=1", token=admin.access_token)).json
    assert [item["id"] for item in first["items"]] == [other.json["id"]]
    second = (await http("GET", f"{TAKEDOWNS}?cursor={first['next_cursor']}", token=admin.access_token)).json[
        "items"
    ]
    assert [(item["id"], item["lifted_by"] is not None) for item in second] == [(made.json["id"], True)]
    assert second[0]["ordered_by"] == (await http("GET", ME, token=admin.access_token)).json["id"]

    told = await _events(published, "GalleryTakedownChanged")
    assert [(sequence, event["gallery"], event["lifted"]) for sequence, event in told] == [
        (1, "k7wq", False),
        (1, other.json["gallery"], False),
        (2, "k7wq", True),
    ]
    missing = await http("DELETE", f"{TAKEDOWNS}/{uuid4()}", token=admin.access_token)
    assert (missing.status, missing.code) == (404, "takedown_not_found")


async def test_a_repeated_call_takes_down_once(http: Any, admin: Any, published: Any) -> None:
    headers = {"idempotency-key": "a" * 32}
    answers = [
        await http("POST", TAKEDOWNS, body=TAKEDOWN, token=admin.access_token, headers=headers)
        for _ in range(2)
    ]
    assert answers[0].json == answers[1].json
    assert len(await _events(published, "GalleryTakedownChanged")) == 1
    reused = await http(
        "POST",
        TAKEDOWNS,
        body={**TAKEDOWN, "gallery": "other"},
        token=admin.access_token,
        headers=headers,
    )
    assert (reused.status, reused.code) == (422, "idempotency_key_reused")


async def test_a_deleted_account_keeps_no_reason(
    http: Any, sign_up: Any, admin: Any, database: Any, log_in: Any
) -> None:
    ada = await sign_up()
    await http("PUT", suspension(ada.id), body={"reason": REASON}, token=admin.access_token)
    await http("DELETE", suspension(ada.id), token=admin.access_token)
    token = (await log_in(ada.email)).json["access_token"]
    assert (await http("DELETE", ME, token=token)).status == 204
    row = await database.hot.fetchrow("SELECT * FROM accounts WHERE id = $1", UUID(ada.id))
    assert (row["suspended_at"], row["suspension_reason"]) == (None, None)
