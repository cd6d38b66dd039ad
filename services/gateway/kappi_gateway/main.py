"""Runs the gateway: `python -m kappi_gateway.main`."""

from __future__ import annotations

import time

from kappi_chassis.bus import KafkaConnection
from kappi_chassis.bus.connection import require_authentic_events
from kappi_chassis.http.connections import ConnectionLimits
from kappi_chassis.http.internal import internal_headers
from kappi_chassis.observability.configure import configure_observability
from kappi_chassis.rlimits import raise_file_limit
from kappi_chassis.runtime import Service as Process
from kappi_chassis.settings import PlatformSettings
from kappi_contracts.topics import consumed_by

from kappi_gateway import metrics
from kappi_gateway.auth.grant_cache import GrantCache
from kappi_gateway.bootstrap import build_app, build_live_streams, build_upstreams
from kappi_gateway.consumers import GalleryChanges
from kappi_gateway.http.client_address import ClientAddresses
from kappi_gateway.routes import Service
from kappi_gateway.settings import GatewaySettings


def build(platform: PlatformSettings, settings: GatewaySettings) -> Process:
    """Builds the gateway's process without starting it. Raises SecretMissing."""
    require_authentic_events(platform)
    raise_file_limit()  # the number of live streams depends on it
    process = Process("gateway", settings, commit=platform.commit)
    process.exports(
        metrics.GATEWAY,
        service=[service.value for service in Service],
        topic=[topic.name for topic in consumed_by("gateway")],
    )
    if settings.store_url is not None:
        process.exports(metrics.STORE)
    upstreams = build_upstreams(settings, introduction=internal_headers(platform))
    cache = GrantCache(size=settings.grants_cached, monotonic=time.monotonic)
    process.owns(upstreams)
    process.health.add("upstreams", upstreams.check_any)
    secret = platform.internal_secret[0].get_secret_value().encode() if platform.internal_secret else b""
    live = build_live_streams(settings, upstreams=upstreams, cache=cache, secret=secret)
    changes = GalleryChanges(KafkaConnection.from_settings(platform), cache, live)
    process.runs("changes", changes.run)
    process.runs("live", live.run)
    process.drains(live.drain)
    addresses = ClientAddresses(settings.trusted_proxies)
    process.serves(
        build_app(settings, upstreams=upstreams, cache=cache, live=live),
        connections=ConnectionLimits(
            in_all=settings.max_connections,
            of_address=settings.connections_per_address,
            key_of=addresses.key_of_peer,
        ),
    )
    return process


def main() -> None:
    """Runs until the process is asked to stop."""
    platform, settings = PlatformSettings(), GatewaySettings()
    configure_observability("gateway", platform, called_by="clients")
    build(platform, settings).main()


if __name__ == "__main__":
    main()
