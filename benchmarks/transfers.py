"""`python -m benchmarks.transfers [--against CHECKOUT]…`: processor time of bytes through the embedded store.

Each stack gets the same film in parts, joins them, and serves it whole, in ranges and in an archive, in turns
with the stacks of other checkouts (with their own `.venv`). Processor time is that of the processes that the
bytes pass, from /proc, less what they use when nothing is asked; its ratios hold on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kappi_testkit.media.samples import MovieShape, movie
from kappi_testkit.stack import GENEROUS, EmbeddedStack

from benchmarks.footprint import stack_pids
from benchmarks.processor import seconds_by_role
from benchmarks.row import Row
from benchmarks.world import Endpoint, Gallery, World

MIB = 1 << 20
BYTES_PASS = ("gateway", "store", "media")
IDLE_S = 3.0
RANGE_BYTES = 4 * MIB
RECEIVED_BYTES = MIB

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one measurement. size_bytes: that passed. used_s: processor time by process."""

    size_bytes: int
    elapsed_s: float
    used_s: Mapping[str, float]

    @property
    def per_gb(self) -> dict[str, float]:
        """Returns seconds of processor for a gigabyte (10^9 bytes), by process."""
        return {role: used_s * 1e9 / self.size_bytes for role, used_s in self.used_s.items()}


class Meter:
    """Measures one stack. Idle use is measured once and taken off."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self._pids = partial(stack_pids, stack.note)
        before = self._used()
        time.sleep(IDLE_S)
        self._idle = {role: (used_s - before[role]) / IDLE_S for role, used_s in self._used().items()}

    def of(self, size_bytes: int, work: Callable[[], object]) -> Cost:
        before, began = self._used(), time.perf_counter()
        work()
        elapsed_s = time.perf_counter() - began
        used = {
            role: max(0.0, used_s - before[role] - self._idle[role] * elapsed_s)
            for role, used_s in self._used().items()
        }
        return Cost(size_bytes, elapsed_s, used)

    def _used(self) -> dict[str, float]:
        found = seconds_by_role(self._pids())
        return {role: found[role] for role in BYTES_PASS}


@dataclass(frozen=True, slots=True)
class Film:
    path: Path
    size_bytes: int


class Connection:
    """A blocking connection that moves bytes at little cost to itself, so that it is not the limit."""

    def __init__(self, at: Endpoint) -> None:
        self._at = at
        self._socket = socket.create_connection((at.host, at.port))
        self._buffer = bytearray(RECEIVED_BYTES)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(
        self, method: str, url: str, file: Path, *, start: int, size_bytes: int, headers: Headers
    ) -> None:
        """Sends a part of a file. Raises RuntimeError when it is not accepted."""
        self._ask(method, url, {**headers, "content-length": str(size_bytes)})
        with file.open("rb") as body:
            self._socket.sendfile(body, start, size_bytes)
        self._answer({200, 201, 204})

    def get(self, url: str, headers: Headers) -> int:
        """Returns the size of the body, which is dropped."""
        self._ask("GET", url, headers)
        return self._answer({200, 206})

    def _ask(self, method: str, url: str, headers: Headers) -> None:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        lines = [f"{method} {target} HTTP/1.1", f"host: {self._at.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def _answer(self, expected: set[int]) -> int:
        head = b""
        while b"\r\n\r\n" not in head:
            received = self._socket.recv(64 << 10)
            if not received:
                raise RuntimeError(f"cut off after {head!r}")
            head += received
        head, _, body = head.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        named = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = left = int(named.get("content-length", "0"))
        left -= len(body)
        while left:
            # TCP counts and drops the bytes, and copies nothing (tcp(7)).
            received_bytes = self._socket.recv_into(self._buffer, 0, socket.MSG_TRUNC)
            if not received_bytes:
                raise RuntimeError(f"cut off with {left} bytes left")
            left -= received_bytes
        if int(lines[0].split(" ")[1]) not in expected:
            raise RuntimeError(f"{lines[0]} {body[:300]!r}")
        return length


class Subject:
    """A running stack whose transfers are measured."""

    def __init__(self, name: str, stack: EmbeddedStack) -> None:
        self.name = name
        self.costs: defaultdict[tuple[str, str], list[Cost]] = defaultdict(list)
        self._stack = stack
        self._gateway = Endpoint("127.0.0.1", stack.port)
        self._store = Endpoint("127.0.0.1", stack.note.services["store"].port)
        self._meter = Meter(stack)

    async def round(self, film: Film) -> None:
        """Measures each kind of transfer once, of a new gallery."""
        services = {name: Endpoint("127.0.0.1", at.port) for name, at in self._stack.note.services.items()}
        pids = partial(stack_pids, self._stack.note)
        own = dict(self._stack.introduction)
        async with World(self._gateway, services, introduction=own, pids=pids) as world:
            gallery = await world.new_gallery()
            uploads = [await reserve(world, gallery, film) for _ in range(2)]
            through = [("gateway", self._gateway, {}), ("store", self._store, own)]
            for upload, (via, at, headers) in zip(uploads, through, strict=True):
                self._note("upload", via, film.size_bytes, partial(send_parts, upload, film, at, headers))
            await self._complete(world, gallery, uploads[0]["id"], film.size_bytes)
            await world.until_ready(gallery, 1)
            await self._stack.wait_idle()
            view = await world.view(gallery)
            original = view["items"][0]["original"]["url"]
            archive = f"{self._gateway.url}/v1/g/{gallery.code}/archive"
            size_bytes = film.size_bytes
            for via, at, headers in through:
                self._note("download", via, size_bytes, partial(receive, original, at, headers))
                ranges = partial(receive_ranges, original, at, headers, size_bytes=size_bytes)
                self._note("ranges of 4 MiB", via, size_bytes, ranges)
            for kind in ("archive, first", "archive, again"):
                self._note(kind, "gateway", size_bytes, partial(receive, archive, self._gateway, {}))
                await asyncio.sleep(1)  # until its checksums are saved

    def _note(self, kind: str, via: str, size_bytes: int, work: Callable[[], object]) -> None:
        self.costs[kind, via].append(self._meter.of(size_bytes, work))

    async def _complete(self, world: World, gallery: Gallery, upload_id: str, size_bytes: int) -> None:
        began = time.perf_counter()
        await world.complete(gallery, upload_id)
        self.costs["complete", "gateway"].append(Cost(size_bytes, time.perf_counter() - began, {}))


async def reserve(world: World, gallery: Gallery, film: Film) -> Any:
    """Returns the state of a new upload, with the URLs of all its parts."""
    headers = {"x-gallery-key": gallery.access_key}
    described = {"filename": film.path.name, "size": film.size_bytes, "content_type": "video/mp4"}
    url = f"{world.gateway.url}/v1/galleries/{gallery.id}/uploads"
    answer = await world.ask("POST", url, headers=headers, body={"files": [described], "connection": "fast"})
    return answer["uploads"][0]


def send_parts(upload: Any, film: Film, at: Endpoint, headers: Headers) -> None:
    part_bytes = upload["multipart"]["part_size"]
    with Connection(at) as connection:
        for part in upload["multipart"]["parts"]:
            start = (part["number"] - 1) * part_bytes
            size_bytes = min(part_bytes, film.size_bytes - start)
            sent = {**part["headers"], **headers}
            connection.send("PUT", part["url"], film.path, start=start, size_bytes=size_bytes, headers=sent)


def receive(url: str, at: Endpoint, headers: Headers) -> None:
    with Connection(at) as connection:
        connection.get(url, headers)


def receive_ranges(url: str, at: Endpoint, headers: Headers, *, size_bytes: int) -> None:
    with Connection(at) as connection:
        for start in range(0, size_bytes, RANGE_BYTES):
            asked = f"bytes={start}-{min(start + RANGE_BYTES, size_bytes) - 1}"
            connection.get(url, {**headers, "range": asked})


def rows(settings: Mapping[str, str], *, size_bytes: int = 1 << 30) -> Iterator[Row]:
    """Measures one stack once."""
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        film = make_film(Path(folder) / "film.mp4", size_bytes)
        stack = EmbeddedStack(Path(folder) / "data", settings=settings)
        stack.start()
        try:
            subject = Subject("this", stack)
            asyncio.run(subject.round(film))
        finally:
            stack.stop()
    for (kind, via), costs in subject.costs.items():
        cost = costs[0]
        ms = round(cost.elapsed_s * 1e3, 1)
        note = _in_words(cost.per_gb) if cost.used_s else ""
        yield Row(f"{kind}, 1 GiB", via, "1 conn", round(1 / cost.elapsed_s, 2), ms, ms, 0, note=note)


def _in_words(per_gb: Mapping[str, float]) -> str:
    parts = ", ".join(f"{role} {seconds:.2f}" for role, seconds in per_gb.items() if seconds >= 0.01)
    return f"{sum(per_gb.values()):.2f} s of processor per GB ({parts})"


def make_film(path: Path, size_bytes: int) -> Film:
    """Makes a film that plays, followed by a box of noise that players skip."""
    with path.open("wb") as file, Path("/dev/urandom").open("rb") as noise:
        file.write(movie(MovieShape(faststart=True, codec="mpeg4")))
        left = size_bytes - file.tell()
        file.write(left.to_bytes(4) + b"mdat")
        left -= 8
        while left:
            left -= file.write(noise.read(min(left, MIB)))
    return Film(path, size_bytes)


def main() -> int:
    options = _options()
    settings = {**GENEROUS, "KAPPI_EMBEDDED_DURABLE": "1", "KAPPI_LOG_LEVEL": "WARNING"}
    checkouts = [("this", sys.executable), *((str(o), str(o / ".venv/bin/python")) for o in options.against)]
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="kappi-bench-")))
        film = make_film(folder / "film.mp4", options.mib * MIB)
        subjects = []
        for number, (name, python) in enumerate(checkouts):
            stack = EmbeddedStack(folder / str(number), settings=settings, python=python)
            stack.start()
            opened.callback(stack.stop)
            subjects.append(Subject(name, stack))
        for number in range(options.rounds):
            turn = number % len(subjects)
            for subject in subjects[turn:] + subjects[:turn]:
                asyncio.run(subject.round(film))
        _print(subjects)
    return 0


def _print(subjects: Sequence[Subject]) -> None:
    for kind, via in subjects[0].costs:
        print(f"\n{kind}, via {via}")
        for subject in subjects:
            costs = subject.costs[kind, via]
            elapsed_s = statistics.median(cost.elapsed_s for cost in costs)
            roles = {role: statistics.median(cost.per_gb[role] for cost in costs) for role in costs[0].used_s}
            note = _in_words(roles) if roles else ""
            print(f"  {subject.name:<16}{elapsed_s:>8.2f} s  {note}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.transfers", description=__doc__)
    parser.add_argument("--against", type=Path, action="append", default=[], metavar="CHECKOUT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=1024, help="size of the film")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
