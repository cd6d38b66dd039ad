"""Deliveries of webhooks: what is queued for which event, how it is sent, retried and given up."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import standardwebhooks
from kappi_chassis.bus import Record
from kappi_chassis.bus.future_events import CLOCK_SKEW
from kappi_contracts.events import CommentAdded, GalleryDeleted, MediaDeleted, MediaReady
from kappi_identity import metrics
from kappi_identity.bootstrap_webhooks import build_sender
from kappi_identity.domain.webhooks import WEBHOOK_EVENTS, CallResult
from kappi_identity.use_cases.queue_deliveries import REPLAYED_AFTER
from kappi_identity.use_cases.send_deliveries import LEASE_BEYOND_CALL
from kappi_identity.use_cases.watch_deliveries import WatchDeliveries

HOOKS = "/v1/webhooks"
RETRY_FOR = timedelta(hours=10)
"""Less than the life of an access token, which PyJWT compares with the wall clock."""
HERE, THERE = "https://example.com/here", "https://example.com/there"
DOWN, UP = CallResult(error="connection_failed"), CallResult(status=204)


def ready(owner_id: str | None, at: Any, media_id: UUID | None = None) -> MediaReady:
    return MediaReady(
        media_id=media_id or uuid4(),
        gallery_id=uuid4(),
        kind="image",
        content_type="image/jpeg",
        size_bytes=100,
        width=4,
        height=3,
        duration_ms=None,
        ready_at=at,
        owner_id=None if owner_id is None else UUID(owner_id),
    )


@pytest.fixture
def tell(processor: Any, record: Any, clock: Any) -> Any:
    """Returns `await tell(account)`: an item of the account became ready now."""

    async def tell(account: Any, *, count: int = 1) -> None:
        for _ in range(count):
            await processor.process(record(ready(account.id, clock.now)))

    return tell


@pytest.fixture
def show(http: Any) -> Any:
    """Returns `await show(account, hook)`: the webhook, and its deliveries, newest first."""

    async def show(account: Any, hook: Any) -> Any:
        path = f"{HOOKS}/{hook['id']}"
        read = await http("GET", path, token=account.access_token)
        listed = await http("GET", f"{path}/deliveries", token=account.access_token)
        return read.json, listed.json["items"]

    return show


@pytest.fixture
def next_call(database: Any) -> Any:
    """Returns `await next_call(hook)`: when the webhook is to be called next; None for never."""
    query = "SELECT greatest(due_at, not_before) FROM webhooks WHERE id = $1 AND due_at IS NOT NULL"
    return lambda hook: database.hot.fetchval(query, UUID(hook["id"]))


async def test_each_event_tells_ids_and_no_more(
    sign_up: Any, hook: Any, processor: Any, record: Any, clock: Any, send_due: Any, receivers: Any
) -> None:
    ada = await sign_up()
    made = await hook(ada, events=WEBHOOK_EVENTS)
    owner, media, gallery, post, comment = UUID(ada.id), uuid4(), uuid4(), uuid4(), uuid4()
    now = clock.now
    for sequence, event in enumerate(
        (
            ready(ada.id, now, media),
            MediaDeleted(
                media_id=media, gallery_id=gallery, reason="requested", deleted_at=now, owner_id=owner
            ),
            GalleryDeleted(gallery_id=gallery, owner_id=owner, reason="expired", deleted_at=now),
            CommentAdded(
                post_id=post, comment_id=comment, author_id=uuid4(), post_author_id=owner, created_at=now
            ),
        ),
        start=2,
    ):
        await processor.process(record(event, sequence=sequence))

    assert await send_due() == 4
    bodies = {body["type"]: body for body in (json.loads(call.body) for call in receivers.calls)}
    assert {body["timestamp"] for body in bodies.values()} == {now.isoformat().replace("+00:00", "Z")}
    assert bodies["media.ready"]["data"].keys() == {"media_id", "gallery_id", "kind", "sequence"}
    assert bodies["media.deleted"]["data"] == {
        "media_id": str(media),
        "gallery_id": str(gallery),
        "reason": "requested",
        "sequence": 3,
    }
    assert bodies["gallery.deleted"]["data"] == {
        "gallery_id": str(gallery),
        "reason": "expired",
        "sequence": 4,
    }
    assert bodies["comment.added"]["data"] == {
        "post_id": str(post),
        "comment_id": str(comment),
        "sequence": 5,
    }
    for call in receivers.calls:
        assert call.url == made["url"]
        assert call.headers["content-type"] == "application/json"


async def test_a_receiver_verifies_the_signature(
    sign_up: Any, hook: Any, tell: Any, send_due: Any, receivers: Any, clock: Any
) -> None:
    # The library compares the timestamp with the wall clock; this clock is half a day behind.
    clock.pass_by(timedelta(hours=12))
    ada = await sign_up()
    made = await hook(ada)
    await tell(ada)
    await send_due()
    (call,) = receivers.calls
    assert standardwebhooks.Webhook(made["secret"]).verify(call.body, dict(call.headers))


async def test_only_webhooks_of_the_owner_that_ask_for_the_event_are_called(
    http: Any, sign_up: Any, hook: Any, processor: Any, record: Any, clock: Any, send_due: Any, receivers: Any
) -> None:
    ada, bob = await sign_up(), await sign_up("bob@example.com")
    await hook(ada, HERE)
    await hook(ada, THERE, ["media.deleted"])
    await hook(bob, "https://example.com/bob")
    off = await hook(ada, "https://example.com/off")
    await http("PATCH", f"{HOOKS}/{off['id']}", body={"enabled": False}, token=ada.access_token)

    await processor.process(record(ready(ada.id, clock.now)))
    await processor.process(record(ready(None, clock.now)))  # of an anonymous gallery
    await processor.process(record(ready(str(uuid4()), clock.now)))
    # Events may be replayed, and this one happened before there was a webhook.
    await processor.process(record(ready(ada.id, clock.now - REPLAYED_AFTER - timedelta(seconds=1))))
    await send_due()
    assert [call.url for call in receivers.calls] == [HERE]


async def test_a_clock_that_is_behind_loses_no_event(
    sign_up: Any, hook: Any, processor: Any, record: Any, clock: Any, send_due: Any
) -> None:
    ada = await sign_up()
    await hook(ada)
    await processor.process(record(ready(ada.id, clock.now - CLOCK_SKEW)))
    assert await send_due() == 1


async def test_a_batch_of_many_accounts_tells_each_of_its_own(
    sign_up: Any, hook: Any, processor: Any, record: Any, clock: Any, send_due: Any, receivers: Any
) -> None:
    """Events of accounts without a webhook, and of none, are among them, and one event comes twice."""
    ada, bob, eve = [await sign_up(f"{name}@example.com") for name in ("ada", "bob", "eve")]
    await hook(ada, events=["media.ready"], url=HERE)
    await hook(bob, events=["media.ready"], url=THERE)
    owners = [ada.id, eve.id, bob.id, None, ada.id, bob.id]
    records = [record(ready(owner, clock.now), sequence=number) for number, owner in enumerate(owners, 1)]
    assert await processor.process_together([*records, records[0]]) == [True] * 7
    assert await processor.process_together(records) == [True] * 6
    for _ in owners:
        await send_due()
    told = [(call.url, json.loads(call.body)["data"]["sequence"]) for call in receivers.calls]
    assert sorted(told) == [(HERE, 1), (HERE, 5), (THERE, 3), (THERE, 6)]


async def test_events_take_effect_once_and_in_any_order(
    sign_up: Any,
    hook: Any,
    processor: Any,
    record: Any,
    clock: Any,
    send_due: Any,
    receivers: Any,
    dead_letters: Any,
) -> None:
    ada = await sign_up()
    await hook(ada, events=WEBHOOK_EVENTS)
    media = uuid4()
    deleted = MediaDeleted(
        media_id=media,
        gallery_id=uuid4(),
        reason="requested",
        deleted_at=clock.now,
        owner_id=UUID(ada.id),
    )
    late, early = record(ready(ada.id, clock.now, media), sequence=2), record(deleted, sequence=3)
    poison = Record(late.topic, 0, 0, late.key, b"{}", late.headers)
    # The repetition stands for a consumer that died between its commit and its offset.
    for each in (early, poison, late, early, late):
        await processor.process(each)
    await send_due()
    assert [json.loads(call.body)["data"]["sequence"] for call in receivers.calls] == [3, 2]
    assert [letter.value for letter, _ in dead_letters.letters] == [b"{}"]


async def test_a_failed_delivery_is_retried_with_growing_pauses_until_it_succeeds(
    sign_up: Any,
    hook: Any,
    tell: Any,
    show: Any,
    next_call: Any,
    send_due: Any,
    receivers: Any,
    clock: Any,
) -> None:
    ada = await sign_up()
    made = await hook(ada)
    receivers.answers[made["url"]] = CallResult(status=503)
    await tell(ada)
    pauses = []
    for attempt in range(1, 6):
        assert await send_due() == 1
        shown, (delivery,) = await show(ada, made)
        assert (delivery["status"], delivery["attempts"], delivery["last_status"]) == (
            "pending",
            attempt,
            503,
        )
        assert shown["failing_since"] is not None
        due_at = await next_call(made)
        clock.now = due_at - timedelta(microseconds=1)
        assert await send_due() == 0
        pauses.append(due_at - datetime.fromisoformat(delivery["last_attempt_at"]))
        clock.now = due_at
    # Two steps grow more than chance shortens one.
    assert all(later > earlier for earlier, later in zip(pauses, pauses[2:], strict=False))
    assert pauses[0] <= timedelta(seconds=5)

    receivers.answers[made["url"]] = UP
    assert await send_due() == 1
    shown, (delivery,) = await show(ada, made)
    assert (delivery["status"], delivery["attempts"], delivery["last_status"]) == ("delivered", 6, 204)
    assert (delivery["next_attempt_at"], shown["failing_since"]) == (None, None)
    assert len({(call.id, call.body) for call in receivers.calls}) == 1
    assert len({call.headers["webhook-timestamp"] for call in receivers.calls}) > 1


async def test_after_too_many_hours_of_failures_the_webhook_is_disabled_and_its_owner_told(
    sign_up: Any,
    hook: Any,
    tell: Any,
    show: Any,
    next_call: Any,
    send_due: Any,
    receivers: Any,
    notices: Any,
    mailbox: Any,
    clock: Any,
    http: Any,
) -> None:
    ada = await sign_up()
    made = await hook(ada, "https://example.com/path?token=a-secret-of-the-receiver")
    receivers.answers[made["url"]] = DOWN
    started = clock.now
    await tell(ada, count=3)
    while (due_at := await next_call(made)) is not None:
        clock.now = max(clock.now, due_at)
        assert await send_due() == 1
    assert clock.now - started == RETRY_FOR
    # All of them share the pauses of the webhook: a dead receiver gets few calls.
    assert 10 <= len(receivers.calls) <= 40

    shown, deliveries = await show(ada, made)
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "failing")
    assert datetime.fromisoformat(shown["disabled_at"]) == clock.now
    assert {each["status"] for each in deliveries} == {"failed"}
    assert {each["last_error"] for each in deliveries} == {"connection_failed"}
    assert all(each["attempts"] > 1 for each in deliveries)

    mailbox.broken = True
    assert await notices.send_one()
    mailbox.broken = False
    assert not await notices.send_one()
    clock.pass_by(timedelta(minutes=5))
    assert await notices.send_one()
    assert not await notices.send_one()
    (mail,) = mailbox.mails
    assert mail["To"] == "ada@example.com"
    assert "Your webhook at example.com was disabled" in mail.get_content()
    assert "a-secret-of-the-receiver" not in mail.get_content()

    # Nothing is queued until it is enabled again.
    await tell(ada)
    assert len((await show(ada, made))[1]) == 3
    path = f"{HOOKS}/{made['id']}"
    resend = f"{path}/deliveries/{deliveries[0]['id']}/resend"
    assert (await http("POST", resend, token=ada.access_token)).code == "webhook_disabled"
    assert (await http("PATCH", path, body={"enabled": True}, token=ada.access_token)).status == 200
    receivers.answers[made["url"]] = UP
    await tell(ada)
    assert await send_due() == 1
    assert (await show(ada, made))[1][0]["status"] == "delivered"


async def test_a_receiver_that_refuses_one_delivery_keeps_getting_the_others(
    sign_up: Any, hook: Any, tell: Any, show: Any, next_call: Any, send_due: Any, receivers: Any, clock: Any
) -> None:
    ada = await sign_up()
    made = await hook(ada)
    started = clock.now
    await tell(ada)
    _, (refused,) = await show(ada, made)
    receivers.refused_deliveries.add(refused["id"])
    await send_due()
    while (due_at := await next_call(made)) is not None:
        clock.now = due_at
        await send_due()
        await tell(ada)
        clock.now = await next_call(made)
        await send_due()
    assert clock.now - started >= RETRY_FOR
    shown, deliveries = await show(ada, made)
    assert (shown["enabled"], shown["failing_since"]) == (True, None)
    assert [each["id"] for each in deliveries if each["status"] == "failed"] == [refused["id"]]
    assert {each["status"] for each in deliveries if each["id"] != refused["id"]} == {"delivered"}


async def test_410_disables_at_once(
    sign_up: Any, hook: Any, tell: Any, show: Any, send_due: Any, receivers: Any, notices: Any, mailbox: Any
) -> None:
    ada = await sign_up()
    made = await hook(ada)
    receivers.answers[made["url"]] = CallResult(status=410)
    await tell(ada, count=2)
    assert await send_due() == 1
    shown, deliveries = await show(ada, made)
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "gone")
    assert [(each["status"], each["last_status"]) for each in deliveries] == [
        ("failed", None),
        ("failed", 410),
    ]
    await notices.send_one()
    assert "410 Gone" in mailbox.mails[0].get_content()


async def test_any_delivery_is_sent_again_with_its_id(
    http: Any, sign_up: Any, hook: Any, tell: Any, show: Any, send_due: Any, receivers: Any
) -> None:
    ada = await sign_up()
    made = await hook(ada)
    await tell(ada)
    await send_due()
    _, (delivery,) = await show(ada, made)
    path = f"{HOOKS}/{made['id']}/deliveries/{delivery['id']}/resend"
    headers = {"Idempotency-Key": "a-key-of-the-client"}
    answers = [await http("POST", path, token=ada.access_token, headers=headers) for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    assert (answers[0].json["status"], answers[0].json["attempts"]) == ("pending", 0)
    assert answers[0].body == answers[1].body
    await send_due()
    assert [call.id for call in receivers.calls] == [delivery["id"]] * 2
    unknown = path.replace(delivery["id"], str(uuid4()))
    assert (await http("POST", unknown, token=ada.access_token)).code == "delivery_not_found"
    with_body = await http("POST", path, body={"status": "failed"}, token=ada.access_token)
    assert with_body.code == "unknown_field"


async def test_a_resent_delivery_and_a_new_url_do_not_wait_for_a_pause(
    http: Any, sign_up: Any, hook: Any, tell: Any, show: Any, send_due: Any, receivers: Any
) -> None:
    ada = await sign_up()
    made = await hook(ada, HERE)
    receivers.answers[HERE] = DOWN
    await tell(ada)
    assert await send_due() == 1
    _, (delivery,) = await show(ada, made)
    resend = f"{HOOKS}/{made['id']}/deliveries/{delivery['id']}/resend"
    assert (await http("POST", resend, token=ada.access_token)).status == 202
    assert await send_due() == 1
    changed = await http("PATCH", f"{HOOKS}/{made['id']}", body={"url": THERE}, token=ada.access_token)
    assert changed.json["failing_since"] is None
    await tell(ada)
    await send_due()
    assert [call.url for call in receivers.calls] == [HERE, HERE, THERE]


async def test_the_wait_of_a_due_delivery_is_measured(
    sign_up: Any, hook: Any, tell: Any, send_due: Any, sender: Any, receivers: Any, database: Any, clock: Any
) -> None:
    watch = WatchDeliveries(database, clock=clock)

    async def measured_s() -> float:
        await watch()
        value: float = metrics.DELIVERY_DUE_SECONDS._value.get()
        return value

    ada = await sign_up()
    await hook(ada, HERE)
    assert await measured_s() == 0
    await tell(ada, count=2)
    clock.pass_by(timedelta(seconds=90))
    assert await measured_s() == 90
    # While it is called, nothing is due: the next delivery waits for this one.
    (leased,) = await sender.take(10)
    assert await measured_s() == 0
    await sender.work(leased)
    clock.pass_by(timedelta(seconds=5))
    assert await measured_s() == 5
    # After a failure nothing is due before the end of the pause.
    receivers.answers[HERE] = DOWN
    assert await send_due() == 1
    assert await measured_s() == 0
    clock.pass_by(timedelta(minutes=1))
    assert 0 < await measured_s() < 60
    await database.hot.execute("UPDATE accounts SET suspended_at = now()")
    assert await measured_s() == 0


async def test_the_newest_deliveries_are_kept_and_the_dropped_ones_counted(
    sign_up: Any, hook: Any, make_processor: Any, record: Any, clock: Any, show: Any, sender: Any
) -> None:
    ada = await sign_up()
    made, processor = await hook(ada), make_processor(webhook_deliveries_kept=3)

    async def told() -> str:
        await processor.process(record(ready(ada.id, clock.now)))
        return str((await show(ada, made))[1][0]["id"])

    ids = [await told() for _ in range(3)]
    (leased,) = await sender.take(10)
    await sender.work(leased)  # the oldest is delivered, so removing it drops nothing
    ids += [await told() for _ in range(3)]
    shown, deliveries = await show(ada, made)
    assert [each["id"] for each in deliveries] == ids[:2:-1]
    assert shown["dropped_deliveries"] == 2


async def test_a_delivery_that_is_dropped_during_its_call_ends_the_lease(
    sign_up: Any, hook: Any, make_processor: Any, record: Any, clock: Any, sender: Any, send_due: Any
) -> None:
    ada = await sign_up()
    await hook(ada)
    processor = make_processor(webhook_deliveries_kept=1)
    await processor.process(record(ready(ada.id, clock.now)))
    (leased,) = await sender.take(10)
    await processor.process(record(ready(ada.id, clock.now)))
    await sender.work(leased)
    assert await send_due() == 1


async def test_a_dead_receiver_takes_one_place_and_the_others_get_their_deliveries(
    sign_up: Any, hook: Any, tell: Any, sender: Any, receivers: Any, clock: Any
) -> None:
    ada, bob = await sign_up(), await sign_up("bob@example.com")
    await hook(ada, HERE)
    await hook(bob, THERE)
    await tell(ada, count=5)
    await tell(bob, count=5)
    # Ada's receiver does not answer: its call stays where it is while bob's are made.
    leased = await sender.take(10)
    assert sorted(each.url for each in leased) == [HERE, THERE]
    (healthy,) = [each for each in leased if each.url == THERE]
    for _ in range(5):
        await sender.work(healthy)
        taken = await sender.take(10)
        assert {each.url for each in taken} <= {THERE}
        healthy = taken[0] if taken else None
    assert healthy is None
    assert [call.url for call in receivers.calls] == [THERE] * 5


async def test_no_more_webhooks_are_taken_than_there_are_places(
    sign_up: Any, hook: Any, tell: Any, sender: Any
) -> None:
    ada = await sign_up()
    for number in range(5):
        await hook(ada, f"https://example.com/{number}")
    await tell(ada)
    first, second = await asyncio.gather(sender.take(2), sender.take(2))
    rest = await sender.take(10)
    assert (len(first), len(second), len(rest)) == (2, 2, 1)
    assert len({each.webhook_id for each in (*first, *second, *rest)}) == 5


async def test_what_a_process_that_died_had_leased_is_sent_by_another(
    sign_up: Any, hook: Any, tell: Any, sender: Any, send_due: Any, receivers: Any, clock: Any
) -> None:
    ada = await sign_up()
    await hook(ada)
    await tell(ada)
    (died,) = await sender.take(10)
    assert await send_due() == 0
    clock.pass_by(timedelta(seconds=15) + LEASE_BEYOND_CALL)
    assert await send_due() == 1
    # The first process was only slow: its call arrives, too, and spoils nothing.
    await sender.work(died)
    assert {call.id for call in receivers.calls} == {str(died.id)}
    assert await send_due() == 0


async def test_a_suspended_account_gets_no_deliveries(
    http: Any, admin: Any, sign_up: Any, hook: Any, tell: Any, log_in: Any, show: Any, send_due: Any
) -> None:
    ada = await sign_up()
    made = await hook(ada)
    await tell(ada)
    path, reason = f"/v1/admin/accounts/{ada.id}/suspension", {"reason": "Spam"}
    assert (await http("PUT", path, body=reason, token=admin.access_token)).status == 200
    await tell(ada)
    assert await send_due() == 0
    assert (await http("DELETE", path, token=admin.access_token)).status == 200
    assert await send_due() == 0
    await tell(ada)
    assert await send_due() == 1
    token = (await log_in(ada.email)).json["access_token"]
    deliveries = await http("GET", f"{HOOKS}/{made['id']}/deliveries", token=token)
    assert [each["status"] for each in deliveries.json["items"]] == ["delivered", "failed"]


async def test_under_another_key_secret_nothing_is_sent(
    sign_up: Any, hook: Any, tell: Any, show: Any, deps: Any, make_settings: Any, receivers: Any
) -> None:
    ada = await sign_up()
    made = await hook(ada)
    await tell(ada)
    sender = build_sender(deps, make_settings(key_secret="another" * 4), receivers=receivers)
    (leased,) = await sender.take(10)
    await sender.work(leased)
    _, (delivery,) = await show(ada, made)
    assert (delivery["status"], delivery["last_error"]) == ("pending", "secret_unreadable")
    assert receivers.calls == []
