"""One file into the store and completed: only what is missing, again until it is there."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from kappi_embedded.client.api import ATTEMPTS, Api, ApiError
from kappi_embedded.client.files import FileChanged, LocalFile
from kappi_embedded.client.link import Link
from kappi_embedded.client.part_upload import BUFFERED_BYTES, LinkBroke, Reply, SignedPut, Slice, Store
from kappi_embedded.client.part_urls import PartUrls
from kappi_embedded.client.present_parts import Acknowledged, reliable_parts
from kappi_embedded.client.raise_first import raise_first
from kappi_embedded.client.upload_state import COMPLETED, PENDING, Parts, UploadState, upload_state_of
from kappi_embedded.client.words import refusal

# If-None-Match: the answer to an earlier attempt was lost on its way.
_STORED = {200, 412}
_URL_DEAD = 403
# Status 400: what the URL was signed with has come to its end, before the URL itself.
_URL_DEAD_CODES = {"ExpiredToken", "RequestExpired"}
# Status 400: the bytes were damaged on their way, or not all came.
_DAMAGED_CODES = {"BadDigest", "IncompleteBody"}
_NOT_THERE = 404
_REFUSED = {400, 405, 411, 413, 415, 501}

Signing = Callable[[SignedPut | None], Awaitable[SignedPut]]
"""Where to put something; given what is dead, something else."""


class TransferProgress(Protocol):
    """Who shows how it goes, in bytes."""

    def moved(self, count: int) -> None:
        """They are on their way; a negative count: as many are not any more."""
        ...

    def stored(self, count: int) -> None:
        """The store has acknowledged them; a negative count: as many turned out to be missing."""
        ...

    def resumed(self, count: int) -> None:
        """They were there before; a negative count: as many were not."""
        ...

    def waiting(self, reason: str) -> None:
        """Something went wrong on the way and is tried again."""
        ...


class Rejected(Exception):
    """This file cannot be shared; the message says why."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A multipart upload to be gone on with."""

    file: LocalFile
    upload_id: str
    parts: Parts
    acknowledged: Acknowledged


class _Outdated(Exception):
    """The upload is not as it was described: look again."""


class _UnknownToStore(Exception):
    """The store says that there is no such upload: look whether it is over."""


class Uploader:
    """Uploads files to one gallery. headers: its credentials. clock: monotonic seconds."""

    def __init__(
        self,
        api: Api,
        *,
        headers: Mapping[str, str],
        store: Store,
        link: Link,
        progress: TransferProgress,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._headers = headers
        self._store = store
        self._link = link
        self._progress = progress
        self._clock = clock

    async def look(self, upload_id: str) -> UploadState:
        """How an upload stands, with fresh URLs. Raises ApiError, Unreachable."""
        return upload_state_of(await self._api.call("GET", f"/v1/uploads/{upload_id}", headers=self._headers))

    async def abort(self, upload_id: str) -> None:
        """Give an upload up; one that is over or gone stays so. Raises ApiError, Unreachable."""
        try:
            await self._api.call("DELETE", f"/v1/uploads/{upload_id}", headers=self._headers)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise

    async def resume(self, file: LocalFile, upload: UploadState, acknowledged: Acknowledged) -> None:
        """As `upload`, of a file that an earlier run may have sent and not completed."""
        if upload.single is not None:
            try:
                await self._complete(upload)
            except _Outdated:
                pass  # nothing has arrived; of parts the store itself would have told
            else:
                self._progress.resumed(file.size_bytes)
                return
        await self.upload(file, upload, acknowledged)

    async def upload(self, file: LocalFile, upload: UploadState, acknowledged: Acknowledged) -> None:
        """Put what is missing and complete.

        acknowledged: of the upload's parts, by this and earlier runs; it is added to.
        Raises Rejected, and the upload is given up; ApiError, Unreachable and what noting raises, and it
        is not.
        """
        tally = _Tally(self._progress)
        try:
            await self._upload(file, upload, acknowledged, tally)
        except (FileChanged, OSError, Rejected) as error:
            await self.abort(upload.id)  # nobody will ask for it again: its parts would stay for days
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
                upload = await self.look(upload.id)
            except _UnknownToStore as unknown:
                upload = await self.look(upload.id)
                if upload.state == PENDING:  # then it is the store that fails
                    self._progress.waiting(str(unknown))
                    await self._link.pause_refused(attempt, reason=str(unknown))
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
        async def sign(dead: SignedPut | None) -> SignedPut:
            nonlocal request
            if dead is not None:
                single = (await self.look(upload.id)).single
                if single is None:
                    raise _Outdated("its upload takes no bytes any more")
                request = single
            return request

        tally.begin(0)
        await self._insist(Slice(file, 0, file.size_bytes), sign)
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

        await raise_first(one_after_the_other() for _ in range(self._link.pace.widest))

    async def _put_part(self, work: _Work, number: int, urls: PartUrls) -> int:
        async def sign(dead: SignedPut | None) -> SignedPut:
            return await (urls.get(number) if dead is None else urls.instead_of(dead, number))

        start, size_bytes = work.parts.span(number, of_bytes=work.file.size_bytes)
        try:
            etag = await self._insist(Slice(work.file, start, size_bytes), sign)
        except ApiError as error:
            if error.status in {404, 409}:
                raise _Outdated(str(error)) from error
            raise
        work.acknowledged.note(number, etag)
        return size_bytes

    async def _insist(self, piece: Slice, sign: Signing) -> str:
        """Send a slice until the store has it; its ETag.

        Raises Rejected, _Outdated, _UnknownToStore, ApiError, Unreachable.
        """
        dead: SignedPut | None = None
        refusals_in_row = 0
        for attempt in itertools.count(1):
            try:
                request, reply = await self._put_once(piece, sign, dead)
            except LinkBroke as failure:
                dead, refusals_in_row = None, 0
                self._progress.waiting(str(failure))
                await self._link.pause_unanswered(attempt, reason=str(failure))
                continue
            if reply.status in _STORED:
                return reply.etag
            reason = f"the object store did not take it: {reply.message}"
            if reply.status == _NOT_THERE:
                raise _UnknownToStore(reason)
            dead = request if _is_dead(reply) else None
            may_pass = dead is not None or reply.code in _DAMAGED_CODES
            refusals_in_row = refusals_in_row + 1 if may_pass else 0
            if refusals_in_row == ATTEMPTS or (not may_pass and reply.status in _REFUSED):
                raise Rejected(reason)
            self._progress.waiting(reason)
            await self._link.pause_refused(attempt, reason=reason)
        raise AssertionError("it counts for ever")

    async def _put_once(self, piece: Slice, sign: Signing, dead: SignedPut | None) -> tuple[SignedPut, Reply]:
        """What it was put by, and the answer. Raises LinkBroke."""
        moved = 0

        def count(size_bytes: int) -> None:
            nonlocal moved
            moved += size_bytes
            self._progress.moved(size_bytes)
            if moved > BUFFERED_BYTES:
                self._link.moved()

        async with self._link.connection() as pace:
            request = await sign(dead)  # now: a URL might die while it waits for its turn
            began = self._clock()
            try:
                reply = await self._store.put(
                    request, piece, moved=count, fresh_connection=pace.fresh_connections
                )
            except LinkBroke as failure:
                if failure.connected:
                    self._link.broke(after_s=failure.after_s)
                if moved > BUFFERED_BYTES:
                    self._link.lost()
                raise
            finally:
                self._progress.moved(-moved)
            if reply.status in _STORED:
                self._link.arrived(size_bytes=piece.size_bytes, seconds=self._clock() - began)
            return request, reply


def _rejected(error: FileChanged | OSError | Rejected) -> Rejected:
    if isinstance(error, OSError):
        return Rejected(f"it cannot be read any more: {error.strerror or error}")
    return Rejected(str(error))


def _is_dead(reply: Reply) -> bool:
    return reply.status == _URL_DEAD or reply.code in _URL_DEAD_CODES


class _Tally:
    """What was told of one file."""

    def __init__(self, progress: TransferProgress) -> None:
        self._progress = progress
        self._resumed: int | None = None
        self._stored = 0

    def begin(self, present_bytes: int) -> None:
        """What is there; the first time that was there before."""
        if self._resumed is None:
            self._resumed = present_bytes
            self._progress.resumed(present_bytes)
        self.set(present_bytes)

    def set(self, size_bytes: int) -> None:
        resumed = self._resumed or 0
        if size_bytes < resumed:  # it was not there after all
            self._progress.resumed(size_bytes - resumed)
            self._resumed = resumed = size_bytes
        self._progress.stored(size_bytes - resumed - self._stored)
        self._stored = size_bytes - resumed

    def add(self, size_bytes: int) -> None:
        self.set((self._resumed or 0) + self._stored + size_bytes)
