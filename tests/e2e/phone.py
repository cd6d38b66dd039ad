"""A client like an app: it waits, retries, and requests a new URL if the old one expired."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
from kappi_testkit.eventually import eventually

from tests.e2e.recording import RECORDING

TIMEOUT_S = 90.0
EVENT_STREAM = "text/event-stream"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_TRY_AGAIN = {429, 500, 502, 503, 504, 507}
_AWAY = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError, OSError)
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
# Words that must not appear in an answer, because they show internals.
_INSIDES = ("Traceback", "asyncpg", "sqlalchemy", "site-packages", ".py", "127.0.0.1:", "eyJ", "SELECT ")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer. header names: any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def ok(self, status: int = 200) -> Any:
        """Returns the JSON of a success."""
        assert self.status == status, (self.status, self.body[:500])
        return self.json() if self.body else None

    def problem(self, status: int, code: str) -> dict[str, Any]:
        """Returns the problem document, which must be the expected one and must not show internals."""
        text = self.body.decode()
        assert self.status == status, (self.status, text[:500])
        assert self.headers["Content-Type"] == "application/problem+json"
        document: dict[str, Any] = json.loads(text)
        assert document["code"] == code, document
        assert document["status"] == status
        assert document["type"] == f"urn:kappi:problem:{code}"
        assert document["request_id"] == self.headers["X-Request-Id"]
        assert document["title"]
        assert document["detail"]
        told = [inside for inside in _INSIDES if inside in text]
        assert not told, (told, text)
        return document


@dataclass(frozen=True, slots=True)
class File:
    """A file to upload."""

    name: str
    content_type: str
    body: bytes
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    def declaration(self) -> dict[str, Any]:
        return {
            "filename": self.name,
            "size": len(self.body),
            "content_type": self.content_type,
            "sha256": self.sha256,
            **self.extra,
        }


def file_of(path: Path, content_type: str) -> File:
    return File(path.name, content_type, path.read_bytes())


@dataclass(frozen=True, slots=True)
class Gallery:
    id: str
    code: str
    access_key: str
    url: str

    @property
    def key(self) -> dict[str, str]:
        return {"X-Gallery-Key": self.access_key}


class Phone:
    """An async context. secrets: every secret that it receives is added. address: the local address of its
    connections. keep_alive: whether a connection serves more than one call."""

    def __init__(
        self,
        base_url: str,
        *,
        secrets: set[str] | None = None,
        address: str = "127.0.0.1",
        keep_alive: bool = True,
    ) -> None:
        self.base_url = base_url
        self._keep_alive = keep_alive
        self._secrets = secrets if secrets is not None else set()
        self._address = address
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(local_addr=(self._address, 0), force_close=not self._keep_alive),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def ask(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends one request. url: a path of the API, or absolute. Redirects are not followed."""
        assert self._session is not None
        target = url if url.startswith("http") else self.base_url + url
        data = io.BytesIO(body) if body is not None else None
        async with self._session.request(
            method, target, json=json, data=data, headers=headers, allow_redirects=False
        ) as answer:
            # A stream does not end.
            whole = b"" if answer.content_type == EVENT_STREAM else await answer.read()
        if RECORDING is not None and not url.startswith("http"):
            RECORDING.record(
                method, url, sent=json, status=answer.status, content_type=answer.content_type, body=whole
            )
        return Answer(answer.status, answer.headers, whole)

    async def insist(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Repeats a request until a service answers that is not overloaded. Raises TimeoutError."""
        deadline, pause_s = time.monotonic() + TIMEOUT_S, _FIRST_PAUSE_S
        while True:
            try:
                answer = await self.ask(method, url, json=json, body=body, headers=headers)
            except _AWAY as failure:
                why = repr(failure)
            else:
                if answer.status not in _TRY_AGAIN:
                    return answer
                why = f"{answer.status} {answer.body[:200]!r}"
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {urlsplit(url).path}: {why}")
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def create_gallery(self, *, idempotency_key: str | None = None, **fields: Any) -> Gallery:
        created = await self.insist(
            "POST",
            "/v1/galleries",
            json=fields,
            headers={"Idempotency-Key": idempotency_key or secrets.token_hex(16)},
        )
        gallery = created.ok(201)
        self._secrets.add(gallery["access_key"])
        return Gallery(gallery["id"], gallery["code"], gallery["access_key"], gallery["url"])

    async def sign(self, gallery: Gallery, files: Sequence[File]) -> list[dict[str, Any]]:
        """Signs an upload for each file."""
        answer = await self.insist(
            "POST",
            f"/v1/galleries/{gallery.id}/uploads",
            json={"files": [file.declaration() for file in files]},
            headers={**gallery.key, "Idempotency-Key": secrets.token_hex(16)},
        )
        uploads: list[dict[str, Any]] = answer.ok(201)["uploads"]
        assert len(uploads) == len(files)
        for upload in uploads:
            self._remember(upload["single"]["url"])
        return uploads

    async def put(self, upload: Mapping[str, Any], body: bytes) -> Answer:
        """Sends the bytes to the store once, as signed."""
        single = upload["single"]
        return await self.ask(single["http_method"], single["url"], body=body, headers=single["headers"])

    async def complete(self, gallery: Gallery, upload: Mapping[str, Any]) -> Any:
        answer = await self.insist("POST", f"/v1/uploads/{upload['id']}/complete", headers=gallery.key)
        return answer.ok()

    async def upload(self, gallery: Gallery, *files: File) -> list[str]:
        """Uploads and completes files, with retries. Returns the acknowledged media ids."""
        uploads = await self.sign(gallery, files)
        return [
            await self.deliver(gallery, upload, file) for upload, file in zip(uploads, files, strict=True)
        ]

    async def deliver(self, gallery: Gallery, upload: Mapping[str, Any], file: File) -> str:
        """Puts and completes a file until the completion is acknowledged. Returns the media id."""
        deadline = time.monotonic() + TIMEOUT_S
        single = upload["single"]
        while time.monotonic() < deadline:
            stored = await self.insist("PUT", single["url"], body=file.body, headers=single["headers"])
            # 412: an earlier attempt stored the file, and its answer was lost.
            assert stored.status in {200, 412, 403}, (stored.status, stored.body[:300])
            if stored.status == 403:
                state = await self.insist("GET", f"/v1/uploads/{upload['id']}", headers=gallery.key)
                single = state.ok()["single"]
                continue
            answer = await self.insist("POST", f"/v1/uploads/{upload['id']}/complete", headers=gallery.key)
            if answer.status == 409:
                continue
            item = answer.ok()
            assert item["id"] == upload["media_id"]
            return str(item["id"])
        raise TimeoutError(f"upload {upload['id']} did not get through")

    async def items(self, code: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """Returns the items of all pages of a gallery."""
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = (await self.insist("GET", f"/v1/g/{code}?limit={limit}{cursor}")).ok()
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = f"&cursor={page['next_cursor']}"

    async def until_ready(
        self, gallery: Gallery, count: int, *, deadline_s: float = 60
    ) -> list[dict[str, Any]]:
        """Returns the items once there are `count` and all are ready."""

        async def ready() -> list[dict[str, Any]]:
            items = await self.items(gallery.code)
            states = sorted(item["status"] for item in items)
            assert states == ["ready"] * count
            return items

        return await eventually(ready, deadline_s)

    def _remember(self, url: str) -> None:
        query = parse_qs(urlsplit(url).query)
        for name in ("signature", "X-Amz-Signature"):
            self._secrets.update(query.get(name, ()))
