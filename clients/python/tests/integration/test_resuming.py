"""Uploads of large files to a store that cuts, stalls, loses parts and refuses."""

import asyncio
import contextlib
import errno
import hashlib
import itertools
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kappi_client import file_upload, object_store, retry
from kappi_client import journal as journal_module
from kappi_client.api import Api
from kappi_client.errors import ApiError, Unreachable
from kappi_client.files import LocalFile, find_files
from kappi_client.galleries import Gallery
from kappi_client.journal import Journal, JournalUnwritable, Note, read_note
from kappi_client.object_store import Reply, SignedPut, Slice
from kappi_client.private_file import write_private
from kappi_client.progress import UploadProgress
from kappi_client.retry import ATTEMPTS
from kappi_client.upload import Upload, UploadResult

pytestmark = pytest.mark.integration

PART_BYTES = 400_000
BODY = bytes(range(256)) * 10_000  # six whole parts and a rest
PARTS = 7
URLS_AT_ONCE = 3


class Watcher(UploadProgress):
    """Records its calls."""

    def __init__(self) -> None:
        self.on_the_way = 0
        self.there = 0
        self.before = 0
        self.waits: list[str] = []
        self.refused: list[str] = []

    def moved(self, count: int) -> None:
        self.on_the_way += count

    def stored(self, count: int) -> None:
        self.there += count

    def resumed(self, count: int) -> None:
        self.before += count

    def waiting(self, reason: str) -> None:
        self.waits.append(reason)

    def rejected(self, file: LocalFile, reason: str) -> None:
        self.refused.append(reason)


class PartStore:
    """An API and a store for multipart uploads. on_part: called, or awaited, before a part is kept."""

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.spans = {
            number: min(PART_BYTES, len(BODY) - (number - 1) * PART_BYTES) for number in range(1, 8)
        }
        self.seen: list[int] = []
        self.urls: set[str] = set()
        self.lives = 10**9
        self.calls: list[str] = []
        self.state = "pending"
        self.declared: list[Any] = []
        self.keys: list[str | None] = []
        self.url = ""
        self._fresh = itertools.count()
        self.on_part: Callable[[web.Request, int], Any] = lambda request, number: None
        self.after_sign: Callable[[], None] = lambda: None

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 24, middlewares=[self.note])
        app.router.add_post("/v1/galleries/g/uploads", self.sign)
        app.router.add_get("/v1/uploads/{id}", self.look)
        app.router.add_delete("/v1/uploads/{id}", self.abort)
        app.router.add_post("/v1/uploads/{id}/parts", self.more)
        app.router.add_post("/v1/uploads/{id}/complete", self.complete)
        app.router.add_put("/put/{number}", self.put)
        return app

    @web.middleware
    async def note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/v1"):
            self.calls.append(f"{request.method} {request.path}")
        answer: web.StreamResponse = await handler(request)
        return answer

    def upload(self) -> dict[str, Any]:
        missing = [number for number in range(1, PARTS + 1) if number not in self.parts]
        return {
            "id": "u",
            "media_id": "m",
            "method": "multipart",
            "state": self.state,
            **({"multipart": self.multipart(missing)} if self.state == "pending" else {}),
        }

    def multipart(self, missing: list[int]) -> dict[str, Any]:
        return {
            "part_size": PART_BYTES,
            "part_count": PARTS,
            "present": [
                {"number": number, "size": self.spans[number], "etag": hashlib.md5(body).hexdigest()}
                for number, body in self.parts.items()
            ],
            "parts": [self.signed(number) for number in missing[:URLS_AT_ONCE]],
        }

    def signed(self, number: int) -> dict[str, Any]:
        url = f"{self.url}/put/{number}?{next(self._fresh)}"
        self.urls.add(url)
        return {"number": number, "url": url, "headers": {}}

    async def sign(self, request: web.Request) -> web.StreamResponse:
        self.declared.append(await request.json())
        self.keys.append(request.headers.get("Idempotency-Key"))
        self.after_sign()
        return web.json_response({"uploads": [self.upload()]}, status=201)

    async def look(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.upload())

    async def abort(self, request: web.Request) -> web.StreamResponse:
        self.state = "aborted"
        return web.Response(status=204)

    async def more(self, request: web.Request) -> web.StreamResponse:
        if self.state != "pending":
            return web.json_response({"code": "upload_aborted", "detail": "gone"}, status=409)
        numbers = (await request.json())["numbers"]
        return web.json_response({"parts": [self.signed(number) for number in numbers]})

    async def complete(self, _: web.Request) -> web.StreamResponse:
        if len(self.parts) < PARTS:
            return web.json_response({"code": "upload_incomplete", "detail": "parts are missing"}, status=409)
        self.state = "completed"
        return web.json_response({"id": "m"})

    async def put(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        self.seen.append(number)
        answer = self.on_part(request, number)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer is not None:
            assert isinstance(answer, web.StreamResponse)
            return answer
        self.parts[number] = await request.read()
        return web.Response(headers={"ETag": f'"{hashlib.md5(self.parts[number]).hexdigest()}"'})

    @property
    def body(self) -> bytes:
        return b"".join(self.parts[number] for number in sorted(self.parts))


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PartStore]:
    monkeypatch.setattr(retry, "_FIRST_PAUSE_S", 0.001)
    made = PartStore()
    runner = web.AppRunner(made.app(), shutdown_timeout=0.1)
    await runner.setup()
    # A small receive buffer, so that the client notices at once when the server does not read.
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    await web.SockSite(runner, listening).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def api(store: PartStore) -> AsyncIterator[Api]:
    async with Api(store.url) as api:
        yield api


@pytest.fixture
def film(tmp_path: Path) -> LocalFile:
    (tmp_path / "film.mp4").write_bytes(BODY)
    return find_files([tmp_path / "film.mp4"]).files[0]


def sharing(
    api: Api,
    film: LocalFile,
    watcher: Watcher,
    *,
    note: Path | None = None,
    connection: Any = None,
    clock: Callable[[], float] = time.monotonic,
) -> Upload:
    earlier = read_note(note) if note is not None else None
    return Upload(
        api,
        [film],
        gallery=Gallery("g", "abcd", "http://x/g/abcd", "key"),
        journal=Journal(note, earlier or Note(begun_at="then", creation_key="k")),
        progress=watcher,
        connection=connection,
        clock=clock,
    )


async def share(api: Api, film: LocalFile, watcher: Watcher, **more: Any) -> UploadResult:
    upload = sharing(api, film, watcher, **more)
    await upload.send()
    return upload.result


async def test_a_file_is_uploaded_in_parts_and_urls_are_requested_as_needed(
    store: PartStore, api: Api, film: LocalFile
) -> None:
    watcher = Watcher()
    outcome = await share(api, film, watcher)
    assert store.body == BODY
    assert sorted(store.seen) == list(range(1, PARTS + 1)), "each part once"
    assert store.calls.count("POST /v1/uploads/u/parts") == 1
    assert [each.media_id for each in outcome.uploaded] == ["m"]
    assert (watcher.there, watcher.before, watcher.on_the_way) == (len(BODY), 0, 0)
    assert store.declared[0]["connection"] == "normal"


async def test_only_missing_parts_are_sent(
    store: PartStore, api: Api, film: LocalFile, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    hang = asyncio.Event()

    async def stop(_: web.Request, number: int) -> web.Response | None:
        if number <= 3:
            return None
        await hang.wait()
        return web.Response(status=503)  # and keeps nothing, because its client has disconnected

    store.on_part = stop
    task = asyncio.create_task(share(api, film, Watcher(), note=note))
    await until(lambda: len(store.parts) == 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    hang.set()
    store.on_part = lambda request, number: None
    store.seen.clear()
    kept = set(store.parts)
    watcher = Watcher()
    await share(api, film, watcher, note=note)
    assert store.body == BODY
    assert set(store.seen) == set(range(1, PARTS + 1)) - kept
    assert watcher.before == sum(len(store.parts[number]) for number in kept)
    assert watcher.before + watcher.there == len(BODY)
    assert len(store.declared) == 1
    third = Watcher()
    store.seen.clear()
    await share(api, film, third, note=note)
    assert (store.seen, third.before, third.there) == ([], len(BODY), 0)


async def test_a_part_that_is_listed_but_incomplete_is_sent_again(
    store: PartStore, api: Api, film: LocalFile, tmp_path: Path
) -> None:
    """Some stores keep the received bytes of a part whose sender was killed, and list the part as whole."""
    store.on_part = refusing_after(store, 4)
    first = sharing(api, film, Watcher(), note=tmp_path / "note")
    first.deadline._deadline_s = 0.1
    with pytest.raises(Unreachable):
        await first.send()
    half = BODY[4 * PART_BYTES : 4 * PART_BYTES + 1000]
    store.parts[5] = half + bytes(PART_BYTES - len(half))
    store.on_part = lambda request, number: None
    store.seen.clear()
    watcher = Watcher()
    await share(api, film, watcher, note=tmp_path / "note")
    assert store.body == BODY
    assert sorted(store.seen) == [5, 6, 7]
    assert watcher.before == 4 * PART_BYTES


async def test_acknowledged_parts_are_reliable_with_any_etag(
    store: PartStore, api: Api, film: LocalFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ETags of an encrypted bucket are no digests of bytes that the client has."""
    monkeypatch.setattr("hashlib.md5", lambda body=b"", **_: hashlib.sha1(body))
    store.on_part = refusing_after(store, 4)
    first = sharing(api, film, Watcher(), note=tmp_path / "note")
    first.deadline._deadline_s = 0.1
    with pytest.raises(Unreachable):
        await first.send()
    monkeypatch.setattr("kappi_client.parts._has_digest", lambda *_: False)
    store.on_part = lambda request, number: None
    store.seen.clear()
    await share(api, film, Watcher(), note=tmp_path / "note")
    assert store.body == BODY
    assert sorted(store.seen) == [5, 6, 7]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a server fulfils it
            await asyncio.sleep(0.005)


def refusing_after(store: PartStore, kept: int) -> Callable[[web.Request, int], Any]:
    """Returns a handler that takes the first parts and then refuses the others."""

    async def refuse(_: web.Request, number: int) -> web.StreamResponse | None:
        if number <= kept:
            return None
        await until(lambda: len(store.parts) >= kept)
        return web.Response(status=503)

    return refuse


async def test_a_declaration_is_repeated_if_its_answer_was_lost(
    store: PartStore, api: Api, film: LocalFile, tmp_path: Path
) -> None:
    task: asyncio.Task[UploadResult] | None = None

    def killed() -> None:
        assert task is not None
        task.cancel()

    store.after_sign = killed
    task = asyncio.create_task(share(api, film, Watcher(), note=tmp_path / "note"))
    with pytest.raises(asyncio.CancelledError):
        await task
    store.after_sign = lambda: None
    await share(api, film, Watcher(), note=tmp_path / "note")
    assert store.body == BODY
    assert len(store.keys) == 2
    assert store.keys[0] == store.keys[1]
    assert store.declared[0] == store.declared[1]


async def test_a_part_is_sent_again_on_a_new_connection_after_a_cut(
    store: PartStore, api: Api, film: LocalFile
) -> None:
    cuts = [3, 5]
    calm: list[object] = []

    async def break_off(request: web.Request, number: int) -> None:
        assert request.transport is not None
        if number in cuts:
            cuts.remove(number)
            await request.content.read(1000)
            request.transport.abort()
            raise asyncio.CancelledError
        if not cuts:
            calm.append(request.transport.get_extra_info("peername"))

    store.on_part = break_off
    watcher = Watcher()
    outcome = await share(api, film, watcher)
    assert store.body == BODY
    assert not outcome.rejected
    assert (watcher.there, watcher.on_the_way) == (len(BODY), 0)
    assert len(watcher.waits) == 2
    assert len(calm) >= 2
    assert len(set(calm)) == len(calm), "no URL is used twice"


async def test_expired_urls_are_replaced_together(store: PartStore, api: Api, film: LocalFile) -> None:
    dead: set[str] = set()

    def expired(request: web.Request, number: int) -> web.Response | None:
        if len(store.parts) == 2 and not dead:
            dead.update(store.urls)
        url = f"{store.url}{request.path_qs}"
        return (
            web.Response(status=403, text="<Message>Request has expired.</Message>") if url in dead else None
        )

    store.on_part = expired
    watcher = Watcher()
    outcome = await share(api, film, watcher)
    assert not outcome.rejected
    assert store.body == BODY
    assert store.calls.count("POST /v1/uploads/u/parts") <= 3


async def test_parts_that_the_store_lost_are_sent_again(store: PartStore, api: Api, film: LocalFile) -> None:
    lost = [2]

    def lose(_: web.Request, number: int) -> None:
        if number == PARTS and lost:
            store.parts.pop(lost.pop())

    store.on_part = lose
    watcher = Watcher()
    await share(api, film, watcher, connection="slow")
    assert store.body == BODY
    assert watcher.there == len(BODY)
    assert store.seen.count(2) == 2


async def test_a_stalled_connection_is_closed(
    store: PartStore, api: Api, film: LocalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalls = [4]
    never = asyncio.Event()

    async def stall(request: web.Request, number: int) -> None:
        if number in stalls:
            stalls.remove(number)
            await never.wait()

    store.on_part = stall
    watcher = Watcher()
    upload = sharing(api, film, watcher)
    monkeypatch.setattr(upload.store, "_stalled_s", 0.3)
    monkeypatch.setattr(object_store, "ANSWERED_S", 0.3)
    await upload.send()
    assert store.body == BODY
    assert any("stood still" in reason for reason in watcher.waits)
    never.set()


async def test_a_slow_connection_is_not_a_stalled_one(
    store: PartStore, api: Api, film: LocalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_slowly(request: web.Request, number: int) -> web.StreamResponse:
        body = b""
        while chunk := await request.content.read(64 * 1024):
            if number == 1:
                await asyncio.sleep(0.5 * len(chunk) / (64 * 1024))
            body += chunk
        store.parts[number] = body
        return web.Response(headers={"ETag": '"x"'})

    store.on_part = read_slowly
    watcher = Watcher()
    upload = sharing(api, film, watcher)
    monkeypatch.setattr(upload.store, "_stalled_s", 2.0)
    await upload.send()
    assert store.body == BODY
    assert watcher.waits == []


async def test_a_file_that_changes_during_its_upload_is_refused_and_aborted(
    store: PartStore, api: Api, film: LocalFile
) -> None:
    def write(_: web.Request, number: int) -> None:
        if number == 3:
            with film.path.open("r+b") as file:
                file.write(b"other")
            os.utime(film.path, ns=(film.modified_ns, film.modified_ns + 1))

    store.on_part = write
    watcher = Watcher()
    outcome = await share(api, film, watcher)
    assert outcome.rejected[0][1] == "it was changed while it was shared"
    assert store.state == "aborted"
    assert watcher.there == 0


async def test_the_progress_of_a_refused_file_is_subtracted(
    store: PartStore, api: Api, film: LocalFile, tmp_path: Path
) -> None:
    store.on_part = refusing_after(store, 2)
    first = sharing(api, film, Watcher(), note=tmp_path / "note")
    first.deadline._deadline_s = 0.1
    with pytest.raises(Unreachable):
        await first.send()
    store.on_part = lambda request, number: web.Response(status=400) if number == 5 else None
    watcher = Watcher()
    outcome = await share(api, film, watcher, note=tmp_path / "note")
    assert len(outcome.rejected) == 1
    assert (watcher.before, watcher.there, watcher.on_the_way) == (0, 0, 0)


async def test_the_upload_of_a_changed_file_begins_again(
    store: PartStore, api: Api, film: LocalFile, tmp_path: Path
) -> None:
    store.on_part = lambda request, number: web.Response(status=400)
    await share(api, film, Watcher(), note=tmp_path / "refused")
    note = tmp_path / "note"

    def killed() -> None:
        raise asyncio.CancelledError

    store.on_part = lambda request, number: killed() if number == 4 else None
    store.state = "pending"
    task = asyncio.create_task(share(api, film, Watcher(), note=note))
    await until(lambda: bool(store.parts))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    film.path.write_bytes(BODY[::-1])
    changed = find_files([film.path]).files[0]
    store.on_part = lambda request, number: None
    store.parts.clear()
    aborts = store.calls.count("DELETE /v1/uploads/u")

    def begin() -> None:
        store.state = "pending"

    store.after_sign = begin
    await share(api, changed, Watcher(), note=note)
    assert store.calls.count("DELETE /v1/uploads/u") == aborts + 1
    assert store.body == BODY[::-1]


async def test_a_full_local_disk_loses_no_stored_part(
    store: PartStore, api: Api, film: LocalFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "note"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(_: web.Request, number: int) -> None:
        if number == 3:
            monkeypatch.setattr(journal_module, "_SAVED_EVERY_S", -1.0)
            monkeypatch.setattr(journal_module, "write_private", full)

    store.on_part = fill
    watcher = Watcher()
    with pytest.raises(JournalUnwritable, match="No space left on device"):
        await share(api, film, watcher, note=note)
    assert (store.state, watcher.refused) == ("pending", [])
    monkeypatch.setattr(journal_module, "write_private", write_private)
    store.on_part = lambda request, number: None
    sent_before = set(store.parts)
    store.seen.clear()
    await share(api, film, Watcher(), note=note)
    assert store.body == BODY
    assert not sent_before & set(store.seen)


async def test_an_upload_that_was_swept_is_declared_again(
    store: PartStore, api: Api, film: LocalFile, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    await share(api, film, Watcher(), note=note)
    found = read_note(note)
    assert found is not None
    for known in found.files.values():
        known.completed = False
    Journal(note, found, clock=time.monotonic).save()
    store.state = "expired"
    store.parts.clear()

    def begin() -> None:
        store.state = "pending"

    store.after_sign = begin
    await share(api, film, Watcher(), note=note)
    assert len(store.declared) == 2
    assert store.body == BODY


async def test_the_upload_ends_at_the_deadline_and_the_journal_stays(
    store: PartStore, api: Api, film: LocalFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.on_part = refusing_after(store, 2)
    watcher = Watcher()
    short = sharing(api, film, watcher, note=tmp_path / "note")
    short.deadline._deadline_s = 0.2
    with pytest.raises(Unreachable, match="took nothing for"):
        await short.send()
    assert watcher.on_the_way == 0
    store.on_part = lambda request, number: None
    store.seen.clear()
    await share(api, film, Watcher(), note=tmp_path / "note")
    assert set(store.seen) == {3, 4, 5, 6, 7}
    assert store.body == BODY


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_long_hashing_does_not_use_up_the_deadline(
    store: PartStore, api: Api, film: LocalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()

    class SlowDisk(Watcher):
        def hashed(self, count: int) -> None:
            clock.now += 10 * retry.DEADLINE_S

    cuts = [1]
    store.on_part = lambda request, number: cut(request) if cuts and cuts.pop() else None
    outcome = await share(api, film, SlowDisk(), clock=clock)
    assert not outcome.rejected
    assert store.body == BODY


async def cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError


async def test_a_part_that_takes_longer_than_the_deadline_is_sent_again_after_a_cut(
    store: PartStore, api: Api, film: LocalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every attempt of the third part takes longer than the deadline, and moves bytes all the time."""
    monkeypatch.setattr(file_upload, "BUFFERED_BYTES", 128 * 1024)
    clock = Clock()
    cuts = [1, 2, 3, 4]

    async def slowly(request: web.Request, number: int) -> None:
        if number == 3 and cuts:
            cuts.pop()
            await request.content.readexactly(PART_BYTES - 1000)
            clock.now += 2 * retry.DEADLINE_S
            await cut(request)

    store.on_part = slowly
    outcome = await share(api, film, Watcher(), clock=clock)
    assert not outcome.rejected
    assert store.body == BODY


async def test_an_upload_ends_if_bytes_only_fill_buffers(store: PartStore, api: Api, film: LocalFile) -> None:
    """A load balancer without a server behind it accepts connections and closes them."""
    clock = Clock()

    async def let_go(request: web.Request, number: int) -> None:
        clock.now += 50.0
        await cut(request)

    store.on_part = let_go
    with pytest.raises(Unreachable, match="nothing reached the object store"):
        await share(api, film, Watcher(), clock=clock)


def s3_error(status: int, code: str) -> web.Response:
    body = f"<Error><Code>{code}</Code><Message>{code} it is.</Message></Error>" + " " * 100_000
    return web.Response(status=status, text=body, content_type="application/xml")


async def test_a_request_timeout_of_the_store_counts_as_a_cut(
    store: PartStore, api: Api, film: LocalFile
) -> None:
    times = [1, 2]

    async def tired(_: web.Request, number: int) -> web.Response | None:
        if number == 3 and times:
            times.pop()
            return s3_error(400, "RequestTimeout")
        return None

    store.on_part = tired
    watcher = Watcher()
    upload = sharing(api, film, watcher)
    await upload.send()
    outcome = upload.result
    assert not outcome.rejected
    assert store.body == BODY
    assert watcher.waits == ["RequestTimeout it is."] * 2
    assert upload.slots.has_been_cut


@pytest.mark.parametrize("code", ["ExpiredToken", "RequestExpired"])
async def test_a_url_whose_credentials_expired_is_replaced(
    store: PartStore, api: Api, film: LocalFile, code: str
) -> None:
    dead: set[str] = set()

    async def ended(request: web.Request, number: int) -> web.Response | None:
        if number == 3 and not dead:
            dead.update(store.urls)
        return s3_error(400, code) if f"{store.url}{request.path_qs}" in dead else None

    store.on_part = ended
    outcome = await share(api, film, Watcher(), connection="slow")
    assert not outcome.rejected
    assert store.body == BODY
    assert store.state == "completed"


async def test_an_upload_that_the_store_refuses_is_aborted(
    store: PartStore, api: Api, film: LocalFile
) -> None:
    store.on_part = lambda request, number: s3_error(400, "EntityTooLarge") if number == 3 else None
    outcome = await share(api, film, Watcher())
    assert outcome.rejected[0][1] == "the object store did not take it: EntityTooLarge it is."
    assert store.state == "aborted", "otherwise its parts would stay for days"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "BadDigest"),
        (400, "IncompleteBody"),
        (408, ""),
        (409, "ConditionalRequestConflict"),
        (429, "TooManyRequests"),
    ],
)
async def test_a_part_is_sent_again_after_a_temporary_error(
    store: PartStore, api: Api, film: LocalFile, status: int, code: str
) -> None:
    times = [1, 2]
    store.on_part = lambda _, number: (
        s3_error(status, code) if number == 3 and times and times.pop() else None
    )
    outcome = await share(api, film, Watcher(), connection="slow")
    assert not outcome.rejected
    assert store.body == BODY
    assert store.seen.count(3) == 3


async def test_a_part_that_is_damaged_repeatedly_is_refused(
    store: PartStore, api: Api, film: LocalFile
) -> None:
    store.on_part = lambda request, number: s3_error(400, "BadDigest") if number == 3 else None
    outcome = await share(api, film, Watcher(), connection="slow")
    assert outcome.rejected[0][1] == "the object store did not take it: BadDigest it is."
    assert store.seen.count(3) == ATTEMPTS
    assert store.state == "aborted"


async def test_a_pending_upload_that_the_store_briefly_reports_missing_continues(
    store: PartStore, api: Api, film: LocalFile
) -> None:
    times = [404] * (2 * ATTEMPTS)
    store.on_part = lambda request, number: s3_error(times.pop(), "NoSuchUpload") if times else None
    outcome = await share(api, film, Watcher(), connection="slow")
    assert not outcome.rejected
    assert store.body == BODY


async def test_a_pending_upload_that_the_store_lost_ends_with_an_error_and_stays(
    store: PartStore, api: Api, film: LocalFile
) -> None:
    store.on_part = lambda request, number: s3_error(404, "NoSuchUpload")
    short = sharing(api, film, Watcher(), connection="slow")
    short.deadline._deadline_s = 0.1
    with pytest.raises(Unreachable, match="took nothing for"):
        await short.send()
    assert store.state == "pending"


async def test_a_url_is_requested_when_its_part_is_next(
    store: PartStore, api: Api, film: LocalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL that waits for its part can expire, since one part is sent at a time."""
    shared = sharing(api, film, Watcher())
    shared.slots.cut()  # four parts wait, and one of them is sent
    dead: set[str] = set()
    flying: list[SignedPut] = []
    too_early: list[SignedPut] = []
    asks, puts = api.call, shared.store.put

    async def call(method: str, path: str, **more: Any) -> Any:
        if path.endswith("/parts"):
            too_early.extend(flying)
        return await asks(method, path, **more)

    async def put(request: SignedPut, piece: Slice, **more: Any) -> Reply:
        flying.append(request)
        try:
            return await puts(request, piece, **more)
        finally:
            flying.remove(request)

    def expired(request: web.Request, number: int) -> web.Response | None:
        if len(store.parts) == 2 and not dead:
            dead.update(store.urls)
        return web.Response(status=403) if f"{store.url}{request.path_qs}" in dead else None

    monkeypatch.setattr(api, "call", call)
    monkeypatch.setattr(shared.store, "put", put)
    store.on_part = expired
    await shared.send()
    outcome = shared.result
    assert not outcome.rejected
    assert store.body == BODY
    assert dead
    assert too_early == []


async def test_a_part_is_refused_only_for_consecutive_expired_urls(
    store: PartStore, api: Api, film: LocalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new URL meets a cut, and has expired when the connection is restored."""
    monkeypatch.setattr(file_upload, "BUFFERED_BYTES", 128 * 1024)
    clock = Clock()
    left = [403, None] * 8

    async def bad(request: web.Request, number: int) -> web.Response | None:
        if number != 3 or not left:
            return None
        if status := left.pop(0):
            clock.now += 15 * 60.0
            return web.Response(status=status)
        await request.content.readexactly(PART_BYTES - 1000)
        await cut(request)
        return None

    store.on_part = bad
    outcome = await share(api, film, Watcher(), connection="slow", clock=clock)
    assert not outcome.rejected
    assert store.body == BODY


async def test_a_file_whose_new_urls_are_expired_too_is_refused(
    store: PartStore, api: Api, film: LocalFile
) -> None:
    store.on_part = lambda request, number: web.Response(status=403) if number == 3 else None
    outcome = await share(api, film, Watcher(), connection="slow")
    assert len(outcome.rejected) == 1
    assert store.seen.count(3) == ATTEMPTS
    assert store.state == "aborted"


async def test_parts_of_one_file_are_sent_at_the_same_time(
    store: PartStore, api: Api, film: LocalFile
) -> None:
    """The first part is sent alone. The others arrive only when two are on their way."""
    raise_first = asyncio.Event()
    flying: set[int] = set()

    async def wait_for_another(request: web.Request, number: int) -> None:
        if number == 1:
            return
        flying.add(number)
        if len(flying) >= 2:
            raise_first.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(raise_first.wait(), 1.0)
        await request.read()
        flying.discard(number)

    store.on_part = wait_for_another
    outcome = await share(api, film, Watcher())
    assert not outcome.rejected
    assert store.body == BODY
    assert raise_first.is_set()


async def test_invalid_credentials_end_the_upload(store: PartStore, api: Api, film: LocalFile) -> None:
    async def forbidden(_: web.Request) -> web.StreamResponse:
        return web.json_response({"code": "gallery_key_wrong", "detail": "no"}, status=403)

    store.complete = forbidden  # type: ignore[method-assign]
    runner = web.AppRunner(store.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with Api(f"http://127.0.0.1:{runner.addresses[0][1]}") as other:
            with pytest.raises(ApiError, match="gallery_key_wrong"):
                await share(other, film, Watcher())
    finally:
        await runner.cleanup()


def test_a_stall_is_noticed_well_before_the_deadline() -> None:
    assert object_store.STALLED_S * 2 < retry.DEADLINE_S
