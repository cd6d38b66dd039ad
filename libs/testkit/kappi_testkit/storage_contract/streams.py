"""The part of the stores' contract suite about streams and tags."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest
from kappi_chassis.storage.contract import (
    ObjectExistsAlready,
    ObjectMissing,
    ObjectStore,
    StorageRefused,
)

from kappi_testkit.storage_contract.base import BODY, KEYS, ContractSuite

LARGE = BODY * 2100  # three of the pieces that an S3 gets


class _SenderGone(Exception):
    pass


async def _chunks(
    content: bytes, *, size: int = 1 << 20, then: Exception | None = None
) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]
    if then is not None:
        raise then


async def _read_all(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


class StreamContract(ContractSuite):
    @pytest.mark.parametrize(
        ("start", "length"),
        [
            (0, None),
            (0, 1),
            (0, len(BODY)),
            (1, None),
            (100, 5000),
            (len(BODY) - 1, None),
            (len(BODY) - 3, 100),
            (len(BODY), None),
            (len(BODY) + 99, 5),
            (7, 0),
        ],
    )
    async def test_stream_a_range(
        self, store: ObjectStore, prefix: str, start: int, length: int | None
    ) -> None:
        await store.put(prefix + "a", BODY, content_type="image/jpeg")
        chunks = [
            chunk async for chunk in store.stream(prefix + "a", start=start, length=length, chunk_bytes=1000)
        ]
        end = len(BODY) if length is None else start + length
        assert b"".join(chunks) == BODY[start:end]
        assert all(0 < len(chunk) <= 1000 for chunk in chunks)

    @pytest.mark.parametrize(("start", "length"), [(0, None), (0, 0), (5, None), (5, 10)])
    async def test_stream_of_a_missing_object_fails(
        self, store: ObjectStore, prefix: str, start: int, length: int | None
    ) -> None:
        with pytest.raises(ObjectMissing):
            await _read_all(store.stream(prefix + "nothing", start=start, length=length))

    @pytest.mark.parametrize(("start", "length"), [(-1, None), (0, -1)])
    async def test_impossible_streams_are_refused(
        self, store: ObjectStore, prefix: str, start: int, length: int | None
    ) -> None:
        with pytest.raises(ValueError, match="range"):
            await _read_all(store.stream(prefix + "a", start=start, length=length))

    @pytest.mark.parametrize("content", [b"", b"x", BODY, LARGE], ids=len)
    @pytest.mark.parametrize("replace", [True, False])
    async def test_put_stream(self, store: ObjectStore, prefix: str, content: bytes, replace: bool) -> None:
        stored = await store.put_stream(
            prefix + "a", _chunks(content), content_type="image/png", replace=replace
        )
        assert (stored.size_bytes, stored.content_type) == (len(content), "image/png")
        head = await store.head(prefix + "a")
        assert head.etag == stored.etag
        assert head.sha256 in {None, sha256(content).digest()}
        assert await _read_all(store.stream(prefix + "a")) == content
        assert await store.abort_multipart_uploads(prefix) == 0

    @pytest.mark.parametrize("name", KEYS)
    async def test_put_stream_under_any_key(self, store: ObjectStore, prefix: str, name: str) -> None:
        await store.put_stream(
            prefix + name, _chunks(b"abc", size=1), content_type="image/png", replace=False
        )
        assert (await store.read(prefix + name, length=9)).body == b"abc"

    @pytest.mark.parametrize("content", [BODY, LARGE], ids=len)
    async def test_put_stream_replaces_only_if_asked(
        self, store: ObjectStore, prefix: str, content: bytes
    ) -> None:
        await store.put(prefix + "a", b"first", content_type="text/plain")
        with pytest.raises(ObjectExistsAlready):
            await store.put_stream(prefix + "a", _chunks(content), content_type="image/png", replace=False)
        assert (await store.read(prefix + "a", length=9)).body == b"first"
        await store.put_stream(prefix + "a", _chunks(content), content_type="image/png", replace=True)
        assert await _read_all(store.stream(prefix + "a")) == content
        assert await store.abort_multipart_uploads(prefix) == 0

    @pytest.mark.parametrize("content", [b"", BODY, LARGE], ids=len)
    async def test_an_interrupted_stream_leaves_no_object(
        self, store: ObjectStore, prefix: str, content: bytes
    ) -> None:
        broken = _chunks(content, then=_SenderGone())
        with pytest.raises(_SenderGone):
            await store.put_stream(prefix + "a", broken, content_type="image/png", replace=True)
        assert (await store.list_page(prefix)).objects == ()
        assert await store.abort_multipart_uploads(prefix) == 0

    async def test_a_cancelled_put_stream_leaves_no_object(self, store: ObjectStore, prefix: str) -> None:
        stuck = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield LARGE
            stuck.set()
            await asyncio.Event().wait()

        putting = asyncio.create_task(
            store.put_stream(prefix + "a", endless(), content_type="image/png", replace=True)
        )
        await stuck.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert (await store.list_page(prefix)).objects == ()
        assert await store.abort_multipart_uploads(prefix) == 0

    async def test_put_stream_refuses_what_put_refuses(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(StorageRefused):
            await store.put_stream(
                prefix + "k" * 1024, _chunks(b"x"), content_type="text/plain", replace=True
            )
        with pytest.raises(StorageRefused):
            await store.put_stream(prefix + "a", _chunks(b"x"), content_type="a\nb", replace=True)


class TagContract(ContractSuite):
    @pytest.mark.parametrize("name", KEYS)
    async def test_tags(self, store: ObjectStore, prefix: str, name: str) -> None:
        key = prefix + name
        before = await store.put(key, BODY, content_type="image/jpeg")
        assert await store.tags(key) == {}
        tags = {"kind": "image", "width": "4000", "Zone of": "+02:00 a/b_c=d@e", "ort": "Zürich 日本"}
        await store.set_tags(key, tags)
        assert await store.tags(key) == tags
        await store.set_tags(key, {"other": ""})
        assert await store.tags(key) == {"other": ""}
        await store.set_tags(key, {})
        assert await store.tags(key) == {}
        after = await store.head(key)
        assert (after.etag, after.size_bytes) == (before.etag, before.size_bytes)

    async def test_tags_of_a_missing_object_fail(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(ObjectMissing):
            await store.tags(prefix + "a")
        with pytest.raises(ObjectMissing):
            await store.set_tags(prefix + "a", {"a": "b"})

    async def test_tags_are_deleted_with_their_object(self, store: ObjectStore, prefix: str) -> None:
        for end in ("deleted", "replaced", "purged", "gone"):
            await store.put(prefix + "a", BODY, content_type="image/jpeg")
            assert await store.tags(prefix + "a") == {}
            await store.set_tags(prefix + "a", {"a": "b"})
            if end == "deleted":
                await store.delete_batch([prefix + "a"])
            elif end == "purged":
                await store.delete_versions_page(prefix)

    @pytest.mark.parametrize(
        "tags",
        [
            {f"name {n}": "" for n in range(11)},
            {"": "no name"},
            {"n" * 129: ""},
            {"n": "v" * 257},
            {"aws:reserved": "x"},
            {"n": "line\nbreak"},
            {"n<": "x"},
        ],
    )
    async def test_invalid_tags_are_refused(
        self, store: ObjectStore, prefix: str, tags: dict[str, str]
    ) -> None:
        await store.put(prefix + "a", BODY, content_type="image/jpeg")
        await store.set_tags(prefix + "a", {"kept": "1"})
        with pytest.raises(StorageRefused):
            await store.set_tags(prefix + "a", tags)
        assert await store.tags(prefix + "a") == {"kept": "1"}

    async def test_the_largest_set_of_tags_is_stored(self, store: ObjectStore, prefix: str) -> None:
        await store.put(prefix + "a", BODY, content_type="image/jpeg")
        # All tags at their longest are more than some test servers' file attributes hold.
        tags = {f"name {n}": f"{n}" for n in range(9)} | {"n" * 128: "v" * 256}
        await store.set_tags(prefix + "a", tags)
        assert await store.tags(prefix + "a") == tags
