"""The media service without a network of its own: its app is called as ASGI, its events are hand-made
records.

Database and object store are real; bytes are sent and read by signed URL, as clients do it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.auth import SigningKey
from kappi_chassis.auth.verifier import Fetch
from kappi_chassis.bus import Processor
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import Event
from kappi_contracts.grants import PublicGallery
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.playback import build_film_worker
from kappi_media.bootstrap.use_cases import build_accesses, build_renditions, build_worker
from kappi_media.consumers import GROUP, handlers
from kappi_media.domain.media import start_of_bucket
from kappi_media.rendering.renderer import Renderer
from kappi_media.settings import MediaSettings
from kappi_media.statistics.counter import AccessCounter
from kappi_media.statistics.flush import AccessFlush
from kappi_media.statistics.recorder import CountAccesses
from kappi_media.use_cases import make_film
from kappi_media.use_cases.renditions import MakeRendition
from kappi_testkit.auth import access_token, key_set
from kappi_testkit.events import RecordingDeadLetters, RecordMaker
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.film_making import Interrupted
from kappi_testkit.media.harness import (
    Client,
    Clock,
    Gallery,
    Http,
    Published,
    Teller,
    Worker,
    redelivered,
)
from kappi_testkit.servers.databases import DatabaseMaker
from kappi_testkit.servers.local_store import ServedLocalStore, serving_local_store


@pytest.fixture
def clock() -> Clock:
    """It begins a minute or more before pages and their URLs change, which few tests are about."""
    clock, bucket = Clock(), MediaSettings.model_fields["url_bucket"].default
    left = start_of_bucket(clock(), bucket) + bucket - clock()
    if left < timedelta(minutes=1):
        clock.pass_by(left)
    return clock


@pytest.fixture(scope="session")
def grant_key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="session")
def identity_key() -> SigningKey:
    """Returns the key with which the identity service signs access tokens."""
    return SigningKey.generate()


@pytest.fixture
def account_keys(identity_key: SigningKey) -> Fetch:
    return key_set(identity_key)


@pytest.fixture
def make_gallery(grant_key: SigningKey, clock: Clock) -> Callable[..., Gallery]:
    """`make_gallery(code="k7dm", owner_id=None, …)` returns a new gallery each time."""

    def make(**fields: Any) -> Gallery:
        values: dict[str, Any] = {
            "id": new_id(),
            "code": "k7dm",
            "url": "https://kappi.example/g/k7dm",
            "title": "Alps",
            "visibility": "shared",
            "password_protected": False,
            "expires_at": clock() + timedelta(days=30),
            "created_at": clock(),
            "version": 1,
            **fields,
        }
        owner_id = values.pop("owner_id", None)
        return Gallery(grant_key, PublicGallery(**values), owner_id)

    return make


@pytest.fixture
def bearer(identity_key: SigningKey) -> Callable[[UUID], dict[str, str]]:
    """`bearer(account_id)` returns the header that identifies an account."""

    return lambda account_id: {"Authorization": f"Bearer {access_token(identity_key, account_id)}"}


@pytest.fixture
def gallery(make_gallery: Callable[..., Gallery]) -> Gallery:
    return make_gallery()


@pytest.fixture(scope="session")
def served_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedLocalStore]:
    """Serves one store per test process; galleries, hence keys, of different tests differ."""
    with serving_local_store(tmp_path_factory.mktemp("store")) as served:
        yield served


@pytest.fixture
def store(served_store: ServedLocalStore) -> FaultyStore:
    return FaultyStore(served_store.store)


@pytest.fixture
def url(make_database: DatabaseMaker) -> str:
    return make_database.migrated("media")


@pytest.fixture
def make_settings(url: str) -> Callable[..., MediaSettings]:
    def make(**changed: Any) -> MediaSettings:
        values: dict[str, Any] = {
            "database_url": url,
            "idempotency_secret": "0123456789abcdef",
            "grant_jwks_url": "http://127.0.0.1:1/never-asked",
            **changed,
        }
        return MediaSettings(**values)

    return make


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url, pool_size=20)
    await database.start()
    yield database
    await database.close()


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


@pytest.fixture
def deps(
    database: Database,
    outbox: Outbox,
    store: FaultyStore,
    served_store: ServedLocalStore,
    grant_key: SigningKey,
    account_keys: Fetch,
    clock: Clock,
    renderer: Renderer,
) -> Dependencies:
    return Dependencies(
        database=database,
        outbox=outbox,
        store=store,
        signer=served_store.signer,
        grant_keys=key_set(grant_key),
        account_keys=account_keys,
        clock=clock,
        reading=renderer,
    )


@pytest.fixture
async def make_rendition(deps: Dependencies, renderer: Renderer) -> AsyncIterator[MakeRendition]:
    """Returns the maker of renditions on request, with real decoders."""
    make = build_renditions(deps, renderer)
    yield make
    await make.close()


@pytest.fixture
def make_http(
    deps: Dependencies, make_settings: Callable[..., MediaSettings], make_rendition: MakeRendition
) -> Callable[..., Http]:
    """`make_http(max_in_flight=10, …)` returns the app with other settings."""
    return lambda **changed: Http(build_app(deps, make_settings(**changed), make_rendition))


@pytest.fixture
def counter() -> AccessCounter:
    return AccessCounter(max_keys=20_000)


@pytest.fixture
def flush(
    deps: Dependencies, make_settings: Callable[..., MediaSettings], counter: AccessCounter
) -> AccessFlush:
    """Returns the writer of the counter."""
    return build_accesses(deps, make_settings(), counter)


@pytest.fixture
def counting_http(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    make_rendition: MakeRendition,
    counter: AccessCounter,
) -> Http:
    """Returns the app with statistics on."""
    return Http(build_app(deps, make_settings(), make_rendition, recorder=CountAccesses(counter)))


@pytest.fixture
def http(make_http: Callable[..., Http]) -> Http:
    return make_http()


@pytest.fixture
def client(http: Http) -> Client:
    return Client(http)


@pytest.fixture
def dead_letters() -> RecordingDeadLetters:
    return RecordingDeadLetters()


@pytest.fixture
def processor(deps: Dependencies, dead_letters: RecordingDeadLetters) -> Processor:
    """Returns the consumer of everything except the work on originals."""
    return Processor(group=GROUP, handlers=handlers(deps.outbox), dead_letters=dead_letters, clock=deps.clock)


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=2)
    yield renderer
    await renderer.close()


@pytest.fixture
def worker(deps: Dependencies, renderer: Renderer, dead_letters: RecordingDeadLetters) -> Worker:
    """Returns the worker of UploadCompleted, with real decoders."""
    return Worker(deps, build_worker(deps, renderer, concurrency=4), dead_letters)


@pytest.fixture
def record(clock: Clock) -> RecordMaker:
    """`record(event, sequence=…, id=…)` returns a record as the broker delivers it."""

    return RecordMaker(clock)


@pytest.fixture
def tell(processor: Processor, record: RecordMaker, dead_letters: RecordingDeadLetters) -> Teller:
    """`await tell(event, sequence=…)` delivers an event to the service."""

    async def told(event: Event, *, sequence: int = 1) -> None:
        await processor.process(record(event, sequence=sequence))
        assert dead_letters.letters == []

    return told


@pytest.fixture
def published(database: Database) -> Callable[..., Awaitable[list[Published]]]:
    """`await published("MediaDeleted")` returns the events queued for the broker so far, in order."""

    async def read(*topics: str) -> list[Published]:
        rows = await database.hot.fetch(
            "SELECT event_id, topic, key, sequence, payload FROM outbox "
            "WHERE cardinality($1::text[]) = 0 OR topic = ANY($1) ORDER BY id",
            list(topics),
        )
        return [
            Published(row["event_id"], row["topic"], row["key"], row["sequence"], json.loads(row["payload"]))
            for row in rows
        ]

    return read


@pytest.fixture
def making() -> Interrupted:
    return Interrupted()


@pytest.fixture
def ready(
    client: Client, worker: Worker, published: Callable[..., Awaitable[list[Published]]]
) -> Callable[..., Awaitable[str]]:
    """`await ready(gallery, body)` returns the id of an item that was processed."""

    async def upload(gallery: Gallery, body: bytes, **declared: Any) -> str:
        declared = {"content_type": "video/mp4", "filename": "Gipfel.mp4"} | declared
        item = await client.upload(gallery, body, **declared)
        await worker.process(redelivered((await published("UploadCompleted"))[-1]))
        return str(item["id"])

    return upload


@pytest.fixture
def working(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    making: Interrupted,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    """`async with working():` runs one more worker."""
    monkeypatch.setattr(make_film, "POLL", timedelta(milliseconds=50))

    @asynccontextmanager
    async def run() -> AsyncIterator[None]:
        task = asyncio.create_task(build_film_worker(deps, make_settings(), making).run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return run
