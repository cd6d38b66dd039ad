"""AWS Signature Version 4 in the query string: pre-signed URLs, made in a few microseconds.

botocore builds a request object, a header map and four HMACs per URL. Almost all of that is the same for
every URL of a response, so everything that depends only on the instant, the lifetime and the names of the
signed headers is computed once here (`_Frame`); one URL then costs two SHA-256 and an HMAC. A test checks
that the output is byte-identical to botocore's `S3SigV4QueryAuth`. Source: ADR-0005,
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from hashlib import _Hash

MAX_EXPIRES_S = 7 * 24 * 3600

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_FRAMES = 128
_BLOCK_BYTES = 64
_IPAD = bytes(x ^ 0x36 for x in range(256))
_OPAD = bytes(x ^ 0x5C for x in range(256))
_plain_path = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials for signing. Secrets stay out of `repr`, hence out of logs and tracebacks."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Frame:
    """All parts of a URL that do not depend on its path, header values or extra parameters."""

    canonical_query: str
    url_query: str
    # The canonical headers and what follows them, with a %s for each header value except the host's.
    canonical_tail: str
    # The signing HMAC, already fed with the string to sign up to the digest of the canonical request.
    inner: _Hash
    outer: _Hash


def encode_path(key: str) -> str:
    """Percent-encodes an object key for a path; `/` stays, nothing is normalized (S3 keys may hold `//`)."""
    return key if _plain_path(key) else quote(key, safe="/~")


@lru_cache(maxsize=4096)  # content types and file names repeat
def encode_query(value: str) -> str:
    """Percent-encodes a name or value for the canonical query string (RFC 3986 unreserved stay)."""
    return quote(value, safe="~")


class QuerySigner:
    """Signs URLs of one endpoint with one set of credentials. No I/O; may be shared between threads."""

    def __init__(self, *, endpoint: str, region: str, credentials: Credentials) -> None:
        """endpoint: scheme and authority, without a path (`https://s3.example.org`)."""
        parts = urlsplit(endpoint)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError(f"An S3 endpoint is http(s)://host[:port], not {endpoint!r}")
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        default_port = parts.port is None or parts.port == _DEFAULT_PORTS[parts.scheme]
        self._host = name if default_port else f"{name}:{parts.port}"
        self._base = f"{parts.scheme}://{self._host}"
        self._region = region
        self._credentials = credentials
        self._signing_key: tuple[str, bytes] = ("", b"")
        self._frames: dict[tuple[datetime, int, tuple[str, ...]], _Frame] = {}

    def presign(
        self,
        method: str,
        path: str,
        *,
        now: datetime,
        expires_s: int,
        header_names: tuple[str, ...] = (),
        header_values: tuple[str, ...] = (),
        query: tuple[tuple[str, str], ...] = (),
    ) -> str:
        """Returns the signed URL.

        path: begins with `/`, already encoded (`encode_path`). header_names: lower-case and sorted, without
        `host`; header_values: their values, without outer or repeated white space. query: further parameters
        to sign, plain text, in the order of the URL. expires_s: seconds from `now`, 1 to 604,800. Raises
        ValueError.
        """
        frame = self._frames.get((now, expires_s, header_names))
        if frame is None:
            frame = self._remember_frame(now, expires_s, header_names)
        canonical_query = frame.canonical_query
        url_query = frame.url_query
        if query:
            canonical_query, url_query = _merge(frame, query)
        tail = frame.canonical_tail % header_values
        canonical = f"{method}\n{path}\n{canonical_query}\n{tail}"
        inner = frame.inner.copy()
        inner.update(sha256(canonical.encode()).hexdigest().encode())
        outer = frame.outer.copy()
        outer.update(inner.digest())
        return f"{self._base}{path}?{url_query}&X-Amz-Signature={outer.hexdigest()}"

    def _remember_frame(self, now: datetime, expires_s: int, header_names: tuple[str, ...]) -> _Frame:
        # All frames are dropped when full: instants only advance, so old frames are never needed again.
        if len(self._frames) >= _MAX_FRAMES:
            self._frames.clear()
        frame = self._make_frame(now, expires_s, header_names)
        self._frames[now, expires_s, header_names] = frame
        return frame

    def _make_frame(self, now: datetime, expires_s: int, header_names: tuple[str, ...]) -> _Frame:
        if now.tzinfo is None:
            raise ValueError("Signing needs an aware datetime")
        if not 1 <= expires_s <= MAX_EXPIRES_S:
            raise ValueError(f"A signed URL lives 1 to {MAX_EXPIRES_S} seconds, not {expires_s}")
        names = sorted((*header_names, "host"))
        if [name for name in names if name != "host"] != [name.lower() for name in header_names]:
            raise ValueError("Signed header names must be sorted, lower-case and without host")
        amz_date = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{amz_date[:8]}/{self._region}/s3/aws4_request"
        pairs = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{self._credentials.access_key}/{scope}"),
            ("X-Amz-Date", amz_date),
            ("X-Amz-Expires", str(expires_s)),
            ("X-Amz-SignedHeaders", ";".join(names)),
        ]
        if self._credentials.session_token is not None:
            pairs.append(("X-Amz-Security-Token", self._credentials.session_token))
        encoded = [f"{name}={encode_query(value)}" for name, value in pairs]
        host = self._host.replace("%", "%%")
        headers = "".join(f"{name}:{host if name == 'host' else '%s'}\n" for name in names)
        inner, outer = hmac_contexts(self._key_of(amz_date[:8]))
        inner.update(f"AWS4-HMAC-SHA256\n{amz_date}\n{scope}\n".encode())
        return _Frame(
            canonical_query="&".join(sorted(encoded)),
            url_query="&".join(encoded),
            canonical_tail=f"{headers}\n{';'.join(names)}\nUNSIGNED-PAYLOAD",
            inner=inner,
            outer=outer,
        )

    def _key_of(self, day: str) -> bytes:
        """Returns the derived signing key, kept for its day."""
        kept_day, key = self._signing_key
        if kept_day != day:
            key = f"AWS4{self._credentials.secret_key}".encode()
            for step in (day, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, step.encode(), "sha256")
            self._signing_key = (day, key)
        return key


def _merge(frame: _Frame, query: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """Returns the canonical (sorted) and the URL form (given parameters, then signature) of the query."""
    extra = [(encode_query(name), encode_query(value)) for name, value in query]
    given = "&".join([f"{name}={value}" for name, value in extra])
    url_query = f"{given}&{frame.url_query}"
    extra.sort()
    if extra[0][0] > "X-Amz-~":  # S3's own parameters are lower-case, so they sort after X-Amz-*
        return f"{frame.canonical_query}&{'&'.join([f'{n}={v}' for n, v in extra])}", url_query
    pairs = [pair.partition("=")[::2] for pair in frame.canonical_query.split("&")]
    return "&".join([f"{n}={v}" for n, v in sorted([*extra, *pairs])]), url_query


def hmac_contexts(key: bytes) -> tuple[_Hash, _Hash]:
    """Returns HMAC-SHA256 begun with `key` (32 bytes), as two plain contexts.

    Copying these costs a third of `hmac.new`, and the inner one can be fed in advance. RFC 2104.
    """
    padded = key.ljust(_BLOCK_BYTES, b"\0")
    return sha256(padded.translate(_IPAD)), sha256(padded.translate(_OPAD))
