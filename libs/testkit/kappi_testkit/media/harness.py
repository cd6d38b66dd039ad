"""Calls the media service in tests: ASGI requests, signed grants, a client app, published events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import msgspec
from kappi_chassis.auth import SigningKey
from kappi_chassis.auth.grants import seal_grant
from kappi_chassis.bus import Processor, Record
from kappi_chassis.clock import utc_now
from kappi_chassis.storage import SignedRequest
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import Event, GalleryUpdated
from kappi_contracts.grants import GRANT_HEADER, Contributor, Grant, PublicGallery, Right
from kappi_contracts.topics import BY_NAME
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.consumers import WORKER_GROUP, worker_handlers
from kappi_media.use_cases.process_upload import UploadWorker

from kappi_testkit.asgi import Answer, AsgiClient
from kappi_testkit.events import RecordingDeadLetters, record_of
from kappi_testkit.signed_requests import call


class Teller(Protocol):
    """Delivers an event to the service."""

    async def __call__(self, event: Event, *, sequence: int = 1) -> None: ...


class Clock:
    """A clock that tests can advance. The store checks its URLs by the real clock."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead

    def pass_by(self, span: timedelta) -> None:
        self.ahead += span


class Http(AsgiClient):
    """Calls the media service. grant: sent as the gateway sends it."""

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        grant: str | None = None,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> Answer:
        named = {} if grant is None else {GRANT_HEADER: grant}
        return await super().__call__(method, path, headers={**(headers or {}), **named}, **content)


@dataclass(frozen=True, slots=True)
class Gallery:
    """A gallery as the galleries service describes it in grants."""

    key: SigningKey
    public: PublicGallery
    owner_id: UUID | None = None

    @property
    def id(self) -> UUID:
        return self.public.id

    def grant(
        self,
        right: Right = "manage",
        *,
        lifetime: timedelta = timedelta(seconds=60),
        contributor: Contributor | None = None,
    ) -> str:
        grant = Grant(
            gallery_id=self.id,
            right=right,
            tier="Anonymous" if self.owner_id is None else "Basic",
            gallery=self.public,
            owner_id=self.owner_id,
            contributor=contributor,
        )
        # The service checks tokens by the real clock, not by the clock of the test.
        return seal_grant(self.key, grant, now=utc_now(), lifetime=lifetime)

    def changed(self, **fields: Any) -> Gallery:
        return replace(self, public=msgspec.structs.replace(self.public, **fields))

    def updated(self, at: datetime, *, closed: bool = False) -> GalleryUpdated:
        """Returns the event of the galleries service. closed: an administrator took the gallery down."""
        return GalleryUpdated(
            gallery_id=self.id,
            owner_id=self.owner_id,
            visibility=self.public.visibility,
            expires_at=self.public.expires_at,
            updated_at=at,
            closed=closed,
            contributions=self.public.contributions,
        )

    def of(self, owner_id: UUID) -> Gallery:
        """Returns the gallery as owned by an account."""
        return replace(self.changed(expires_at=None), owner_id=owner_id)


@dataclass(frozen=True, slots=True)
class Client:
    """The requests of a client app, one line each."""

    http: Http

    async def sign(self, gallery: Gallery, *files: dict[str, Any], **call: Any) -> list[Any]:
        answer = await self.http(
            "POST",
            f"/v1/galleries/{gallery.id}/uploads",
            grant=gallery.grant("contribute"),
            body={"files": files},
            **call,
        )
        assert answer.status == 201, answer.body
        uploads: list[Any] = answer.json["uploads"]
        return uploads

    async def put(self, promised: dict[str, Any], body: bytes) -> int:
        """Sends a file to its signed URL. Returns the store's status."""
        single = promised["single"]
        request = SignedRequest(single["url"], single["http_method"], single["headers"], utc_now())
        return (await call(request, body)).status

    async def complete(self, gallery: Gallery, upload_id: str) -> Answer:
        return await self.http("POST", f"/v1/uploads/{upload_id}/complete", grant=gallery.grant("contribute"))

    async def upload(self, gallery: Gallery, body: bytes, **declared: Any) -> dict[str, Any]:
        """Uploads a file and returns its item."""
        file = {"filename": "a.jpg", "content_type": "image/jpeg", "size": len(body), **declared}
        (promised,) = await self.sign(gallery, file)
        assert await self.put(promised, body) == 200
        answer = await self.complete(gallery, promised["id"])
        assert answer.status == 200, answer.body
        item: dict[str, Any] = answer.json
        return item

    async def view(self, gallery: Gallery, query: str = "", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        path = f"/v1/g/{gallery.public.code}"
        return await self.http(
            "GET", f"{path}?{query}" if query else path, grant=gallery.grant("view"), headers=named
        )


@dataclass(frozen=True, slots=True)
class Published:
    """A row of the outbox."""

    id: UUID
    topic: str
    key: str
    sequence: int
    data: dict[str, Any]


def redelivered(event: Published) -> Record:
    """Returns a published event as the broker delivers it to a consumer: the same event each time."""
    model = BY_NAME[event.topic].versions[-1]
    envelope = Envelope(
        id=event.id,
        source="/media",
        time=utc_now(),
        sequence=event.sequence,
        data=msgspec.convert(event.data, model, strict=False),
    )
    return record_of(envelope)


class Worker:
    """The worker of completed uploads. It consumes a record and does the job that the record queued."""

    def __init__(self, deps: Dependencies, worker: UploadWorker, dead_letters: RecordingDeadLetters) -> None:
        self._database = deps.database
        self._worker = worker
        known = worker_handlers(deps.outbox, worker, clock=deps.clock)
        self.processor = Processor(group=WORKER_GROUP, handlers=known, dead_letters=dead_letters)

    async def process(self, record: Record) -> None:
        """Processes a record. Returns when no job is queued any more."""
        await self.processor.process(record)
        running = asyncio.create_task(self._worker.run())
        try:
            # The last step, such as the tags of an original, comes after the job has ended.
            while self._worker._work._at_work or await self._queued():
                if running.done():
                    running.result()
                await asyncio.sleep(0.01)
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def _queued(self) -> int:
        return int(await self._database.hot.fetchval("SELECT count(*) FROM upload_jobs"))
