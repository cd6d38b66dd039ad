"""The local store's server over HTTP: its behaviour beyond S3's, and what a browser needs."""

from __future__ import annotations

import asyncio
import errno
import http.client
import logging
import os
import socket
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, cast
from urllib.parse import urlsplit

import pytest
from kappi_chassis.embedded.ports import LOOPBACK
from kappi_chassis.storage import ContentBinding, SignedRequest, local_uploads
from kappi_chassis.storage.local_files import OpenObject
from kappi_testkit.eventually import eventually
from kappi_testkit.servers.local_store import ServedLocalStore
from kappi_testkit.signed_requests import answer_to, begun, call

pytestmark = pytest.mark.integration

LIFETIME = timedelta(minutes=5)
SignPut = Callable[[int], SignedRequest]


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def key() -> str:
    return f"galleries/{uuid.uuid4()}/original"


@pytest.fixture
def sign_put(served_local_store: ServedLocalStore, now: datetime, key: str) -> SignPut:
    def sign(size_bytes: int) -> SignedRequest:
        binding = ContentBinding("image/png", size_bytes)
        return served_local_store.signer.sign_put(key, binding=binding, now=now, lifetime=LIFETIME)

    return sign


def incoming(served: ServedLocalStore) -> list[str]:
    return [path.name for path in (served.root / "incoming").iterdir()]


async def test_browsers_may_send_preflight_requests(sign_put: SignPut) -> None:
    request = sign_put(3)
    asked = {
        "origin": "https://app.example.org",
        "access-control-request-method": "PUT",
        "access-control-request-headers": "content-type,if-none-match,x-amz-checksum-sha256",
    }
    answer = await call(request._replace(headers=asked), http_method="OPTIONS")
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "PUT" in answer.headers["access-control-allow-methods"]
    allowed = {name.strip() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert allowed >= {*request.headers, "range", "x-amz-checksum-sha256"}


async def test_browsers_may_read_every_answer(
    sign_put: SignPut, served_local_store: ServedLocalStore, now: datetime, key: str
) -> None:
    put = await call(sign_put(3), b"abc")
    get = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    for answer in (put, await call(get), await call(get._replace(url=get.url + "0"))):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "etag" in answer.headers["access-control-expose-headers"]


async def test_served_files_cannot_run_as_a_page_of_the_site(
    sign_put: SignPut, served_local_store: ServedLocalStore, now: datetime, key: str
) -> None:
    await call(sign_put(3), b"abc")
    answer = await call(served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_head(sign_put: SignPut, served_local_store: ServedLocalStore, now: datetime, key: str) -> None:
    get = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    assert (await call(get, http_method="HEAD")).status == 404
    await call(sign_put(3), b"abc")
    answer = await call(get, http_method="HEAD")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "3")
    parsed = datetime.strptime(answer.headers["last-modified"], "%a, %d %b %Y %H:%M:%S GMT").replace(
        tzinfo=UTC
    )
    assert abs(parsed - now) < timedelta(seconds=10)


async def test_if_range(
    sign_put: SignPut, served_local_store: ServedLocalStore, now: datetime, key: str
) -> None:
    put = await call(sign_put(3), b"abc")
    get = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    same = await call(get, headers={"range": "bytes=1-", "if-range": put.headers["etag"]})
    assert (same.status, same.body) == (206, b"bc")
    other = await call(get, headers={"range": "bytes=1-", "if-range": '"other"'})
    assert (other.status, other.body) == (200, b"abc")
    several = await call(get, headers={"range": "bytes=0-0,2-2"})
    assert (several.status, several.body) == (200, b"abc")


async def test_dates_as_conditions(
    sign_put: SignPut, served_local_store: ServedLocalStore, now: datetime, key: str
) -> None:
    await call(sign_put(3), b"abc")
    get = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    modified = (await call(get)).headers["last-modified"]
    long_ago = "Sun, 06 Nov 1994 08:49:37 GMT"

    for headers, status, body in [
        ({"if-modified-since": modified}, 304, b""),
        ({"if-modified-since": long_ago}, 200, b"abc"),
        ({"if-unmodified-since": modified}, 200, b"abc"),
        ({"range": "bytes=1-", "if-range": modified}, 206, b"bc"),
        ({"range": "bytes=1-", "if-range": long_ago}, 200, b"abc"),
    ]:
        answer = await call(get, headers=headers)
        assert (answer.status, answer.body) == (status, body), headers
    assert (await call(get, headers={"if-unmodified-since": long_ago})).status == 412


async def test_a_body_of_another_length_than_signed_is_refused_with_its_own_code(sign_put: SignPut) -> None:
    for body in (b"ab", b"abcd"):
        answer = await call(sign_put(3), body)
        assert answer.status == 400
        assert b"<Code>ContentLengthMismatch</Code><Message>This upload was signed for 3 bytes" in answer.body
    assert (await call(sign_put(3), b"abc")).status == 200


async def test_an_error_contains_only_its_code_and_message(
    served_local_store: ServedLocalStore, now: datetime, key: str
) -> None:
    get = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    answer = await call(get)
    assert answer.status == 404
    assert answer.body.endswith(
        b"<Error><Code>NoSuchKey</Code><Message>There is no such object.</Message></Error>"
    )
    elsewhere = await call(get._replace(url=get.url.replace("/store/", "/other/")))
    assert elsewhere.status == 404


@pytest.mark.parametrize("http_method", ["POST", "DELETE", "PATCH"])
async def test_other_methods_are_refused(
    served_local_store: ServedLocalStore, now: datetime, key: str, http_method: str
) -> None:
    get = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    answer = await call(get, http_method=http_method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, PUT")


async def test_a_length_is_required(sign_put: SignPut, served_local_store: ServedLocalStore) -> None:
    with closing(begun(sign_put(3), **{"transfer-encoding": "chunked"})) as connection:
        connection.sendall(b"3\r\nabc\r\n0\r\n\r\n")
        assert answer_to(connection).status == 411
    assert incoming(served_local_store) == []


async def test_a_body_beyond_its_signed_length_is_not_read(
    sign_put: SignPut, served_local_store: ServedLocalStore
) -> None:
    with closing(begun(sign_put(2048), **{"content-length": str(2 << 30)})) as connection:
        answer = await asyncio.to_thread(_flood, connection)
        assert answer is None or (answer.status == 400 and answer.getheader("connection") == "close")
    assert incoming(served_local_store) == []


async def test_a_client_that_stops_at_a_refusal_receives_it(
    sign_put: SignPut, served_local_store: ServedLocalStore
) -> None:
    """Bytes on their way when the refusal is sent must not turn it into a reset connection."""
    with closing(begun(sign_put(2048), **{"content-length": str(2 << 30)})) as connection:
        reader, writer = await asyncio.open_connection(sock=connection)
        answered = asyncio.create_task(reader.read(1024))
        while not answered.done():
            writer.write(bytes(1 << 16))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(bytes(1 << 20))
        await writer.drain()
        assert (await answered).startswith(b"HTTP/1.1 400 ")
        writer.close()
    assert incoming(served_local_store) == []


def _flood(connection: socket.socket) -> http.client.HTTPResponse | None:
    """Sends until the server answers. None: it closed the connection so early that its answer was lost."""
    sent = 0
    try:
        while True:
            sent += connection.send(bytes(1 << 16))
            assert sent < 64 << 20
    except (ConnectionResetError, BrokenPipeError):
        pass
    try:
        return answer_to(connection)
    except (ConnectionResetError, http.client.RemoteDisconnected):
        return None


async def test_a_client_that_disconnects_half_way_leaves_no_file(
    sign_put: SignPut, served_local_store: ServedLocalStore, key: str
) -> None:
    with closing(begun(sign_put(1 << 22), **{"content-length": str(1 << 22)})) as connection:
        connection.sendall(bytes(3 << 20))

        async def being_written() -> None:
            assert len(incoming(served_local_store)) == 1

        await eventually(being_written)

    async def gone() -> None:
        assert incoming(served_local_store) == []

    await eventually(gone)
    assert not await served_local_store.store.exists(key)


async def test_one_upload_of_a_key_at_a_time(
    sign_put: SignPut, served_local_store: ServedLocalStore, key: str
) -> None:
    """The second upload is refused before its body is read, and the first continues."""
    request = sign_put(6)
    with (
        closing(begun(request, **{"content-length": "6"})) as first,
        closing(begun(request, **{"content-length": "6"})) as second,
    ):
        first.sendall(b"abc")
        await eventually(lambda: _writers(served_local_store, 1))
        answer = await asyncio.to_thread(answer_to, second)
        assert (answer.status, answer.getheader("retry-after")) == (409, "5")
        assert b"<Code>OperationAborted</Code>" in answer.read()
        assert len(incoming(served_local_store)) == 1
        first.sendall(b"111")
        assert (await asyncio.to_thread(answer_to, first)).status == 200
    assert (await served_local_store.store.read(key, length=9)).body == b"abc111"
    assert (await call(request, b"abc222")).status == 412
    assert incoming(served_local_store) == []


async def test_one_upload_of_a_part_at_a_time(
    served_local_store: ServedLocalStore, now: datetime, key: str
) -> None:
    store, signer = served_local_store.store, served_local_store.signer
    upload_id = await store.create_multipart(key, content_type="video/mp4")
    first, second = (
        signer.sign_part(key, upload_id=upload_id, number=number, size_bytes=6, now=now, lifetime=LIFETIME)
        for number in (1, 2)
    )
    with closing(begun(first, **{"content-length": "6"})) as connection:
        connection.sendall(b"abc")
        await eventually(lambda: _writers(served_local_store, 1))
        assert (await call(first, b"abcdef")).status == 409
        assert (await call(second, b"abcdef")).status == 200, "another part may be uploaded at the same time"
        connection.sendall(b"111")
        assert (await asyncio.to_thread(answer_to, connection)).status == 200
    assert [part.number for part in await store.list_parts(key, upload_id=upload_id)] == [1, 2]


async def test_an_upload_whose_client_disconnected_frees_its_key(
    sign_put: SignPut, served_local_store: ServedLocalStore
) -> None:
    request = sign_put(6)
    with closing(begun(request, **{"content-length": "6"})) as connection:
        connection.sendall(b"abc")
        await eventually(lambda: _writers(served_local_store, 1))
    await eventually(lambda: _writers(served_local_store, 0))
    assert (await call(request, b"abcdef")).status == 200


async def test_a_stalled_upload_yields_to_a_new_one(
    sign_put: SignPut, served_local_store: ServedLocalStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender may have changed to another network, and sends the upload again."""
    monkeypatch.setattr(local_uploads, "STANDS_STILL_S", 0.1)
    request = sign_put(6)
    with closing(begun(request, **{"content-length": "6"})) as connection:
        connection.sendall(b"abc")
        await eventually(lambda: _writers(served_local_store, 1))

        async def taken() -> None:
            assert (await call(request, b"abcdef")).status == 200

        await eventually(taken)
        answer = await asyncio.to_thread(answer_to, connection)
        assert (answer.status, b"RequestTimeout" in answer.read()) == (408, True)
    assert (await served_local_store.store.read(key, length=9)).body == b"abcdef"
    assert incoming(served_local_store) == []


async def _writers(served: ServedLocalStore, count: int) -> None:
    assert len(incoming(served)) == count


async def test_only_browsers_may_cache_answers(
    sign_put: SignPut, served_local_store: ServedLocalStore, now: datetime, key: str
) -> None:
    get = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    missing = await call(get)
    await call(sign_put(3), b"abc")
    found = await call(get)
    known = await call(get, headers={"if-none-match": found.headers["etag"]})
    assert (missing.status, found.status, known.status) == (404, 200, 304)
    assert {answer.headers["cache-control"] for answer in (missing, found, known)} == {"private"}


async def test_large_files_are_served_whole(
    served_local_store: ServedLocalStore, now: datetime, key: str
) -> None:
    body = bytes(range(251)) * 40_000
    binding = ContentBinding("video/mp4", len(body))
    put = served_local_store.signer.sign_put(key, binding=binding, now=now, lifetime=LIFETIME)
    assert (await call(put, body)).status == 200
    get = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    assert (await call(get)).body == body
    middle = await call(get, headers={"range": "bytes=1000000-8999999"})
    assert middle.body == body[1_000_000:9_000_000]


async def test_a_reader_that_disconnects_frees_the_file(
    served_local_store: ServedLocalStore, now: datetime, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size_bytes = 64 << 20
    await served_local_store.store.put(key, bytes(size_bytes), content_type="video/mp4")
    sent: list[int] = []
    sendfile = os.sendfile

    def counted(*arguments: int) -> int:
        sent.append(sendfile(*arguments))
        return sent[-1]

    closed: list[bool] = []
    open_object = served_local_store.store.open

    async def opened(key: str) -> OpenObject:
        found = await open_object(key)
        closed.append(False)
        return replace(found, file=cast("BinaryIO", _Watched(found.file, closed)))

    monkeypatch.setattr("kappi_chassis.storage.local_sending.os.sendfile", counted)
    monkeypatch.setattr(served_local_store.store, "open", opened)
    request = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    url = urlsplit(request.url)
    with closing(socket.create_connection((LOOPBACK, url.port), timeout=10)) as connection:
        connection.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        answer = b""
        while not answer.partition(b"\r\n\r\n")[2]:  # the head is sent before the file is
            piece = connection.recv(1000)
            assert piece
            answer += piece

    async def let_go() -> None:
        assert closed == [True]

    await eventually(let_go)
    assert 0 < sum(sent) < size_bytes


async def test_large_files_are_served_from_file_systems_that_cannot_send_them(
    served_local_store: ServedLocalStore, now: datetime, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: int) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("kappi_chassis.storage.local_sending.os.sendfile", unable)
    body = bytes(range(251)) * 20_000
    await served_local_store.store.put(key, body, content_type="video/mp4")
    request = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    assert (await call(request, headers={"range": "bytes=1000-4999999"})).body == body[1000:5_000_000]


async def test_a_connection_is_used_again_after_large_bodies(
    served_local_store: ServedLocalStore, now: datetime
) -> None:
    body = bytes(range(251)) * 20_000
    url = urlsplit(served_local_store.base_url)
    binding = ContentBinding("video/mp4", len(body))
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    with closing(connection):
        for _ in range(2):
            key = f"galleries/{uuid.uuid4()}/original"
            put = served_local_store.signer.sign_put(key, binding=binding, now=now, lifetime=LIFETIME)
            get = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
            connection.request("PUT", put.url, body, put.headers)
            stored = await asyncio.to_thread(connection.getresponse)
            assert (stored.status, stored.read()) == (200, b"")
            used = connection.sock
            connection.request("GET", get.url)
            found = await asyncio.to_thread(connection.getresponse)
            assert await asyncio.to_thread(found.read) == body
            assert connection.sock is used is not None


async def test_a_client_that_waits_to_be_asked_for_the_body_is_asked(sign_put: SignPut) -> None:
    request = sign_put(6)
    with closing(begun(request, **{"content-length": "6", "expect": "100-continue"})) as connection:
        asked = await asyncio.to_thread(connection.recv, 1024)
        assert asked.startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abcdef")
        assert (await asyncio.to_thread(answer_to, connection)).status == 200


class _Watched:
    def __init__(self, file: BinaryIO, closed: list[bool]) -> None:
        self._file, self._closed = file, closed
        self.fileno = file.fileno

    def close(self) -> None:
        self._file.close()
        self._closed[-1] = True


async def test_signatures_are_not_logged(
    sign_put: SignPut,
    served_local_store: ServedLocalStore,
    now: datetime,
    key: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    put = sign_put(3)
    await call(put, b"abc")
    await call(put, b"abc")
    get = served_local_store.signer.sign_get(key, now=now, lifetime=LIFETIME)
    await call(get)
    await call(get._replace(url=get.url[:-1] + ("0" if get.url[-1] != "0" else "1")))
    told = caplog.text + "".join(capfd.readouterr())
    for secret in (put.url[-20:], get.url[-20:-1], "signature="):
        assert secret not in told
