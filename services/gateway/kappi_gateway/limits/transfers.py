"""Uploads to the embedded store and downloads from it: few per address at once, each with a minimum rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from kappi_gateway import metrics
from kappi_gateway.errors import ClientStalled, RequestTimeout, TooManyTransfers
from kappi_gateway.limits.concurrency import ConcurrencyLimit
from kappi_gateway.limits.minimum_rate import MinimumRate


class Transfers:
    """Limits of transfers.

    at_once: of all addresses; the edge refuses further ones. per_address: uploads, and as many downloads.
    bytes_per_s: rate that a long transfer must reach.
    """

    def __init__(self, *, at_once: int, per_address: int, bytes_per_s: int, silence_s: float) -> None:
        self._at_once = at_once
        self._bytes_per_s = bytes_per_s
        self._silence_s = silence_s
        self._uploads = ConcurrencyLimit(per_address, name="store_uploads", refusal=TooManyTransfers)
        self._downloads = ConcurrencyLimit(per_address, name="store_downloads", refusal=TooManyTransfers)

    def upload(self, address: str) -> AbstractContextManager[MinimumRate]:
        """Holds a place and returns the minimum rate. Entering the context raises TooManyTransfers."""
        return self._under_way(self._uploads, "upload", address)

    def download(self, address: str) -> AbstractContextManager[MinimumRate]:
        """Does the same as `upload`, for a download."""
        return self._under_way(self._downloads, "download", address)

    @contextmanager
    def _under_way(self, places: ConcurrencyLimit, direction: str, address: str) -> Iterator[MinimumRate]:
        with places.held(address), metrics.TRANSFERS.labels(direction).track_inprogress():
            try:
                yield MinimumRate(self._silence_s, rises_to=self._asked_of(places, address))
            except (ClientStalled, RequestTimeout):
                metrics.TRANSFERS_CUT.labels(direction).inc()
                raise

    def _asked_of(self, places: ConcurrencyLimit, address: str) -> Callable[[], float]:
        """Returns the function of the rate that a transfer must reach.

        The transfers of one address share its line, so they share the required rate: a slow line is never cut
        because its client sends several files at once. When more than half of all places are taken, each
        transfer must reach the rate alone.
        """

        def bytes_per_s() -> float:
            scarce = self._uploads.running + self._downloads.running > self._at_once / 2
            return self._bytes_per_s / (1 if scarce else max(1, places.running_of(address)))

        return bytes_per_s
