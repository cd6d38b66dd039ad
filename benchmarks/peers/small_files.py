"""Many small files: Kappi in three calls for a file and in one, tusd, nginx, Gokapi and Plik."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec
from kappi_testkit.stack import EmbeddedStack
from PIL import Image

from benchmarks.load import request
from benchmarks.peers.generator import Answer, Journey, accepted, send
from benchmarks.peers.large_files import TUS
from benchmarks.peers.measuring import FILE, Measured, Options, client_of, measured, running_kappi
from benchmarks.peers.programs import Server, given_server, nginx_with_files, running_tusd, secret_of
from benchmarks.peers.rounds import Turn, in_rounds
from benchmarks.world import Gallery, World, batch_of

CONNECTIONS = 8
_BATCH = 100
_BOUNDARY = "kappi7MA4YWxk"
_JSON = {"content-type": "application/json"}
_FORM = {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}

Take = Callable[[], Awaitable[Turn]]
Journeys = Callable[[], Iterable[Journey]]


async def small_files(options: Options) -> AsyncIterator[Measured]:
    """Measures files of about 100 kB on eight connections, each until the server has accepted it."""
    picture, count, programs = _picture(), options.files, options.programs
    async with AsyncExitStack() as stack:
        running = stack.enter_context(running_kappi(options.folder / "data"))
        world = await stack.enter_async_context(client_of(running))
        subjects: dict[str, Take] = {
            "Kappi: sign, PUT, complete": partial(_three_calls, running, world, picture, count),
            "Kappi: one call": partial(_one_call, running, world, picture, count),
        }

        def add(name: str, server: Server, journey: Callable[[int], Journey]) -> None:
            subjects[name] = partial(_sent, server, journey, count)

        if programs.tusd:
            tusd = stack.enter_context(running_tusd(programs.tusd, options.folder / "tusd"))
            add("tusd: creation, PATCH", tusd, lambda _: _to_tusd(tusd, picture))
            add("tusd: creation with upload", tusd, lambda _: _to_tusd_at_once(tusd, picture))
        if programs.nginx:
            nginx = stack.enter_context(nginx_with_files(options.folder / "dav"))
            add("nginx: PUT", nginx, lambda number: _put(nginx, number, picture))
        if gokapi := given_server("GOKAPI"):
            add("Gokapi: files/add", gokapi, lambda _: _to_gokapi(gokapi, picture))
        if plik := given_server("PLIK"):
            add("Plik: upload, file", plik, lambda _: _to_plik(plik, picture))
        taken = await in_rounds(subjects, options.rounds)
        yield Measured(f"{count} files of {len(picture) / 1e3:.0f} kB", FILE, taken)


def _picture() -> bytes:
    """Returns a JPEG of 100 kB that is decoded fast: a small one of noise."""
    target = io.BytesIO()
    Image.effect_noise((340, 268), 80).convert("RGB").save(target, "JPEG", quality=96)
    return target.getvalue()


async def _three_calls(stack: EmbeddedStack, world: World, picture: bytes, count: int) -> Turn:
    gallery = await world.new_gallery()
    uploads: list[Any] = []

    def work() -> None:
        sizes = [min(_BATCH, count - start) for start in range(0, count, _BATCH)]
        signing = (_signed(world, gallery, [len(picture)] * size, uploads) for size in sizes)
        send(world.gateway, signing, connections=CONNECTIONS)
        storing = (_stored(world, gallery, upload, picture) for upload in uploads)
        send(world.gateway, storing, connections=CONNECTIONS)

    turn = measured(work, pids=world.pids, units=count)
    await stack.wait_idle(timeout_s=300)
    return turn


def _signed(world: World, gallery: Gallery, sizes: list[int], uploads: list[Any]) -> Journey:
    headers, body = _key(gallery), msgspec.json.encode(batch_of(sizes))
    path = f"/v1/galleries/{gallery.id}/uploads"
    ask = request("POST", path, host=world.gateway.authority, headers={**_JSON, **headers}, body=body)
    uploads += msgspec.json.decode(accepted((yield ask), 201).body)["uploads"]


def _stored(world: World, gallery: Gallery, upload: Any, picture: bytes) -> Journey:
    host, single = world.gateway.authority, upload["single"]
    target = urlsplit(single["url"])
    path = f"{target.path}?{target.query}" if target.query else target.path
    put = request(single["http_method"], path, host=host, headers=single["headers"], body=picture)
    accepted((yield put), 200)
    path, headers = f"/v1/uploads/{upload['id']}/complete", {**_JSON, **_key(gallery)}
    accepted((yield request("POST", path, host=host, headers=headers, body=b"{}")), 200)


async def _one_call(stack: EmbeddedStack, world: World, picture: bytes, count: int) -> Turn:
    gallery = await world.new_gallery()
    path, headers = f"/v1/galleries/{gallery.id}/media", {**_FORM, **_key(gallery)}
    ask = request("POST", path, host=world.gateway.authority, headers=headers, body=_form(picture))
    work = partial(send, world.gateway, (_once(ask, 201) for _ in range(count)), connections=CONNECTIONS)
    turn = measured(work, pids=world.pids, units=count)
    await stack.wait_idle(timeout_s=300)
    return turn


async def _sent(server: Server, journey: Callable[[int], Journey], count: int) -> Turn:
    work = partial(send, server.at, map(journey, range(count)), connections=CONNECTIONS)
    turn = measured(work, pids=server.pids, units=count)
    for file in server.files.iterdir() if server.files else ():
        file.unlink()
    return turn


def _once(ask: bytes, expected: int) -> Journey:
    accepted((yield ask), expected)


def _to_tusd(server: Server, picture: bytes) -> Journey:
    host = server.at.authority
    headers = {**TUS, "upload-length": str(len(picture))}
    made: Answer = yield request("POST", "/files/", host=host, headers=headers)
    path = urlsplit(accepted(made, 201).header("location")).path
    headers = {**TUS, "upload-offset": "0", "content-type": "application/offset+octet-stream"}
    accepted((yield request("PATCH", path, host=host, headers=headers, body=picture)), 204)


def _to_tusd_at_once(server: Server, picture: bytes) -> Journey:
    headers = {
        **TUS,
        "upload-length": str(len(picture)),
        "content-type": "application/offset+octet-stream",
    }
    ask = request("POST", "/files/", host=server.at.authority, headers=headers, body=picture)
    return _once(ask, 201)


def _put(server: Server, number: int, picture: bytes) -> Journey:
    return _once(request("PUT", f"/{number}.jpg", host=server.at.authority, body=picture), 201)


def _to_gokapi(server: Server, picture: bytes) -> Journey:
    """Sends bytes that no other file has: Gokapi does not store the same bytes again."""
    headers, host = {**_FORM, "apikey": secret_of("GOKAPI_KEY")}, server.at.authority
    body = _form(picture + os.urandom(16))
    return _once(request("POST", "/api/files/add", host=host, headers=headers, body=body), 200)


def _to_plik(server: Server, picture: bytes) -> Journey:
    host = server.at.authority
    made: Answer = yield request("POST", "/upload", host=host, headers=_JSON, body=b"{}")
    upload = msgspec.json.decode(accepted(made, 200).body)
    headers = {**_FORM, "x-uploadtoken": upload["uploadToken"]}
    path = f"/file/{upload['id']}"
    accepted((yield request("POST", path, host=host, headers=headers, body=_form(picture))), 200)


def _form(picture: bytes) -> bytes:
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="IMG_0001.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _key(gallery: Gallery) -> dict[str, str]:
    return {"x-gallery-key": gallery.access_key}
