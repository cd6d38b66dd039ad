"""Originals scanned by a real clamd, with a database of two own signatures."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from kappi_chassis.storage import StorageUnavailable
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_scan, build_worker
from kappi_media.rendering.renderer import Renderer
from kappi_media.scanning import Clamd, ClamdAddress, Infected, NotScannable, ScannerUnavailable
from kappi_media.settings import MediaSettings
from kappi_testkit.events import RecordingDeadLetters
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import (
    Client,
    Gallery,
    Http,
    Published,
    Worker,
    redelivered,
)
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.processes import ManagedProcess
from kappi_testkit.programs import require_program

JPEG = encode(quadrants(64, 48), "JPEG")
MARK = b"KAPPI-TEST-SIGNATURE-1xx"
# The mark is in a comment of its own, which is no part of the picture.
MARKED = JPEG[:2] + b"\xff\xfe\x00\x1a" + MARK + JPEG[2:]
KNOWN = encode(quadrants(48, 64), "PNG")
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
STREAM_MAX_BYTES = 1 << 20

Publications = Callable[..., Awaitable[list[Published]]]
Scanned = Callable[..., Worker]


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedProcess]:
    """Runs clamd at `<folder of its log>/s`."""
    program = require_program("clamd")
    home = tmp_path_factory.mktemp("c")
    database = home / "db"
    database.mkdir()
    hashes = [(KNOWN, "Kappi.Known"), (EICAR, "Kappi.Eicar")]
    listed = [f"{hashlib.md5(body).hexdigest()}:{len(body)}:{name}" for body, name in hashes]
    (database / "kappi.hdb").write_text("\n".join(listed) + "\n")
    (database / "kappi.ndb").write_text(f"Kappi.Marked:0:*:{MARK.hex()}\n")
    config = home / "clamd.conf"
    config.write_text(
        f"DatabaseDirectory {database}\nLocalSocket {home / 's'}\nForeground yes\n"
        f"TemporaryDirectory {home}\nStreamMaxLength {STREAM_MAX_BYTES}\n"
    )

    def answers() -> bool:
        with socket.socket(socket.AF_UNIX) as line:
            return line.connect_ex(str(home / "s")) == 0

    process = ManagedProcess(
        [program, f"--config-file={config}"], log=home / "log", ready=answers, start_timeout_s=60
    )
    with process:
        yield process


@pytest.fixture
def settings(make_settings: Callable[..., MediaSettings], clamd: ManagedProcess) -> MediaSettings:
    return make_settings(clamd_address=str(clamd.log.parent / "s"), clamd_patience=timedelta(seconds=20))


@pytest.fixture
def scanning(deps: Dependencies, renderer: Renderer, dead_letters: RecordingDeadLetters) -> Scanned:
    """`scanning(settings)` returns the worker with these settings."""

    def make(settings: MediaSettings) -> Worker:
        process = build_worker(deps, renderer, concurrency=4, scan=build_scan(deps, settings))
        return Worker(deps, process, dead_letters)

    return make


@pytest.fixture
def client(make_http: Callable[..., Http]) -> Client:
    """Returns a client of a service with a scanner."""
    return Client(make_http(clamd_address="/nowhere"))


async def test_a_clean_original_goes_out_once_it_is_scanned(
    client: Client, gallery: Gallery, scanning: Scanned, settings: MediaSettings, published: Publications
) -> None:
    item = await client.upload(gallery, JPEG)
    assert (item["status"], item["original"]) == ("processing", None)
    page = await client.view(gallery)
    assert [shown["original"] for shown in page.json["items"]] == [None]
    early = await client.http("GET", f"/v1/media/{item['id']}/download", grant=gallery.grant())
    assert (early.status, early.code) == (409, "media_not_ready")

    (event,) = await published()
    await scanning(settings).process(redelivered(event))
    shown = await client.http("GET", f"/v1/media/{item['id']}", grant=gallery.grant("view"))
    assert shown.json["status"] == "ready"
    assert shown.json["original"]["url"].startswith("http")
    late = await client.http("GET", f"/v1/media/{item['id']}/download", grant=gallery.grant("view"))
    assert late.status == 200


@pytest.mark.parametrize(
    ("body", "declared"), [(MARKED, "image/jpeg"), (KNOWN, "image/png")], ids=["marked", "known"]
)
async def test_an_infected_original_is_rejected_and_nobody_ever_gets_it(
    client: Client,
    gallery: Gallery,
    scanning: Scanned,
    settings: MediaSettings,
    published: Publications,
    body: bytes,
    declared: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    item = await client.upload(gallery, body, content_type=declared)
    (event,) = await published()
    await scanning(settings).process(redelivered(event))

    shown = await client.http("GET", f"/v1/media/{item['id']}", grant=gallery.grant())
    assert (shown.json["status"], shown.json["rejection_reason"]) == ("rejected", "infected")
    assert (shown.json["original"], shown.json["renditions"]) == (None, {})
    assert b"Kappi." not in shown.body
    (rejected,) = await published("MediaRejected")
    assert rejected.data["reason"] == "infected"
    assert "Kappi." not in str(rejected.data)
    assert "Kappi." in capsys.readouterr().out
    refused = await client.http("GET", f"/v1/media/{item['id']}/download", grant=gallery.grant())
    assert (refused.status, refused.code) == (404, "media_not_found")


async def scan(deps: Dependencies, settings: MediaSettings, body: bytes) -> None:
    await deps.store.put("galleries/x/y/original", body, content_type="image/jpeg")
    step = build_scan(deps, settings)
    assert step is not None
    await step("galleries/x/y/original", size_bytes=len(body))


async def test_eicar(deps: Dependencies, settings: MediaSettings) -> None:
    with pytest.raises(Infected) as found:
        await scan(deps, settings, EICAR)
    assert (found.value.reason, "Kappi.Eicar" in found.value.detail) == ("infected", True)


async def test_what_is_larger_than_clamd_takes(
    deps: Dependencies, make_settings: Any, clamd: ManagedProcess
) -> None:
    body = JPEG + bytes(STREAM_MAX_BYTES)
    for max_bytes in (100 << 20, STREAM_MAX_BYTES):  # clamd itself refuses it; nothing is sent
        told = {"clamd_address": str(clamd.log.parent / "s"), "clamd_max_bytes": max_bytes}
        await scan(deps, make_settings(**told, clamd_oversize="pass"), body)
        with pytest.raises(NotScannable):
            await scan(deps, make_settings(**told, clamd_oversize="reject"), body)


async def test_many_at_once_take_their_turn(deps: Dependencies, settings: MediaSettings) -> None:
    outcomes = await asyncio.gather(
        *(scan(deps, settings, MARKED) for _ in range(20)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {Infected}


async def test_a_scanner_that_is_away_leaves_the_item_waiting(
    client: Client,
    gallery: Gallery,
    scanning: Scanned,
    make_settings: Callable[..., MediaSettings],
    clamd: ManagedProcess,
    published: Publications,
    dead_letters: RecordingDeadLetters,
) -> None:
    clamd.kill()
    settings = make_settings(clamd_address=str(clamd.log.parent / "s"))
    item = await client.upload(gallery, JPEG)
    (event,) = await published()
    processing = asyncio.create_task(scanning(settings).process(redelivered(event)))

    async def status() -> str:
        shown = await client.http("GET", f"/v1/media/{item['id']}", grant=gallery.grant("view"))
        return str(shown.json["status"])

    scanner = Clamd(ClamdAddress.parse(settings.clamd_address or ""), timeout=timedelta(seconds=1))

    async def nothing() -> Any:
        yield b""

    with pytest.raises(ScannerUnavailable):
        await scanner.scan(nothing())
    assert await status() == "processing"
    assert not processing.done()
    clamd.start()
    await processing
    assert await status() == "ready"
    assert dead_letters.letters == []


async def test_a_store_that_goes_away_meanwhile_is_the_stores_failure(
    deps: Dependencies, settings: MediaSettings, store: FaultyStore
) -> None:
    store.down = True
    step = build_scan(deps, settings)
    assert step is not None
    with pytest.raises(StorageUnavailable):
        await step("galleries/x/y/original", size_bytes=10)


async def test_without_a_scanner_originals_go_out_at_once(
    http: Http, gallery: Gallery, deps: Dependencies
) -> None:
    item = await Client(http).upload(gallery, JPEG)
    assert item["original"]["url"].startswith("http")
