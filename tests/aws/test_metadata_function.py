"""From an S3 event to tags to the database.

An AWS emulator runs the function of the template beside Kappi's media service, which is notified of uploads
and reads the tags.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from kappi_chassis.auth import SigningKey
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.embedded.broker import EmbeddedBroker
from kappi_chassis.embedded.ports import free_port
from kappi_contracts.grants import GRANT_HEADER, PublicGallery
from kappi_contracts.keys import original_key, rendition_key
from kappi_testkit.eventually import eventually
from kappi_testkit.media.harness import Gallery
from kappi_testkit.media.jwks_server import serving_key_set
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants
from kappi_testkit.processes import ManagedProcess, answers_http
from kappi_testkit.servers.databases import DatabaseMaker

from tests.aws.emulator import Deployed, Emulator, deploy, running_emulator
from tests.aws.test_template import build

pytestmark = pytest.mark.integration

TOKEN = "a token of the store's own"
TIMEOUT_S = 60.0
JPEG = encode(quadrants(300, 200), "JPEG")
NO_JPEG = b"MZ" + b"\x00" * 500


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("aws")) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def service_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def deployed(emulator: Emulator, service_port: int, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    secret = emulator.client("secretsmanager").create_secret(Name="kappi-store-events", SecretString=TOKEN)
    return deploy(
        emulator,
        code=build(tmp_path_factory.mktemp("code") / "function.zip"),
        StoreEventsUrl=f"http://127.0.0.1:{service_port}/internal/store-events",
        StoreEventsSecretArn=secret["ARN"],
    )


@pytest.fixture(scope="module")
def grant_key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="module")
def jwks_url(grant_key: SigningKey) -> Iterator[str]:
    """Serves the galleries service's key set, and yields its address."""
    with serving_key_set(grant_key) as url:
        yield url


@pytest.fixture
def url(make_database: DatabaseMaker) -> str:
    return make_database.migrated("media")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url, pool_size=2)
    await database.start()
    yield database
    await database.close()


MediaMaker = Callable[..., ManagedProcess]


@pytest.fixture
def media(
    deployed: Deployed,
    emulator: Emulator,
    service_port: int,
    url: str,
    jwks_url: str,
    embedded_broker: EmbeddedBroker,
    topic_prefix: str,
    tmp_path: Path,
) -> MediaMaker:
    """`media(roles)` returns the service on the emulated bucket, not yet started."""

    def make(*roles: str) -> ManagedProcess:
        ops_port = free_port()
        return ManagedProcess(
            [sys.executable, "-m", "kappi_media.main"],
            log=tmp_path / "media.log",
            ready=lambda: answers_http(f"http://127.0.0.1:{ops_port}/readyz"),
            env={
                "KAPPI_LOG_LEVEL": "DEBUG",
                "KAPPI_KAFKA_BOOTSTRAP": embedded_broker.bootstrap,
                "KAPPI_KAFKA_CREATE_TOPICS": "false",
                "KAPPI_KAFKA_FETCH_MAX_WAIT_MS": "20",
                "KAPPI_TOPIC_PREFIX": topic_prefix,
                "KAPPI_MEDIA_ROLES": ",".join(roles),
                "KAPPI_MEDIA_DATABASE_URL": url,
                "KAPPI_MEDIA_IDEMPOTENCY_SECRET": "0123456789abcdef",
                "KAPPI_MEDIA_GRANT_JWKS_URL": jwks_url,
                "KAPPI_MEDIA_PORT": str(service_port),
                "KAPPI_MEDIA_OPS_PORT": str(ops_port),
                "KAPPI_MEDIA_STORE_EVENTS_TOKEN": TOKEN,
                "KAPPI_MEDIA_TAGS_PATIENCE": "PT5S",
                **emulator.settings(deployed.bucket),
            },
        )

    return make


@dataclass(frozen=True, slots=True)
class App:
    """A phone that sends bytes and ends before it completes the upload."""

    session: aiohttp.ClientSession
    address: str
    gallery: Gallery

    async def send(self, body: bytes, content_type: str = "image/jpeg") -> dict[str, Any]:
        declared = {"filename": "a", "size": len(body), "content_type": content_type}
        answer = await self.ask("POST", f"/v1/galleries/{self.gallery.id}/uploads", {"files": [declared]})
        (promised,) = answer["uploads"]
        single = promised["single"]
        async with self.session.put(single["url"], data=body, headers=single["headers"]) as stored:
            assert stored.status == 200, await stored.text()
        found: dict[str, Any] = promised
        return found

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {GRANT_HEADER: self.gallery.grant()}
        async with self.session.request(method, self.address + path, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()


@pytest.fixture
async def app(grant_key: SigningKey, service_port: int) -> AsyncIterator[App]:
    gallery = PublicGallery(
        id=new_id(),
        code="k7dm",
        url="https://kappi.example/g/k7dm",
        title="Alps",
        visibility="shared",
        password_protected=False,
        expires_at=utc_now() + timedelta(days=30),
        created_at=utc_now(),
        version=1,
    )
    async with aiohttp.ClientSession() as session:
        yield App(session, f"http://127.0.0.1:{service_port}", Gallery(grant_key, gallery))


def key_of(app: App, promised: dict[str, Any]) -> str:
    return original_key(app.gallery.id, UUID(promised["media_id"]))


def tags_of(deployed: Deployed, key: str) -> dict[str, str]:
    found = deployed.emulator.client("s3").get_object_tagging(Bucket=deployed.bucket, Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}


async def test_from_event_to_tags_to_database(
    media: MediaMaker, app: App, deployed: Deployed, database: Database
) -> None:
    film = movie(MovieShape(width=320, height=180))
    with media("api", "relay") as running:  # without its worker, so shown facts come from tags
        photo, video = await asyncio.gather(app.send(JPEG), app.send(film, "video/mp4"))

        async def shown() -> None:
            page = await app.ask("GET", f"/v1/g/{app.gallery.public.code}")
            seen = {item["id"]: item for item in page["items"]}
            assert seen.keys() == {photo["media_id"], video["media_id"]}
            assert _facts(seen[photo["media_id"]]) == ("processing", "image", 300, 200)
            assert _facts(seen[video["media_id"]]) == ("processing", "video", 320, 180)
            assert abs(seen[video["media_id"]]["duration_ms"] - 2000) <= 100

        await eventually(shown, TIMEOUT_S)
        assert await asyncio.to_thread(tags_of, deployed, key_of(app, photo)) == {
            "kappi-kind": "image",
            "kappi-width": "300",
            "kappi-height": "200",
        }
        told = await database.hot.fetch("SELECT key FROM outbox WHERE topic = 'UploadCompleted'")
        assert sorted(row["key"] for row in told) == sorted([photo["media_id"], video["media_id"]])
        again = await app.ask("POST", f"/v1/uploads/{photo['id']}/complete")
        assert again["id"] == photo["media_id"], "the phone completes its upload later"
        assert await asyncio.to_thread(running.stop) == 0

    with media("api", "relay", "worker"):

        async def ready() -> None:
            page = await app.ask("GET", f"/v1/g/{app.gallery.public.code}")
            assert {item["status"] for item in page["items"]} == {"ready"}
            assert {item["width"] for item in page["items"]} == {300, 320}

        await eventually(ready, TIMEOUT_S)
        found = await database.hot.fetchval("SELECT count(*) FROM outbox WHERE topic = 'UploadCompleted'")
        assert found == 2

    for log in (running.log.read_text(), json.dumps(await asyncio.to_thread(deployed.logged))):
        assert TOKEN not in log
        assert "Signature=" not in log
    # Renditions are no originals, so the function was not called for them.
    rendition = rendition_key(app.gallery.id, UUID(photo["media_id"]), "400")
    assert rendition not in json.dumps(await asyncio.to_thread(deployed.logged))


async def test_a_file_of_another_type_than_declared_is_refused_by_kappi(
    media: MediaMaker, app: App, deployed: Deployed, database: Database
) -> None:
    with media("api", "relay"):
        promised = await app.send(NO_JPEG)

        async def refused() -> None:
            found = await app.ask("GET", f"/v1/uploads/{promised['id']}")
            assert (found["state"], found.get("rejection_reason")) == ("rejected", "type_mismatch")

        await eventually(refused, TIMEOUT_S)
    assert await asyncio.to_thread(tags_of, deployed, key_of(app, promised)) == {}
    told = {"event": "original.rejected", "key": key_of(app, promised), "reason": "type_mismatch"}
    assert told in await asyncio.to_thread(deployed.logged)
    assert await database.hot.fetchval("SELECT count(*) FROM items") == 0


async def test_kappi_may_be_unreachable_for_a_short_time(
    media: MediaMaker, app: App, deployed: Deployed, database: Database
) -> None:
    """Lambda sends the event again, and the tags are then found written."""
    process = media("api", "relay")
    with process:
        promised = await app.ask(
            "POST",
            f"/v1/galleries/{app.gallery.id}/uploads",
            {"files": [{"filename": "a.jpg", "size": len(JPEG), "content_type": "image/jpeg"}]},
        )
        await asyncio.to_thread(process.stop)
        (upload,) = promised["uploads"]
        single = upload["single"]
        async with app.session.put(single["url"], data=JPEG, headers=single["headers"]) as stored:
            assert stored.status == 200
        key = key_of(app, upload)

        async def tagged_but_not_notified() -> None:
            assert (await asyncio.to_thread(tags_of, deployed, key)).get("kappi-width") == "300"
            events = [line["event"] for line in await asyncio.to_thread(deployed.logged)]
            assert "event.not_told" in events

        await eventually(tagged_but_not_notified, TIMEOUT_S)
        await asyncio.to_thread(process.start)

        async def completed() -> None:
            assert await database.hot.fetchval("SELECT count(*) FROM items") == 1

        await eventually(completed, TIMEOUT_S)
    outcomes = [
        line["outcome"]
        for line in await asyncio.to_thread(deployed.logged)
        if line["event"] == "original.done" and line["key"] == key
    ]
    assert outcomes[0] == "tagged"
    assert set(outcomes[1:]) == {"already"}


def _facts(item: dict[str, Any]) -> tuple[str, str, int, int]:
    return item["status"], item["kind"], item["width"], item["height"]


async def test_an_event_that_failed_repeatedly_is_kept_for_an_operator(deployed: Deployed, app: App) -> None:
    """Kappi is not reachable: after three attempts the whole event is in the queue."""
    s3 = deployed.emulator.client("s3")
    key = original_key(app.gallery.id, new_id())
    await asyncio.to_thread(
        lambda: s3.put_object(Bucket=deployed.bucket, Key=key, Body=JPEG, ContentType="image/jpeg")
    )

    async def kept() -> None:
        failed = await asyncio.to_thread(deployed.failed)
        keys = [event["requestPayload"]["Records"][0]["s3"]["object"]["key"] for event in failed]
        assert key in keys

    await eventually(kept, TIMEOUT_S)
