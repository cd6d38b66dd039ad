"""Wiring of the gateway; nothing connects before it runs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from kappi_chassis.auth import JwksSource
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.auth.verifier import http_fetch
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.bus.connection import require_authentic_events
from kappi_chassis.clock import Clock, utc_now
from kappi_chassis.http.connections import ConnectionLimits
from kappi_chassis.http.date_header import dated
from kappi_chassis.http.edge import App, Edge, behind
from kappi_chassis.http.internal import internal_headers
from kappi_chassis.idempotency import IdempotencyKeyReused
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.runtime import Service as Process
from kappi_chassis.settings import PlatformSettings
from kappi_contracts.accounts import JWKS_PATH

from kappi_gateway.app import Gateway, below, leads_to_archive, leads_to_rendition, with_cors, with_hsts
from kappi_gateway.base_urls import BaseUrls
from kappi_gateway.client_address import ClientAddresses
from kappi_gateway.consumers import GalleryChanges
from kappi_gateway.credentials import Credentials
from kappi_gateway.errors import (
    TooManyAccounts,
    TooManyArchives,
    TooManyAtOnce,
    TooManyComments,
    TooManyFiles,
    TooManyGalleries,
    TooManyGuesses,
    TooManyPosts,
    TooManySlow,
    TooManyUploads,
)
from kappi_gateway.gallery_lookup import GalleryLookup
from kappi_gateway.grant_cache import GrantCache, SecretDigests
from kappi_gateway.grant_client import GrantClient
from kappi_gateway.limits import ConcurrencyLimit, GuessLimit, Monotonic, RateLimit, TokenBuckets
from kappi_gateway.openapi import OpenApi
from kappi_gateway.owner_grants import OwnerGrants
from kappi_gateway.passthrough import leads_to_panel, leads_to_store, panel_passthrough, store_passthrough
from kappi_gateway.proxy import ProxyLimits, ProxyRoute
from kappi_gateway.request import Endpoint
from kappi_gateway.router import Router
from kappi_gateway.routes import ROUTES, Carries, Limit, Service
from kappi_gateway.settings import GatewaySettings
from kappi_gateway.slow_clients import with_slow_client_limits
from kappi_gateway.store_errors import in_s3_form
from kappi_gateway.transfers import Transfers
from kappi_gateway.upstream import Timeouts, Upstreams
from kappi_gateway.web.pages import MISSING, add_pages, build_page


def build(platform: PlatformSettings, settings: GatewaySettings) -> Process:
    """Builds the gateway's process without starting it. Raises SecretMissing."""
    require_authentic_events(platform)
    process = Process("gateway", settings)
    upstreams = build_upstreams(settings, introduction=internal_headers(platform))
    cache = GrantCache(size=settings.grants_cached, monotonic=time.monotonic)
    process.owns(upstreams)
    process.health.add("upstreams", upstreams.check_any)
    process.runs("changes", GalleryChanges(KafkaConnection.from_settings(platform), cache).run)
    addresses = ClientAddresses(settings.trusted_proxies)
    process.serves(
        build_app(settings, upstreams=upstreams, cache=cache),
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
    configure_logging(service="gateway", level=platform.log_level, renderer=platform.log_format)
    build(platform, settings).main()


def build_upstreams(settings: GatewaySettings, *, introduction: Mapping[str, str] | None = None) -> Upstreams:
    """Builds the clients of the configured services, not yet started.

    introduction: headers that prove the caller.
    """
    addresses = {Service.GALLERIES: settings.galleries_url, Service.MEDIA: settings.media_url}
    if settings.identity_url is not None:
        addresses[Service.IDENTITY] = settings.identity_url
    if settings.store_url is not None:
        addresses[Service.STORE] = settings.store_url
    timeout = Timeouts(connect=settings.connect_timeout, read=settings.read_timeout)
    return Upstreams(
        addresses,
        timeout=timeout,
        connections=settings.upstream_connections,
        introduction=introduction or {},
    )


def build_app(
    settings: GatewaySettings,
    *,
    upstreams: Upstreams,
    cache: GrantCache,
    monotonic: Monotonic = time.monotonic,
    clock: Clock = utc_now,
) -> App:
    """Builds the app of the public port."""
    addresses = ClientAddresses(settings.trusted_proxies)
    base_urls = BaseUrls(
        settings.public_url, addresses=addresses, hosts=settings.hosts, own_addresses=settings.own_addresses
    )
    wiring = _Wiring(settings, upstreams, cache, monotonic, clock, base_urls)
    router = wiring.router()
    places = ConcurrencyLimit(settings.requests_per_address, name="requests", refusal=TooManyAtOnce)
    rendition_places = ConcurrencyLimit(
        settings.rendition_requests_per_address, name="renditions", refusal=TooManyAtOnce
    )
    missing = build_page(
        MISSING, settings.media_origins, path=urlsplit(settings.public_url or "").path.rstrip("/")
    )
    gateway = Gateway(router, addresses=addresses, places=places, missing=missing)
    # Archives and transfers last for minutes, and many requests wait for a rendition in the making: counted
    # with the API's requests they would take all its places.
    api: App = Edge(gateway, max_in_flight=settings.max_in_flight)
    waiting = Edge(
        Gateway(router, addresses=addresses, places=rendition_places, missing=missing),
        max_in_flight=settings.max_rendition_requests,
    )
    api = behind(leads_to_rendition, waiting, otherwise=api)
    api = behind(leads_to_archive, Edge(gateway, max_in_flight=settings.max_archives), otherwise=api)
    app = with_cors(api)
    if settings.identity_url is not None:
        panel = panel_passthrough(
            upstreams,
            addresses=addresses,
            body_limit_bytes=settings.json_body_limit_bytes,
            client_silence=settings.client_silence,
            places=places,
            base_urls=base_urls,
        )
        app = behind(leads_to_panel, Edge(panel, max_in_flight=settings.max_in_flight), otherwise=app)
    if settings.store_url is not None:
        transfers = Transfers(
            at_once=settings.max_transfers,
            per_address=settings.transfers_per_address,
            bytes_per_s=settings.transfer_bytes_per_s,
            silence_s=settings.client_silence.total_seconds(),
        )
        store = Edge(
            store_passthrough(upstreams, addresses=addresses, transfers=transfers),
            max_in_flight=settings.max_transfers,
        )
        app = behind(leads_to_store, in_s3_form(store), otherwise=app)
    if settings.hsts_max_age:
        app = with_hsts(app, addresses=addresses, max_age_s=int(settings.hsts_max_age.total_seconds()))
    if base_urls.path:
        app = below(base_urls.path, app)
    patient = with_slow_client_limits(
        app,
        addresses=addresses,
        slow=ConcurrencyLimit(settings.slow_per_address, name="slow", refusal=TooManySlow),
        silence_s=settings.client_silence.total_seconds(),
    )
    return dated(patient)


@dataclass(frozen=True, slots=True)
class _Wiring:
    settings: GatewaySettings
    upstreams: Upstreams
    cache: GrantCache
    monotonic: Monotonic
    clock: Clock
    base_urls: BaseUrls

    def router(self) -> Router[Endpoint]:
        settings, upstreams = self.settings, self.upstreams
        guessing = self._buckets(settings.guess_burst, settings.guesses_per_minute / 60)
        credentials = self._credentials(GuessLimit(guessing, max_found=settings.found_codes))
        limits = self._limits(guessing)
        terms = ProxyLimits(
            body_limit_bytes=settings.json_body_limit_bytes,
            file_body_limits_bytes={
                Carries.SMALL_FILE: settings.file_body_limit_bytes,
                Carries.PICTURE: settings.picture_body_limit_bytes,
            },
            client_silence=settings.client_silence,
            archives=ConcurrencyLimit(
                settings.archives_per_address, name="archives", refusal=TooManyArchives
            ),
            files=ConcurrencyLimit(settings.files_per_address, name="files", refusal=TooManyFiles),
            pictures_of_account=ConcurrencyLimit(
                settings.pictures_per_account, name="pictures", refusal=TooManyFiles
            ),
            pictures=ConcurrencyLimit(settings.pictures_per_address, name="pictures", refusal=TooManyFiles),
            slow=ConcurrencyLimit(settings.slow_per_address, name="slow", refusal=TooManySlow),
            archive_silence=settings.archive_silence,
            picture_silence=settings.picture_silence,
            archive_bytes_per_s=settings.archive_bytes_per_s,
        )
        router: Router[Endpoint] = Router()
        for route in ROUTES:
            if upstreams.knows(route.service):
                proxy = ProxyRoute(
                    route,
                    upstreams=upstreams,
                    credentials=credentials,
                    limits=limits,
                    terms=terms,
                    base_urls=self.base_urls,
                )
                router.add(route.method, route.template, proxy)
        openapi = OpenApi(
            upstreams,
            refresh=settings.openapi_refresh,
            monotonic=self.monotonic,
            path=self.base_urls.path,
        )
        router.add("GET", "/openapi.json", openapi)
        add_pages(router, media_origins=settings.media_origins)
        return router

    def _credentials(self, guesses: GuessLimit) -> Credentials:
        grant_client = GrantClient(self.upstreams, lifetime=self.settings.grant_lifetime)
        digests = SecretDigests(secrets.token_bytes(32))
        owner_grants: OwnerGrants | None = None
        if self.settings.identity_url is not None:
            owner_grants = OwnerGrants(
                self._verifier(self.settings.identity_url),
                grant_client=grant_client,
                gallery_lookup=GalleryLookup(self.upstreams, size=self.settings.locations_cached),
                cache=self.cache,
                digests=digests,
                clock=self.clock,
            )
        return Credentials(
            grant_client, cache=self.cache, guesses=guesses, digests=digests, owner_grants=owner_grants
        )

    def _verifier(self, identity_url: str) -> AccountVerifier:
        published = self.settings.account_jwks_url or identity_url + JWKS_PATH
        fetch = http_fetch(published, headers=self.upstreams.introduction)
        return AccountVerifier(JwksSource(fetch), clock=self.clock)

    def _limits(self, guessing: TokenBuckets) -> Mapping[Limit, RateLimit]:
        settings = self.settings
        creating = self._buckets(settings.creation_burst, settings.creations_per_hour / 3600)
        signing_up = self._buckets(settings.sign_up_burst, settings.sign_ups_per_hour / 3600)
        return {
            # A reused idempotency key and a taken email address reveal something about another call, so
            # neither is free.
            Limit.CREATION: RateLimit(
                creating,
                name="galleries",
                refusal=TooManyGalleries,
                is_free=lambda status, code: status != 201 and code != IdempotencyKeyReused.code,
            ),
            Limit.SIGN_UP: RateLimit(
                signing_up,
                name="accounts",
                refusal=TooManyAccounts,
                is_free=lambda status, code: status not in (201, 409) and code != IdempotencyKeyReused.code,
            ),
            Limit.POST: RateLimit(
                self._buckets(settings.post_burst, settings.posts_per_hour / 3600),
                name="posts",
                refusal=TooManyPosts,
                is_free=lambda status, _: status in (401, 503),
            ),
            Limit.COMMENT: RateLimit(
                self._buckets(settings.comment_burst, settings.comments_per_minute / 60),
                name="comments",
                refusal=TooManyComments,
                is_free=lambda status, _: status != 201,
            ),
            Limit.SIGNING: RateLimit(
                self._buckets(settings.signing_burst, settings.signings_per_minute / 60),
                name="uploads",
                refusal=TooManyUploads,
                is_free=lambda status, _: status >= 500,
            ),
            Limit.GUESS: RateLimit(
                guessing, name="guesses", refusal=TooManyGuesses, is_free=lambda status, _: status != 404
            ),
        }

    def _buckets(self, burst: int, per_second: float) -> TokenBuckets:
        return TokenBuckets(
            capacity=burst,
            refill_per_s=per_second,
            max_keys=self.settings.limited_addresses,
            monotonic=self.monotonic,
        )


if __name__ == "__main__":
    main()
