"""The worker's scan of an original before it is processed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final, Literal

from kappi_chassis.observability.logs import get_logger
from kappi_chassis.storage import ObjectStore

from kappi_media import metrics
from kappi_media.scanning.clamd import Clamd, Outcome, Verdict

Oversize = Literal["pass", "reject"]
CHUNK_BYTES: Final = 256 << 10

_log = get_logger(__name__)


class ScanRefused(Exception):
    """An original that may not be served. reason: stable, as in `MediaRejected`. detail: for the log only."""

    def __init__(self, reason: str, *, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Infected(ScanRefused):
    def __init__(self, signature: str) -> None:
        super().__init__("infected", detail=signature)


class NotScannable(ScanRefused):
    def __init__(self) -> None:
        super().__init__("too_large_to_scan", detail="larger than the scanner takes")


class ScanOriginal:
    """Scans an original. max_bytes: what clamd accepts; larger originals are not sent, and `oversize`
    decides.

    at_once: scans at the same time, over all items.
    """

    def __init__(
        self, clamd: Clamd, *, store: ObjectStore, max_bytes: int, oversize: Oversize, at_once: int
    ) -> None:
        self._clamd = clamd
        self._store = store
        self._max_bytes = max_bytes
        self._oversize = oversize
        self._turns = asyncio.Semaphore(at_once)

    async def __call__(self, key: str, *, size_bytes: int) -> None:
        """Returns when the original may be shown.

        Raises Infected, NotScannable, ScannerUnavailable (the item stays as it is for now), ScanFailed,
        ObjectMissing, StorageUnavailable.
        """
        verdict = Verdict(Outcome.TOO_LARGE)
        if size_bytes <= self._max_bytes:
            async with self._turns, aclosing(self._store.stream(key, chunk_bytes=CHUNK_BYTES)) as chunks:
                verdict = await self._clamd.scan(chunks)
        metrics.SCANS.labels(verdict.outcome.name.lower()).inc()
        if verdict.outcome is Outcome.INFECTED:
            raise Infected(verdict.signature)
        if verdict.outcome is Outcome.TOO_LARGE:
            if self._oversize == "reject":
                raise NotScannable
            _log.warning("media.not_scanned", size_bytes=size_bytes)
