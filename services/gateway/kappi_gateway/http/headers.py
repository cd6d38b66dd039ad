"""The headers that pass the gateway, in both directions.

Requests have a list of allowed headers, so that no header a client invents reaches a service, above all no
`X-Kappi-…`. Answers pass all headers except those of the single connection (RFC 9110, 7.6.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kappi_contracts.grants import ACCESS_HEADER, COUNTED_HEADER

from kappi_gateway.errors import HeaderUnreadable

RawHeaders = Iterable[tuple[bytes, bytes]]

AUTHORIZATION = b"authorization"
GALLERY_KEY = b"x-gallery-key"
CONTRIBUTOR_KEY = b"x-contributor-key"
GALLERY_CODE = b"x-gallery-code"
GALLERY_PASSWORD = b"x-gallery-password"
LAST_EVENT_ID = b"last-event-id"
HOST = b"host"
FORWARDED_FOR = b"x-forwarded-for"
FORWARDED_HOST = b"x-forwarded-host"
FORWARDED_PROTO = b"x-forwarded-proto"
CONTENT_LENGTH = b"content-length"
TRANSFER_ENCODING = b"transfer-encoding"

_EVERYWHERE = (
    "accept",
    "accept-encoding",
    "accept-language",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "tracestate",
    "user-agent",
)


def _passing(*names: str) -> dict[bytes, str]:
    return {name.encode(): name for name in (*_EVERYWHERE, *names)}


WITH_TOKEN: Mapping[bytes, str] = _passing("authorization", "idempotency-key")
"""For the identity service, and for a call whose account the service itself reads from the token."""

TO_PANEL: Mapping[bytes, str] = _passing(
    "cookie", "origin", "referer", "sec-fetch-mode", "sec-fetch-site", "x-csrftoken", "x-requested-with"
)
"""For the admin panel, a web page with its own session."""

TO_GALLERIES: Mapping[bytes, str] = _passing("authorization", "idempotency-key", "x-gallery-key")
"""For the service that checks the client's own credentials."""

WITH_GRANT: Mapping[bytes, str] = _passing("idempotency-key")
"""For a service that gets a grant or needs none: the credential exchanged for the grant does not pass."""

ROLE = "x-kappi-role"
"""The role in the access token of a viewer, for statistics only (ADR-0024): it gives no right."""

TO_STATISTICS: Mapping[bytes, str] = {b"accept-language": "accept-language", b"user-agent": "user-agent"}
"""What a recorded access says of its caller (ADR-0024), beside address and role."""

SIGNED = "x-kappi-signed"
"""Number of files that an answer of the media service signs, for the limit; the client does not get it."""

TO_STORE: Mapping[bytes, str] = _passing(
    "access-control-request-headers",
    "access-control-request-method",
    "content-disposition",
    "content-md5",
    "origin",
    "x-amz-checksum-sha256",
)
"""For the object store, whose signed URLs are the whole credential."""

_CONNECTION_ONLY = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_OURS_TO_SHOW = frozenset(
    {
        b"date",
        b"server",
        b"traceparent",
        b"x-kappi-grant",
        SIGNED.encode(),
        ACCESS_HEADER.encode(),
        COUNTED_HEADER.encode(),
        b"x-request-id",
    }
)
_DROPPED = _CONNECTION_ONLY | _NOT_OURS_TO_SHOW
_DROPPED_WITH_LENGTH = _DROPPED | {CONTENT_LENGTH}
_ORDINARY_CONNECTION = frozenset({b"keep-alive", b"close", b""})


def text(value: bytes) -> str:
    """Returns a header's value as text. Raises HeaderUnreadable if it is not UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HeaderUnreadable("A header's value is not UTF-8.") from error


def first(headers: RawHeaders, wanted: bytes) -> bytes | None:
    """Returns the value of the first header of that (lower-case) name, None without one."""
    for name, value in headers:
        if name == wanted:
            return value
    return None


def passing(headers: RawHeaders, allowed: Mapping[bytes, str]) -> list[tuple[str, str]]:
    """Returns the client's headers that are passed to the service. Raises HeaderUnreadable."""
    passed: list[tuple[str, str]] = []
    nominated: set[str] = set()
    for name, value in headers:
        known = allowed.get(name)
        if known is not None:
            passed.append((known, text(value)))
        elif name == b"connection" and value.lower() not in _ORDINARY_CONNECTION:
            nominated.update(token.strip() for token in value.decode("latin-1").lower().split(","))
    if nominated:
        return [header for header in passed if header[0] not in nominated]
    return passed


def answering(raw: RawHeaders, *, without_length: bool) -> list[tuple[bytes, bytes]]:
    """Returns the service's headers that are passed to the client.

    without_length: for 204 and 304, whose Content-Length describes a body that is not sent.
    """
    dropped = _DROPPED_WITH_LENGTH if without_length else _DROPPED
    return [(lowered, value) for name, value in raw if (lowered := name.lower()) not in dropped]
