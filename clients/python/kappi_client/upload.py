"""The upload of files into one gallery: create it, send the files, wait until they are processed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from kappi_client.api import Api
from kappi_client.batches import BatchUploader
from kappi_client.concurrency import MOST_PARTS, Connection, PartSlots
from kappi_client.errors import ApiError
from kappi_client.file_upload import FileUploader
from kappi_client.files import LocalFile
from kappi_client.galleries import (
    Gallery,
    NewGallery,
    create_gallery,
    delete_gallery,
    owned_items,
    still_managed,
    viewed_items,
)
from kappi_client.journal import Journal, Known, Note
from kappi_client.object_store import ObjectStore
from kappi_client.progress import UploadProgress
from kappi_client.refusals import REASONS
from kappi_client.retry import DEADLINE_S, RetryDeadline

_POLL_S: Final = 0.3


@dataclass(slots=True)
class UploadedFile:
    """A file that is an item of the gallery, so no sidecar. status: of the item, when last seen:
    `processing` or `ready`.
    """

    file: LocalFile
    media_id: str
    sha256: str
    status: str = "processing"

    @property
    def path(self) -> Path:
        return self.file.path


@dataclass(slots=True)
class UploadResult:
    """The result of an upload, filled while it runs.

    gallery: None before it is known, and where every file of a new gallery was refused. rejected: each file
    with the reason. skipped: files in folders that are neither photo nor video, and XMP sidecars that belong
    to no picture. processed: whether the server has processed every item.
    """

    gallery: Gallery | None = None
    uploaded: list[UploadedFile] = field(default_factory=list)
    rejected: list[tuple[LocalFile, str]] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    processed: bool = False


class Upload:
    """One upload. It continues where the journal says that an earlier run stopped.

    gallery: an existing one, or one to create. connection: as the caller knows it; None adapts to the
    network. clock: monotonic seconds.
    """

    def __init__(
        self,
        api: Api,
        files: Sequence[LocalFile],
        *,
        gallery: Gallery | NewGallery,
        journal: Journal,
        progress: UploadProgress,
        connection: Connection | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._files = files
        self._wanted = gallery
        self._journal = journal
        self._progress = progress
        self._connection = connection
        self._clock = clock
        self.slots = PartSlots(MOST_PARTS[connection or "normal"])
        self.deadline = RetryDeadline(clock=clock)
        self.store = ObjectStore()
        self.result = UploadResult()

    async def run(self, *, wait_s: float) -> UploadResult:
        """Uploads all files and waits up to `wait_s` seconds until the items are processed.

        A new gallery whose files were all refused is deleted. The journal is deleted at the end. Raises
        ApiError, Unreachable, LoggedOut, JournalUnwritable. Then the bytes that arrived stay in the store,
        the same upload later continues, and `result` has what is known.
        """
        before = self._journal.note.gallery
        gallery = await self.send()
        if wait_s > 0:
            await self._wait_until_processed(gallery, timeout_s=wait_s)
        created = isinstance(self._wanted, NewGallery) and (before is None or before["id"] != gallery.id)
        if created and not self.result.uploaded:
            await delete_gallery(self._api, gallery)
            self.result.gallery = None
        self._journal.delete()
        return self.result

    async def send(self) -> Gallery:
        """Uploads all files into the gallery, which it returns. Raises as `run` does."""
        gallery = self.result.gallery = await self._find_gallery()
        # The service answered shortly before, so the network is the likely cause if it does not answer now.
        self._api.timeout_s = DEADLINE_S
        self._progress.started(gallery)
        await self._send_files(gallery)
        return gallery

    def add(self, file: LocalFile, known: Known) -> None:
        """See `batches.Results`."""
        if file.picture is None:
            self.result.uploaded.append(UploadedFile(file, known.media_id or "", known.sha256))
        self._progress.uploaded(file)

    def reject(self, file: LocalFile, reason: str) -> None:
        """See `batches.Results`."""
        self.result.rejected.append((file, reason))
        self._progress.rejected(file, reason)

    async def _find_gallery(self) -> Gallery:
        """Returns the gallery of an earlier run, else a new one. Raises ApiError, Unreachable."""
        if isinstance(self._wanted, Gallery):
            if self._journal.note.files:
                self._progress.continued(self._journal.note.begun_at)
            return self._wanted
        if self._journal.note.gallery is not None:
            gallery = Gallery(**self._journal.note.gallery)
            if await still_managed(self._api, gallery):
                self._progress.continued(self._journal.note.begun_at)
                return gallery
            self._progress.restarted()
            self._journal.note = Note.new()
        self._journal.save()
        key = self._journal.note.creation_key
        gallery = await create_gallery(self._api, self._wanted, idempotency_key=key)
        self._journal.note.gallery = asdict(gallery)
        self._journal.save()
        return gallery

    async def _send_files(self, gallery: Gallery) -> None:
        for file in self._files:
            if file.size_bytes == 0:
                self.reject(file, "the file is empty")
        async with self.store:
            uploader = FileUploader(
                self._api,
                headers=gallery.credentials,
                store=self.store,
                slots=self.slots,
                deadline=self.deadline,
                progress=self._progress,
            )
            batches = BatchUploader(
                self._api,
                gallery,
                uploader=uploader,
                journal=self._journal,
                slots=self.slots,
                connection=self._connection,
                progress=self._progress,
                results=self,
            )
            await batches.upload([file for file in self._files if file.size_bytes > 0])
        order = {id(file): number for number, file in enumerate(self._files)}
        self.result.uploaded.sort(key=lambda each: order[id(each.file)])

    async def _wait_until_processed(self, gallery: Gallery, *, timeout_s: float) -> None:
        deadline = self._clock() + timeout_s
        waiting = {each.media_id: each for each in self.result.uploaded}
        total = len(waiting)
        while waiting:
            seen = await self._statuses(gallery)
            for media_id in list(waiting):
                # The gallery's list lacks rejected items, so missing ones are requested by id.
                status = seen.get(media_id) or await self._status_of(gallery, waiting[media_id])
                if status != "processing":
                    waiting.pop(media_id).status = status
            self._progress.processing(done=total - len(waiting), total=total)
            if waiting and self._clock() > deadline:
                return
            if waiting:
                await asyncio.sleep(_POLL_S)
        self.result.processed = True
        self.result.uploaded = [each for each in self.result.uploaded if each.status != "rejected"]

    async def _statuses(self, gallery: Gallery) -> dict[str, str]:
        """Returns the status of each item in the gallery's list. A contributor asks for its items by id,
        because a list may need a password, too.
        """
        if gallery.contributor_key is not None:
            return {}
        items = (
            owned_items(self._api, gallery.id)
            if gallery.access_key is None or gallery.code is None
            else viewed_items(self._api, gallery.code, headers=gallery.credentials)
        )
        return {item["id"]: item["status"] async for item in items}

    async def _status_of(self, gallery: Gallery, uploaded: UploadedFile) -> str:
        path = f"/v1/media/{uploaded.media_id}"
        try:
            item = await self._api.call("GET", path, headers=gallery.credentials)
        except ApiError as error:
            if error.status != 404:
                raise
            self.reject(uploaded.file, "it was removed while it was processed")
            return "rejected"
        if item["status"] == "rejected":
            reason = item.get("rejection_reason") or "type_mismatch"
            self.reject(uploaded.file, REASONS.get(reason, reason))
        return str(item["status"])
