"""The upload of files in batches: hash, declare, send."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kappi_client.api import Api
from kappi_client.concurrency import Connection, PartSlots
from kappi_client.errors import ApiError
from kappi_client.file_upload import FileUploader, Rejected
from kappi_client.files import FileChanged, LocalFile, declared_name, sha256_of
from kappi_client.galleries import Gallery
from kappi_client.journal import Journal, Known
from kappi_client.progress import UploadProgress
from kappi_client.raise_first import raise_first
from kappi_client.refusals import refusal
from kappi_client.sidecars import batches_of
from kappi_client.upload_state import COMPLETED, PENDING, UploadState, upload_state_of

BATCH_FILES: Final = 100
PARALLEL_FILES: Final = 4
_FIELD = re.compile(r"files\.(\d+)(?:\.|$)")


class Results(Protocol):
    """Receives the result of each file."""

    def add(self, file: LocalFile, known: Known) -> None: ...

    def reject(self, file: LocalFile, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Task:
    """upload: None if an earlier run completed it. begun: an earlier run began it."""

    file: LocalFile
    known: Known
    upload: UploadState | None
    begun: bool


class BatchUploader:
    """Uploads batches of files into one gallery, and continues what the journal lists as unfinished.

    connection: what is declared to the server; None is `normal`, and `slow` after a cut.
    """

    def __init__(
        self,
        api: Api,
        gallery: Gallery,
        *,
        uploader: FileUploader,
        journal: Journal,
        slots: PartSlots,
        connection: Connection | None,
        progress: UploadProgress,
        results: Results,
    ) -> None:
        self._api = api
        self._gallery = gallery
        self._uploader = uploader
        self._journal = journal
        self._slots = slots
        self._connection = connection
        self._progress = progress
        self._results = results

    async def upload(self, files: Sequence[LocalFile]) -> None:
        """Raises ApiError, Unreachable, JournalUnwritable. The bytes that arrived stay in the store."""
        try:
            await self._repeat_declaration()
            for batch in batches_of(files, BATCH_FILES):
                await self._upload_batch(batch)
        finally:
            self._journal.save()

    async def _upload_batch(self, files: Sequence[LocalFile]) -> None:
        begun = await self._all_begun(files)
        for task in begun:
            self._progress.hashed(task.file.size_bytes)
        left = {id(task.file) for task in begun}
        hashed = await self._hash([file for file in files if id(file) not in left])
        tasks = iter([*begun, *await self._declare(hashed)])

        async def work() -> None:
            for task in tasks:
                await self._upload_one(task)

        await raise_first(work() for _ in range(PARALLEL_FILES))

    async def _all_begun(self, files: Sequence[LocalFile]) -> list[_Task]:
        """Returns what an earlier run began. A picture and its sidecar are declared together, so one alone
        begins anew, unless the picture is in the gallery.
        """
        begun = {file.path: task for file in files if (task := await self._begun(file)) is not None}
        for file in files:
            if file.picture is None or (file.path in begun) == (file.picture in begun):
                continue
            torn = begun.get(file.picture) or begun[file.path]
            if torn.file.picture is None and torn.known.completed:
                continue
            if torn.known.upload_id is not None:
                await self._uploader.abort(torn.known.upload_id)
            del begun[torn.file.path]
        return list(begun.values())

    async def _begun(self, file: LocalFile) -> _Task | None:
        """Returns what an earlier run began, or None where nothing can be continued."""
        if (stale := self._journal.changed(file)) is not None and stale.upload_id and not stale.completed:
            await self._uploader.abort(stale.upload_id)
        known = self._journal.known(file)
        if known is None or known.upload_id is None:
            return None
        upload = None
        if not known.completed:
            try:
                upload = await self._uploader.state_of(known.upload_id)
            except ApiError as error:
                if error.status != 404:
                    raise
                return None
            if upload.state not in {PENDING, COMPLETED}:
                return None
        return _Task(file, known, upload, begun=True)

    async def _hash(self, files: Sequence[LocalFile]) -> list[tuple[LocalFile, Known]]:
        found: dict[int, Known] = {}
        left = iter(files)

        async def work() -> None:
            for file in left:
                known = self._journal.known(file)
                if known is not None:
                    self._progress.hashed(file.size_bytes)
                else:
                    known = await self._hash_one(file)
                if known is not None:
                    found[id(file)] = known

        await raise_first(work() for _ in range(PARALLEL_FILES))
        return [(file, found[id(file)]) for file in files if id(file) in found]

    async def _hash_one(self, file: LocalFile) -> Known | None:
        unwanted = threading.Event()
        try:
            digest = await asyncio.to_thread(
                sha256_of, file.path, progress=self._progress.hashed, unwanted=unwanted.is_set
            )
            file.must_be_unchanged(await asyncio.to_thread(file.path.stat))
        except FileChanged as error:
            self._results.reject(file, str(error))
        except OSError as error:
            self._results.reject(file, f"it cannot be read: {error.strerror or error}")
        else:
            return self._journal.remember(file, digest)
        finally:
            unwanted.set()  # the thread continues after a cancelled wait, and the program would wait for it
        return None

    async def _declare(self, files: list[tuple[LocalFile, Known]]) -> list[_Task]:
        """Declares the files. The server names those that it refuses, and the others are declared again."""
        while files := self._with_pictures(files):
            body = {
                "files": [_declared(file, known) for file, known in files],
                "connection": self._connection or ("slow" if self._slots.has_been_cut else "normal"),
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
                    self._results.reject(files[number][0], reason)
                files = [entry for number, entry in enumerate(files) if number not in refused]
            else:
                self._journal.declared(uploads)
                return [
                    _Task(*entry, upload_state_of(upload), begun=False)
                    for entry, upload in zip(files, uploads, strict=True)
                ]
        return []

    def _with_pictures(self, files: list[tuple[LocalFile, Known]]) -> list[tuple[LocalFile, Known]]:
        """Returns the files without sidecars whose pictures are not declared now."""
        declared = {file.path for file, _ in files}
        kept = []
        for file, known in files:
            if file.picture is None or file.picture in declared:
                kept.append((file, known))
            else:
                self._results.reject(file, "it is only taken together with its picture")
        return kept

    async def _repeat_declaration(self) -> None:
        """Repeats the call of an earlier run that ended before the answer. The answer is the same."""
        declaration = self._journal.note.declaration
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
            headers={**self._gallery.credentials, "Idempotency-Key": idempotency_key},
        )
        uploads: list[dict[str, Any]] = answer["uploads"]
        return uploads

    async def _upload_one(self, task: _Task) -> None:
        try:
            if task.upload is None:
                self._progress.resumed(task.file.size_bytes)
            else:
                send = self._uploader.resume if task.begun else self._uploader.upload
                await send(task.file, task.upload, self._journal.acknowledged(task.known))
        except Rejected as error:
            self._journal.drop(task.file)
            self._results.reject(task.file, str(error))
        else:
            self._journal.completed(task.known)
            self._results.add(task.file, task.known)


def _declared(file: LocalFile, known: Known) -> dict[str, Any]:
    return {
        "filename": declared_name(file.path),
        "size": file.size_bytes,
        "content_type": file.content_type,
        "sha256": known.sha256,
    }


def _refused_files(error: ApiError, *, count: int) -> dict[int, str]:
    """Returns the reasons of the files that the server names, by position in the batch."""
    refused = {}
    for entry in error.errors:
        match = _FIELD.match(entry.get("field", ""))
        if match is not None and int(match[1]) < count:
            refused[int(match[1])] = refusal(error)
    return refused
