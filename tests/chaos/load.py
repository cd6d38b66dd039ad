"""Steady clients: they upload, view, comment, delete and let galleries expire, and note the answers."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.observability.context import continue_trace
from kappi_embedded.ticking import send_tick
from kappi_testkit.media.samples import encode, quadrants

from tests.chaos.ledger import Ledger, Sent
from tests.chaos.receiver import Receiver
from tests.e2e.accounts import ask_for_tokens
from tests.e2e.phone import Answer, File, Gallery, Phone
from tests.e2e.posts import form

GALLERIES, UPLOADERS, VIEWERS = 6, 2, 2
EXPIRES_S = 3600
"""The shortest lifetime of a gallery."""
AHEAD_S = EXPIRES_S - 45
"""The difference of the ticks from the clock, so that a gallery lives for less than a minute."""
TICK_EVERY_S = 5.0
_UNFINISHED = (TimeoutError, aiohttp.ClientError, OSError)


@dataclass(frozen=True, slots=True)
class Sample:
    """One attempt of one request. at_s: monotonic time of its start. failed: no answer, or 5xx."""

    at_s: float
    elapsed_ms: float
    failed: bool


class MeasuredPhone(Phone):
    """A phone that notes every attempt of a call to the API; calls of the store are not measured."""

    def __init__(self, base_url: str, samples: list[Sample]) -> None:
        super().__init__(base_url)
        self._samples = samples

    async def ask(self, method: str, url: str, **more: Any) -> Answer:
        if url.startswith("http"):
            return await super().ask(method, url, **more)
        started = time.monotonic()
        failed = True
        try:
            answer = await super().ask(method, url, **more)
            failed = answer.status >= 500
        finally:
            self._samples.append(Sample(started, (time.monotonic() - started) * 1e3, failed))
        return answer


@dataclass(slots=True)
class Load:
    """The clients of one run.

    kafka: for ticks, which a schedule sends otherwise. receiver: of a webhook. author: headers of the account
    that has the post and the webhook.
    """

    base_url: str
    kafka: KafkaConnection
    ledger: Ledger = field(default_factory=Ledger)
    samples: list[Sample] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    post_id: str = ""
    author: dict[str, str] = field(default_factory=dict)
    receiver: Receiver = field(default_factory=Receiver)

    async def prepare(self) -> None:
        """Creates the galleries that stay, and a post to comment on."""
        async with self._phone() as phone:
            for number in range(GALLERIES):
                gallery = await phone.create_gallery(title=f"Kept {number}")
                self.ledger.kept[gallery.id] = gallery
            await self._create_post(phone)

    async def run(self) -> None:
        """Runs all clients until `over` is set and each has finished its last action."""
        actions = [self._upload] * UPLOADERS + [self._view] * VIEWERS
        actions += [self._comment, self._delete_item, self._delete_gallery, self._let_expire]
        async with asyncio.TaskGroup() as group:
            for action in actions:
                group.create_task(self._repeat(action))
            group.create_task(self._tick())

    async def browse(self) -> None:
        """Runs clients that only look at galleries, until `over` is set."""
        async with asyncio.TaskGroup() as group:
            for _ in range(2 * VIEWERS):
                group.create_task(self._repeat(self._view))

    def _phone(self) -> MeasuredPhone:
        return MeasuredPhone(self.base_url, self.samples)

    async def _repeat(self, action: Callable[[Phone], Coroutine[Any, Any, None]]) -> None:
        async with self._phone() as phone:
            while not self.over.is_set():
                await action(phone)
                await asyncio.sleep(random.uniform(0.1, 0.4))  # the load is steady, not the highest possible

    async def _upload(self, phone: Phone) -> None:
        await self._add(phone, random.choice([*self.ledger.kept.values()]))

    async def _add(self, phone: Phone, gallery: Gallery) -> str | None:
        number = next(self.numbers)
        file = File(f"{number}.jpg", "image/jpeg", encode(quadrants(40 + number % 160, 30), "JPEG"))
        try:
            (media_id,) = await phone.upload(gallery, file)
        except _UNFINISHED:
            self.ledger.unsure.add(gallery.id)
            return None
        assert media_id not in self.ledger.items, "one id for two uploads"
        self.ledger.items[media_id] = Sent(gallery.id, len(file.body), file.sha256)
        return media_id

    async def _view(self, phone: Phone) -> None:
        gallery = random.choice([*self.ledger.kept.values()])
        try:
            answer = await phone.ask("GET", f"/v1/g/{gallery.code}?limit=20")
        except _UNFINISHED:
            return
        assert answer.status == 200 or answer.status >= 500, (answer.status, answer.body[:300])

    async def _comment(self, phone: Phone) -> None:
        text, once = f"Comment {next(self.numbers)}", secrets.token_hex(16)
        try:
            answer = await phone.insist(
                "POST",
                f"/v1/posts/{self.post_id}/comments",
                json={"text": text},
                headers={**self.author, "Idempotency-Key": once},
            )
        except _UNFINISHED:
            self.ledger.unsure.add(text)
            return
        self.ledger.comments[answer.ok(201)["id"]] = text

    async def _delete_item(self, phone: Phone) -> None:
        gallery = random.choice([*self.ledger.kept.values()])
        media_id = await self._add(phone, gallery)
        if media_id is not None:
            await self._delete(phone, f"/v1/media/{media_id}", gallery, self.ledger.deleted_items, media_id)

    async def _delete_gallery(self, phone: Phone) -> None:
        gallery = await self._new_gallery(phone, title="Deleted")
        if gallery is None:
            return
        await self._add(phone, gallery)
        await self._delete(phone, f"/v1/galleries/{gallery.id}", gallery, self.ledger.deleted, gallery.id)

    async def _delete(self, phone: Phone, path: str, gallery: Gallery, told: set[str], name: str) -> None:
        try:
            answer = await phone.insist("DELETE", path, headers=gallery.key)
        except _UNFINISHED:
            self.ledger.unsure.add(name)
            return
        # 404: an earlier attempt deleted it, and its answer was lost.
        assert answer.status in {204, 404}, (answer.status, answer.body[:300])
        told.add(name)

    async def _let_expire(self, phone: Phone) -> None:
        started = time.time()
        gallery = await self._new_gallery(phone, title="Expires", expires_in=EXPIRES_S)
        if gallery is not None:
            self.ledger.due[gallery.id] = (started + EXPIRES_S, time.time() + EXPIRES_S)
            await self._add_if_open(phone, gallery)
        await asyncio.sleep(1)

    async def _add_if_open(self, phone: Phone, gallery: Gallery) -> None:
        """Adds an item to a gallery that may end meanwhile."""
        try:
            await self._add(phone, gallery)
        except AssertionError:
            if time.time() + AHEAD_S < self.ledger.due[gallery.id][0]:
                raise

    async def _new_gallery(self, phone: Phone, **fields: Any) -> Gallery | None:
        try:
            return await phone.create_gallery(**fields)
        except _UNFINISHED:
            return None  # its idempotency key is lost with it: it expires some day

    async def _tick(self) -> None:
        while not self.over.is_set():
            now = datetime.now(UTC) + timedelta(seconds=AHEAD_S)
            try:
                async with asyncio.timeout(10):
                    await send_tick(self.kafka, now, trace=continue_trace(None))
                self.ledger.last_tick_at = now.timestamp()
            except Exception:  # noqa: BLE001 - the broker is away: the next tick covers this one
                pass
            await asyncio.sleep(TICK_EVERY_S)

    async def _create_post(self, phone: Phone) -> None:
        email, password = f"author-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(12)
        (await phone.insist("POST", "/v1/accounts", json={"email": email, "password": password})).ok(201)
        tokens = (await ask_for_tokens(phone, grant_type="password", username=email, password=password)).ok()
        self.author = {"Authorization": f"Bearer {tokens['access_token']}"}
        body, content_type = form(encode(quadrants(60, 40), "JPEG"), caption="Comments")
        answer = await phone.insist(
            "POST", "/v1/posts", body=body, headers={**self.author, "Content-Type": content_type}
        )
        self.post_id = answer.ok(201)["id"]
        hook = {"url": self.receiver.url, "events": ["comment.added"]}
        (await phone.insist("POST", "/v1/webhooks", json=hook, headers=self.author)).ok(201)
