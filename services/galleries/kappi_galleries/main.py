"""Wiring of the galleries service; `python -m kappi_galleries.main` runs it."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.auth import SigningKey
from kappi_chassis.backbone import Backbone
from kappi_chassis.clock import Clock, NewId, new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import App
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.outbox import Outbox
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What everything stands on; tests put their own clock and ids here."""

    database: Database
    outbox: Outbox
    clock: Clock = utc_now
    new_id: NewId = new_id


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
        links=links,
        idempotency_secret=settings.idempotency_secret.get_secret_value().encode(),
    )
    app.include_router(api.router())
    granting = Granting(queries=queries, key=key, links=links, clock=ground.clock)
    InternalApi(granting=granting, key=key).mount(app)
    return Edge(app, max_in_flight=settings.max_in_flight)


def build(platform: PlatformSettings, settings: GalleriesSettings) -> Service:
    """The whole service; nothing connects before it runs."""
    backbone = Backbone(NAME, platform, settings)
    ground = Ground(database=backbone.database, outbox=backbone.outbox)
    backbone.service.serves(build_app(ground, settings))
    backbone.consumes(handlers(ground.outbox, expiry=Expiry(clock=ground.clock)), group=GROUP)
    return backbone.service


def main() -> None:
    """Read the settings and run until told to stop."""
    platform = PlatformSettings()
    settings = GalleriesSettings()  # type: ignore[call-arg]  # required fields come from the environment
    configure_logging(service=NAME, level=platform.log_level, renderer=platform.log_format)
    build(platform, settings).main()


if __name__ == "__main__":
    main()
