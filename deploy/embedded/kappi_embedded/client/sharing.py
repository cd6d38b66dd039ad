"""Uploading into a gallery: sign a batch, put the bytes into the store, complete, wait until processed."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from kappi_embedded.client.api import ATTEMPTS, UNREACHABLE, Api, ApiError, Unreachable, backoff
from kappi_embedded.client.files import LocalFile, sha256_of

BATCH = 100
PARALLEL = 4
_CHUNK_BYTES = 256 * 1024
_POLL_S = 0.3
_PAGE = 500
_FIELD = re.compile(r"files\.(\d+)(?:\.|$)")
_STORED_ALREADY = 412  # If-None-Match: the answer to an earlier attempt was lost on its way
_URL_DEAD = 403
_REFUSED = {400, 404, 405, 411, 413, 415, 501}


class Progress(Protocol):
    """Who shows how it goes. Counts are bytes, except of items."""

    def hashed(self, count: int) -> None: ...

    def sent(self, count: int) -> None: ...

    def uploaded(self, file: LocalFile) -> None: ...

    def rejected(self, file: LocalFile, reason: str) -> None: ...

    def processing(self, *, done: int, total: int) -> None: ...


@dataclass(slots=True)
class SharedFile:
    """A file that is in the gallery. status: of its item, as last seen."""

    file: LocalFile
    media_id: str
    sha256: str
    status: str = "processing"


@dataclass(slots=True)
class Outcome:
    """rejected: with the reason of each."""

    shared: list[SharedFile] = field(default_factory=list)
    rejected: list[tuple[LocalFile, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Gallery:
    """A gallery and the key that manages it."""

    id: str
    code: str
    url: str
    access_key: str


class _Rejected(Exception):
    """This file cannot be shared; the message says why."""


async def create_gallery(api: Api, *, title: str | None, expires_in_s: int | None) -> Gallery:
    """Raises ApiError, Unreachable."""
    wanted = {"title": title, "expires_in": expires_in_s}
    created = await api.call(
        "POST",
        "/v1/galleries",
        json={name: value for name, value in wanted.items() if value is not None},
        headers=_once(),
    )
    return Gallery(created["id"], created["code"], created["url"], created["access_key"])


class Sharing:
    """Uploads into one gallery."""

    def __init__(self, api: Api, gallery: Gallery, progress: Progress) -> None:
        self._api = api
        self._gallery = gallery
        self._key = {"X-Gallery-Key": gallery.access_key}
        self._progress = progress
        self.outcome = Outcome()
        self._slots = asyncio.Semaphore(PARALLEL)

    async def share(self, files: Sequence[LocalFile]) -> Outcome:
        """Upload and complete all; what is refused is in the outcome. Raises ApiError, Unreachable."""
        fit = [file for file in files if file.size_bytes > 0]
        for file in files:
            if file.size_bytes == 0:
                self._reject(file, "the file is empty")
        for start in range(0, len(fit), BATCH):
            await self._share_batch(fit[start : start + BATCH])
        order = {id(file): number for number, file in enumerate(files)}
        self.outcome.shared.sort(key=lambda shared: order[id(shared.file)])
        return self.outcome

    async def wait_until_processed(self, *, timeout_s: float) -> bool:
        """Whether every item is ready or rejected in time; the outcome says which."""
        deadline = time.monotonic() + timeout_s
        waiting = {shared.media_id: shared for shared in self.outcome.shared}
        total = len(waiting)
        while waiting:
            seen = {item["id"]: item["status"] async for item in self._items()}
            for media_id in list(waiting):
                # Rejected items are not in the gallery's list: those missing are asked for by name.
                status = seen.get(media_id) or await self._status_of(waiting[media_id])
                if status != "processing":
                    waiting.pop(media_id).status = status
            self._progress.processing(done=total - len(waiting), total=total)
            if not waiting:
                break
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
        self.outcome.shared = [shared for shared in self.outcome.shared if shared.status != "rejected"]
        return True

    async def _share_batch(self, files: Sequence[LocalFile]) -> None:
        digests = await self._hash(files)
        promised = await self._sign(list(zip(files, digests, strict=True)))
        try:
            async with asyncio.TaskGroup() as group:
                for file, digest, upload in promised:
                    group.create_task(self._share_one(file, digest, upload))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _hash(self, files: Iterable[LocalFile]) -> list[str]:
        async def one(file: LocalFile) -> str:
            async with self._slots:
                return await asyncio.to_thread(sha256_of, file.path, progress=self._progress.hashed)

        return await asyncio.gather(*(one(file) for file in files))

    async def _sign(self, files: list[tuple[LocalFile, str]]) -> list[tuple[LocalFile, str, dict[str, Any]]]:
        """Uploads for the files the server takes; it names those it does not."""
        while files:
            declared = [
                {
                    "filename": file.path.name[-255:],
                    "size": file.size_bytes,
                    "content_type": file.content_type,
                    "sha256": digest,
                }
                for file, digest in files
            ]
            try:
                answer = await self._api.call(
                    "POST",
                    f"/v1/galleries/{self._gallery.id}/uploads",
                    json={"files": declared},
                    headers={**self._key, **_once()},
                )
            except ApiError as error:
                refused = _refused_files(error, count=len(files))
                if not refused:
                    raise
                for number, reason in refused.items():
                    self._reject(files[number][0], reason)
                files = [entry for number, entry in enumerate(files) if number not in refused]
            else:
                return [(*entry, upload) for entry, upload in zip(files, answer["uploads"], strict=True)]
        return []

    async def _share_one(self, file: LocalFile, digest: str, upload: dict[str, Any]) -> None:
        try:
            async with self._slots:
                await self._put(file, upload)
                await self._complete(file, upload)
        except _Rejected as error:
            self._reject(file, str(error))
        else:
            self.outcome.shared.append(SharedFile(file, upload["media_id"], digest))
            self._progress.uploaded(file)

    async def _complete(self, file: LocalFile, upload: dict[str, Any]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._api.call("POST", f"/v1/uploads/{upload['id']}/complete", headers=self._key)
            except ApiError as error:
                if error.code == "upload_incomplete" and attempt < ATTEMPTS:
                    await self._put(file, upload)
                    continue
                if error.status in {404, 409, 413, 422}:
                    raise _Rejected(str(error)) from error
                raise
            return

    async def _put(self, file: LocalFile, upload: dict[str, Any]) -> None:
        """The bytes into the store, with a new URL where the old one died. Raises _Rejected, Unreachable."""
        single = upload["single"]
        reason = ""
        for attempt in range(1, ATTEMPTS + 1):
            sent = _Sent()
            try:
                status, reason = await self._put_once(file, single, sent)
            except UNREACHABLE as failure:
                if sent.failure is not None:
                    raise _Rejected(f"it cannot be read any more: {sent.failure}") from failure
                if isinstance(failure, aiohttp.ClientConnectorError) and attempt == ATTEMPTS:
                    raise Unreachable(f"the object store does not answer: {failure}") from failure
                status, reason = 0, str(failure) or type(failure).__name__
            if status in {200, _STORED_ALREADY}:
                return
            self._progress.sent(-sent.count)
            if status in _REFUSED:
                break
            if attempt < ATTEMPTS:
                await backoff(attempt)
            if status == _URL_DEAD:
                single = await self._fresh_url(upload)
        raise _Rejected(f"the object store did not take it: {reason}")

    async def _put_once(self, file: LocalFile, single: dict[str, Any], sent: _Sent) -> tuple[int, str]:
        async def body() -> AsyncIterator[bytes]:
            try:
                async for chunk in _chunks(file):
                    sent.count += len(chunk)
                    self._progress.sent(len(chunk))
                    yield chunk
            except OSError as error:
                sent.failure = error  # aiohttp makes a connection's failure of it
                raise

        headers = {**single["headers"], "Content-Length": str(file.size_bytes)}
        async with self._api.session.request(
            single["http_method"], single["url"], data=body(), headers=headers, allow_redirects=False
        ) as answer:
            text = await answer.text(errors="replace")
            return answer.status, _store_message(text) or f"HTTP status {answer.status}"

    async def _fresh_url(self, upload: dict[str, Any]) -> dict[str, Any]:
        state = await self._api.call("GET", f"/v1/uploads/{upload['id']}", headers=self._key)
        single: dict[str, Any] | None = state.get("single")
        if single is None:
            raise _Rejected(f"its upload is {state['state']}")
        return single

    async def _items(self) -> AsyncIterator[dict[str, Any]]:
        async for item in gallery_items(self._api, self._gallery.code):
            yield item

    async def _status_of(self, shared: SharedFile) -> str:
        try:
            item = await self._api.call("GET", f"/v1/media/{shared.media_id}", headers=self._key)
        except ApiError as error:
            if error.status != 404:
                raise
            self._reject(shared.file, "it was removed while it was processed")
            return "rejected"
        if item["status"] == "rejected":
            self._reject(shared.file, item.get("rejection_reason") or "it is not what it claims to be")
        return str(item["status"])

    def _reject(self, file: LocalFile, reason: str) -> None:
        self.outcome.rejected.append((file, reason))
        self._progress.rejected(file, reason)


@dataclass(slots=True)
class _Sent:
    """One attempt. failure: of reading the file."""

    count: int = 0
    failure: OSError | None = None


async def _chunks(file: LocalFile) -> AsyncIterator[bytes]:
    with file.path.open("rb") as opened:
        left = file.size_bytes
        while left:
            chunk = await asyncio.to_thread(opened.read, min(_CHUNK_BYTES, left))
            if not chunk:
                raise OSError("it became shorter")
            left -= len(chunk)
            yield chunk


async def gallery_items(api: Api, code: str) -> AsyncIterator[dict[str, Any]]:
    """All items of a gallery, over all its pages. Raises ApiError, Unreachable."""
    params = {"limit": str(_PAGE)}
    while True:
        page = await api.call("GET", f"/v1/g/{code}", params=params)
        for item in page["items"]:
            yield item
        if page["next_cursor"] is None:
            return
        params["cursor"] = page["next_cursor"]


def _refused_files(error: ApiError, *, count: int) -> dict[int, str]:
    """The files a refused batch was refused for, by position."""
    refused = {}
    for entry in error.errors:
        match = _FIELD.match(entry.get("field", ""))
        if match is not None and int(match[1]) < count:
            refused[int(match[1])] = f"{entry.get('message') or error.detail} ({error.code})"
    return refused


def _store_message(xml: str) -> str:
    found = re.search(r"<Message>([^<]{1,200})</Message>", xml)
    return found[1] if found is not None else ""


def _once() -> dict[str, str]:
    """So that a repetition is the same call."""
    return {"Idempotency-Key": secrets.token_hex(16)}
