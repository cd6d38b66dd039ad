"""Wiring of the janitor; `python -m kappi_janitor.main` runs it."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.backbone import Backbone
from kappi_chassis.bus import Processor
from kappi_chassis.bus.mac import EventMac
from kappi_chassis.bus.processor import DeadLetterSink
from kappi_chassis.bus.retention_gap import loss_of_records
from kappi_chassis.clock import Clock, NewId, new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.outbox import Outbox
from kappi_chassis.runtime import Service
from kappi_chassis.settings import PlatformSettings
from kappi_chassis.storage import ObjectStore
from kappi_chassis.storage.settings import StorageSettings, build_store

from kappi_janitor.app import Streams
from kappi_janitor.consumers import GROUP, handlers
from kappi_janitor.due_dates import RecordDueDate, RecordDueLink
from kappi_janitor.purge_requests import RequestPurge
from kappi_janitor.purger import PurgePolicy, Purger
from kappi_janitor.settings import JanitorSettings
from kappi_janitor.sweep import Sweep, SweepPolicy
from kappi_janitor.timer import Timer

NAME = "janitor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What everything stands on; tests put their own clock, ids and store here."""

    database: Database
    outbox: Outbox
    store: ObjectStore
    clock: Clock = utc_now
    new_id: NewId = new_id


def build_purger(deps: Dependencies, settings: JanitorSettings) -> Purger:
    """What empties the store."""
    return Purger(
        deps.database,
        deps.outbox,
        deps.store,
        policy=_purge_policy(settings),
        clock=deps.clock,
        new_id=deps.new_id,
    )


def build_processor(
    deps: Dependencies,
    settings: JanitorSettings,
    *,
    purger: Purger,
    dead_letters: DeadLetterSink,
    prefix: str = "",
    mac: EventMac | None = None,
) -> Processor:
    """The event side. prefix: the deployment's, so that its groups too are its own. mac: of its events."""
    sweep = Sweep(
        deps.database,
        deps.outbox,
        policy=_sweep_policy(settings),
        clock=deps.clock,
        wake_purger=purger.wake,
    )
    return Processor(
        group=prefix + GROUP,
        handlers=handlers(
            deps.outbox,
            record_due_date=RecordDueDate(deps.database),
            record_due_link=RecordDueLink(deps.database),
            order_purge=RequestPurge(clock=deps.clock, new_id=deps.new_id),
            sweep=sweep,
            wake_purger=purger.wake,
        ),
        dead_letters=dead_letters,
        mac=mac,
        clock=deps.clock,
    )


def build(platform: PlatformSettings, settings: JanitorSettings, storage: StorageSettings) -> Service:
    """The whole service; nothing connects before it runs. Raises StorageNotConfigured."""
    backbone = Backbone(NAME, platform, settings)
    deps = Dependencies(database=backbone.database, outbox=backbone.outbox, store=build_store(storage))
    service = backbone.service
    service.closes(deps.store)
    if "worker" in settings.roles:
        purger = build_purger(deps, settings)
        processor = build_processor(
            deps,
            settings,
            purger=purger,
            dead_letters=backbone.dead_letters,
            prefix=platform.topic_prefix,
            mac=backbone.connection.mac,
        )
        streams = Streams(backbone.connection, processor, on_gap=loss_of_records(platform))
        service.health.add("streams", streams.ready)
        service.runs("streams", backbone.with_topics(streams.run))
        service.runs("purger", purger.run)
        service.runs("timer", Timer(deps.outbox, every=settings.tick_interval, clock=deps.clock).run)
    return service


def _purge_policy(settings: JanitorSettings) -> PurgePolicy:
    return PurgePolicy(
        concurrency=settings.purge_concurrency,
        poll=settings.purge_poll,
        lease=settings.purge_lease,
        longest_pause=settings.purge_longest_pause,
        resweep_after=settings.resweep_after,
    )


def _sweep_policy(settings: JanitorSettings) -> SweepPolicy:
    return SweepPolicy(
        page=settings.sweep_page,
        purge_retention=settings.purge_retention,
        tombstone_retention=settings.tombstone_retention,
    )


def main() -> None:
    """Read the settings and run until told to stop."""
    platform = PlatformSettings()
    settings = JanitorSettings()  # type: ignore[call-arg]  # required fields come from the environment
    configure_logging(service=NAME, level=platform.log_level, renderer=platform.log_format)
    build(platform, settings, StorageSettings()).main()


if __name__ == "__main__":
    main()
