"""Puts the gateway together: its routes, its limits, and the programs behind it."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from kappi_chassis.auth import JwksSource
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.auth.verifier import http_fetch
from kappi_chassis.clock import Clock, Monotonic, utc_now
from kappi_chassis.http.connections import places_for
from kappi_chassis.http.date_header import dated
from kappi_chassis.http.edge import App, Edge
from kappi_chassis.observability.metrics import HTTP_FAILED
from kappi_contracts.accounts import JWKS_PATH

from kappi_gateway import errors
from kappi_gateway.auth.access_counts import AccessCounts
from kappi_gateway.auth.code_access import CodeAccess
from kappi_gateway.auth.credentials import Credentials
from kappi_gateway.auth.gallery_lookup import GalleryLookup
from kappi_gateway.auth.grant_cache import GrantCache, SecretDigests
from kappi_gateway.auth.grant_client import GrantClient
from kappi_gateway.auth.owner_grants import OwnerGrants
from kappi_gateway.http.app import Gateway
from kappi_gateway.http.base_urls import BaseUrls
from kappi_gateway.http.client_address import ClientAddresses
from kappi_gateway.http.front import CORS, Front, Part
from kappi_gateway.http.request import Endpoint
from kappi_gateway.http.router import Router
from kappi_gateway.limits.address_key import limit_key
from kappi_gateway.limits.concurrency import ConcurrencyLimit
from kappi_gateway.limits.guesses import GuessLimit
from kappi_gateway.limits.rate import RateLimit
from kappi_gateway.limits.rules import RULES
from kappi_gateway.limits.token_buckets import TokenBuckets
from kappi_gateway.limits.transfers import Transfers
from kappi_gateway.live.endpoint import LiveEndpoint
from kappi_gateway.live.streams import LiveStreams
from kappi_gateway.openapi.endpoint import OpenApi
from kappi_gateway.proxy.passthrough import panel_passthrough, store_passthrough
from kappi_gateway.proxy.route import ProxyLimits, ProxyRoute
from kappi_gateway.proxy.store_errors import in_s3_form
from kappi_gateway.routes import (
    ROUTES,
    Carries,
    Limit,
    Service,
    leads_to_archive,
    leads_to_live,
    leads_to_panel,
    leads_to_rendition,
    leads_to_store,
)
from kappi_gateway.settings import GatewaySettings
from kappi_gateway.upstream import Upstreams
from kappi_gateway.web.gallery_page import GalleryPage
from kappi_gateway.web.pages import GALLERY, MISSING, add_pages, build_application, build_page
from kappi_gateway.web.qr_codes import KINDS, QrCode


def build_upstreams(settings: GatewaySettings, *, introduction: Mapping[str, str] | None = None) -> Upstreams:
    """Builds the clients of the configured services, not yet started.

    introduction: headers that prove the caller.
    """
    addresses = {service: settings.url_of(service) for service in Service if service is not Service.GATEWAY}
    return Upstreams(
        {service: url for service, url in addresses.items() if url is not None},
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        connections=settings.upstream_connections,
        introduction=introduction or {},
    )


def build_live_streams(
    settings: GatewaySettings,
    *,
    upstreams: Upstreams,
    cache: GrantCache,
    secret: bytes,
    clock: Clock = utc_now,
) -> LiveStreams:
    """Builds the live streams. They are told nothing until a consumer of changes runs. secret: the same on
    every gateway.
    """
    return LiveStreams(
        reopen=CodeAccess(GrantClient(upstreams, lifetime=settings.grant_lifetime), cache=cache),
        clock=clock,
        heartbeat=settings.live_heartbeat,
        per_gallery=settings.live_streams_per_gallery,
        most_waiting=settings.live_queue,
        changes_kept=settings.live_changes_kept,
        cipher=AESSIV(hmac.digest(secret, b"ids of live events", "sha256")),
    )


def build_app(
    settings: GatewaySettings,
    *,
    upstreams: Upstreams,
    cache: GrantCache,
    live: LiveStreams,
    monotonic: Monotonic = time.monotonic,
    clock: Clock = utc_now,
) -> App:
    """Builds the app of the public port."""
    addresses = ClientAddresses(settings.trusted_proxies)
    base_urls = BaseUrls(
        settings.public_url, addresses=addresses, hosts=settings.hosts, own_addresses=settings.own_addresses
    )
    places = ConcurrencyLimit(settings.requests_per_address, name="requests", refusal=errors.TooManyAtOnce)
    wiring = _Wiring(settings, upstreams, cache, live, monotonic, clock, addresses, base_urls, places)
    hsts_s = int(settings.hsts_max_age.total_seconds())
    front = Front(
        [*wiring.store(), *wiring.panel(), *wiring.api()],
        path=base_urls.path,
        addresses=addresses,
        hsts=f"max-age={hsts_s}".encode() if hsts_s else None,
        slow=ConcurrencyLimit(settings.slow_per_address, name="slow", refusal=errors.TooManySlow),
        silence_s=settings.client_silence.total_seconds(),
    )
    return dated(front)


@dataclass(frozen=True, slots=True)
class _Wiring:
    settings: GatewaySettings
    upstreams: Upstreams
    cache: GrantCache
    live: LiveStreams
    monotonic: Monotonic
    clock: Clock
    addresses: ClientAddresses
    base_urls: BaseUrls
    places: ConcurrencyLimit

    def edge(self, app: App, max_in_flight: int) -> Edge:
        return Edge(
            app,
            max_in_flight=max_in_flight,
            client_of=lambda scope: limit_key(self.addresses.of_request(scope)),
        )

    def api(self) -> list[Part]:
        """Builds the apps of the routes of the API. The CORS headers are on every answer, also on an error.

        Archives last for minutes, live streams for hours, and many requests wait for a rendition in the
        making: counted with the other requests they would take all their places.
        """
        settings = self.settings
        router = self.router()
        missing = build_page(MISSING, settings.media_origins, path=self.base_urls.path)
        rendition_places = ConcurrencyLimit(
            settings.rendition_requests_per_address, name="renditions", refusal=errors.TooManyAtOnce
        )
        live_places = ConcurrencyLimit(
            settings.live_streams_per_address, name="live", refusal=errors.TooManyStreams
        )
        usual = Gateway(router, addresses=self.addresses, places=self.places, missing=missing)
        streaming = Gateway(router, addresses=self.addresses, places=live_places, missing=missing)
        waiting = Gateway(router, addresses=self.addresses, places=rendition_places, missing=missing)
        most_streams = min(settings.live_streams, places_for(settings.max_connections) * 3 // 4)
        return [
            Part(leads_to_archive, self.edge(usual, settings.max_archives), CORS),
            Part(leads_to_live, self.edge(streaming, most_streams), CORS),
            Part(leads_to_rendition, self.edge(waiting, settings.max_rendition_requests), CORS),
            Part(lambda _: True, self.edge(usual, settings.max_in_flight), CORS),
        ]

    def panel(self) -> list[Part]:
        """Builds the app of the admin panel, where there is an identity service."""
        settings = self.settings
        if settings.identity_url is None:
            return []
        panel = panel_passthrough(
            self.upstreams,
            addresses=self.addresses,
            body_limit_bytes=settings.json_body_limit_bytes,
            client_silence=settings.client_silence,
            places=self.places,
            base_urls=self.base_urls,
        )
        return [Part(leads_to_panel, self.edge(panel, settings.max_in_flight))]

    def store(self) -> list[Part]:
        """Builds the app of the embedded object store, where there is one. Its transfers have own limits."""
        settings = self.settings
        if settings.store_url is None:
            return []
        transfers = Transfers(
            at_once=settings.max_transfers,
            per_address=settings.transfers_per_address,
            bytes_per_s=settings.transfer_bytes_per_s,
            silence_s=settings.client_silence.total_seconds(),
        )
        store = self.edge(
            store_passthrough(self.upstreams, addresses=self.addresses, transfers=transfers),
            settings.max_transfers,
        )
        return [Part(leads_to_store, in_s3_form(store))]

    def router(self) -> Router[Endpoint]:
        settings, upstreams = self.settings, self.upstreams
        guessing = self._buckets(settings.guess_burst, settings.guesses_per_minute / 60)
        credentials = self._credentials(GuessLimit(guessing, max_found=settings.found_codes))
        counts = AccessCounts(upstreams, credentials)
        limits = self._limits(guessing)
        proxy_limits = self._proxy_limits()
        router: Router[Endpoint] = Router()
        for route in ROUTES:
            if upstreams.knows(route.service):
                proxy = ProxyRoute(
                    route,
                    upstreams=upstreams,
                    credentials=credentials,
                    limits=limits,
                    terms=proxy_limits,
                    base_urls=self.base_urls,
                    counts=counts,
                )
                router.add(route.method, route.template, proxy)
                HTTP_FAILED.labels(route.method, route.template)  # so that the first failure counts
        openapi = OpenApi(
            upstreams,
            refresh=settings.openapi_refresh,
            monotonic=self.monotonic,
            path=self.base_urls.path,
        )
        router.add("GET", "/openapi.json", openapi)
        live = LiveEndpoint(self.live, credentials=credentials, places=self.places)
        router.add("GET", "/v1/g/{code}/live", live)
        for kind in KINDS:
            qr_code = QrCode(kind, credentials=credentials, base_urls=self.base_urls)
            router.add("GET", f"/v1/g/{{code}}/qr.{kind}", qr_code)
        add_pages(router, media_origins=settings.media_origins)
        application = build_application("gallery", GALLERY, settings.media_origins)
        page = GalleryPage(application, credentials=credentials, base_urls=self.base_urls)
        router.add("GET", GALLERY, page)
        return router

    def _proxy_limits(self) -> ProxyLimits:
        settings = self.settings
        return ProxyLimits(
            body_limit_bytes=settings.json_body_limit_bytes,
            file_body_limits_bytes={
                Carries.SMALL_FILE: settings.file_body_limit_bytes,
                Carries.PICTURE: settings.picture_body_limit_bytes,
            },
            client_silence=settings.client_silence,
            archives=ConcurrencyLimit(
                settings.archives_per_address, name="archives", refusal=errors.TooManyArchives
            ),
            files=ConcurrencyLimit(settings.files_per_address, name="files", refusal=errors.TooManyFiles),
            pictures_of_account=ConcurrencyLimit(
                settings.pictures_per_account, name="pictures", refusal=errors.TooManyFiles
            ),
            pictures=ConcurrencyLimit(
                settings.pictures_per_address, name="pictures", refusal=errors.TooManyFiles
            ),
            slow=ConcurrencyLimit(settings.slow_per_address, name="slow", refusal=errors.TooManySlow),
            archive_silence=settings.archive_silence,
            picture_silence=settings.picture_silence,
            archive_bytes_per_s=settings.archive_bytes_per_s,
        )

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
        buckets = {
            Limit.CREATION: self._buckets(settings.creation_burst, settings.creations_per_hour / 3600),
            Limit.CONTRIBUTOR: self._buckets(
                settings.contributor_burst, settings.contributors_per_hour / 3600
            ),
            Limit.SIGN_UP: self._buckets(settings.sign_up_burst, settings.sign_ups_per_hour / 3600),
            Limit.POST: self._buckets(settings.post_burst, settings.posts_per_hour / 3600),
            Limit.COMMENT: self._buckets(settings.comment_burst, settings.comments_per_minute / 60),
            Limit.SIGNING: self._buckets(settings.signing_burst, settings.signings_per_minute / 60),
            Limit.WEBHOOK: self._buckets(settings.webhook_burst, settings.webhooks_per_hour / 3600),
            Limit.GUESS: guessing,
        }
        return {limit: RateLimit(buckets[limit], RULES[limit]) for limit in buckets}

    def _buckets(self, burst: int, per_second: float) -> TokenBuckets:
        return TokenBuckets(
            capacity=burst,
            refill_per_s=per_second,
            max_keys=self.settings.limited_addresses,
            monotonic=self.monotonic,
        )
