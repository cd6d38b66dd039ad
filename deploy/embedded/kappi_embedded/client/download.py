"""Downloading a gallery: in parallel, going on where an earlier attempt stopped, each file checked."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kappi_embedded.client.addresses import BadAddress, base_url
from kappi_embedded.client.api import ATTEMPTS, UNREACHABLE, Api, ApiError, Unreachable, backoff
from kappi_embedded.client.files import NameBook, sha256_of

PARALLEL = 4
_CHUNK_BYTES = 1 << 20
_PATIENCE_S = 120.0
_URL_DEAD = 403
_GONE = {404, 410}


class NotACode(ValueError):
    """Neither a code nor a gallery's link."""


class Progress(Protocol):
    """Who shows how it goes."""

    def planned(self, *, files: int, size_bytes: int) -> None: ...

    def received(self, count: int) -> None: ...

    def saved(self, name: str) -> None: ...

    def failed(self, name: str, reason: str) -> None: ...


@dataclass(slots=True)
class Outcome:
    """kept: were here already, whole. Ids of items without an original to download: unready ones, and those
    whose original the tier of the gallery's account withholds."""

    saved: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    unready: list[str] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Wanted:
    item: dict[str, Any]
    target: Path

    @property
    def partial(self) -> Path:
        return self.target.with_name(f".{self.item['id']}.kappi-part")

    @property
    def etag_note(self) -> Path:
        """What the partial file is a part of."""
        return self.target.with_name(f".{self.item['id']}.kappi-etag")

    @property
    def size_bytes(self) -> int:
        return int(self.item["size"])


class _Failed(Exception):
    """This file cannot be had; the message says why."""


def parse_code(text: str) -> tuple[str | None, str]:
    """(base URL if a link was given, code, or the id of one of the account's galleries). Raises NotACode."""
    typed = text.strip()
    base, link, code = typed.rpartition("/g/") if "/" in typed else ("", "", typed)
    if "/" in typed and not (base and link):
        raise NotACode(f"{text!r} is no gallery's link: those end with /g/ and the code")
    code = re.split(r"[/?#]", code, maxsplit=1)[0]
    if not (code.isascii() and code.isalnum()) and not is_gallery_id(code):
        raise NotACode(f"{code!r} is no gallery's code: those are letters and digits")
    try:
        return base_url(base) if base else None, code.lower()
    except BadAddress as error:
        raise NotACode(str(error)) from error


def is_gallery_id(text: str) -> bool:
    """Whether it is written as an id; no code is."""
    return re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None


class Download:
    """Downloads into one folder. headers: what opens the items. clock: monotonic seconds."""

    def __init__(
        self,
        api: Api,
        headers: Mapping[str, str],
        folder: Path,
        progress: Progress,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._headers = headers
        self._folder = folder
        self._progress = progress
        self._outcome = Outcome()
        self._clock = clock
        self._slots = asyncio.Semaphore(PARALLEL)

    async def get(self, items: Sequence[dict[str, Any]]) -> Outcome:
        """Raises OSError when the folder cannot be written; what fails of the items is in the outcome."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        wanted = await asyncio.to_thread(self._plan, items)
        self._progress.planned(files=len(wanted), size_bytes=sum(each.size_bytes for each in wanted))
        try:
            async with asyncio.TaskGroup() as group:
                for each in wanted:
                    group.create_task(self._get_one(each))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return self._outcome

    def _plan(self, items: Sequence[dict[str, Any]]) -> list[_Wanted]:
        names = NameBook()
        wanted = []
        for item in items:
            if item.get("original") is None:
                ready = item.get("status") == "ready"
                (self._outcome.withheld if ready else self._outcome.unready).append(item["id"])
                continue
            target = self._folder / names.take(item["filename"])
            while target.exists() and not _is_whole(target, item):
                # Somebody else's file, or one that was changed: it stays.
                target = self._folder / names.take(item["filename"])
            if target.exists():
                self._outcome.kept.append(target)
            else:
                wanted.append(_Wanted(item, target))
        return wanted

    async def _get_one(self, wanted: _Wanted) -> None:
        async with self._slots:
            try:
                await self._fetch(wanted)
                await asyncio.to_thread(_verify, wanted)
                await asyncio.to_thread(_keep, wanted)
            except (_Failed, ApiError, Unreachable) as error:
                self._outcome.failed.append((wanted.target.name, str(error)))
                self._progress.failed(wanted.target.name, str(error))
            else:
                self._outcome.saved.append(wanted.target)
                self._progress.saved(wanted.target.name)

    async def _fetch(self, wanted: _Wanted) -> None:
        """All of it into the partial file, from where that ends. Raises _Failed, ApiError, Unreachable."""
        url = wanted.item["original"]["url"]
        have = await asyncio.to_thread(_size_of, wanted.partial)
        self._progress.received(have)
        in_vain, well_at = 0, self._clock()
        while have < wanted.size_bytes:
            status, reason = await self._try_rest(url, wanted, have)
            before, have = have, await asyncio.to_thread(_size_of, wanted.partial)
            if have > before:
                in_vain, well_at = 0, self._clock()
                continue
            in_vain += 1
            if status in _GONE:
                raise _Failed("it is not in the store any more")
            # A refusal will not change its mind; a link may, once the tunnel ends.
            silent = status != 0 or self._clock() - well_at > _PATIENCE_S
            if in_vain >= ATTEMPTS and silent:
                raise _Failed(f"the download broke off ({reason}); call again to go on")
            await backoff(in_vain)
            if status == _URL_DEAD:
                url = await self._fresh_url(wanted)

    async def _try_rest(self, url: str, wanted: _Wanted, have: int) -> tuple[int, str]:
        """(status, what to say of it); status 0 where the connection did not hold."""
        try:
            status = await self._fetch_rest(url, wanted, have)
        except UNREACHABLE as failure:
            if isinstance(failure, PermissionError) or getattr(failure, "filename", None):
                raise  # our own disk
            return 0, str(failure) or type(failure).__name__
        return status, f"HTTP status {status}"

    async def _fetch_rest(self, url: str, wanted: _Wanted, have: int) -> int:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            # Without it the rest of another version would be put behind the beginning of this one.
            if etag := await asyncio.to_thread(_read_etag, wanted.etag_note):
                headers["If-Range"] = etag
        async with self._api.session.get(url, headers=headers) as answer:
            if answer.status not in {200, 206}:
                return answer.status
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
    # A weak one promises no equal bytes.
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
