"""A program on the same machine has no access behind the gateway without the deployment's secrets."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from kappi_chassis.bus.mac import MAC_HEADER, EventMac
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import (
    AccountDeleted,
    AccountTierChanged,
    Event,
    GalleryExpired,
    JanitorTick,
)
from kappi_contracts.services import NAMES, SERVING
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.accounts import create_gallery, sign_up, until_media_ready
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

_BEHIND_THE_GATEWAY = (*(name for name in SERVING if name != "gateway"), "store")


@pytest.mark.parametrize("service", _BEHIND_THE_GATEWAY)
async def test_a_service_answers_only_other_services(
    service: str, stack: StackUnderTest, phone: Phone
) -> None:
    """Neither internal nor public paths answer: behind the gateway its limits would be missing."""
    url = stack.service_url(service)
    spoofed = {"X-Forwarded-For": "203.0.113.9", "X-Kappi-Role": "admin"}
    for headers in ({}, spoofed, {"X-Kappi-Internal": "a-secret-that-was-guessed"}):
        for method, path in (
            ("GET", "/internal/openapi.json"),
            ("GET", f"/internal/media/{uuid4()}"),
            ("POST", "/internal/grants/view"),
            ("POST", "/v1/galleries"),
            ("POST", "/v1/oauth/token"),
            ("GET", "/.well-known/jwks.json"),
            ("GET", "/store/galleries/x"),
            ("GET", "/internal/store-events/"),
        ):
            (await phone.ask(method, url + path, headers=headers)).problem(401, "caller_unknown")
    assert (
        "kappi_http_refused_callers_total"
        in (await phone.ask("GET", f"{stack.ops_url(service)}/metrics")).body.decode()
    )


async def test_a_client_cannot_send_the_internal_secret_through_the_gateway(
    stack: StackUnderTest, phone: Phone
) -> None:
    """A client's value of that header is removed, right or wrong, and the call is served as usual."""
    for headers in ({"X-Kappi-Internal": "a-secret-that-was-guessed"}, stack.running.introduction):
        gallery = (await phone.ask("POST", "/v1/galleries", json={"title": "A"}, headers=headers)).ok(201)
        assert (await phone.ask("GET", f"/v1/g/{gallery['code']}", headers=headers)).status == 200
        (await phone.ask("GET", "/internal/jwks.json", headers=headers)).problem(404, "not_found")


async def test_operations_ports_show_no_secret(stack: StackUnderTest, phone: Phone) -> None:
    secrets = {
        path.read_text().strip() for path in (stack.running.data_dir / "secrets").iterdir() if path.is_file()
    }
    assert set(stack.running.introduction.values()) <= secrets
    for service in (*NAMES, "store"):
        for path in ("/healthz", "/readyz", "/metrics", "/"):
            text = (await phone.ask("GET", stack.ops_url(service) + path)).body.decode()
            assert not [secret for secret in secrets if secret in text], (service, path)


@pytest.fixture
async def intruder(stack: StackUnderTest) -> AsyncIterator[AIOKafkaProducer]:
    """A program that found the broker's port and has the format of events, but no secret."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.running.note.kafka_bootstrap)
    await producer.start()
    yield producer
    await producer.stop()


async def test_forged_events_are_ignored_and_counted(
    stack: StackUnderTest, phone: Phone, intruder: AIOKafkaProducer
) -> None:
    ada = await sign_up(stack, phone, "ada")
    gallery = await create_gallery(phone, ada, title="Lisbon", visibility="shared")
    picture = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))
    (media_id,) = await phone.upload(gallery, picture)
    await until_media_ready(phone, ada, media_id)
    genuine = await _genuine_headers(stack, ada.id)
    before = await _refused(stack, phone)
    now = datetime.now(UTC)
    anonymous = await phone.create_gallery()
    later = now + timedelta(days=31)
    forged: list[Event] = [
        AccountTierChanged(account_id=UUID(ada.id), tier="Enterprise", changed_at=now),
        AccountDeleted(account_id=UUID(ada.id), deleted_at=now),
        JanitorTick(schedule="operator", at=later, origin="operator"),
        GalleryExpired(gallery_id=UUID(anonymous.id), expires_at=now, as_of=later, origin="operator"),
    ]
    for event in forged:
        await _send(intruder, event)
        await _send(intruder, event, ((MAC_HEADER, b"0" * 64),))
        await _send(intruder, event, ((MAC_HEADER, dict(genuine)[MAC_HEADER]),))
        await _send(intruder, event, mac=EventMac(["a-secret-that-was-guessed"]))

    async def all_were_refused() -> None:
        # Four forgeries of each: media reads the first three topics, galleries the last three, janitor one.
        assert await _refused(stack, phone) == before + 4 * (3 + 3 + 1)

    await eventually(all_were_refused, deadline_s=30)
    # The account still has the tier Traveller: no links.
    link = await phone.ask("POST", f"/v1/media/{media_id}/links", json={"valid_for": 300}, headers=ada.key)
    link.problem(403, "links_not_in_tier")
    assert (await phone.ask("GET", f"/v1/g/{gallery.code}")).status == 200
    assert (await phone.ask("GET", f"/v1/g/{anonymous.code}")).status == 200
    # The genuine event, behind the forged ones in the same partition, is processed.
    ended = await phone.ask("DELETE", "/v1/me", json={"password": ada.password}, headers=ada.key)
    assert ended.status == 204

    async def gone() -> None:
        (await phone.ask("GET", f"/v1/g/{gallery.code}")).problem(404, "gallery_not_found")

    await eventually(gone, deadline_s=30)
    assert "without a MAC" not in stack.kappi("dlq", "list").stdout


async def _send(
    producer: AIOKafkaProducer,
    event: Event,
    more: tuple[tuple[str, bytes], ...] = (),
    *,
    mac: EventMac | None = None,
) -> None:
    envelope = Envelope(id=uuid4(), source="/identity", time=datetime.now(UTC), sequence=1_000, data=event)
    topic, key, value = event.topic_name(), envelope.key.encode(), envelope.value()
    headers = (mac or EventMac()).signed(topic=topic, key=key, value=value, headers=envelope.headers())
    await producer.send_and_wait(topic, key=key, value=value, headers=[*headers, *more])


async def _genuine_headers(stack: StackUnderTest, account_id: str) -> Any:
    """Returns the headers of the event about the account, which any local process can read."""
    consumer = AIOKafkaConsumer(
        "AccountCreated",
        bootstrap_servers=stack.running.note.kafka_bootstrap,
        group_id=None,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        async for message in consumer:
            if message.key == account_id.encode():
                return message.headers
    finally:
        await consumer.stop()


async def _refused(stack: StackUnderTest, phone: Phone) -> float:
    total = 0.0
    for service in NAMES:
        text = (await phone.ask("GET", f"{stack.ops_url(service)}/metrics")).body.decode()
        for line in text.splitlines():
            if line.startswith("kappi_consumer_records_total") and 'fate="refused"' in line:
                total += float(re.split(r"\s", line)[-1])
    return total
