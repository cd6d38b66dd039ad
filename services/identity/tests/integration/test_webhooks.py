"""The endpoints of webhooks."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_contracts.events import MediaDeleted, MediaReady

HOOKS = "/v1/webhooks"
BODY = {"url": "https://example.com/kappi?key=a", "events": ["media.ready", "comment.added"]}
KEY = "4d6c3f1e9b7a4c2d8e5f"


def ready(owner_id: str, at: Any) -> MediaReady:
    return MediaReady(
        media_id=uuid4(),
        gallery_id=uuid4(),
        kind="image",
        content_type="image/jpeg",
        size_bytes=100,
        width=4,
        height=3,
        duration_ms=None,
        ready_at=at,
        owner_id=UUID(owner_id),
    )


async def test_the_secret_is_shown_once_and_stored_sealed(http: Any, sign_up: Any, database: Any) -> None:
    ada = await sign_up()
    created = await http("POST", HOOKS, body=BODY, token=ada.access_token)
    assert created.status == 201
    hook = created.json
    secret = hook.pop("secret")
    assert secret.startswith("whsec_")
    assert (hook["url"], hook["events"], hook["enabled"]) == (BODY["url"], BODY["events"], True)
    assert (hook["disabled_at"], hook["disabled_reason"], hook["dropped_deliveries"]) == (None, None, 0)

    assert (await http("GET", f"{HOOKS}/{hook['id']}", token=ada.access_token)).json == hook
    assert (await http("GET", HOOKS, token=ada.access_token)).json == {"items": [hook], "next_cursor": None}
    rows = str(await database.hot.fetch("SELECT * FROM webhooks"))
    assert secret.removeprefix("whsec_") not in rows


async def test_a_repeated_creation_gets_the_first_answer(http: Any, sign_up: Any, database: Any) -> None:
    ada = await sign_up()
    headers = {"Idempotency-Key": KEY}
    first = await http("POST", HOOKS, body=BODY, token=ada.access_token, headers=headers)
    again = await http("POST", HOOKS, body=BODY, token=ada.access_token, headers=headers)
    other = await http(
        "POST", HOOKS, body=BODY | {"events": ["media.ready"]}, token=ada.access_token, headers=headers
    )
    assert (first.status, again.body) == (201, first.body)
    assert other.code == "idempotency_key_reused"
    weak = await http(
        "POST", HOOKS, body=BODY, token=ada.access_token, headers={"Idempotency-Key": "12345678"}
    )
    assert weak.code == "idempotency_key_invalid"
    assert await database.hot.fetchval("SELECT count(*) FROM webhooks") == 1


async def test_a_webhook_is_changed_field_by_field(http: Any, sign_up: Any, hook: Any) -> None:
    ada = await sign_up()
    made = await hook(ada)
    path = f"{HOOKS}/{made['id']}"

    async def change(**fields: Any) -> Any:
        answer = await http("PATCH", path, body=fields, token=ada.access_token)
        assert answer.status == 200, answer.body
        assert answer.json == (await http("GET", path, token=ada.access_token)).json
        return answer.json

    assert (await change(url="https://example.com/new"))["url"] == "https://example.com/new"
    assert (await change(events=["gallery.deleted"]))["events"] == ["gallery.deleted"]
    off = await change(enabled=False)
    assert (off["enabled"], off["disabled_reason"], off["url"]) == (
        False,
        "requested",
        "https://example.com/new",
    )
    assert off["disabled_at"] is not None
    on = await change(enabled=True)
    assert (on["enabled"], on["disabled_at"], on["disabled_reason"]) == (True, None, None)

    assert (await http("DELETE", path, token=ada.access_token)).status == 204
    assert (await http("GET", path, token=ada.access_token)).code == "webhook_not_found"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"events": []}, "events"),
        ({"events": ["media.unknown"]}, "events.0"),
        ({"events": None}, "events"),
        ({"url": None}, "url"),
        ({"url": "https://example.com/" + "a" * 2_000}, "url"),
    ],
)
async def test_other_fields_are_refused(http: Any, sign_up: Any, hook: Any, changed: Any, field: str) -> None:
    ada = await sign_up()
    made = await hook(ada)
    for method, path, body in (
        ("POST", HOOKS, BODY | changed),
        ("PATCH", f"{HOOKS}/{made['id']}", changed),
    ):
        answer = await http(method, path, body=body, token=ada.access_token)
        assert (answer.status, answer.code) == (422, "validation_failed")
        assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_a_url_that_no_webhook_may_have_is_refused_at_creation_and_change(
    http: Any, sign_up: Any, hook: Any, receivers: Any
) -> None:
    ada = await sign_up()
    made = await hook(ada)
    receivers.refused.add("https://internal.example/")
    for method, path in (("POST", HOOKS), ("PATCH", f"{HOOKS}/{made['id']}")):
        body = BODY | {"url": "https://internal.example/"}
        answer = await http(method, path, body=body, token=ada.access_token)
        assert (answer.status, answer.code) == (422, "invalid_webhook_url")
        assert answer.json["detail"] == "Its host has no public address."


async def test_an_account_has_a_limited_number(make_http: Any, sign_up: Any) -> None:
    http = make_http(webhooks_per_account=2)
    ada, bob = await sign_up(), await sign_up("bob@example.com")
    answers = [await http("POST", HOOKS, body=BODY, token=ada.access_token) for _ in range(3)]
    assert [answer.status for answer in answers] == [201, 201, 409]
    assert answers[-1].code == "webhook_limit_reached"
    assert (await http("POST", HOOKS, body=BODY, token=bob.access_token)).status == 201
    first = answers[0].json["id"]
    assert (await http("DELETE", f"{HOOKS}/{first}", token=ada.access_token)).status == 204
    assert (await http("POST", HOOKS, body=BODY, token=ada.access_token)).status == 201


async def test_webhooks_of_others_do_not_exist(
    http: Any, sign_up: Any, hook: Any, processor: Any, record: Any, clock: Any
) -> None:
    ada, bob = await sign_up(), await sign_up("bob@example.com")
    path = f"{HOOKS}/{(await hook(ada))['id']}"
    await processor.process(record(ready(ada.id, clock.now)))
    listed = await http("GET", f"{path}/deliveries", token=ada.access_token)
    delivery = listed.json["items"][0]["id"]
    for method, target, body in (
        ("GET", path, None),
        ("PATCH", path, {"enabled": False}),
        ("DELETE", path, None),
        ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/deliveries/{delivery}/resend", None),
    ):
        answer = await http(method, target, body=body, token=bob.access_token)
        assert (answer.status, answer.code) == (404, "webhook_not_found"), (method, target)
        assert (await http(method, target, body=body)).code == "credentials_missing"
    assert (await http("GET", HOOKS, token=bob.access_token)).json["items"] == []
    assert (await http("GET", path, token=ada.access_token)).json["enabled"]


async def test_lists_come_in_pages_newest_first(
    http: Any, sign_up: Any, hook: Any, processor: Any, record: Any, clock: Any
) -> None:
    ada = await sign_up()
    made = [(await hook(ada))["id"] for _ in range(3)]
    events = [ready(ada.id, clock.now) for _ in range(3)]
    for event in events:
        await processor.process(record(event))

    async def pages(path: str) -> list[Any]:
        found: list[Any] = []
        query = "?limit=2"
        while True:
            page = (await http("GET", path + query, token=ada.access_token)).json
            assert len(page["items"]) <= 2
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            query = f"?limit=2&cursor={page['next_cursor']}"

    assert [each["id"] for each in await pages(HOOKS)] == made[::-1]
    deliveries = await pages(f"{HOOKS}/{made[0]}/deliveries")
    assert len({each["id"] for each in deliveries}) == 3
    assert {(each["event"], each["status"], each["attempts"]) for each in deliveries} == {
        ("media.ready", "pending", 0)
    }
    wrong = await http("GET", f"{HOOKS}/{made[0]}/deliveries?cursor=x", token=ada.access_token)
    assert wrong.code == "validation_failed"


async def test_a_deleted_account_has_no_webhooks(
    http: Any, sign_up: Any, hook: Any, processor: Any, record: Any, clock: Any, database: Any
) -> None:
    ada = await sign_up()
    await hook(ada)
    await processor.process(record(ready(ada.id, clock.now)))
    assert await database.hot.fetchval("SELECT count(*) FROM webhook_deliveries") == 1
    assert (await http("DELETE", "/v1/me", token=ada.access_token)).status == 204
    assert await database.hot.fetchval("SELECT count(*) FROM webhooks") == 0
    assert await database.hot.fetchval("SELECT count(*) FROM webhook_deliveries") == 0
    # A deletion of an item may be on its way.
    late = MediaDeleted(
        media_id=uuid4(),
        gallery_id=uuid4(),
        reason="account_deleted",
        deleted_at=clock.now,
        owner_id=UUID(ada.id),
    )
    await processor.process(record(late))
    assert await database.hot.fetchval("SELECT count(*) FROM webhook_deliveries") == 0
