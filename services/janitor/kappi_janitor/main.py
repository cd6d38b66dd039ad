"""Entry point of the janitor: `python -m kappi_janitor.main`."""

from __future__ import annotations

from kappi_chassis.backbone import Backbone
from kappi_chassis.bus.dead_letter_watch import DeadLetterWatch
from kappi_chassis.bus.retention_gap import loss_of_records
from kappi_chassis.http.internal import internal_headers
from kappi_chassis.observability import metrics as chassis_metrics
from kappi_chassis.observability.configure import configure_observability
from kappi_chassis.reconcile.peer import Peer
from kappi_chassis.runtime import Service
from kappi_chassis.settings import PlatformSettings
from kappi_chassis.storage.measured import MeasuredStore
from kappi_chassis.storage.settings import StorageSettings, build_store

from kappi_janitor import metrics
from kappi_janitor.bootstrap import (
    Dependencies,
    build_handlers,
    build_purge,
    build_purger,
    build_reconciler,
    build_sweep,
    build_timer,
)
from kappi_janitor.consumers import GROUP, TICK_GROUP
from kappi_janitor.settings import JanitorSettings
from kappi_janitor.streams.ticks import TOPIC, TickStream
from kappi_janitor.use_cases.watch_overdue import WatchOverdue

NAME = "janitor"


def build(platform: PlatformSettings, settings: JanitorSettings, storage: StorageSettings) -> Service:
    """Returns the whole service; nothing connects before it runs. Raises StorageNotConfigured."""
    backbone = Backbone(NAME, platform, settings)
    deps = Dependencies(
        database=backbone.database, outbox=backbone.outbox, store=MeasuredStore(build_store(storage))
    )
    service = backbone.service
    service.closes(deps.store)
    service.exports(metrics.WORKER, roles=["worker"])
    service.exports(chassis_metrics.STORE, roles=["worker"])
    purger = build_purger(deps, settings, build_purge(deps, settings))
    backbone.consumes(build_handlers(deps, purger), group=GROUP)
    if "worker" in settings.roles:
        headers = internal_headers(platform)
        reconciler = build_reconciler(
            deps,
            settings,
            galleries=Peer(settings.galleries_url, headers=headers),
            media=Peer(settings.media_url, headers=headers),
        )
        sweep = build_sweep(deps, settings, purger, then=reconciler.on_tick)
        processor = backbone.processor({TOPIC: sweep}, group=TICK_GROUP)
        ticks = TickStream(backbone.connection, processor, on_gap=loss_of_records(platform))
        service.exports(chassis_metrics.CONSUMER, topic=[TOPIC])
        service.health.add("streams", ticks.ready)
        service.runs("streams", backbone.with_topics(ticks.run))
        service.runs("purger", purger.run)
        service.exports(chassis_metrics.RECONCILE, check=reconciler.names)
        service.runs("reconciler", reconciler.run)
        service.runs("timer", build_timer(deps, settings).run)
        service.runs("overdue", WatchOverdue(deps.database, clock=deps.clock).run)
    if "relay" in settings.roles:
        letters = DeadLetterWatch(backbone.connection, is_on_duty=backbone.relays)
        service.exports(chassis_metrics.DEAD_LETTERS, topic=letters.topics)
        service.runs("dead letters", letters.run)
    return service


def main() -> None:
    """Read the settings and run until the process is told to stop."""
    platform = PlatformSettings()
    settings = JanitorSettings()  # type: ignore[call-arg]  # required fields come from the environment
    configure_observability(NAME, platform)
    build(platform, settings, StorageSettings()).main()


if __name__ == "__main__":
    main()
