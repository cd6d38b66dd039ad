"""Settings `KAPPI_GATEWAY_…`: addresses of the services, timeouts, limits per address."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from kappi_chassis.settings import ServiceSettings
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from kappi_gateway.http.client_address import Network
from kappi_gateway.http.public_url import checked_public_url
from kappi_gateway.routes import Service


def _split(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    def split(value: Any) -> Any:
        if isinstance(value, str):
            return tuple(read(part.strip()) for part in value.split(",") if part.strip())
        return value

    return split


def _origin(text: str) -> str:
    """Returns an origin usable as a CSP source; a longer text could add another directive."""
    parts = urlsplit(text)
    plain = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in {"http", "https"} or text.rstrip("/") != plain or set(plain) & set(" ;,'\""):
        raise ValueError(f"an origin looks like https://store.example:9000, not {text!r}")
    return plain


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"a service's address looks like http://host:port, not {text!r}")
    return text.rstrip("/")


def _host(text: str) -> str:
    """Returns a host as clients send it in `Host`."""
    parts = urlsplit(f"//{text}")
    if parts.netloc != text or not parts.hostname or "@" in text or parts.port == 0:
        raise ValueError(f"a host looks like photos.lan or 192.0.2.7:8000, not {text!r}")
    return text.lower()


BaseUrl = Annotated[str, AfterValidator(_base_url)]


class GatewaySettings(ServiceSettings):
    """The gateway's own settings. Lists are comma-separated."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPI_GATEWAY_", frozen=True, extra="ignore", populate_by_name=True
    )

    port: int = 8000
    ops_port: int = 9000

    public_url: Annotated[str, AfterValidator(checked_public_url)] | None = Field(
        default=None,
        validation_alias=AliasChoices("KAPPI_GATEWAY_PUBLIC_URL", "KAPPI_PUBLIC_URL"),
        description="Public address of the gateway. URLs in answers begin with it, and the admin panel "
        "accepts forms only from it. If it has a path, the path is removed from requests in which the "
        "proxy in front leaves it. If it is not set, the address of the panel is taken from `Host`",
    )
    hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split(_host))] = Field(
        default=(),
        description="Further hosts by which clients reach the gateway, as in `Host`, with their port. The "
        "URLs in an answer then begin with the host that the request named. Other hosts are ignored, "
        "because a client can write any name there",
    )
    own_addresses: bool = Field(
        default=False,
        description="Whether the address of this machine that a client is connected to counts as one of "
        "`hosts`; `localhost` counts, too, if that is a loopback address. Do not set it behind a proxy",
    )

    identity_url: BaseUrl | None = Field(
        default=None, description="Address of the identity service. Without it there are no accounts"
    )
    account_jwks_url: BaseUrl | None = Field(
        default=None,
        description="URL of the public keys of access tokens, if it is not the identity service's",
    )
    galleries_url: BaseUrl = "http://127.0.0.1:8002"
    media_url: BaseUrl = "http://127.0.0.1:8003"
    store_url: BaseUrl | None = Field(
        default=None, description="Address of the local object store; if set, `/store/` is served"
    )
    media_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split(_origin))] = Field(
        default=(),
        description="Origins of the object store that the pages may load pictures from and send files to. "
        "Its CORS rules must allow them",
    )

    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split(ip_network))] = Field(
        default=(),
        description="Networks of the proxies in front, whose X-Forwarded-For and X-Forwarded-Proto are "
        "believed. List no others: a client that is believed evades every limit per address",
    )
    hsts_max_age: timedelta = Field(
        default=timedelta(days=365),
        ge=timedelta(0),
        description="`max-age` of `Strict-Transport-Security` in answers over HTTPS, with which browsers "
        "refuse plain HTTP. Only a trusted proxy can report HTTPS. 0 sends no such header",
    )

    connect_timeout: timedelta = timedelta(seconds=2)
    read_timeout: timedelta = Field(
        default=timedelta(seconds=30), description="Longest pause of a service before or within an answer"
    )
    client_silence: timedelta = Field(
        default=timedelta(seconds=60),
        description="Longest pause of a client that sends a body or reads an answer, and the time for "
        "which it may fall behind 4 KiB a second",
    )
    upstream_connections: int = Field(
        default=2048, gt=0, description="Connections to all services: no fewer than concurrent requests"
    )
    json_body_limit_bytes: int = Field(default=1 << 20, gt=0)
    file_body_limit_bytes: int = Field(
        default=22 << 20, gt=0, description="Largest body that carries a small file, also as base64"
    )
    picture_body_limit_bytes: int = Field(
        default=101 << 20, gt=0, description="Largest body that carries the picture of a post"
    )
    picture_silence: timedelta = Field(
        default=timedelta(minutes=2),
        description="Longest wait for the answer to the picture of a post, after the last byte was sent",
    )
    files_per_address: int = Field(
        default=16, gt=0, description="Concurrent small-file uploads of one address: half of media's limit"
    )
    pictures_per_address: int = Field(
        default=4, gt=0, description="Concurrent picture posts of one address: a quarter of media's limit"
    )
    pictures_per_account: int = Field(
        default=2, gt=0, description="Concurrent picture posts of one account, from all its addresses"
    )
    connections_per_address: int = Field(
        default=512,
        gt=0,
        description="Concurrent connections of one address, except those of a trusted proxy. For a further "
        "one, the connection of the address that has waited longest is closed",
    )
    max_connections: int = Field(
        default=16_000,
        gt=0,
        description="Concurrent connections, at most half of the file descriptors of the process. For a "
        "further one, the connection that has waited longest for a request is closed, so that clients that "
        "send nothing keep no place",
    )
    requests_per_address: int = Field(
        default=64,
        gt=0,
        description="Concurrent requests of one address: a quarter of `max_in_flight`, so that one client "
        "cannot take all places",
    )
    rendition_requests_per_address: int = Field(
        default=250, gt=0, description="Concurrent rendition requests of one address"
    )
    slow_per_address: int = Field(
        default=32, gt=0, description="Clients of one address that are waited for because they are slow"
    )
    max_transfers: int = Field(default=512, gt=0, description="Concurrent requests to `/store/`")
    transfers_per_address: int = Field(
        default=64,
        gt=0,
        description="Concurrent uploads to `/store/` of one address, and as many downloads: enough for ten "
        "telephones with six each. One address cannot take all places",
    )
    transfer_bytes_per_s: int = Field(
        default=24 << 10,
        gt=0,
        description="Minimum rate of all transfers of one address to or from `/store/` together, at least "
        "4 KiB a second for each. It applies to each transfer alone when more than half of `max_transfers` "
        "are taken. The required rate rises by 4 KiB a second each minute. A transfer that falls "
        "`client_silence` behind is ended and can be resumed, so that slow clients cannot hold all places",
    )

    max_rendition_requests: int = Field(
        default=1_000,
        gt=0,
        description="Concurrent rendition requests, apart from `max_in_flight`: many may wait for one",
    )
    max_archives: int = Field(
        default=256, gt=0, description="Concurrent ZIPs of galleries, counted apart from `max_in_flight`"
    )
    archives_per_address: int = Field(
        default=8, gt=0, description="Concurrent ZIPs of galleries of one address"
    )
    archive_silence: timedelta = Field(
        default=timedelta(minutes=10),
        description="Longest pause in a ZIP, in which a large original may be read once",
    )
    archive_bytes_per_s: int = Field(
        default=16 << 10,
        gt=0,
        description="Minimum rate of a client that reads a ZIP. A client that falls `client_silence` "
        "behind is disconnected and can resume",
    )

    live_streams: int = Field(
        default=10_000,
        gt=0,
        description="Concurrent live streams, apart from `max_in_flight`; at most three quarters of the "
        "connections, so that streams leave places for requests. A further one is answered 503",
    )
    live_streams_per_address: int = Field(
        default=256,
        gt=0,
        description="Concurrent live streams of one address: half of `connections_per_address`, so that an "
        "address full of viewers can still send requests",
    )
    live_streams_per_gallery: int = Field(
        default=5_000,
        gt=0,
        description="Concurrent live streams of one gallery in one gateway, so that a popular gallery does "
        "not take all places. A further one is answered 503 `too_many_viewers`",
    )
    live_heartbeat: timedelta = Field(
        default=timedelta(seconds=15),
        gt=timedelta(0),
        description="Time between two heartbeats of a live stream: shorter than the time after which proxies "
        "close an idle connection, which is often a minute",
    )
    live_queue: int = Field(
        default=64,
        gt=0,
        description="Chunks of a live stream that wait for a client that does not read. A further one cuts "
        "the stream, which bounds its memory; the client can continue",
    )
    live_changes_kept: int = Field(
        default=10_000,
        gt=0,
        description="Recent changes of all galleries that are remembered, so that an interrupted live stream "
        "continues. A client that missed older ones is told to load the gallery again",
    )

    grant_lifetime: timedelta = Field(
        default=timedelta(seconds=45), description="Longest reuse of a grant; a grant is valid for 60 s"
    )
    grants_cached: int = Field(default=10_000, gt=0)
    locations_cached: int = Field(
        default=50_000, gt=0, description="Items, uploads and links whose gallery is cached"
    )

    guess_burst: int = Field(default=40, gt=0, description="Failed lookups of codes of one address at once")
    guesses_per_minute: float = Field(default=20.0, gt=0, description="Failed lookups per minute after that")
    found_codes: int = Field(
        default=100_000,
        gt=0,
        description="Codes remembered as found by an address, for all addresses together. An address may "
        "still open them while its failed lookups are limited",
    )
    creation_burst: int = Field(default=60, gt=0, description="Galleries of one address or account at once")
    creations_per_hour: float = Field(default=120.0, gt=0, description="Galleries per hour after that")
    contributor_burst: int = Field(
        default=300,
        gt=0,
        description="Contributors of galleries from one address at once: the guests of one party share an "
        "address. Each is a row in the database",
    )
    contributors_per_hour: float = Field(default=300.0, gt=0, description="Contributors per hour after that")
    sign_up_burst: int = Field(default=20, gt=0, description="Accounts created by one address at once")
    sign_ups_per_hour: float = Field(default=20.0, gt=0, description="Accounts per hour after that")
    post_burst: int = Field(default=60, gt=0, description="Posts of one account at once")
    posts_per_hour: float = Field(default=120.0, gt=0, description="Posts per hour after that")
    comment_burst: int = Field(default=30, gt=0, description="Comments of one account at once")
    comments_per_minute: float = Field(default=30.0, gt=0, description="Comments per minute after that")
    webhook_burst: int = Field(
        default=60,
        gt=0,
        description="Webhooks made or changed and deliveries sent again by one account at once; each may "
        "look up the name of a host or call it",
    )
    webhooks_per_hour: float = Field(default=120.0, gt=0, description="Of all these per hour after that")
    signing_burst: int = Field(
        default=10_000,
        gt=0,
        description="Files signed for one address at once: each is a row in the database and a URL. A "
        "request for parts counts as one",
    )
    signings_per_minute: float = Field(default=3_000.0, gt=0, description="Files per minute after that")
    limited_addresses: int = Field(
        default=100_000, gt=0, description="Addresses remembered per limit; the oldest are forgotten first"
    )

    openapi_refresh: timedelta = timedelta(seconds=60)

    def url_of(self, service: Service) -> str | None:
        """Returns the address of a service, or None where the deployment has no such service."""
        url: str | None = getattr(self, f"{service.value}_url")
        return url
