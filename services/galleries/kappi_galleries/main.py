"""Wiring of the galleries service; `python -m kappi_galleries.main` runs it."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.auth import SigningKey
from kappi_chassis.bus import Consumer, DeadLetters, KafkaConnection, Processor, Producer
from kappi_chassis.clock import Clock, NewId, new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.db.housekeeping import Housekeeping
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import App
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.outbox import Outbox, Relay
from kappi_chassis.runtime import Service
from kappi_chassis.settings import PlatformSettings

from kappi_galleries.api import GalleryApi
from kappi_galleries.consumers import GROUP, handlers
from kappi_galleries.credentials import CodeScheme, new_access_key
from kappi_galleries.domain import LifetimePolicy
from kappi_galleries.internal_api import InternalApi
from kappi_galleries.links import Links
from kappi_galleries.repository import GalleryQueries
from kappi_galleries.settings import GalleriesSettings
from kappi_galleries.use_cases.creation import GalleryCreation
from kappi_galleries.use_cases.expiry import Expiry
from kappi_galleries.use_cases.granting import Granting
from kappi_galleries.use_cases.management import GalleryManagement

NAME = "galleries"
SOURCE = "/galleries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What everything stands on; tests put their own clock and ids here."""

    database: Database
    outbox: Outbox
    clock: Clock = utc_now
    new_id: NewId = new_id


class _SendsOnDemand:
    """The producer as a resource: it connects when there is something to send, so that the API starts and
    stays up without a broker."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    async def start(self) -> None:
        """Nothing yet."""

    async def close(self) -> None:
        await self._producer.close()


def build_app(ground: Ground, settings: GalleriesSettings) -> App:
    """The service's HTTP side."""
    key = SigningKey.from_pem(settings.grant_key_pem())
    links = Links(settings.public_url)
    queries = GalleryQueries(ground.database)
    lifetimes = LifetimePolicy(default=settings.anonymous_lifetime, longest=settings.anonymous_lifetime_cap)
    creation = GalleryCreation(
        queries=queries,
        outbox=ground.outbox,
        codes=CodeScheme(alphabet=settings.code_alphabet, length=settings.code_length),
        lifetimes=lifetimes,
        clock=ground.clock,
        new_id=ground.new_id,
        new_access_key=new_access_key,
    )
    management = GalleryManagement(
        queries=queries, outbox=ground.outbox, lifetimes=lifetimes, clock=ground.clock
    )
    app = create_app(title="Galleries", description="Galleries, their codes, access keys and grants.")
    api = GalleryApi(
        creation=creation,
        management=management,
        outbox=ground.outbox,
        links=links,
        idempotency_secret=settings.idempotency_secret.get_secret_value().encode(),
    )
    app.include_router(api.router())
    granting = Granting(queries=queries, key=key, links=links, clock=ground.clock)
    InternalApi(granting=granting, key=key).mount(app)
    return Edge(app, max_in_flight=settings.max_in_flight)


def build_processor(ground: Ground, dead_letters: DeadLetters, *, prefix: str = "") -> Processor:
    """The service's event side. prefix: the deployment's, so that its groups too are its own."""
    return Processor(
        group=prefix + GROUP,
        handlers=handlers(ground.outbox, expiry=Expiry(clock=ground.clock)),
        dead_letters=dead_letters,
    )


def build(platform: PlatformSettings, settings: GalleriesSettings) -> Service:
    """The whole service; nothing connects before it runs."""
    url = settings.database_url.get_secret_value()
    database = Database(url, pool_size=settings.database_pool_size)
    outbox = Outbox(database)
    ground = Ground(database=database, outbox=outbox)
    connection = KafkaConnection.from_settings(platform)
    producer = Producer(connection, source=SOURCE)

    service = Service(NAME, settings)
    service.owns(database)
    service.owns(_SendsOnDemand(producer))
    service.health.add("database", database.ready)
    service.serves(build_app(ground, settings))
    service.runs("outbox-notify", outbox.run)
    if "relay" in settings.roles:
        housekeeping = Housekeeping(
            url,
            outbox_retention=settings.outbox_retention,
            inbox_retention=settings.inbox_retention,
            idempotency_retention=settings.idempotency_retention,
        )
        service.runs("relay", Relay(url, producer).run)
        service.runs("housekeeping", housekeeping.run)
    if "worker" in settings.roles:
        dead_letters = DeadLetters(producer, connection)
        processor = build_processor(ground, dead_letters, prefix=platform.topic_prefix)
        service.runs("consumer", Consumer(connection, processor).run)
    return service


def main() -> None:
    """Read the settings and run until told to stop."""
    platform = PlatformSettings()
    settings = GalleriesSettings()  # type: ignore[call-arg]  # required fields come from the environment
    configure_logging(service=NAME, level=platform.log_level, renderer=platform.log_format)
    build(platform, settings).main()


if __name__ == "__main__":
    main()
