"""One client fills the embedded store with very slow transfers; another client is served."""

from __future__ import annotations

import asyncio
import re
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from kappi_contracts.keys import original_key

from tests.e2e.bystander import ATTACKER, PICTURE, Bystander, assert_unharmed, bystander
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

MEASURED_S = 5.0
CONNECTIONS = 512
CRAWL_BYTES, CRAWL_S = 4_000, 1.0
SETTLED_S, RETRY_S = 4.0, 3.0
DOWNLOAD_BYTES = 16 << 20
"""More than the buffers hold for a client that does not read."""
READER_BYTES = 4096
MOST_GROWTH_BYTES = 150 << 20
LARGE = File("large.png", "image/png", PICTURE.body + bytes(12 << 20))

Attack = Coroutine[Any, Any, None]
Answers = Counter[tuple[int, str]]


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    """Returns the default limits."""
    return {"KAPPI_GATEWAY_TRANSFERS_PER_ADDRESS": "64"}


@pytest.fixture
async def hostile(own_stack: StackUnderTest) -> AsyncIterator[Phone]:
    async with Phone(own_stack.base_url, secrets=own_stack.secrets, address=ATTACKER) as phone:
        yield phone


async def test_one_url_on_512_slow_connections_does_not_harm_others(
    own_stack: StackUnderTest, hostile: Phone
) -> None:
    gallery = await hostile.create_gallery()
    (upload,) = await hostile.sign(gallery, [LARGE])
    answers = await _bystander_is_unharmed(own_stack, lambda answers: _uploads(own_stack, [upload], answers))
    assert answers[409, "OperationAborted"], "one upload of a key at a time"
    assert answers.keys() <= {(409, "OperationAborted"), (429, "SlowDown")}, answers


async def test_many_urls_on_512_slow_connections_do_not_harm_others(
    own_stack: StackUnderTest, hostile: Phone
) -> None:
    gallery = await hostile.create_gallery()
    uploads = await hostile.sign(gallery, [LARGE] * 100)
    answers = await _bystander_is_unharmed(own_stack, lambda answers: _uploads(own_stack, uploads, answers))
    assert answers[429, "SlowDown"] >= CONNECTIONS - 100, answers
    assert answers.keys() <= {(409, "OperationAborted"), (429, "SlowDown")}, answers


async def test_slowly_read_downloads_do_not_harm_others(own_stack: StackUnderTest) -> None:
    key = original_key(uuid4(), uuid4())
    store = own_stack.object_store()
    await store.put(key, bytes(DOWNLOAD_BYTES), content_type="image/png")
    await store.close()
    url = own_stack.signer().sign_get(key, now=datetime.now(UTC), lifetime=timedelta(minutes=15)).url
    answers = await _bystander_is_unharmed(own_stack, lambda answers: _downloads(own_stack, url, answers))
    assert answers[429, "SlowDown"] >= CONNECTIONS - 64, answers
    assert answers.keys() == {(429, "SlowDown"), (200, "")}, answers
    assert answers[200, ""] == 64


async def _bystander_is_unharmed(stack: StackUnderTest, attack: Callable[[Answers], Attack]) -> Answers:
    answers: Answers = Counter()
    async with bystander(stack) as other:

        async def upload() -> None:
            await _upload(other)

        before = await other.for_a_while(MEASURED_S, upload)
        memory_before = _memory(stack)
        during = await other.beside(attack(answers), MEASURED_S, upload, after_s=SETTLED_S)
        growth_bytes = _memory(stack) - memory_before
        after = await other.for_a_while(MEASURED_S / 2, upload)
    assert_unharmed(before, during)
    assert_unharmed(before, after)
    assert growth_bytes < MOST_GROWTH_BYTES
    return answers


async def _upload(other: Bystander) -> None:
    phone, gallery = other.phone, other.gallery
    (upload,) = await phone.sign(gallery, [PICTURE])
    answer = await phone.put(upload, PICTURE.body)
    assert answer.status == 200, answer.body[:300]
    await _forget(phone, gallery, upload)


async def _forget(phone: Phone, gallery: Gallery, upload: Mapping[str, Any]) -> None:
    gone = await phone.ask("DELETE", f"/v1/uploads/{upload['id']}", headers=gallery.key)
    assert gone.status == 204, gone.body[:300]


def _memory(stack: StackUnderTest) -> int:
    """Returns the memory of the two processes that transfers pass through."""
    services = stack.running.note.services
    pages = [
        Path(f"/proc/{services[name].pid}/statm").read_text().split()[1] for name in ("gateway", "store")
    ]
    return sum(map(int, pages)) * resource.getpagesize()


async def _uploads(stack: StackUnderTest, uploads: Sequence[Mapping[str, Any]], answers: Answers) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            single = uploads[number % len(uploads)]["single"]
            group.create_task(_crawling_upload(stack, single, answers))


async def _crawling_upload(stack: StackUnderTest, single: Mapping[str, Any], answers: Answers) -> None:
    """Uploads repeatedly: a refused upload is tried again."""
    lines = [f"{name}: {value}" for name, value in single["headers"].items()]
    head = _head("PUT", single["url"], f"Content-Length: {len(LARGE.body)}", *lines)
    while True:
        reader, writer = await _connected(stack)
        writer.write(head + LARGE.body[:CRAWL_BYTES])
        answering = asyncio.create_task(_answer(reader))
        sent_bytes = CRAWL_BYTES
        try:
            while not answering.done():
                await asyncio.wait([answering], timeout=CRAWL_S)
                writer.write(LARGE.body[sent_bytes : sent_bytes + CRAWL_BYTES])
                sent_bytes += CRAWL_BYTES
            answers[answering.result()] += 1
        finally:
            answering.cancel()
            writer.transport.abort()
        await asyncio.sleep(RETRY_S)


async def _downloads(stack: StackUnderTest, url: str, answers: Answers) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(_crawling_download(stack, url, answers))


async def _crawling_download(stack: StackUnderTest, url: str, answers: Answers) -> None:
    """Reads 1 kB a second; a refused download is tried again."""
    while True:
        reader, writer = await _connected(stack)
        try:
            writer.write(_head("GET", url))
            status, code = await _answer(reader)
            answers[status, code] += 1
            piece = b"x" if status == 200 else b""
            while piece:
                await asyncio.sleep(1.0)
                piece = await reader.read(1000)
        finally:
            writer.transport.abort()
        await asyncio.sleep(RETRY_S)


def _head(method: str, url: str, *lines: str) -> bytes:
    parts = urlsplit(url)
    first = f"{method} {parts.path}?{parts.query} HTTP/1.1"
    return "\r\n".join([first, f"Host: {parts.netloc}", *lines, "", ""]).encode()


async def _connected(stack: StackUnderTest) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connection = socket.socket()
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READER_BYTES)
        connection.bind((ATTACKER, 0))
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", stack.running.port))
        return await asyncio.open_connection(sock=connection, limit=READER_BYTES)
    except BaseException:
        connection.close()
        raise


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Returns the status and the code of a refusal, or (0, "") if the connection was cut."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        status = int((await reader.readuntil(b"\r\n\r\n")).split()[1])
        if status < 400:
            return status, ""
        code = re.search(rb"<Code>(.*)</Code>", await reader.readuntil(b"</Error>"))
        return status, code[1].decode() if code is not None else ""
    return 0, ""
