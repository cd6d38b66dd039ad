"""Attacks of a hostile client, each until it is cancelled. Refusals and cut connections are expected."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.e2e.bystander import ATTACKER, PICTURE
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

BURST = b"GET / HTTP/1.1\r\nHost: kappi\r\n\r\n" * 8_500  # 256 kB: 20 of them are 5 MB
SOCKETS = 20
LARGE = File("large.png", "image/png", PICTURE.body + bytes(8 << 20))
_REFUSED = (OSError, aiohttp.ClientError, TimeoutError, AssertionError, asyncio.IncompleteReadError)
_NONSENSE = (
    ("GET", "/v1/g/zzzz9", b""),
    ("POST", "/v1/galleries", b'{"title": "' + b"\\u0000" * 10 + b'"}'),
    ("POST", "/v1/galleries", b"[" * 50_000),
    ("PATCH", "/v1/media/0199e1a4-5b7c-7d10-8c41-5f2f0f3a9b01", b'{"description": 1e999}'),
    ("POST", "/v1/oauth/token", b"grant_type=password&username=a@example.com&password=guess"),
    ("GET", "/admin/accounts/list?q=%00&page=99999999999999999999", b""),
    ("POST", "/v1/galleries", b'{"password": "long enough to be hashed"}'),
)


async def connected(stack: StackUnderTest) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    try:
        connection.bind((ATTACKER, 0))
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", stack.running.port))
    except BaseException:
        connection.close()
        raise
    return connection


async def bursts(stack: StackUnderTest, first: bytes = b"", *, reads: bool = True) -> None:
    """Sends requests without waiting for answers, on many connections. first: sent before them."""
    async with asyncio.TaskGroup() as group:
        for _ in range(SOCKETS):
            group.create_task(_send_for_ever(stack, first, reads=reads))


async def half_open(stack: StackUnderTest, count: int, held: list[socket.socket] | None = None) -> None:
    """Opens connections that begin a request and do not end it. held: the open ones, for the caller."""
    loop = asyncio.get_running_loop()
    connections = [] if held is None else held
    try:
        while True:
            connections.append(await connected(stack))
            with suppress(OSError):
                await loop.sock_sendall(connections[-1], b"GET /v1/g/")
            if len(connections) > count:
                connections.pop(0).close()
                # A bystander may be measured in this process: a faster attack would measure the attacker.
                await asyncio.sleep(0.002)
    finally:
        for connection in connections:
            connection.close()


async def crawling(stack: StackUnderTest, count: int) -> None:
    """Uploads at 4 kB a second, and reads downloads at 1 kB a second."""
    async with Phone(stack.base_url, secrets=stack.secrets, address=ATTACKER) as phone:
        gallery = await phone.create_gallery()
        await phone.upload(gallery, LARGE)
        (item,) = await phone.until_ready(gallery, 1, deadline_s=300)
        url = item["original"]["url"]
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                call = _crawl_up(stack, phone, gallery) if number % 2 else _crawl_down(stack, url)
                group.create_task(call)


async def leaving(stack: StackUnderTest) -> None:
    """Interrupts downloads and uploads at once."""
    async with Phone(stack.base_url, secrets=stack.secrets, address=ATTACKER) as phone:
        gallery = await phone.create_gallery()
        await phone.upload(gallery, LARGE)
        (item,) = await phone.until_ready(gallery, 1, deadline_s=300)
        archive = f"{stack.base_url}/v1/g/{gallery.code}/archive"
        for url in itertools.cycle((item["original"]["url"], archive)):
            with suppress(*_REFUSED):
                connection = await connected(stack)
                try:
                    await asyncio.get_running_loop().sock_sendall(connection, head("GET", url))
                    await asyncio.get_running_loop().sock_recv(connection, 1000)
                finally:
                    connection.close()
            await asyncio.sleep(0.05)


async def nonsense(stack: StackUnderTest) -> None:
    """Sends guesses, passwords, and bodies that cannot be parsed."""
    async with Phone(stack.base_url, secrets=stack.secrets, address=ATTACKER) as phone:
        for method, path, body in itertools.cycle(_NONSENSE):
            kind = "application/x-www-form-urlencoded" if "oauth" in path else "application/json"
            with suppress(*_REFUSED):
                answer = await phone.ask(method, path, body=body or None, headers={"Content-Type": kind})
                if answer.status == 201:
                    stack.secrets.add(answer.json()["access_key"])
            await asyncio.sleep(0.05)


async def promising(stack: StackUnderTest) -> None:
    """Puts uploads and never completes them."""
    async with Phone(stack.base_url, secrets=stack.secrets, address=ATTACKER) as phone:
        while True:
            with suppress(*_REFUSED, KeyError):
                gallery = await phone.create_gallery()
                for upload in await phone.sign(gallery, [PICTURE] * 20):
                    await phone.put(upload, PICTURE.body)
            await asyncio.sleep(0.5)


async def flooding(stack: StackUnderTest, *files: File) -> None:
    """Uploads files that take long to decode, each into its own gallery."""
    async with Phone(stack.base_url, secrets=stack.secrets, address=ATTACKER) as phone:
        for file in itertools.cycle(files):
            with suppress(*_REFUSED, KeyError):
                gallery = await phone.create_gallery()
                await phone.upload(gallery, file)
            await asyncio.sleep(0.5)


async def all_at_once(*attacks: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for attack in attacks:
            group.create_task(attack())


def head(
    method: str, url: str, headers: Mapping[str, Any] | None = None, *, length: int | None = None
) -> bytes:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


async def _send_for_ever(stack: StackUnderTest, first: bytes, *, reads: bool) -> None:
    """Opens one connection after the other and fills each with requests."""
    loop = asyncio.get_running_loop()
    while True:
        connection = await connected(stack)
        reading = asyncio.create_task(_read_on(connection)) if reads else None
        try:
            with suppress(OSError):
                await loop.sock_sendall(connection, first)
                while True:
                    await loop.sock_sendall(connection, BURST)
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait([reading])
            connection.close()


async def _read_on(connection: socket.socket) -> None:
    with suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(connection, 1 << 20):
            pass


async def _crawl_up(stack: StackUnderTest, phone: Phone, gallery: Gallery) -> None:
    loop = asyncio.get_running_loop()
    while True:
        with suppress(*_REFUSED, KeyError):
            (upload,) = await phone.sign(gallery, [LARGE])
            single = upload["single"]
            connection = await connected(stack)
            try:
                start = head("PUT", single["url"], single["headers"], length=len(LARGE.body))
                await loop.sock_sendall(connection, start)
                while True:
                    await loop.sock_sendall(connection, secrets.token_bytes(4_000))
                    await asyncio.sleep(1.0)
            finally:
                connection.close()
        await asyncio.sleep(1.0)


async def _crawl_down(stack: StackUnderTest, url: str) -> None:
    loop = asyncio.get_running_loop()
    while True:
        with suppress(*_REFUSED):
            connection = await connected(stack)
            try:
                await loop.sock_sendall(connection, head("GET", url))
                piece = b"x"
                while piece:
                    await asyncio.sleep(1.0)
                    piece = await loop.sock_recv(connection, 1_000)
            finally:
                connection.close()
        await asyncio.sleep(1.0)
