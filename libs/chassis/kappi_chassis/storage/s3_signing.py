"""`UrlSigner` for any S3: a SigV4 query signer, path-style or virtual-host style."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from kappi_chassis.storage.aws_credentials import CredentialSource
from kappi_chassis.storage.content_type import header_content_type
from kappi_chassis.storage.contract import ContentBinding, SignedRequest
from kappi_chassis.storage.disposition import attachment
from kappi_chassis.storage.part_numbers import checked_part_number
from kappi_chassis.storage.sigv4 import Credentials, QuerySigner, encode_path

_PUT_HEADERS = ("content-length", "content-type", "if-none-match")
_PART_HEADERS = ("content-length",)
_PUT_HEADERS_WITH_SHA256 = (*_PUT_HEADERS, "x-amz-checksum-sha256")


class Addressing(StrEnum):
    """The position of the bucket: in the path (`host/bucket/key`) or in the host (`bucket.host/key`)."""

    PATH = "path"
    VIRTUAL = "virtual"


class S3UrlSigner:
    """Signs with the address that clients use, which may differ from the one that the services use."""

    def __init__(
        self,
        *,
        endpoint: str,
        region: str,
        bucket: str,
        credentials: Credentials | CredentialSource,
        addressing: Addressing,
    ) -> None:
        """credentials: fixed ones, or a source of the current ones."""
        if addressing is Addressing.VIRTUAL:
            parts = urlsplit(endpoint)
            endpoint = urlunsplit(parts._replace(netloc=f"{bucket}.{parts.netloc}"))
            self._prefix = "/"
        else:
            self._prefix = f"/{encode_path(bucket)}/"
        self._endpoint = endpoint
        self._region = region
        self._credentials = credentials
        self._kept: tuple[Credentials, QuerySigner] | None = None
        if isinstance(credentials, Credentials):
            self._kept = (credentials, self._signer_with(credentials))

    def _signer(self) -> QuerySigner:
        given = self._credentials
        wanted = given if isinstance(given, Credentials) else given()
        if self._kept is None or self._kept[0] is not wanted:
            self._kept = (wanted, self._signer_with(wanted))
        return self._kept[1]

    def _signer_with(self, credentials: Credentials) -> QuerySigner:
        return QuerySigner(endpoint=self._endpoint, region=self._region, credentials=credentials)

    def sign_put(
        self, key: str, *, binding: ContentBinding, now: datetime, lifetime: timedelta
    ) -> SignedRequest:
        """See `UrlSigner.sign_put`."""
        content_type = header_content_type(binding.content_type)
        headers = {"content-type": content_type, "if-none-match": "*"}
        names: tuple[str, ...] = _PUT_HEADERS
        values: tuple[str, ...] = (str(binding.size_bytes), content_type, "*")
        if binding.sha256 is not None:
            checksum = b64encode(binding.sha256).decode()
            headers["x-amz-checksum-sha256"] = checksum
            names = _PUT_HEADERS_WITH_SHA256
            values = (*values, checksum)
        url = self._signer().presign(
            "PUT",
            self._prefix + encode_path(key),
            now=now,
            expires_s=int(lifetime.total_seconds()),
            header_names=names,
            header_values=values,
        )
        return SignedRequest(url=url, http_method="PUT", headers=headers, expires_at=now + lifetime)

    def sign_part(
        self, key: str, *, upload_id: str, number: int, size_bytes: int, now: datetime, lifetime: timedelta
    ) -> SignedRequest:
        """See `UrlSigner.sign_part`."""
        url = self._signer().presign(
            "PUT",
            self._prefix + encode_path(key),
            now=now,
            expires_s=int(lifetime.total_seconds()),
            header_names=_PART_HEADERS,
            header_values=(str(size_bytes),),
            query=(("uploadId", upload_id), ("partNumber", str(checked_part_number(number)))),
        )
        return SignedRequest(url=url, http_method="PUT", headers={}, expires_at=now + lifetime)

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
        query: tuple[tuple[str, str], ...] = ()
        if filename is not None:
            query = (("response-content-disposition", attachment(filename)),)
        if content_type is not None:
            query = (*query, ("response-content-type", header_content_type(content_type)))
        url = self._signer().presign(
            "GET",
            self._prefix + encode_path(key),
            now=now,
            expires_s=int(lifetime.total_seconds()),
            query=query,
        )
        return SignedRequest(url=url, http_method="GET", headers={}, expires_at=now + lifetime)
