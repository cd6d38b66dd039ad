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
        description="Where clients reach the gateway: URLs in answers begin with it, the admin panel takes "
        "forms from it, and a path in it is taken off requests, where a proxy in front leaves it there. "
        "Without one the panel is where `Host` says",
    )
    hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split(_host))] = Field(
        default=(),
        description="Further hosts by which clients reach the gateway, with their port, as in `Host`: the "
        "URLs in an answer begin with the one that its request named. Any other is ignored, as a client "
        "could name a host of its own",
    )
    own_addresses: bool = Field(
        default=False,
        description="Whether the address of this machine that a client is connected to counts as one of "
        "`hosts`, and `localhost` where it is a loopback address. Not behind a proxy",
    )

    identity_url: BaseUrl | None = Field(
        default=None, description="The identity service; without it there are no accounts here"
    )
    account_jwks_url: BaseUrl | None = Field(
        default=None,
        description="Where the keys of access tokens are published, when not at the identity service",
    )
    galleries_url: BaseUrl = "http://127.0.0.1:8002"
    media_url: BaseUrl = "http://127.0.0.1:8003"
    store_url: BaseUrl | None = Field(
        default=None, description="The local object store's process; serves /store/ when set"
    )
    media_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split(_origin))] = Field(
        default=(), description="Origins of the object store that the web page may load pictures from"
    )

    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split(ip_network))] = Field(
        default=(),
        description="Networks whose X-Forwarded-For and X-Forwarded-Proto are believed: those of the proxies "
        "in front and no others, since a client that is believed gets around every limit per address",
    )
    hsts_max_age: timedelta = Field(
        default=timedelta(days=365),
        ge=timedelta(0),
        description="`Strict-Transport-Security` of answers to requests that came over HTTPS, which a "
        "trusted proxy tells: keeps browsers from being led to plain HTTP. 0 for none",
    )

    connect_timeout: timedelta = timedelta(seconds=2)
    read_timeout: timedelta = Field(
        default=timedelta(seconds=30), description="Longest silence of a service, not length of an answer"
    )
    client_silence: timedelta = Field(
        default=timedelta(seconds=60),
        description="Longest pause of a client that sends a body or reads one, and how long it may fall "
        "behind 4 KiB a second",
    )
    upstream_connections: int = Field(
        default=2048, gt=0, description="To all services: no less than all the requests at once together"
    )
    json_body_limit_bytes: int = Field(default=1 << 20, gt=0)
    file_body_limit_bytes: int = Field(
        default=22 << 20, gt=0, description="Of a body that carries a small file, perhaps as base64"
    )
    picture_body_limit_bytes: int = Field(
        default=101 << 20, gt=0, description="Of a body that carries the picture of a post"
    )
    picture_silence: timedelta = Field(
        default=timedelta(minutes=2),
        description="How long the answer to the picture of a post may take, once all of it has come",
    )
    files_per_address: int = Field(
        default=16, gt=0, description="Files being posted at once for one address: half of what media takes"
    )
    pictures_per_address: int = Field(
        default=4,
        gt=0,
        description="Posts with a picture at once for one address: a quarter of what media takes",
    )
    pictures_per_account: int = Field(
        default=2, gt=0, description="Posts with a picture at once for one account, whatever its addresses"
    )
    connections_per_address: int = Field(
        default=512,
        gt=0,
        description="Connections at once from one address, which is not that of a trusted proxy. Beyond it "
        "its longest waiting one is closed",
    )
    requests_per_address: int = Field(
        default=64,
        gt=0,
        description="Requests of one address at once: a quarter of max_in_flight, so that a client cannot "
        "take the places of others",
    )
    rendition_requests_per_address: int = Field(
        default=250, gt=0, description="As requests_per_address, of max_rendition_requests"
    )
    slow_per_address: int = Field(
        default=32, gt=0, description="Clients of one address that are waited for: an eighth of max_in_flight"
    )
    max_transfers: int = Field(default=512, gt=0, description="Requests to /store/ at once")
    transfers_per_address: int = Field(
        default=64,
        gt=0,
        description="Uploads to /store/ at once for one address, and as many downloads: ten telephones with "
        "six each. No address can take the places of all",
    )
    transfer_bytes_per_s: int = Field(
        default=24 << 10,
        gt=0,
        description="Of the transfers to or from /store/ of one address together, at least 4 KiB of each; of "
        "each when over half of max_transfers are under way. It is reached step by step, 4 KiB a minute; a "
        "transfer that falls client_silence behind is cut, and may resume. None can hold a place by crawling",
    )

    max_rendition_requests: int = Field(
        default=1_000,
        gt=0,
        description="Requests for renditions at once, beside max_in_flight: many may wait for one to be made",
    )
    max_archives: int = Field(
        default=256, gt=0, description="ZIPs of galleries on their way at once, beside max_in_flight"
    )
    archives_per_address: int = Field(default=8, gt=0, description="Of them, for one address")
    archive_silence: timedelta = Field(
        default=timedelta(minutes=10),
        description="Longest pause in a ZIP: a large original may be read once before it is sent",
    )
    archive_bytes_per_s: int = Field(
        default=16 << 10,
        gt=0,
        description="Of a client that reads a ZIP: who falls client_silence behind is cut, and may resume",
    )

    grant_lifetime: timedelta = Field(
        default=timedelta(seconds=45), description="How long a grant is reused; grants live 60 s"
    )
    grants_cached: int = Field(default=10_000, gt=0)
    locations_cached: int = Field(
        default=50_000, gt=0, description="Items, uploads and links whose gallery is remembered"
    )

    guess_burst: int = Field(default=40, gt=0, description="Failed look-ups an address has at once")
    guesses_per_minute: float = Field(default=20.0, gt=0, description="How fast they come back")
    found_codes: int = Field(
        default=100_000,
        gt=0,
        description="Codes found by addresses, in all: they pass while the same address guesses others",
    )
    creation_burst: int = Field(default=60, gt=0, description="Galleries an address or account makes at once")
    creations_per_hour: float = Field(default=120.0, gt=0, description="How fast they come back")
    sign_up_burst: int = Field(default=20, gt=0, description="Accounts an address makes at once")
    sign_ups_per_hour: float = Field(default=20.0, gt=0, description="How fast they come back")
    post_burst: int = Field(default=60, gt=0, description="Posts an account makes at once")
    posts_per_hour: float = Field(default=120.0, gt=0, description="How fast they come back")
    comment_burst: int = Field(default=30, gt=0, description="Comments an account writes at once")
    comments_per_minute: float = Field(default=30.0, gt=0, description="How fast they come back")
    signing_burst: int = Field(
        default=10_000,
        gt=0,
        description="Files an address has signed at once: each is a row in the database and a URL. A call "
        "for parts counts as one",
    )
    signings_per_minute: float = Field(default=3_000.0, gt=0, description="How fast they come back")
    limited_addresses: int = Field(
        default=100_000, gt=0, description="Addresses remembered per limit, the longest unseen go first"
    )

    openapi_refresh: timedelta = timedelta(seconds=60)
