"""The `ObjectStore` contract: what Kappi needs from a place that keeps bytes (ADR-0005).

Two halves, kept apart because they cost differently: `UrlSigner` is pure arithmetic (microseconds, no
I/O, called a hundred times per request) and `ObjectStore` talks to the store. One test suite,
`kappi_chassis.testing.storage_contract`, runs against every implementation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol


class StorageUnavailable(Exception):
    """The store did not answer, or answered that it cannot at the moment: try again later."""


class StorageFull(StorageUnavailable):
    """The store has no room for what was to be written, for the time being; everything else works."""


class ObjectMissing(Exception):
    """No object under that key."""


class MultipartMissing(Exception):
    """No such multipart upload: it was completed, aborted or swept, or never begun."""


class ObjectExistsAlready(Exception):
    """Somebody else created the object first; this attempt changed nothing."""


class StorageRefused(Exception):
    """The store says the request itself is wrong (an over-long key, say): trying again will not help."""


class ContentBinding(NamedTuple):
    """What a signed upload is bound to; the store refuses anything else.

    size_bytes: exact Content-Length. sha256: 32 raw digest bytes, where the client declared them.
    The upload is also create-only (`If-None-Match: *`), so a verified object cannot be swapped while its
    URL still lives.
    """

    content_type: str
    size_bytes: int
    sha256: bytes | None = None


class SignedRequest(NamedTuple):
    """A request someone without credentials may make until `expires_at`, with exactly these headers.

    An upload is bound to its `Content-Length` too. It is not among `headers`, because every HTTP client
    sets it from the body itself and browsers forbid scripts to.
    """

    url: str
    http_method: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """An object's facts. sha256: raw digest, only where the store itself verified and kept it."""

    key: str
    size_bytes: int
    etag: str
    content_type: str
    last_modified: datetime
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class RangedRead:
    """Bytes of an object together with its facts: one round trip tells both.

    AWS leaves the checksum out of ranged answers, so `head.sha256` may be None here and known to `head()`.
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
    """A part of an unfinished multipart upload, as the store has it. number: from 1."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """Outcome of one batch. A key that was not there counts as deleted. failed: key -> store's reason."""

    deleted: int
    failed: dict[str, str] = field(default_factory=dict)


class UrlSigner(Protocol):
    """Makes signed URLs. Pure: no I/O, safe on the event loop, a few microseconds a call."""

    def sign_put(
        self, key: str, *, binding: ContentBinding, now: datetime, lifetime: timedelta
    ) -> SignedRequest:
        """A PUT of exactly the bound content; the caller must send `headers` as they are.

        A store that can refuses it after the key was deleted (403) and while the same is uploaded (409).
        lifetime: whole seconds, at most 7 days. Raises ValueError for one that is not, for a content type
        that cannot be a header, and for a naive `now`.
        """
        ...

    def sign_part(
        self, key: str, *, upload_id: str, number: int, size_bytes: int, now: datetime, lifetime: timedelta
    ) -> SignedRequest:
        """A PUT of one part of a multipart upload, bound to its exact length; replaces the part if there.

        upload_id: of `ObjectStore.create_multipart`. number: 1 to 10,000, else ValueError. The store answers
        404 for an upload that is over, and an `ETag` for a part that came. May be used again while it lives.
        A `Content-MD5` need not be signed; a part that comes with one is refused unless its bytes have it.
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
        """A GET (Range and conditional requests allowed).

        filename: any script, becomes an RFC 6266/8187 `Content-Disposition: attachment`; None serves inline.
        now: callers on hot paths pass a bucketed instant so that URLs repeat and can be cached; `lifetime`
        counts from it.
        """
        ...


class ObjectStore(Protocol):
    """Talks to the store.

    Every call is bounded in time and raises `StorageUnavailable` when the store cannot, `StorageRefused`
    when it never will. A prefix is a plain string prefix, as in S3: end it with `/` to mean a folder.
    """

    async def check_room(self, size_bytes: int) -> None:
        """Raises StorageFull when uploads of so much in all would be refused: cheap, to ask before signing.

        No promise: others may take the room first. A store that knows no such limit asks nothing.
        """
        ...

    async def head(self, key: str) -> ObjectHead:
        """Raises ObjectMissing."""
        ...

    async def read(self, key: str, *, start: int = 0, length: int) -> RangedRead:
        """At most `length` bytes from `start`; fewer at the object's end. Raises ObjectMissing."""
        ...

    def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 20
    ) -> AsyncGenerator[bytes]:
        """The object from `start`, `length` bytes of it or all that follow, in chunks, constant memory.

        A range beyond the end has no bytes; a negative one is a ValueError. Raises ObjectMissing on the first
        chunk. Closing the generator frees the connection.
        """
        ...

    async def put(self, key: str, body: bytes, *, content_type: str) -> ObjectHead:
        """Store a small object that Kappi itself made (a rendition), replacing what was there."""
        ...

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str, replace: bool
    ) -> ObjectHead:
        """Store an object of any length as it comes, a few MiB in memory; nothing is visible before its end.

        Whatever `chunks` raises passes through and leaves no object behind. replace False raises
        ObjectExistsAlready where there is one.
        """
        ...

    async def copy(self, source: str, target: str) -> ObjectHead:
        """Make `target` the same bytes as `source`, with its content type and tags; replaces what is there.

        Objects of any size; the bytes do not leave the store. `target` appears whole or not at all; a copy
        onto itself changes nothing. The copy may have another `etag` than the source, and no `sha256`. Of a
        source that is replaced or deleted meanwhile no mixture is made.
        Bounded by minutes, not seconds. After a cancellation, StorageUnavailable, or a source that was
        deleted meanwhile the copy may be there nonetheless, or come: call again, or delete `target`.
        Raises ObjectMissing (no source); StorageUnavailable, also when the source was replaced meanwhile;
        StorageRefused.
        """
        ...

    async def create_multipart(self, key: str, *, content_type: str) -> str:
        """Begin a multipart upload; returns the store's id of it. An object may be there, or come, meanwhile.

        Raises StorageRefused for a key or a content type that cannot be.
        """
        ...

    async def list_parts(self, key: str, *, upload_id: str) -> tuple[StoredPart, ...]:
        """Every part that arrived whole, by number. Raises MultipartMissing."""
        ...

    async def complete_multipart(
        self, key: str, *, upload_id: str, parts: Sequence[StoredPart]
    ) -> ObjectHead:
        """Make the object of these parts, joined by number however they are given. Create-only.

        Parts left out are dropped. Bounded by minutes, not seconds: a caller that waits less leaves it to end
        by itself, and finds out by calling again. While somebody else's call is at it there may be neither
        such an upload nor an object.
        Raises MultipartMissing (completed by somebody else, too); ObjectExistsAlready, which leaves the
        upload as it is; StorageUnavailable, also while somebody else is at it; StorageRefused when there is
        no part, one named twice, one that is not, or not any more, what it is said to be, or too small for
        the store.
        """
        ...

    async def abort_multipart(self, key: str, *, upload_id: str) -> None:
        """Drop an unfinished upload and its parts. One that is not there is a success.

        Raises StorageUnavailable while it is being completed.
        """
        ...

    async def tags(self, key: str) -> dict[str, str]:
        """The object's tags, empty where it has none. Raises ObjectMissing."""
        ...

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Replace the object's tags: at most 10, names to 128 and values to 256 characters, as in S3.

        Of letters, digits, spaces and `_.:/=+-@`. They end with the object, also when it is replaced.
        Raises ObjectMissing, StorageRefused.
        """
        ...

    async def list_page(self, prefix: str, *, token: str | None = None, limit: int = 1000) -> ObjectPage:
        """One page of current objects under `prefix`, in key order."""
        ...

    async def delete_batch(self, keys: Sequence[str]) -> DeleteReport:
        """Delete up to 1,000 keys, current versions. A missing key is a success; other errors are told.

        Not every store can keep a signed upload that lives on from bringing one back: delete it again then.
        """
        ...

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        """Delete one page (<= 1,000) of all versions and delete markers under `prefix`.

        Returns deleted == 0 and no failures when nothing is left. Where the store keeps no versions this
        deletes current objects. What a signed upload may bring back: as with `delete_batch`.
        """
        ...

    async def abort_multipart_uploads(self, prefix: str) -> int:
        """Abort unfinished multipart uploads under `prefix`; returns how many."""
        ...

    async def ready(self) -> None:
        """Returns when the store answers and the bucket is there; raises StorageUnavailable otherwise."""
        ...

    async def close(self) -> None:
        """Release threads and connections; the store must not be used afterwards."""
        ...
