"""The local store over HTTP: an ASGI app that answers the URLs of `LocalUrlSigner`.

It behaves as S3 for the requests that Kappi issues: same headers, status codes and error codes. It logs
nothing. Its server is `HttpServer`, whose sockets it uses for large bodies (`direct_bytes`), and which keeps
no access log: a signed URL is a credential.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from typing import Literal

from kappi_chassis.http.direct_bytes import DIRECT, Direct
from kappi_chassis.storage.contract import (
    ContentBinding,
    MultipartMissing,
    ObjectExistsAlready,
    ObjectHead,
    ObjectMissing,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)
from kappi_chassis.storage.http_ranges import (
    RangeNotSatisfiable,
    failed_condition,
    range_counts,
    requested_range,
)
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_body import UploadBody
from kappi_chassis.storage.local_files import OpenObject
from kappi_chassis.storage.local_responses import (
    CONTENT_SAFETY,
    CORS,
    PREFLIGHT,
    PRIVATE,
    Abandoned,
    AsgiApp,
    Headers,
    Receive,
    Refused,
    Scope,
    Send,
    send_last_refusal,
    send_refusal,
    send_whole,
)
from kappi_chassis.storage.local_sending import send_file
from kappi_chassis.storage.local_signing import (
    STORE_PATH,
    LocalUrlVerifier,
    PartBinding,
    SignatureRejected,
    SignedClaims,
    UrlExpired,
)
from kappi_chassis.storage.local_tombstones import ObjectDeleted
from kappi_chassis.storage.local_uploads import UploadsUnderWay

_MD5_BYTES = 16
_SMALL_BYTES = 256 << 10
"""The length up to which one read costs less than the kernel's way from file to socket."""


def local_store_app(
    store: LocalObjectStore,
    *,
    signer_secret: bytes,
    clock: Callable[[], datetime],
    base_path: str = STORE_PATH,
) -> AsgiApp:
    """Returns the app. base_path: the path before keys, slashes included. clock: aware, decides the
    expiry.
    """
    return _LocalStoreApp(
        store, verifier=LocalUrlVerifier(secret=signer_secret), clock=clock, base_path=base_path
    )


class _LocalStoreApp:
    def __init__(
        self,
        store: LocalObjectStore,
        *,
        verifier: LocalUrlVerifier,
        clock: Callable[[], datetime],
        base_path: str,
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._clock = clock
        self._base_path = base_path
        self._uploads = UploadsUnderWay()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"The store speaks HTTP only, not {scope['type']}")
        body = UploadBody(scope)
        try:
            try:
                await self._answer(scope, body=body, send=send)
            except Refused as refused:
                if await body.drained():
                    await send_refusal(send, refused)
                else:
                    await send_last_refusal(send, refused, linger=body.linger)
        except Abandoned:
            scope[DIRECT].cut()
        finally:
            body.close()

    async def _answer(self, scope: Scope, *, body: UploadBody, send: Send) -> None:
        method: str = scope["method"]
        if method == "OPTIONS":
            await send_whole(send, 204, PREFLIGHT)
            return
        if method not in {"GET", "HEAD", "PUT"}:
            raise Refused(405, "MethodNotAllowed", "Only GET, HEAD and PUT.", [(b"allow", b"GET, HEAD, PUT")])
        claims = self._verified(scope)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            if (part := claims.part) is not None:
                with self._uploads.alone(part.upload_id, str(part.number), body=body):
                    await self._put_part(claims.key, part, headers=headers, body=body, send=send)
            elif claims.binding is not None:
                with self._uploads.alone(claims.key, body=body):
                    await self._put(claims.key, claims.binding, headers=headers, body=body, send=send)
            else:
                direct = scope[DIRECT] if method == "GET" else None
                await self._get(claims, headers=headers, direct=direct, send=send)
        except ObjectMissing as error:
            raise Refused(404, "NoSuchKey", "There is no such object.") from error
        except MultipartMissing as error:
            raise Refused(404, "NoSuchUpload", "There is no such multipart upload.") from error
        except ObjectExistsAlready as error:
            raise Refused(412, "PreconditionFailed", "The object exists already.") from error
        except ObjectDeleted as error:
            raise Refused(403, "AccessDenied", "The object was deleted; its URL is void.") from error
        except StorageRefused as error:
            raise Refused(400, "InvalidRequest", "The store cannot hold such an object.") from error
        except StorageFull as error:
            later: Headers = [(b"retry-after", b"60")]
            raise Refused(507, "InsufficientStorage", "The store has no room now.", later) from error
        except StorageUnavailable as error:
            retry: Headers = [(b"retry-after", b"1")]
            raise Refused(503, "ServiceUnavailable", "Try again shortly.", retry) from error

    def _verified(self, scope: Scope) -> SignedClaims:
        path: str = scope["path"]
        if not path.startswith(self._base_path):
            raise Refused(404, "NoSuchKey", "There is no such object.")
        key = path[len(self._base_path) :]
        method = "PUT" if scope["method"] == "PUT" else "GET"
        try:
            return self._verifier.verify(method, key, scope["query_string"], now=self._clock())
        except SignatureRejected as error:
            raise Refused(403, "SignatureDoesNotMatch", "The URL's signature is not valid.") from error
        except UrlExpired as error:
            raise Refused(403, "AccessDenied", "Request has expired.") from error

    async def _put(
        self, key: str, binding: ContentBinding, *, headers: dict[str, str], body: UploadBody, send: Send
    ) -> None:
        _check_upload_headers(headers, binding)
        # Checked before the body is read as well as when it is stored, so that a refusal does not cost 5 GiB.
        await self._store.refuse_deleted(key)
        if await self._store.exists(key):
            raise ObjectExistsAlready
        writer = await self._store.writer(
            key, content_type=binding.content_type, size_bytes=binding.size_bytes
        )
        try:
            await body.pass_to(writer.write, blocking=self._store.blocking)
            if binding.sha256 is not None and writer.digest() != binding.sha256:
                raise Refused(400, "BadDigest", "The SHA-256 of the content is not the one signed.")
            head = await self._store.publish_upload(writer, key)
        finally:
            await self._store.blocking(writer.discard)
        answer = [*CORS, (b"etag", _quoted(head.etag))]
        if binding.sha256 is not None:
            answer.append((b"x-amz-checksum-sha256", b64encode(binding.sha256)))
        await send_whole(send, 200, answer)

    async def _put_part(
        self, key: str, part: PartBinding, *, headers: dict[str, str], body: UploadBody, send: Send
    ) -> None:
        _check_length(headers, part.size_bytes)
        content_md5 = _content_md5(headers)
        # As above, checked before as well as after.
        # First, so that the answer is the same before and after an ended upload's objects are purged.
        await self._store.expect_multipart(key, upload_id=part.upload_id)
        await self._store.refuse_deleted(key)
        # MD5 takes more than twice as long as SHA-256, so it is computed only for a sender that declares it.
        hashed_by: Literal["sha256", "md5"] = "sha256" if content_md5 is None else "md5"
        writer = await self._store.part_writer(key, part, hashed_by=hashed_by)
        try:
            await body.pass_to(writer.write, blocking=self._store.blocking)
            if content_md5 is not None and writer.digest() != content_md5:
                raise Refused(400, "BadDigest", "The MD5 of the part is not the one in Content-MD5.")
            etag = await self._store.publish_part(writer, key, upload_id=part.upload_id, number=part.number)
        finally:
            await self._store.blocking(writer.discard)
        await send_whole(send, 200, [*CORS, (b"etag", _quoted(etag))])

    async def _get(
        self, claims: SignedClaims, *, headers: dict[str, str], direct: Direct | None, send: Send
    ) -> None:
        """Answers GET, or HEAD if `direct` is None."""
        opened = await self._store.open(claims.key)
        try:
            head = opened.head
            status, first, last = _selected(head, headers)
            answer = _object_headers(head, claims)
            if status == 304:
                await send_whole(send, 304, answer)
                return
            if status == 206:
                answer.append((b"content-range", f"bytes {first}-{last}/{head.size_bytes}".encode()))
            length = last - first + 1
            answer.append((b"content-type", (claims.content_type or head.content_type).encode()))
            answer.append((b"content-length", str(length).encode()))
            small = direct is not None and length <= _SMALL_BYTES
            body = await self._read(opened, offset=first, length=length) if small else b""
            await send({"type": "http.response.start", "status": status, "headers": answer})
            if direct is not None and not small:
                await send_file(opened, offset=first, length=length, to=direct, blocking=self._store.blocking)
            await send({"type": "http.response.body", "body": body})
        finally:
            opened.close()

    async def _read(self, opened: OpenObject, *, offset: int, length: int) -> bytes:
        body = await self._store.read_open(opened, offset=offset, length=length)
        if len(body) < length:
            raise StorageUnavailable("a file is shorter than it was")
        return body


def _check_upload_headers(headers: dict[str, str], binding: ContentBinding) -> None:
    """Refuses an upload that differs from the signed one, before any byte of the body is read."""
    _check_length(headers, binding.size_bytes)
    expected = {"content-type": binding.content_type, "if-none-match": "*"}
    for name, value in expected.items():
        if headers.get(name) != value:
            raise Refused(403, "SignatureDoesNotMatch", f"{name} is not the one signed.")
    if binding.sha256 is not None and _decoded(headers.get("x-amz-checksum-sha256")) != binding.sha256:
        raise Refused(403, "SignatureDoesNotMatch", "x-amz-checksum-sha256 is not the one signed.")


def _check_length(headers: dict[str, str], size_bytes: int) -> None:
    length = headers.get("content-length")
    if length is None:
        raise Refused(411, "MissingContentLength", "Content-Length is required.")
    if length != str(size_bytes):
        raise Refused(
            400,
            "ContentLengthMismatch",
            f"This upload was signed for {size_bytes} bytes, and its Content-Length is another.",
        )


def _content_md5(headers: dict[str, str]) -> bytes | None:
    """Returns the digest that the sender declares for the part. The signature does not contain it, as
    on S3.
    """
    given = headers.get("content-md5")
    if given is None:
        return None
    digest = _decoded(given)
    if digest is None or len(digest) != _MD5_BYTES:
        raise Refused(400, "InvalidDigest", "Content-MD5 is not the Base64 of 16 bytes.")
    return digest


def _decoded(checksum: str | None) -> bytes | None:
    try:
        return b64decode(checksum, validate=True) if checksum is not None else None
    except (Base64Error, ValueError):
        return None


def _selected(head: ObjectHead, headers: dict[str, str]) -> tuple[int, int, int]:
    """Returns status, first and last byte to send. RFC 9110, 13.2.2: preconditions before ranges."""
    failed = failed_condition(headers, etag=head.etag, last_modified=head.last_modified)
    if failed == 412:
        raise Refused(412, "PreconditionFailed", "The object is not the one named.")
    if failed is not None:
        return failed, 0, -1
    counts = range_counts(headers.get("if-range"), etag=head.etag, last_modified=head.last_modified)
    byte_range = headers.get("range") if counts else None
    try:
        selected = requested_range(byte_range, size_bytes=head.size_bytes)
    except RangeNotSatisfiable as error:
        total: Headers = [(b"content-range", f"bytes */{head.size_bytes}".encode())]
        raise Refused(416, "InvalidRange", "The range is not satisfiable.", total) from error
    if selected is None:
        return 200, 0, head.size_bytes - 1
    return 206, *selected


def _object_headers(head: ObjectHead, claims: SignedClaims) -> Headers:
    headers: Headers = [
        *CORS,
        *CONTENT_SAFETY,
        *PRIVATE,
        (b"accept-ranges", b"bytes"),
        (b"etag", _quoted(head.etag)),
        (b"last-modified", format_datetime(head.last_modified, usegmt=True).encode()),
    ]
    if claims.disposition is not None:
        headers.append((b"content-disposition", claims.disposition.encode("latin-1")))
    return headers


def _quoted(etag: str) -> bytes:
    return f'"{etag}"'.encode()
