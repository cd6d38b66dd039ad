"""The common wiring of every service with a database and events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

from kappi_contracts.topics import owned_by

from kappi_chassis.bus import Consumer, DeadLetters, KafkaConnection, Processor, Producer
from kappi_chassis.bus.connection import require_authentic_events
from kappi_chassis.bus.dead_letter_limit import DeadLetterLimit
from kappi_chassis.bus.external_topic import ForeignHandler, ForeignProcessor
from kappi_chassis.bus.processor import Handler
from kappi_chassis.bus.retention_gap import OnGap, loss_of_records
from kappi_chassis.bus.topics import TopicDeclaration
from kappi_chassis.db import Database
from kappi_chassis.db.housekeeping import Housekeeping
from kappi_chassis.http.edge import App
from kappi_chassis.http.internal import only_internal
from kappi_chassis.observability import metrics
from kappi_chassis.outbox import Outbox, Relay
from kappi_chassis.runtime import Service
from kappi_chassis.settings import DatabaseSettings, PlatformSettings

Task = Callable[[], Coroutine[Any, Any, None]]


class Backbone:
    """Database, outbox, relay, producer and dead letters of one service, in the roles that its settings name.

    name: also the CloudEvents source (`/name`) and the default consumer group. Nothing connects before
    `service` runs. The API starts and runs without a broker: only the relay and the consumers wait for it.
    Raises SecretMissing.
    """

    def __init__(self, name: str, platform: PlatformSettings, settings: DatabaseSettings) -> None:
        self.platform = platform
        self.roles = settings.roles
        self._settings = settings
        self.database = Database(
            settings.database_url.get_secret_value(), pool_size=settings.database_pool_size
        )
        self.outbox = Outbox(self.database)
        require_authentic_events(platform)
        self.connection = KafkaConnection.from_settings(platform)
        self.producer = Producer(self.connection, source=f"/{name}")
        self.dead_letters = DeadLetters(self.producer, self.connection)
        self.service = Service(name, settings, commit=platform.commit)
        self.service.exports(metrics.DATABASE)
        self._topics = TopicDeclaration(
            self.connection,
            wanted=platform.kafka_create_topics,
            replication_factor=platform.kafka_replication_factor,
        )
        self.service.owns(self.database)
        self.service.closes(self.producer)
        self.service.health.add("database", self.database.ready)
        self.service.runs("outbox-notify", self.outbox.run)
        self._sender: Relay | None = None
        if "relay" in settings.roles:
            self._relay(settings)

    def serves(self, app: App, *, but: Collection[bytes] = ()) -> None:
        """Serves the app on the service's own port, for the other services alone.

        but: raw paths that need a credential of their own instead. Raises SecretMissing.
        """
        self.service.serves(only_internal(app, self.platform, self._settings, but=but))

    def consumes(
        self,
        handlers: Mapping[str, Handler],
        *,
        group: str,
        concurrency: int = 8,
        skips_versions_of: Collection[str] = (),
    ) -> None:
        """Runs the handlers, by topic, in the `worker` role. group: gets the deployment's topic prefix.

        skips_versions_of: as for `Processor`.
        """
        if "worker" not in self.roles:
            return
        self._consume(
            self.processor(handlers, group=group, skips_versions_of=skips_versions_of),
            name=group,
            concurrency=concurrency,
            on_gap=loss_of_records(self.platform),
        )

    def consumes_foreign(
        self, topic: str, handler: ForeignHandler, *, group: str, concurrency: int = 8
    ) -> None:
        """Runs a handler for a topic that another system writes to in its own format; else as `consumes`.

        topic, group: get the deployment's topic prefix.
        """
        if "worker" not in self.roles:
            return
        self._topics.also(topic)
        processor = ForeignProcessor(
            group=self.connection.topic(group),
            topic=topic,
            handler=handler,
            dead_letters=self.dead_letters,
            limit=self._dead_letter_limit(),
        )
        # This system cannot replay records that the broker lost.
        self._consume(processor, name=group, concurrency=concurrency, on_gap=None)

    def _consume(self, processor: Processor, *, name: str, concurrency: int, on_gap: OnGap | None) -> None:
        consumer = Consumer(self.connection, processor, concurrency=concurrency, on_gap=on_gap)
        self.service.exports(metrics.CONSUMER, topic=processor.topics)
        # A process that also answers requests must stay ready while the broker is away.
        check = self.service.health.watch if "api" in self.roles else self.service.health.add
        check(f"consumer-{name}", consumer.ready)
        self.service.runs(f"consumer-{name}", self.with_topics(consumer.run))

    def processor(
        self, handlers: Mapping[str, Handler], *, group: str, skips_versions_of: Collection[str] = ()
    ) -> Processor:
        return Processor(
            group=self.connection.topic(group),
            handlers=handlers,
            dead_letters=self.dead_letters,
            skips_versions_of=skips_versions_of,
            mac=self.connection.mac,
            limit=self._dead_letter_limit(),
        )

    def _dead_letter_limit(self) -> DeadLetterLimit:
        return DeadLetterLimit(self.platform.dead_letter_limit, within=self.platform.dead_letter_window)

    def with_topics(self, task: Task) -> Task:
        """Returns the task, started once the broker has answered and the topics are declared."""

        async def run() -> None:
            await self._topics.done()
            await task()

        return run

    def relays(self) -> bool:
        """Whether this process is the one that sends the events of its service."""
        return self._sender is not None and self._sender.working

    def _relay(self, settings: DatabaseSettings) -> None:
        housekeeping = Housekeeping(
            self.database.url,
            outbox_retention=settings.outbox_retention,
            inbox_retention=settings.inbox_retention,
            idempotency_retention=settings.idempotency_retention,
        )
        relay = Relay(self.database.url, self.producer)
        self.outbox.relayed_by(relay.nudge)
        self._sender = relay
        self.service.exports(metrics.RELAY, topic=[topic.name for topic in owned_by(self.service.name)])
        self.service.runs("relay", self.with_topics(relay.run))
        self.service.runs("housekeeping", housekeeping.run)
