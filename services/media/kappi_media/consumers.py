"""Which event has which effect here. Two groups: slow work on originals never delays a deletion."""

from __future__ import annotations

from collections.abc import Mapping

from kappi_chassis.bus.processor import Handler
from kappi_chassis.inbox import Effect, once
from kappi_chassis.outbox import Outbox
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import JanitorTick

from kappi_media.repository.processing import CONSUMER as WORKER_GROUP
from kappi_media.use_cases.lifecycle import SweepAbandonedUploads, clear_link, forget_gallery, note_owner
from kappi_media.use_cases.projection import note_account_deletion, note_account_tier, note_tier
from kappi_media.worker import ProcessUpload

GROUP = "media"

__all__ = ["GROUP", "WORKER_GROUP", "handlers", "worker_handlers"]


def handlers(outbox: Outbox) -> Mapping[str, Handler]:
    """By topic: what ends things, who owns them, and what their tier allows."""
    sweep = SweepAbandonedUploads(outbox)

    async def on_tick(envelope: Envelope[JanitorTick]) -> bool:
        # Many transactions, each of which finds only what is left: no inbox record would make it safer.
        await sweep(envelope.data.at)
        return True

    effects: Mapping[str, Effect] = {
        "AccountCreated": note_account_tier,
        "AccountTierChanged": note_account_tier,
        "AccountDeleted": note_account_deletion,
        "TierChanged": note_tier,
        "GalleryUpdated": note_owner,
        "GalleryDeleted": forget_gallery,
        "LinkExpired": clear_link,
    }
    return {
        **{topic: once(outbox, consumer=GROUP, effect=effect) for topic, effect in effects.items()},
        "JanitorTick": on_tick,
    }


def worker_handlers(process: ProcessUpload) -> Mapping[str, Handler]:
    """By topic: the work on originals."""
    return {"UploadCompleted": process}
