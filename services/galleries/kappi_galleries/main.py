"""Entry point of the galleries service: `python -m kappi_galleries.main`."""

from __future__ import annotations

from kappi_chassis.auth import JwksSource
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.auth.verifier import http_fetch
from kappi_chassis.backbone import Backbone
from kappi_chassis.clock import utc_now
from kappi_chassis.http.internal import internal_headers
from kappi_chassis.observability.configure import configure_observability
from kappi_chassis.observability.metrics import PASSWORDS, RECONCILE
from kappi_chassis.passwords import Passwords
from kappi_chassis.reconcile.peer import Peer
from kappi_chassis.runtime import Service
from kappi_chassis.settings import PlatformSettings

from kappi_galleries import metrics
from kappi_galleries.bootstrap import Dependencies, build_app, build_handlers, build_reconciler
from kappi_galleries.consumers import GROUP, SKIPS_VERSIONS_OF
from kappi_galleries.media_client import MediaService
from kappi_galleries.settings import GalleriesSettings

NAME = "galleries"


def build(platform: PlatformSettings, settings: GalleriesSettings) -> Service:
    """Returns the whole service; nothing connects before it runs."""
    backbone = Backbone(NAME, platform, settings)
    passwords = Passwords.of(settings)
    backbone.service.closes(passwords)
    introduction = internal_headers(platform)
    media = MediaService(settings.media_url, headers=introduction)
    backbone.service.owns(media)
    deps = Dependencies(
        database=backbone.database,
        outbox=backbone.outbox,
        accounts=AccountVerifier(
            JwksSource(http_fetch(settings.account_jwks_url, headers=introduction)), clock=utc_now
        ),
        passwords=passwords,
        pictures=media,
        claim_room=media,
        ready_items=media,
    )
    _export(backbone.service)
    backbone.serves(build_app(deps, settings))
    peer = Peer(settings.media_url, headers=introduction)
    reconciler = build_reconciler(deps, settings, media=peer)
    handlers = build_handlers(deps, settings, then_on_tick=[reconciler.on_tick])
    backbone.consumes(handlers, group=GROUP, skips_versions_of=SKIPS_VERSIONS_OF)
    if "worker" in settings.roles:
        backbone.service.exports(RECONCILE, check=reconciler.names)
        backbone.service.runs("reconciler", reconciler.run)
    return backbone.service


def _export(service: Service) -> None:
    service.exports(metrics.API, roles=["api"])
    service.exports(metrics.WORKER, roles=["worker"])
    service.exports(metrics.EITHER, roles=["api", "worker"])
    service.exports(PASSWORDS, roles=["api"])


def main() -> None:
    """Read the settings and run until the process is told to stop."""
    platform = PlatformSettings()
    settings = GalleriesSettings()  # type: ignore[call-arg]  # required fields come from the environment
    configure_observability(NAME, platform)
    build(platform, settings).main()


if __name__ == "__main__":
    main()
