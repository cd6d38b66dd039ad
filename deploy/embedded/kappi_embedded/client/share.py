"""Uploading into a gallery: sign a batch, put the bytes into the store, complete, wait until processed."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kappi_embedded.client.api import Api, ApiError
from kappi_embedded.client.files import FileChanged, LocalFile, sha256_of, told_name
from kappi_embedded.client.galleries import Gallery, owned_items, viewed_items
from kappi_embedded.client.journal import Declaration, Journal, Known
from kappi_embedded.client.link import Link
from kappi_embedded.client.pace import WIDEST, Connection, Pace
from kappi_embedded.client.part_upload import Store
from kappi_embedded.client.raise_first import raise_first
from kappi_embedded.client.upload_state import COMPLETED, PENDING, UploadState, upload_state_of
from kappi_embedded.client.uploading import Rejected, TransferProgress, Uploader
from kappi_embedded.client.words import REASONS, refusal

BATCH = 100
PARALLEL_FILES = 4
_POLL_S = 0.3
_FIELD = re.compile(r"files\.(\d+)(?:\.|$)")


class Progress(TransferProgress, Protocol):
    """Who shows how it goes. Counts are bytes, except of items."""

    def hashed(self, count: int) -> None: ...

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
class _Task:
    """promise None: it was completed by an earlier run. begun: by one."""

    file: LocalFile
    known: Known
    upload: UploadState | None
    begun: bool


class Share:
    """Uploads into one gallery, from where the journal says that an earlier run stopped.

    connection: as the user says it is; None finds out. clock: monotonic seconds.
    """

    def __init__(
        self,
        api: Api,
        gallery: Gallery,
        progress: Progress,
        *,
        journal: Journal,
        connection: Connection | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._gallery = gallery
        self._key = gallery.credentials
        self._progress = progress
        self._journal = journal
        self._connection = connection
        self._link = Link(Pace(widest=WIDEST[connection or "normal"]), clock=clock)
        self._store = Store(clock=clock)
        self._uploader = Uploader(
            api, headers=self._key, store=self._store, link=self._link, progress=progress, clock=clock
        )
        self.outcome = Outcome()

    async def share(self, files: Sequence[LocalFile]) -> Outcome:
        """Upload and complete all; what is refused is in the outcome.

        Raises ApiError, Unreachable, JournalUnwritable: whatever arrived stays in the store.
        """
        fit = [file for file in files if file.size_bytes > 0]
        for file in files:
            if file.size_bytes == 0:
                self._reject(file, "the file is empty")
        try:
            async with self._store:
                await self._repeat_unanswered()
                for start in range(0, len(fit), BATCH):
                    await self._share_batch(fit[start : start + BATCH])
        finally:
            self._journal.save()
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
        begun = [task for file in files if (task := await self._begun(file)) is not None]
        left = {id(task.file) for task in begun}
        hashed = await self._hash([file for file in files if id(file) not in left])
        tasks = iter([*begun, *await self._declare(hashed)])

        async def one_after_the_other() -> None:
            for task in tasks:
                await self._share_one(task)

        await raise_first(one_after_the_other() for _ in range(PARALLEL_FILES))

    async def _begun(self, file: LocalFile) -> _Task | None:
        """What an earlier run left of the file. None: nothing that can be gone on with."""
        if (stale := self._journal.changed(file)) is not None and stale.upload_id and not stale.completed:
            await self._uploader.abort(stale.upload_id)
        known = self._journal.known(file)
        if known is None or known.upload_id is None:
            return None
        upload = None
        if not known.completed:
            try:
                upload = await self._uploader.look(known.upload_id)
            except ApiError as error:
                if error.status != 404:
                    raise
                return None
            if upload.state not in {PENDING, COMPLETED}:
                return None
        self._progress.hashed(file.size_bytes)
        return _Task(file, known, upload, begun=True)

    async def _hash(self, files: Sequence[LocalFile]) -> list[tuple[LocalFile, Known]]:
        found: dict[int, Known] = {}
        left = iter(files)

        async def one_after_the_other() -> None:
            for file in left:
                known = self._journal.known(file)
                if known is not None:
                    self._progress.hashed(file.size_bytes)
                else:
                    known = await self._hash_one(file)
                if known is not None:
                    found[id(file)] = known

        await raise_first(one_after_the_other() for _ in range(PARALLEL_FILES))
        return [(file, found[id(file)]) for file in files if id(file) in found]

    async def _hash_one(self, file: LocalFile) -> Known | None:
        unwanted = threading.Event()
        try:
            digest = await asyncio.to_thread(
                sha256_of, file.path, progress=self._progress.hashed, unwanted=unwanted.is_set
            )
            file.must_be_unchanged(await asyncio.to_thread(file.path.stat))
        except FileChanged as error:
            self._reject(file, str(error))
        except OSError as error:
            self._reject(file, f"it cannot be read: {error.strerror or error}")
        else:
            return self._journal.remember(file, digest)
        finally:
            unwanted.set()  # a cancelled wait leaves the thread, and the program would not end before it
        return None

    async def _declare(self, files: list[tuple[LocalFile, Known]]) -> list[_Task]:
        """Uploads for the files the server takes; it names those it does not."""
        while files:
            body = {
                "files": [_declared(file, known) for file, known in files],
                "connection": self._connection or self._link.pace.connection(),
            }
            key = secrets.token_hex(16)
            self._journal.declares(key, [file for file, _ in files], body)
            try:
                uploads = await self._sign(key, body)
            except ApiError as error:
                self._journal.declared([])
                refused = _refused_files(error, count=len(files))
                if not refused:
                    raise
                for number, reason in refused.items():
                    self._reject(files[number][0], reason)
                files = [entry for number, entry in enumerate(files) if number not in refused]
            else:
                self._journal.declared(uploads)
                return [
                    _Task(*entry, upload_state_of(upload), begun=False)
                    for entry, upload in zip(files, uploads, strict=True)
                ]
        return []

    async def _repeat_unanswered(self) -> None:
        """An earlier run ended between a call and its answer: the same call again has the same answer."""
        declaration: Declaration | None = self._journal.note.declaration
        if declaration is None:
            return
        try:
            uploads = await self._sign(declaration.idempotency_key, declaration.body)
        except ApiError as error:
            if error.status >= 500 or error.status == 429:
                raise
            uploads = []
        self._journal.declared(uploads)

    async def _sign(self, idempotency_key: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = await self._api.call(
            "POST",
            f"/v1/galleries/{self._gallery.id}/uploads",
            json=body,
            headers={**self._key, "Idempotency-Key": idempotency_key},
        )
        uploads: list[dict[str, Any]] = answer["uploads"]
        return uploads

    async def _share_one(self, task: _Task) -> None:
        try:
            if task.upload is None:
                self._progress.resumed(task.file.size_bytes)
            else:
                send = self._uploader.resume if task.begun else self._uploader.upload
                await send(task.file, task.upload, self._journal.acknowledged(task.known))
        except Rejected as error:
            self._journal.drop(task.file)
            self._reject(task.file, str(error))
        else:
            self._journal.completed(task.known)
            media_id = task.known.media_id or ""
            self.outcome.shared.append(SharedFile(task.file, media_id, task.known.sha256))
            self._progress.uploaded(task.file)

    def _items(self) -> AsyncIterator[dict[str, Any]]:
        if self._gallery.access_key is None or self._gallery.code is None:
            return owned_items(self._api, self._gallery.id)
        return viewed_items(self._api, self._gallery.code, headers={})

    async def _status_of(self, shared: SharedFile) -> str:
        try:
            item = await self._api.call("GET", f"/v1/media/{shared.media_id}", headers=self._key)
        except ApiError as error:
            if error.status != 404:
                raise
            self._reject(shared.file, "it was removed while it was processed")
            return "rejected"
        if item["status"] == "rejected":
            reason = item.get("rejection_reason") or "type_mismatch"
            self._reject(shared.file, REASONS.get(reason, reason))
        return str(item["status"])

    def _reject(self, file: LocalFile, reason: str) -> None:
        self.outcome.rejected.append((file, reason))
        self._progress.rejected(file, reason)


def _declared(file: LocalFile, known: Known) -> dict[str, Any]:
    return {
        "filename": told_name(file.path),
        "size": file.size_bytes,
        "content_type": file.content_type,
        "sha256": known.sha256,
    }


def _refused_files(error: ApiError, *, count: int) -> dict[int, str]:
    """The files a refused batch was refused for, by position."""
    refused = {}
    for entry in error.errors:
        match = _FIELD.match(entry.get("field", ""))
        if match is not None and int(match[1]) < count:
            refused[int(match[1])] = refusal(error)
    return refused
