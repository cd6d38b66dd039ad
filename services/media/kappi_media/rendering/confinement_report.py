"""Reports at the service's start how decoder processes are confined on this platform."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from kappi_chassis.confinement.confine import LAYERS
from kappi_chassis.observability.logs import get_logger

from kappi_media import metrics
from kappi_media.rendering.failures import DecoderNotStarted
from kappi_media.rendering.process import DecoderProcess

_START_TIME_LIMIT: Final = timedelta(minutes=5)
_log = get_logger(__name__)


class ConfinementReport:
    """Starts one decoder process, which finds out what the platform supports, and ends it again."""

    def __init__(self, *, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes

    async def run(self) -> None:
        """Run until cancelled, as a task of a service."""
        await self()
        await asyncio.Event().wait()

    async def __call__(self) -> None:
        """Report the layers. A missing layer, or a decoder that does not start, is logged and does not end
        the service.
        """
        try:
            missing = await self._missing()
        except (DecoderNotStarted, OSError) as failure:
            _log.error("decoders.not_started", error=str(failure))
            return
        for layer in LAYERS:
            metrics.DECODER_CONFINEMENT.labels(layer=layer).set(layer not in missing)
        if missing:
            _log.warning("decoders.confined_in_part", missing=missing)
        else:
            _log.info("decoders.confined", layers=list(LAYERS))

    async def _missing(self) -> list[str]:
        process = await DecoderProcess.start(memory_bytes=self._memory_bytes)
        try:
            return list((await process.readiness(wall_time_limit=_START_TIME_LIMIT)).missing)
        finally:
            await process.close()
