"""Upload and download of one large file: Kappi's embedded store, tusd, and nginx."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from kappi_testkit.stack import EmbeddedStack

from benchmarks.load import request
from benchmarks.peers.generator import Answer, Journey, accepted, send
from benchmarks.peers.measuring import GIGABYTE, Measured, Options, client_of, measured, running_kappi
from benchmarks.peers.programs import Server, nginx_with_files, running_tusd
from benchmarks.peers.rounds import Turn, in_rounds
from benchmarks.transfers import (
    MIB,
    Connection,
    Film,
    make_film,
    receive,
    receive_ranges,
    reserve,
    send_parts,
)
from benchmarks.world import Endpoint, Gallery, World

TUS = {"tus-resumable": "1.0.0"}
_NAME = "film.mp4"

Take = Callable[[], Awaitable[Turn]]


class Kappi:
    """A stack, and the two ways of the bytes: through its gateway, and straight into its store."""

    def __init__(self, stack: EmbeddedStack, world: World, film: Film) -> None:
        store = Endpoint("127.0.0.1", stack.note.services["store"].port)
        self.ways: dict[str, tuple[Endpoint, dict[str, str]]] = {
            "Kappi through its gateway": (world.gateway, {}),
            "Kappi's store alone": (store, dict(stack.introduction)),
        }
        self._stack, self._world, self._film = stack, world, film

    async def upload(self, way: str) -> Turn:
        """Measures the parts and *complete*, which joins them. *complete* always goes through the gateway."""
        at, headers = self.ways[way]
        gallery = await self._world.new_gallery()
        upload = await reserve(self._world, gallery, self._film)

        def work() -> None:
            send_parts(upload, self._film, at, headers)
            send(self._world.gateway, [_completed(self._world, gallery, upload)], connections=1)

        turn = measured(work, pids=self._world.pids, units=self._film.size_bytes / 1e9)
        await self._stack.wait_idle(timeout_s=300)
        return turn

    async def uploaded(self) -> Gallery:
        """Returns a gallery with the film, ready."""
        gallery = await self._world.new_gallery()
        upload = await reserve(self._world, gallery, self._film)
        send_parts(upload, self._film, self._world.gateway, {})
        await self._world.complete(gallery, upload["id"])
        await self._world.until_ready(gallery, 1)
        await self._stack.wait_idle(timeout_s=300)
        return gallery

    async def download(self, way: str, gallery: Gallery, *, ranges: bool) -> Turn:
        at, headers = self.ways[way]
        url = (await self._world.view(gallery))["items"][0]["original"]["url"]
        work = _received(url, at, headers, self._film, ranges=ranges)
        return measured(work, pids=self._world.pids, units=self._film.size_bytes / 1e9)


async def uploads(options: Options) -> AsyncIterator[Measured]:
    """Measures the upload of a film, from the first byte until the whole file can be read."""
    async with AsyncExitStack() as stack:
        kappi, film = await _kappi(stack, options)
        subjects: dict[str, Take] = {way: partial(kappi.upload, way) for way in kappi.ways}
        if options.programs.tusd:
            tusd = stack.enter_context(running_tusd(options.programs.tusd, options.folder / "tusd"))
            subjects["tusd: creation, PATCH"] = partial(_upload_to_tusd, tusd, film)
        if options.programs.nginx:
            nginx = stack.enter_context(nginx_with_files(options.folder / "dav"))
            subjects["nginx: PUT"] = partial(_upload_to_nginx, nginx, film)
        yield Measured(
            f"Upload of {options.file_mib} MiB", GIGABYTE, await in_rounds(subjects, options.rounds)
        )


async def downloads(options: Options) -> AsyncIterator[Measured]:
    """Measures the download of a film, whole and in ranges of 4 MiB."""
    async with AsyncExitStack() as stack:
        kappi, film = await _kappi(stack, options)
        gallery = await kappi.uploaded()
        nginx = None
        if options.programs.nginx:
            nginx = stack.enter_context(nginx_with_files(options.folder / "static"))
            assert nginx.files is not None
            shutil.copyfile(film.path, nginx.files / _NAME)
        for title, ranges in (("whole", False), ("in ranges of 4 MiB", True)):
            subjects: dict[str, Take] = {
                way: partial(kappi.download, way, gallery, ranges=ranges) for way in kappi.ways
            }
            if nginx is not None:
                subjects["nginx: static file"] = partial(_download_from_nginx, nginx, film, ranges=ranges)
            taken = await in_rounds(subjects, options.rounds)
            yield Measured(f"Download of {options.file_mib} MiB, {title}", GIGABYTE, taken)


async def _kappi(stack: AsyncExitStack, options: Options) -> tuple[Kappi, Film]:
    film = make_film(options.folder / _NAME, options.file_mib * MIB)
    running = stack.enter_context(running_kappi(options.folder / "data"))
    world = await stack.enter_async_context(client_of(running))
    return Kappi(running, world, film), film


def _completed(world: World, gallery: Gallery, upload: Any) -> Journey:
    headers = {"content-type": "application/json", "x-gallery-key": gallery.access_key}
    path = f"/v1/uploads/{upload['id']}/complete"
    answer: Answer = yield request("POST", path, host=world.gateway.authority, headers=headers, body=b"{}")
    accepted(answer, 200)


def _received(
    url: str, at: Endpoint, headers: dict[str, str], film: Film, *, ranges: bool
) -> Callable[[], None]:
    if ranges:
        return partial(receive_ranges, url, at, headers, size_bytes=film.size_bytes)
    return partial(receive, url, at, headers)


async def _upload_to_tusd(server: Server, film: Film) -> Turn:
    made: list[str] = []

    def creation() -> Journey:
        headers = {**TUS, "upload-length": str(film.size_bytes)}
        answer = accepted((yield request("POST", "/files/", host=server.at.authority, headers=headers)), 201)
        made.append(answer.header("location"))

    def work() -> None:
        send(server.at, [creation()], connections=1)
        headers = {**TUS, "upload-offset": "0", "content-type": "application/offset+octet-stream"}
        with Connection(server.at) as connection:
            connection.send("PATCH", made[0], film.path, start=0, size_bytes=film.size_bytes, headers=headers)

    turn = measured(work, pids=server.pids, units=film.size_bytes / 1e9)
    for file in server.files.iterdir() if server.files else ():
        file.unlink()
    return turn


async def _upload_to_nginx(server: Server, film: Film) -> Turn:
    def work() -> None:
        with Connection(server.at) as connection:
            connection.send("PUT", f"/{_NAME}", film.path, start=0, size_bytes=film.size_bytes, headers={})

    return measured(work, pids=server.pids, units=film.size_bytes / 1e9)


async def _download_from_nginx(server: Server, film: Film, *, ranges: bool) -> Turn:
    work = _received(f"/{_NAME}", server.at, {}, film, ranges=ranges)
    return measured(work, pids=server.pids, units=film.size_bytes / 1e9)
