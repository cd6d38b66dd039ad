"""kill -9 at random times during uploads: nothing acknowledged is lost, and no effect happens twice.

Times and victims come from a seed, but the order of events between processes varies, so each run differs.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from kappi_embedded.backlog import BacklogReader
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e import evidence
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

pytestmark = pytest.mark.real_servers

UPLOADS, PHONES, GALLERIES = 200, 8, 4
KILLS_EACH = 2
_SETTLED_S = 90
_PROMPT_S = 30


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    """The database keeps all acknowledged data, as in production; other tests do not need that."""
    return {"KAPPI_EMBEDDED_DURABLE": "1", "KAPPI_JANITOR_PURGE_LEASE": "PT4S"}


@dataclass(slots=True)
class Journey:
    """Phones uploading into a few galleries. acknowledged: media ids by gallery, as clients received them."""

    stack: StackUnderTest
    galleries: list[Gallery] = field(default_factory=list)
    acknowledged: dict[str, dict[str, int]] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> int:
        return sum(len(items) for items in self.acknowledged.values())

    async def begin(self) -> None:
        async with Phone(self.stack.base_url, secrets=self.stack.secrets) as phone:
            for number in range(GALLERIES):
                gallery = await phone.create_gallery(title=f"Journey {number}")
                self.galleries.append(gallery)
                self.acknowledged[gallery.id] = {}

    async def upload_until_over(self, *, at_least: int) -> None:
        """Runs all phones until that many uploads are acknowledged and `over` is set."""
        async with asyncio.TaskGroup() as group:
            for _ in range(PHONES):
                group.create_task(self._phone(at_least))

    async def _phone(self, at_least: int) -> None:
        async with Phone(self.stack.base_url, secrets=self.stack.secrets) as phone:
            while not self.over.is_set() or self.done < at_least:
                number = next(self.numbers)
                gallery = self.galleries[number % GALLERIES]
                file = _picture(number)
                (media_id,) = await phone.upload(gallery, file)
                assert media_id not in self.acknowledged[gallery.id]
                self.acknowledged[gallery.id][media_id] = len(file.body)


def _picture(number: int) -> File:
    """Returns a unique picture: no two have the same size."""
    return File(
        f"{number}.jpg", "image/jpeg", encode(quadrants(33 + number % 200, 20 + number // 200), "JPEG")
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_uploads_survive_kills_of_single_services(own_stack: StackUnderTest) -> None:
    rng = random.Random(20260601)
    victims = [name for name in own_stack.running.note.services for _ in range(KILLS_EACH)]
    rng.shuffle(victims)
    journey = Journey(own_stack)
    await journey.begin()

    async def kill_them_one_by_one() -> None:
        for victim in victims:
            # This sleep waits for no outcome: it is the random time of the kill.
            await asyncio.sleep(rng.uniform(0.1, 0.8))
            assert own_stack.running.kill(victim), f"{victim} does not run"
            await own_stack.running.wait_ready(timeout_s=60)
        journey.over.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(journey.upload_until_over(at_least=UPLOADS))
        group.create_task(kill_them_one_by_one())
    await _check_all_galleries(journey)


@pytest.mark.timeout(400)
async def test_uploads_survive_a_kill_of_all_processes(own_stack: StackUnderTest) -> None:
    rng = random.Random(20260602)
    journey = Journey(own_stack)
    await journey.begin()

    async def kill_everything() -> None:
        for milestone in (40, 80):
            while journey.done < milestone:  # noqa: ASYNC110 - phones do that many
                await asyncio.sleep(0.02)
            await asyncio.sleep(rng.uniform(0, 0.3))
            await asyncio.to_thread(own_stack.running.crash)
            await asyncio.to_thread(own_stack.running.start)
        journey.over.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(journey.upload_until_over(at_least=120))
        group.create_task(kill_everything())
    await _check_all_galleries(journey)


async def test_an_upload_acknowledged_just_before_a_crash_survives(
    own_stack: StackUnderTest,
) -> None:
    picture, promised = _picture(1), _picture(2)
    once = secrets.token_hex(16)
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        gallery = await phone.create_gallery(idempotency_key=once, title="Kept")
        first, second = await phone.sign(gallery, [picture, promised])
        assert (await phone.put(first, picture.body)).status == 200
        assert (await phone.put(second, promised.body)).status == 200
        await phone.complete(gallery, first)
        await asyncio.to_thread(own_stack.running.crash)
        await asyncio.to_thread(own_stack.running.start)

        again = await phone.create_gallery(idempotency_key=once, title="Kept")
        assert again == gallery, "the same answer, access key included, and no second gallery"
        (item,) = await phone.until_ready(gallery, 1, deadline_s=30)
        assert (item["id"], item["filename"]) == (first["media_id"], picture.name)
        assert (await phone.ask("GET", item["original"]["url"])).body == picture.body
        assert (await phone.ask("GET", item["renditions"]["400"]["url"])).status == 200
        # The bytes of the other upload exist too; its client can complete it only now.
        await phone.complete(gallery, second)
        await phone.until_ready(gallery, 2, deadline_s=30)


@pytest.mark.timeout(240)
async def test_an_expiry_completes_if_services_are_killed_during_it(own_stack: StackUnderTest) -> None:
    rng = random.Random(20260603)
    running = own_stack.running
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        doomed = [await phone.create_gallery(expires_in=3600) for _ in range(40)]
        await asyncio.gather(*(phone.upload(gallery, _picture(3)) for gallery in doomed))
        kept = await phone.create_gallery(expires_in=7 * 86_400)
        (kept_id,) = await phone.upload(kept, _picture(4))
        await running.wait_idle()

        async def kill_them_meanwhile() -> None:
            for victim in ("janitor", "galleries", "media", "janitor"):
                await asyncio.sleep(rng.uniform(0, 0.3))
                assert running.kill(victim)
                await running.wait_ready(timeout_s=60)

        async with asyncio.TaskGroup() as group:
            group.create_task(running.tick(datetime.now(UTC) + timedelta(hours=2), timeout_s=120))
            group.create_task(kill_them_meanwhile())
        for gallery in doomed:
            (await phone.insist("GET", f"/v1/g/{gallery.code}")).problem(404, "gallery_not_found")

        async def emptied() -> None:
            for gallery in doomed:
                assert await evidence.objects_under(own_stack, f"galleries/{gallery.id}/") == []

        await eventually(emptied, _SETTLED_S)
        await running.wait_idle(timeout_s=_SETTLED_S)
        for service, statement in (
            ("galleries", "SELECT count(*) FROM gallery_items WHERE gallery_id = ANY($1::uuid[])"),
            ("media", "SELECT count(*) FROM items WHERE gallery_id = ANY($1::uuid[])"),
            ("media", "SELECT count(*) FROM uploads WHERE gallery_id = ANY($1::uuid[])"),
        ):
            assert await evidence.ask_database(own_stack, service, statement, [g.id for g in doomed]) == 0
        deleted = await evidence.events_by_key(own_stack, "galleries", "GalleryDeleted")
        assert [deleted[gallery.id] for gallery in doomed] == [1] * len(doomed), (
            "published once, even if requested twice"
        )
        assert [item["id"] for item in await phone.items(kept.code)] == [kept_id]
        assert len(await evidence.objects_under(own_stack, f"galleries/{kept.id}/")) == 2


async def _check_all_galleries(journey: Journey) -> None:
    stack = journey.stack
    await stack.running.wait_ready(timeout_s=60)
    async with Phone(stack.base_url, secrets=stack.secrets) as phone:
        for gallery in journey.galleries:
            await _check_gallery(journey, phone, gallery)
        await stack.running.wait_idle(timeout_s=_SETTLED_S)
        await _check_events(journey)
        # No work is stuck: new uploads are soon ready.
        fresh = await phone.create_gallery()
        await phone.upload(fresh, _picture(0))
        await phone.until_ready(fresh, 1, deadline_s=_PROMPT_S)


async def _check_gallery(journey: Journey, phone: Phone, gallery: Gallery) -> None:
    acknowledged = journey.acknowledged[gallery.id]
    items = await phone.until_ready(gallery, len(acknowledged), deadline_s=_SETTLED_S)
    assert sorted(item["id"] for item in items) == sorted(acknowledged), "each item once, and no other item"
    assert {item["id"]: item["size"] for item in items} == acknowledged

    async def counted() -> None:
        manager = (await phone.ask("GET", f"/v1/galleries/{gallery.id}", headers=gallery.key)).ok()
        assert manager["item_count"] == len(acknowledged)
        assert manager["size_bytes"] == sum(acknowledged.values())

    await eventually(counted, _SETTLED_S)
    page = (await phone.ask("GET", f"/v1/g/{gallery.code}?limit=1")).ok()
    assert page["gallery"]["item_count"] == len(acknowledged)
    stored = await evidence.objects_under(journey.stack, f"galleries/{gallery.id}/")
    assert len(stored) == 2 * len(acknowledged), "an original and a rendition each"


async def _check_events(journey: Journey) -> None:
    """Counts events: one published per item, one recorded per consumer, no dead letter, none unsent."""
    stack = journey.stack
    for topic, consumer, database in (
        ("UploadCompleted", "media-worker", "media"),
        ("MediaReady", "galleries", "galleries"),
    ):
        published = await evidence.events_by_key(stack, "media", topic)
        ours = {media for items in journey.acknowledged.values() for media in items}
        assert {key: times for key, times in published.items() if key in ours} == dict.fromkeys(ours, 1)
        ids = await evidence.event_ids(stack, "media", topic)
        recorded = await evidence.recorded_ids(stack, database, consumer)
        assert set(ids) <= set(recorded), f"{topic}: no event is lost"
        assert len(ids) == len(set(ids))

    async def all_sent() -> None:  # except for an instant after the hourly tick
        for service in evidence.DATABASES:
            unsent = await evidence.ask_database(
                stack, service, "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
            )
            assert unsent == 0, service

    await eventually(all_sent)
    known = stack.running.stack()
    async with BacklogReader(known.connection, known.databases) as reader:
        assert await reader.dead_letters() == 0
