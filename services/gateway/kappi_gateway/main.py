"""Wiring of the gateway; nothing connects before it runs."""

from __future__ import annotations

import secrets
import time

from kappi_chassis.bus import KafkaConnection
from kappi_chassis.http.edge import App, Edge
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.runtime import Service as Process
from kappi_chassis.settings import PlatformSettings

from kappi_gateway.app import Gateway, behind_prefix, with_cors
from kappi_gateway.call import Endpoint
from kappi_gateway.client_address import ClientAddresses
from kappi_gateway.consumers import GalleryChanges
from kappi_gateway.credentials import Credentials
from kappi_gateway.forward import Forward, Terms
from kappi_gateway.grants import GrantCache
from kappi_gateway.limits import CreationLimit, GuessLimit, Monotonic, TokenBuckets
from kappi_gateway.openapi import OpenApi
from kappi_gateway.router import Router
from kappi_gateway.routes import ROUTES, Service
from kappi_gateway.settings import GatewaySettings
from kappi_gateway.store import PREFIX, StoreDoor
from kappi_gateway.upstream import Patience, Upstreams
from kappi_gateway.web.pages import add_pages


def build(platform: PlatformSettings, settings: GatewaySettings) -> Process:
    """The gateway's process, not yet running."""
    process = Process("gateway", settings)
    upstreams = build_upstreams(settings)
    cache = GrantCache(size=settings.grants_cached, monotonic=time.monotonic)
    process.owns(upstreams)
    process.health.add("upstreams", upstreams.check_any)
    process.runs("changes", GalleryChanges(KafkaConnection.from_settings(platform), cache).run)
    process.serves(build_app(settings, upstreams=upstreams, cache=cache))
    return process


def main() -> None:
    """Run until told to stop."""
    platform, settings = PlatformSettings(), GatewaySettings()
    configure_logging(service="gateway", level=platform.log_level, renderer=platform.log_format)
    build(platform, settings).main()


def build_upstreams(settings: GatewaySettings) -> Upstreams:
    """The services, as the settings name them; to be started."""
    addresses = {Service.GALLERIES: settings.galleries_url, Service.MEDIA: settings.media_url}
    if settings.store_url is not None:
        addresses[Service.STORE] = settings.store_url
    patience = Patience(connect=settings.connect_timeout, read=settings.read_timeout)
    return Upstreams(addresses, patience=patience, connections=settings.upstream_connections)


def build_app(
    settings: GatewaySettings,
    *,
    upstreams: Upstreams,
    cache: GrantCache,
    monotonic: Monotonic = time.monotonic,
) -> App:
    """Everything the public port answers."""
    gateway = Gateway(
        _router(settings, upstreams, cache, monotonic), addresses=ClientAddresses(settings.trusted_proxies)
    )
    api = with_cors(Edge(gateway, max_in_flight=settings.max_in_flight))
    if settings.store_url is None:
        return api
    # Transfers last for minutes: counted with the API's requests they would crowd them out.
    store = StoreDoor(upstreams, client_silence=settings.client_silence)
    return behind_prefix(PREFIX, Edge(store, max_in_flight=settings.max_transfers), otherwise=api)


def _router(
    settings: GatewaySettings, upstreams: Upstreams, cache: GrantCache, monotonic: Monotonic
) -> Router[Endpoint]:
    def buckets(burst: int, per_second: float) -> TokenBuckets:
        return TokenBuckets(
            capacity=burst,
            refill_per_s=per_second,
            max_keys=settings.limited_addresses,
            monotonic=monotonic,
        )

    credentials = Credentials(
        upstreams,
        cache=cache,
        guesses=GuessLimit(buckets(settings.guess_burst, settings.guesses_per_minute / 60)),
        lifetime=settings.grant_lifetime,
        secret=secrets.token_bytes(32),
    )
    creations = CreationLimit(buckets(settings.creation_burst, settings.creations_per_hour / 3600))
    terms = Terms(body_limit_bytes=settings.json_body_limit_bytes, client_silence=settings.client_silence)
    router: Router[Endpoint] = Router()
    for route in ROUTES:
        forward = Forward(
            route, upstreams=upstreams, credentials=credentials, creations=creations, terms=terms
        )
        router.add(route.method, route.template, forward)
    openapi = OpenApi(upstreams, refresh=settings.openapi_refresh, monotonic=monotonic)
    router.add("GET", "/openapi.json", openapi)
    add_pages(router, media_origins=settings.media_origins)
    return router


if __name__ == "__main__":
    main()
