"""Signed URLs of the local store: HMAC-SHA256 over method, key and all values that the request is bound to.

The signature covers the method, the encoded key and all query parameters before `signature`, in the fixed
order of `_PARAMETERS`. A PUT is always create-only, so that needs no parameter. The headers a client must
send have S3's names, so a client need not distinguish the stores.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

from kappi_chassis.base_url import told
from kappi_chassis.storage.content_type import header_content_type
from kappi_chassis.storage.contract import ContentBinding, SignedRequest
from kappi_chassis.storage.disposition import attachment
from kappi_chassis.storage.part_numbers import checked_part_number
from kappi_chassis.storage.sigv4 import MAX_EXPIRES_S, encode_path, encode_query, hmac_contexts

MIN_SECRET_BYTES = 16
STORE_PATH = "/store/"
"""The path of the store below an address of the gateway."""

_PARAMETERS = ("expires", "type", "size", "sha256", "disposition", "upload", "part")
_SIGNATURE = "signature"
_MAX_QUERY_BYTES = 8192
_digits = re.compile(r"[0-9]{1,18}").fullmatch
_hex_digest = re.compile(r"[0-9a-f]{64}").fullmatch


class SignatureRejected(Exception):
    """The URL was not signed with this secret, or not for this request."""


class UrlExpired(Exception):
    """The URL was signed with this secret, and has expired."""


@dataclass(frozen=True, slots=True)
class PartBinding:
    """The one part of one multipart upload that a PUT may carry. size_bytes: exact Content-Length."""

    upload_id: str
    number: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SignedClaims:
    """The request that a verified URL allows.

    `binding` or `part` for a PUT; the other two are headers of the answer to a GET.
    """

    key: str
    binding: ContentBinding | None = None
    part: PartBinding | None = None
    content_type: str | None = None
    disposition: str | None = None


class _UrlHmac:
    """Computes signatures for both signer and verifier, so that they agree."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError(f"The local store's secret needs at least {MIN_SECRET_BYTES} bytes")
        # A derived key: the same secret may sign other things elsewhere.
        key = hmac.digest(secret, b"kappi local store url v1", "sha256")
        self._inner, self._outer = hmac_contexts(key)

    def of(self, http_method: str, path: str, query: str) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{http_method}\n{path}\n{query}".encode())
        outer.update(inner.digest())
        return outer.hexdigest()


class LocalUrlSigner:
    """See `UrlSigner`. Signs URLs that `local_server.local_store_app` with the same secret answers."""

    def __init__(self, *, base_url: str, secret: bytes) -> None:
        """Checks the URL. base_url: the public URL of the store, ending in `/` (`http://host:8000/store/`).
        It is replaced when the gateway names another address for the client.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or not parts.path.endswith("/"):
            raise ValueError(
                f"The store's base URL is http(s)://host/.../ with a final slash, not {base_url!r}"
            )
        self._base_url = base_url
        self._hmac = _UrlHmac(secret)

    def sign_put(
        self, key: str, *, binding: ContentBinding, now: datetime, lifetime: timedelta
    ) -> SignedRequest:
        """See `UrlSigner.sign_put`."""
        content_type = header_content_type(binding.content_type)
        expires_at, query = _expiry(now, lifetime)
        query = f"{query}&type={encode_query(content_type)}&size={binding.size_bytes}"
        headers = {"content-type": content_type, "if-none-match": "*"}
        if binding.sha256 is not None:
            query = f"{query}&sha256={binding.sha256.hex()}"
            headers["x-amz-checksum-sha256"] = b64encode(binding.sha256).decode()
        url = self._signed("PUT", key, query)
        return SignedRequest(url, "PUT", headers, expires_at)

    def sign_part(
        self, key: str, *, upload_id: str, number: int, size_bytes: int, now: datetime, lifetime: timedelta
    ) -> SignedRequest:
        """See `UrlSigner.sign_part`."""
        expires_at, query = _expiry(now, lifetime)
        query = (
            f"{query}&size={size_bytes}&upload={encode_query(upload_id)}&part={checked_part_number(number)}"
        )
        return SignedRequest(
            url=self._signed("PUT", key, query), http_method="PUT", headers={}, expires_at=expires_at
        )

    def sign_get(
        self,
        key: str,
        *,
        now: datetime,
        lifetime: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> SignedRequest:
        """See `UrlSigner.sign_get`."""
        expires_at, query = _expiry(now, lifetime)
        if content_type is not None:
            query = f"{query}&type={encode_query(header_content_type(content_type))}"
        if filename is not None:
            query = f"{query}&disposition={encode_query(attachment(filename))}"
        url = self._signed("GET", key, query)
        return SignedRequest(url=url, http_method="GET", headers={}, expires_at=expires_at)

    def _signed(self, http_method: str, key: str, query: str) -> str:
        path = encode_path(key)
        came_by = told.get()
        base_url = self._base_url if came_by is None else came_by + STORE_PATH
        return f"{base_url}{path}?{query}&{_SIGNATURE}={self._hmac.of(http_method, path, query)}"


class LocalUrlVerifier:
    """Verifies URLs, on the server's side."""

    def __init__(self, *, secret: bytes) -> None:
        self._hmac = _UrlHmac(secret)

    def verify(self, http_method: str, key: str, query_string: bytes, *, now: datetime) -> SignedClaims:
        """Returns what the URL allows. query_string: as it arrived. Raises SignatureRejected, UrlExpired."""
        given = _parsed(query_string)
        signature = given.pop(_SIGNATURE, "")
        query = "&".join([f"{name}={encode_query(given[name])}" for name in _PARAMETERS if name in given])
        try:
            expected = self._hmac.of(http_method, encode_path(key), query)
        except UnicodeEncodeError as error:
            raise SignatureRejected from error
        # Bytes, because compare_digest refuses text that is not ASCII.
        if not hmac.compare_digest(signature.encode(errors="replace"), expected.encode()):
            raise SignatureRejected
        if now.timestamp() >= int(given["expires"]):
            raise UrlExpired
        if http_method == "PUT" and "upload" in given:
            return SignedClaims(key=key, part=_part_binding(given))
        if http_method == "PUT":
            return SignedClaims(key=key, binding=_binding(given))
        return SignedClaims(key=key, content_type=given.get("type"), disposition=given.get("disposition"))


@lru_cache(maxsize=256)  # the same for every URL of an answer
def _expiry(now: datetime, lifetime: timedelta) -> tuple[datetime, str]:
    if now.tzinfo is None:
        raise ValueError("Signing needs an aware datetime")
    if not 1 <= lifetime.total_seconds() <= MAX_EXPIRES_S:
        raise ValueError(f"A signed URL lives 1 to {MAX_EXPIRES_S} seconds, not {lifetime}")
    expires_at = now + lifetime
    return expires_at, f"expires={int(expires_at.timestamp())}"


def _parsed(query_string: bytes) -> dict[str, str]:
    """Returns the parameters, each known and given once. An unknown one is refused like a changed one."""
    if len(query_string) > _MAX_QUERY_BYTES:
        raise SignatureRejected
    try:
        pairs = parse_qsl(query_string.decode("ascii"), strict_parsing=True, errors="strict")
    except ValueError as error:  # UnicodeDecodeError is one
        raise SignatureRejected from error
    given = dict(pairs)
    if len(given) != len(pairs) or not given.keys() <= {*_PARAMETERS, _SIGNATURE}:
        raise SignatureRejected
    if not _digits(given.get("expires", "")):
        raise SignatureRejected
    return given


def _binding(given: Mapping[str, str]) -> ContentBinding:
    # It is signed and so well-formed; it is checked all the same, because the secret may be shared with other
    # versions.
    size, digest = given.get("size", ""), given.get("sha256")
    if not _digits(size) or (digest is not None and not _hex_digest(digest)):
        raise SignatureRejected
    return ContentBinding(
        content_type=given.get("type", ""),
        size_bytes=int(size),
        sha256=bytes.fromhex(digest) if digest is not None else None,
    )


def _part_binding(given: Mapping[str, str]) -> PartBinding:
    # As above.
    size, number = given.get("size", ""), given.get("part", "")
    if not _digits(size) or not _digits(number):
        raise SignatureRejected
    return PartBinding(upload_id=given["upload"], number=int(number), size_bytes=int(size))
