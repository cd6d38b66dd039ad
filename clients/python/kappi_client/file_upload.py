"""The upload of one file: its missing parts are sent until the store has them, and it is completed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from kappi_client.api import Api
from kappi_client.concurrency import PartSlots
from kappi_client.errors import ApiError
from kappi_client.files import FileChanged, LocalFile
from kappi_client.object_store import BUFFERED_BYTES, ConnectionCut, ObjectStore, Reply, SignedPut, Slice
from kappi_client.parts import Acknowledged, PartUrls, reliable_parts
from kappi_client.progress import UploadProgress
from kappi_client.raise_first import raise_first
from kappi_client.refusals import refusal
from kappi_client.retry import ATTEMPTS, RetryDeadline
from kappi_client.upload_state import COMPLETED, PENDING, Parts, UploadState, upload_state_of

# 412: an earlier attempt has stored it, and its answer was lost.
_STORED = {200, 412}
_URL_EXPIRED = 403
# Status 400: the credentials that signed the URL have expired, before the URL itself.
_URL_EXPIRED_CODES = {"ExpiredToken", "RequestExpired"}
# Status 400: bytes were damaged on their way, or are missing.
_DAMAGED_CODES = {"BadDigest", "IncompleteBody"}
_NOT_THERE = 404
_REFUSED = {400, 405, 411, 413, 415, 501}

Signing = Callable[[SignedPut | None], Awaitable[SignedPut]]
"""Returns a signed request; given an expired one, a new one."""


class Rejected(Exception):
    """The file cannot be uploaded; the message says why."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A multipart upload to continue."""

    file: LocalFile
    upload_id: str
    parts: Parts
    acknowledged: Acknowledged


class _Outdated(Exception):
    """The state of the upload has changed, so it is requested again."""


class _UnknownToStore(Exception):
    """The store knows no such upload, so its state is requested again."""


class FileUploader:
    """Uploads files to one gallery. headers: credentials of the gallery."""

    def __init__(
        self,
        api: Api,
        *,
        headers: Mapping[str, str],
        store: ObjectStore,
        slots: PartSlots,
        deadline: RetryDeadline,
        progress: UploadProgress,
    ) -> None:
        self._api = api
        self._headers = headers
        self._store = store
        self._slots = slots
        self._deadline = deadline
        self._progress = progress

    async def state_of(self, upload_id: str) -> UploadState:
        """Returns the state of an upload, with new URLs. Raises ApiError, Unreachable."""
        return upload_state_of(await self._api.call("GET", f"/v1/uploads/{upload_id}", headers=self._headers))

    async def abort(self, upload_id: str) -> None:
        """Aborts an upload, unless it has ended. Raises ApiError, Unreachable."""
        try:
            await self._api.call("DELETE", f"/v1/uploads/{upload_id}", headers=self._headers)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise

    async def resume(self, file: LocalFile, upload: UploadState, acknowledged: Acknowledged) -> None:
        """Like `upload`, for a file that an earlier run may have sent and not completed."""
        if upload.single is not None:
            try:
                await self._complete(upload)
            except _Outdated:
                pass  # the file has not arrived
            else:
                self._progress.resumed(file.size_bytes)
                return
        await self.upload(file, upload, acknowledged)

    async def upload(self, file: LocalFile, upload: UploadState, acknowledged: Acknowledged) -> None:
        """Sends what is missing and completes the upload.

        acknowledged: parts of this and earlier runs; new ones are added. Raises Rejected after the upload was
        aborted. Raises ApiError, Unreachable and JournalUnwritable, and then the upload stays.
        """
        tally = _Tally(self._progress)
        try:
            await self._upload(file, upload, acknowledged, tally)
        except (FileChanged, OSError, Rejected) as error:
            await self.abort(upload.id)  # else its parts would stay for a week
            tally.set(0)
            raise _rejected(error) from error

    async def _upload(
        self, file: LocalFile, upload: UploadState, acknowledged: Acknowledged, tally: _Tally
    ) -> None:
        outdated_times = 0
        for attempt in itertools.count(1):
            if upload.state == COMPLETED:
                tally.begin(file.size_bytes)
                return
            try:
                await self._put(file, upload, acknowledged, tally)
                await self._complete(upload)
            except _Outdated as outdated:
                outdated_times += 1
                if outdated_times == ATTEMPTS:
                    raise Rejected(str(outdated)) from outdated
                upload = await self.state_of(upload.id)
            except _UnknownToStore as unknown:
                upload = await self.state_of(upload.id)
                if upload.state == PENDING:  # so the store is wrong
                    self._progress.waiting(str(unknown))
                    await self._deadline.wait_refused(attempt, reason=str(unknown))
            else:
                return

    async def _put(
        self, file: LocalFile, upload: UploadState, acknowledged: Acknowledged, tally: _Tally
    ) -> None:
        if upload.parts is not None:
            await self._put_parts(_Work(file, upload.id, upload.parts, acknowledged), tally)
        elif upload.single is not None:
            await self._put_whole(file, upload, upload.single, tally)
        else:
            raise Rejected(f"its upload is {upload.state}")
        file.must_be_unchanged(file.path.stat())

    async def _complete(self, upload: UploadState) -> None:
        path = f"/v1/uploads/{upload.id}/complete"
        try:
            await self._api.call("POST", path, headers=self._headers)
        except ApiError as error:
            if error.code == "upload_incomplete":
                raise _Outdated(str(error)) from error
            if error.status in {404, 409, 413, 422}:
                raise Rejected(refusal(error)) from error
            raise

    async def _put_whole(
        self, file: LocalFile, upload: UploadState, request: SignedPut, tally: _Tally
    ) -> None:
        async def sign(expired: SignedPut | None) -> SignedPut:
            nonlocal request
            if expired is not None:
                single = (await self.state_of(upload.id)).single
                if single is None:
                    raise _Outdated("its upload takes no bytes any more")
                request = single
            return request

        tally.begin(0)
        await self._send(Slice(file, 0, file.size_bytes), sign)
        tally.set(file.size_bytes)

    async def _put_parts(self, work: _Work, tally: _Tally) -> None:
        there = await asyncio.to_thread(reliable_parts, work.file, work.parts, work.acknowledged)
        tally.begin(sum(there.values()))
        wanted = [number for number in range(1, work.parts.count + 1) if number not in there]
        urls = PartUrls(self._api, work.upload_id, work.parts, wanted=wanted, headers=self._headers)
        left = iter(wanted)

        async def one_after_the_other() -> None:
            for number in left:
                tally.add(await self._put_part(work, number, urls))

        await raise_first(one_after_the_other() for _ in range(self._slots.most))

    async def _put_part(self, work: _Work, number: int, urls: PartUrls) -> int:
        async def sign(expired: SignedPut | None) -> SignedPut:
            return await (urls.get(number) if expired is None else urls.replace(expired, number))

        start, size_bytes = work.parts.span(number, of_bytes=work.file.size_bytes)
        try:
            etag = await self._send(Slice(work.file, start, size_bytes), sign)
        except ApiError as error:
            if error.status in {404, 409}:
                raise _Outdated(str(error)) from error
            raise
        work.acknowledged.note(number, etag)
        return size_bytes

    async def _send(self, body: Slice, sign: Signing) -> str:
        """Sends a slice until the store has it, and returns its ETag.

        Raises Rejected, _Outdated, _UnknownToStore, ApiError, Unreachable.
        """
        expired: SignedPut | None = None
        refusals_in_row = 0
        for attempt in itertools.count(1):
            try:
                request, reply = await self._put_once(body, sign, expired)
            except ConnectionCut as failure:
                expired, refusals_in_row = None, 0
                self._progress.waiting(str(failure))
                await self._deadline.wait_unanswered(attempt, reason=str(failure))
                continue
            if reply.status in _STORED:
                return reply.etag
            reason = f"the object store did not take it: {reply.message}"
            if reply.status == _NOT_THERE:
                raise _UnknownToStore(reason)
            expired = request if _is_expired(reply) else None
            may_pass = expired is not None or reply.code in _DAMAGED_CODES
            refusals_in_row = refusals_in_row + 1 if may_pass else 0
            if refusals_in_row == ATTEMPTS or (not may_pass and reply.status in _REFUSED):
                raise Rejected(reason)
            self._progress.waiting(reason)
            await self._deadline.wait_refused(attempt, reason=reason)
        raise AssertionError("unreachable")

    async def _put_once(
        self, body: Slice, sign: Signing, expired: SignedPut | None
    ) -> tuple[SignedPut, Reply]:
        """Returns the request and its answer. Raises ConnectionCut."""
        moved = 0

        def count(size_bytes: int) -> None:
            nonlocal moved
            moved += size_bytes
            self._progress.moved(size_bytes)
            if moved > BUFFERED_BYTES:
                self._deadline.bytes_moved()

        async with self._slots.slot():
            request = await sign(expired)  # not earlier: a URL could expire while it waits for the slot
            try:
                reply = await self._store.put(
                    request, body, moved=count, fresh_connection=self._slots.has_been_cut
                )
            except ConnectionCut as failure:
                if failure.connected:
                    self._slots.cut()
                if moved > BUFFERED_BYTES:
                    self._deadline.cut_while_moving()
                raise
            finally:
                self._progress.moved(-moved)
            if reply.status in _STORED:
                self._slots.arrived()
                self._deadline.stored()
            return request, reply


def _rejected(error: FileChanged | OSError | Rejected) -> Rejected:
    if isinstance(error, OSError):
        return Rejected(f"it cannot be read any more: {error.strerror or error}")
    return Rejected(str(error))


def _is_expired(reply: Reply) -> bool:
    return reply.status == _URL_EXPIRED or reply.code in _URL_EXPIRED_CODES


class _Tally:
    """The bytes of one file that were reported as progress."""

    def __init__(self, progress: UploadProgress) -> None:
        self._progress = progress
        self._resumed: int | None = None
        self._stored = 0

    def begin(self, present_bytes: int) -> None:
        """Reports the bytes in the store. Those of the first call were there before this run."""
        if self._resumed is None:
            self._resumed = present_bytes
            self._progress.resumed(present_bytes)
        self.set(present_bytes)

    def set(self, size_bytes: int) -> None:
        resumed = self._resumed or 0
        if size_bytes < resumed:  # some of it was missing after all
            self._progress.resumed(size_bytes - resumed)
            self._resumed = resumed = size_bytes
        self._progress.stored(size_bytes - resumed - self._stored)
        self._stored = size_bytes - resumed

    def add(self, size_bytes: int) -> None:
        self.set((self._resumed or 0) + self._stored + size_bytes)
