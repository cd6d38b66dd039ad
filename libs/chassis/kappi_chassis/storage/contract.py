"""The `ObjectStore` contract: what Kappi needs from an object store (ADR-0005).

It has two parts, because their costs differ: `UrlSigner` only computes (microseconds, no I/O, called a
hundred times per request) and `ObjectStore` calls the store. One test suite,
`kappi_testkit.storage_contract.suite`, runs against every implementation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol


class StorageUnavailable(Exception):
    """The store did not answer, or cannot do it at present: try again later."""


class StorageFull(StorageUnavailable):
    """The store has no room for the write at present; everything else works."""


class ObjectMissing(Exception):
    """There is no object under that key."""


class MultipartMissing(Exception):
    """There is no such multipart upload: it was completed, aborted or swept, or never begun."""


class ObjectExistsAlready(Exception):
    """Another writer created the object first; this attempt changed nothing."""


class StorageRefused(Exception):
    """The store refuses the request itself (an over-long key, for example): a repetition will not help."""


class ContentBinding(NamedTuple):
    """The properties that a signed upload is bound to; the store refuses any other content.

    size_bytes: exact Content-Length. sha256: 32 raw digest bytes, if the client declared them. The upload is
    also create-only (`If-None-Match: *`), so a verified object cannot be replaced while its URL is still
    valid.
    """

    content_type: str
    size_bytes: int
    sha256: bytes | None = None


class SignedRequest(NamedTuple):
    """A request that a client without credentials may make until `expires_at`, with exactly these headers.

    An upload is bound to its `Content-Length`, too. It is not among `headers`, because every HTTP client sets
    it from the body itself and browsers forbid scripts to set it.
    """

    url: str
    http_method: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """The metadata of an object. sha256: raw digest, only if the store itself verified and kept it."""

    key: str
    size_bytes: int
    etag: str
    content_type: str
    last_modified: datetime
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class RangedRead:
    """Bytes of an object together with its metadata, from one request.

    AWS leaves the checksum out of ranged answers, so `head.sha256` may be None here although `head()` has it.
    """

    head: ObjectHead
    body: bytes


@dataclass(frozen=True, slots=True)
class ListedObject:
    key: str
    size_bytes: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class ObjectPage:
    objects: tuple[ListedObject, ...]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part of an unfinished multipart upload as the store has it. number: from 1."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """The outcome of one batch.

    A key that did not exist counts as deleted. failed: key to the store's reason.
    """

    deleted: int
    failed: dict[str, str] = field(default_factory=dict)


class UrlSigner(Protocol):
    """Makes signed URLs. It only computes: no I/O, safe on the event loop, a few microseconds a call."""

    def sign_put(
        self, key: str, *, binding: ContentBinding, now: datetime, lifetime: timedelta
    ) -> SignedRequest:
        """Returns a PUT of exactly the bound content; the caller must send `headers` unchanged.

        If the store is able to, it refuses it after the key was deleted (403) and during another upload of
        the key (409). lifetime: whole seconds, at most 7 days. Raises ValueError for any other lifetime, for
        a content type that cannot be a header, and for a naive `now`.
        """
        ...

    def sign_part(
        self, key: str, *, upload_id: str, number: int, size_bytes: int, now: datetime, lifetime: timedelta
    ) -> SignedRequest:
        """Returns a PUT of one part of a multipart upload, bound to its exact length; it replaces an older
        one.

        upload_id: from `ObjectStore.create_multipart`. number: 1 to 10,000, else ValueError. The store
        answers 404 for an upload that has ended, and an `ETag` for a stored part. The URL may be used
        repeatedly while it is valid. A `Content-MD5` need not be signed; a part with a wrong one is refused.
        """
        ...

    def sign_get(
        self,
        key: str,
        *,
        now: datetime,
        lifetime: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> SignedRequest:
        """Returns a GET (Range and conditional requests allowed).

        filename: any script, becomes an RFC 6266/8187 `Content-Disposition: attachment`; None serves inline.
        now: callers on hot paths pass a rounded instant so that URLs repeat and can be cached; `lifetime`
        counts from it.
        """
        ...


class ObjectStore(Protocol):
    """Calls the store.

    Every call is limited in time. It raises `StorageUnavailable` if the store cannot at present,
    `StorageRefused` if it never will. A prefix is a plain string prefix, as in S3: end it with `/` to mean a
    folder.
    """

    async def check_room(self, size_bytes: int) -> None:
        """Raises StorageFull if uploads of this size would be refused; a cheap check before signing.

        It is no promise: other writers may take the room first. A store without such a limit does nothing.
        """
        ...

    async def head(self, key: str) -> ObjectHead:
        """Returns an object's metadata. Raises ObjectMissing."""
        ...

    async def read(self, key: str, *, start: int = 0, length: int) -> RangedRead:
        """Returns at most `length` bytes from `start`; fewer at the object's end. Raises ObjectMissing."""
        ...

    def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 20
    ) -> AsyncGenerator[bytes]:
        """Yields the object in chunks from `start`, `length` bytes or all that follow, in constant memory.

        A range beyond the end has no bytes; a negative one is a ValueError. Raises ObjectMissing on the first
        chunk. Closing the generator frees the connection.
        """
        ...

    async def put(self, key: str, body: bytes, *, content_type: str) -> ObjectHead:
        """Stores a small object that Kappi itself made (a rendition), replacing an existing one."""
        ...

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str, replace: bool
    ) -> ObjectHead:
        """Stores an object of any length as it arrives, a few MiB in memory; visible only when complete.

        An exception of `chunks` passes through and leaves no object behind. replace False raises
        ObjectExistsAlready if the object exists.
        """
        ...

    async def copy(self, source: str, target: str) -> ObjectHead:
        """Copies `source` to `target` with its content type and tags; replaces an existing object.

        Objects of any size; the bytes do not leave the store. `target` appears whole or not at all; a copy
        onto itself changes nothing. The copy may have another `etag` than the source, and no `sha256`. If the
        source is replaced or deleted meanwhile, no mixture is made. The time limit is minutes, not seconds.
        After a cancellation, StorageUnavailable, or a deletion of the source meanwhile, the copy may still
        exist or appear later: call again, or delete `target`. Raises ObjectMissing (no source);
        StorageUnavailable, also if the source was replaced meanwhile; StorageRefused.
        """
        ...

    async def create_multipart(
        self, key: str, *, content_type: str, part_size_bytes: int | None = None
    ) -> str:
        """Begins a multipart upload; returns the store's id of it. The key may have an object, now or later.

        part_size_bytes: the size of each part but the last, if it is known: a store may then join them
        without copying. It does not bind the parts. Raises StorageRefused for an impossible key or content
        type.
        """
        ...

    async def list_parts(self, key: str, *, upload_id: str) -> tuple[StoredPart, ...]:
        """Returns every completely received part, by number. Raises MultipartMissing."""
        ...

    async def complete_multipart(
        self, key: str, *, upload_id: str, parts: Sequence[StoredPart]
    ) -> ObjectHead:
        """Makes the object of these parts, joined by number in any given order. Create-only.

        Parts left out are dropped. The time limit is minutes, not seconds: a caller that stops waiting lets
        the call end by itself, and learns the result by calling again. While another call completes it, there
        may be neither such an upload nor an object. Raises MultipartMissing, also if another call completed
        it; ObjectExistsAlready, which leaves the upload as it is; StorageUnavailable, also while another call
        completes it; StorageRefused for no parts, for a part named twice, for one that does not match the
        stored part, and for one that is too small for the store.
        """
        ...

    async def abort_multipart(self, key: str, *, upload_id: str) -> None:
        """Drops an unfinished upload and its parts. A missing upload is a success.

        Raises StorageUnavailable while it is being completed.
        """
        ...

    async def tags(self, key: str) -> dict[str, str]:
        """Returns the object's tags, empty if it has none. Raises ObjectMissing."""
        ...

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Replaces the object's tags: at most 10, names to 128 and values to 256 characters, as in S3.

        Allowed are letters, digits, spaces and `_.:/=+-@`. Tags end with the object, also when it is
        replaced. Raises ObjectMissing, StorageRefused.
        """
        ...

    async def list_page(
        self, prefix: str, *, token: str | None = None, after: str | None = None, limit: int = 1000
    ) -> ObjectPage:
        """Returns one page of current objects under `prefix`, in key order.

        token: of the page before. after: of the first page, only keys behind this one, which need not exist.
        """
        ...

    async def delete_batch(self, keys: Sequence[str]) -> DeleteReport:
        """Deletes up to 1,000 keys, current versions. A missing key is a success; other errors are reported.

        Not every store can prevent a still valid signed upload from creating an object again: delete it then,
        too.
        """
        ...

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        """Deletes one page (<= 1,000) of all versions and delete markers under `prefix`.

        Returns deleted == 0 and no failures when nothing is left. If the store keeps no versions, this
        deletes current objects. A signed upload may create an object again, as with `delete_batch`.
        """
        ...

    async def abort_multipart_uploads(self, prefix: str) -> int:
        """Aborts unfinished multipart uploads under `prefix`; returns their number."""
        ...

    async def ready(self) -> None:
        """Returns if the store answers and the bucket exists; raises StorageUnavailable otherwise."""
        ...

    async def close(self) -> None:
        """Releases threads and connections; the store must not be used afterwards."""
        ...
