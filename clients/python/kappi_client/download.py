"""Downloads of galleries: files in parallel, continued where an earlier run stopped, and verified."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kappi_client.api import UNREACHABLE, Api
from kappi_client.download_sidecars import (
    SidecarMissing,
    WantedSidecar,
    read_sidecar,
    save_sidecar,
    wanted_sidecar,
)
from kappi_client.errors import ApiError, Unreachable
from kappi_client.files import NameBook, sha256_of
from kappi_client.progress import DownloadProgress
from kappi_client.retry import ATTEMPTS, DEADLINE_S, backoff

PARALLEL = 4
_CHUNK_BYTES = 1 << 20
_URL_EXPIRED = 403
_GONE = {404, 410}


@dataclass(slots=True)
class DownloadResult:
    """saved: new files. kept: files that were complete before. failed: name and reason. XMP sidecars are
    among them.

    Ids of items without an original: unready, since the server processes them; withheld, since the tier of
    the account has no originals.
    """

    saved: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    unready: list[str] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Wanted:
    """A file to download. url: where it goes on; a redirect is followed once, because each may count."""

    item: dict[str, Any]
    target: Path
    url: str

    @property
    def partial(self) -> Path:
        return self.target.with_name(f".{self.item['id']}.kappi-part")

    @property
    def etag_note(self) -> Path:
        """The ETag of the object that the partial file belongs to."""
        return self.target.with_name(f".{self.item['id']}.kappi-etag")

    @property
    def size_bytes(self) -> int:
        return int(self.item["size"])


class _Failed(Exception):
    """The file cannot be downloaded; the message says why."""


class Download:
    """A download into one folder. headers: credentials for the items. clock: monotonic seconds."""

    def __init__(
        self,
        api: Api,
        headers: Mapping[str, str],
        folder: Path,
        progress: DownloadProgress,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._headers = headers
        self._folder = folder
        self._progress = progress
        self._result = DownloadResult()
        self._names = NameBook()
        self._clock = clock
        self._slots = asyncio.Semaphore(PARALLEL)

    async def get(self, items: Sequence[dict[str, Any]]) -> DownloadResult:
        """Downloads the items; failures of single items are in the result. Raises OSError for the folder."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        wanted, sidecars = await asyncio.to_thread(self._plan, items)
        sizes = [each.size_bytes for each in wanted] + [each.size_bytes for each in sidecars]
        self._progress.planned(files=len(sizes), size_bytes=sum(sizes))
        try:
            async with asyncio.TaskGroup() as group:
                for each in wanted:
                    group.create_task(self._get_one(each))
                for sidecar in sidecars:
                    group.create_task(self._get_sidecar(sidecar))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return self._result

    def _plan(self, items: Sequence[dict[str, Any]]) -> tuple[list[_Wanted], list[WantedSidecar]]:
        names = self._names
        wanted, targets = [], []
        for item in items:
            if item.get("original") is None:
                ready = item.get("status") == "ready"
                (self._result.withheld if ready else self._result.unready).append(item["id"])
                continue
            target = self._folder / names.take(item["filename"])
            while target.exists() and not _is_whole(target, item):
                # Another file, or a changed one: it stays.
                target = self._folder / names.take(item["filename"])
            targets.append((item, target))
            if target.exists():
                self._result.kept.append(target)
            else:
                wanted.append(_Wanted(item, target, item["original"]["url"]))
        # Behind all pictures, so that none of these has to give way.
        found = [wanted_sidecar(item, target, names) for item, target in targets]
        return wanted, [sidecar for sidecar in found if sidecar is not None]

    async def _get_sidecar(self, wanted: WantedSidecar) -> None:
        async with self._slots:
            try:
                body = await read_sidecar(self._api, self._headers, wanted)
            except (SidecarMissing, ApiError, Unreachable) as error:
                self._result.failed.append((wanted.name, str(error)))
                self._progress.failed(wanted.name, str(error))
                return
            target, was_there = await save_sidecar(wanted, body, self._names)
            self._progress.received(len(body))
            if was_there:
                self._result.kept.append(target)
            else:
                self._result.saved.append(target)
                self._progress.saved(target.name)

    async def _get_one(self, wanted: _Wanted) -> None:
        async with self._slots:
            try:
                await self._fetch(wanted)
                await asyncio.to_thread(_verify, wanted)
                await asyncio.to_thread(_keep, wanted)
            except (_Failed, ApiError, Unreachable) as error:
                self._result.failed.append((wanted.target.name, str(error)))
                self._progress.failed(wanted.target.name, str(error))
            else:
                self._result.saved.append(wanted.target)
                self._progress.saved(wanted.target.name)

    async def _fetch(self, wanted: _Wanted) -> None:
        """Downloads the rest of the partial file. Raises _Failed, ApiError, Unreachable."""
        have = await asyncio.to_thread(_size_of, wanted.partial)
        self._progress.received(have)
        failures, moved_at = 0, self._clock()
        while have < wanted.size_bytes:
            status, reason = await self._try_rest(wanted, have)
            before, have = have, await asyncio.to_thread(_size_of, wanted.partial)
            if have > before:
                failures, moved_at = 0, self._clock()
                continue
            failures += 1
            if status in _GONE:
                raise _Failed("it is not in the store any more")
            # A connection may come back after minutes; an error answer stays.
            is_final = status != 0 or self._clock() - moved_at > DEADLINE_S
            if failures >= ATTEMPTS and is_final:
                raise _Failed(f"the download broke off ({reason}); call again to go on")
            await backoff(failures)
            if status == _URL_EXPIRED:
                wanted.url = await self._fresh_url(wanted)

    async def _try_rest(self, wanted: _Wanted, have: int) -> tuple[int, str]:
        """Returns (status, reason). The status is 0 when the connection was lost."""
        try:
            status = await self._fetch_rest(wanted, have)
        except UNREACHABLE as failure:
            if isinstance(failure, PermissionError) or getattr(failure, "filename", None):
                raise  # of the local disk
            return 0, str(failure) or type(failure).__name__
        return status, f"HTTP status {status}"

    async def _fetch_rest(self, wanted: _Wanted, have: int) -> int:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            # Without it the rest of another version could follow the beginning of this one.
            if etag := await asyncio.to_thread(_read_etag, wanted.etag_note):
                headers["If-Range"] = etag
        async with self._api.session.get(wanted.url, headers=headers) as answer:
            if answer.status not in {200, 206}:
                return answer.status
            wanted.url = str(answer.url)
            resumed = answer.status == 206
            if not resumed:
                self._progress.received(-have)
                await asyncio.to_thread(_write_etag, wanted.etag_note, answer.headers.get("ETag", ""))
            with wanted.partial.open("ab" if resumed else "wb") as file:
                async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                    await asyncio.to_thread(file.write, chunk)
                    self._progress.received(len(chunk))
            return answer.status

    async def _fresh_url(self, wanted: _Wanted) -> str:
        answer = await self._api.call("GET", f"/v1/media/{wanted.item['id']}/download", headers=self._headers)
        url: str = answer["url"]
        return url


def _is_whole(path: Path, item: dict[str, Any]) -> bool:
    if not path.is_file() or path.stat().st_size != item["size"]:
        return False
    expected = item.get("sha256")
    return expected is None or sha256_of(path) == expected.lower()


def _verify(wanted: _Wanted) -> None:
    size_bytes = _size_of(wanted.partial)
    expected = wanted.item.get("sha256")
    if size_bytes != wanted.size_bytes:
        problem = f"it has {size_bytes} bytes instead of {wanted.size_bytes}"
    elif expected is not None and sha256_of(wanted.partial) != expected.lower():
        problem = "its SHA-256 is not the one of the original"
    else:
        return
    wanted.partial.unlink(missing_ok=True)
    wanted.etag_note.unlink(missing_ok=True)
    raise _Failed(f"{problem}; call again to fetch it anew")


def _keep(wanted: _Wanted) -> None:
    wanted.partial.replace(wanted.target)
    wanted.etag_note.unlink(missing_ok=True)


def _write_etag(note: Path, etag: str) -> None:
    # A weak ETag does not mean equal bytes.
    note.write_text("" if etag.startswith("W/") else etag)


def _read_etag(note: Path) -> str:
    try:
        return note.read_text()
    except FileNotFoundError:
        return ""


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
