"""The part of the stores' contract suite about copies."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import pytest
from kappi_chassis.storage.contract import (
    ObjectMissing,
    ObjectStore,
    StorageRefused,
    StorageUnavailable,
)

from kappi_testkit.storage_contract.base import BODY, KEYS, ContractSuite

PARTED = BODY * 1025
"""Two parts of 5 MiB, the smallest that S3 accepts, and a rest."""
TAGS = {"kind": "image", "Zone of": "+02:00 a/b_c=d@e", "ort": "Zürich 日本", "empty": ""}


async def _content(store: ObjectStore, key: str) -> bytes:
    return b"".join([chunk async for chunk in store.stream(key)])


class CopyContract(ContractSuite):
    """Tests of copies. A second subclass has a store that copies `PARTED` in parts."""

    @pytest.mark.parametrize("content", [b"", b"x", BODY, PARTED], ids=len)
    async def test_a_copy_has_the_same_content_and_metadata(
        self, store: ObjectStore, prefix: str, content: bytes
    ) -> None:
        source, target = prefix + "a", prefix + "b"
        stored = await store.put(source, content, content_type="image/x-a; b=c")
        await store.set_tags(source, TAGS)
        copied = await store.copy(source, target)
        head = await store.head(target)
        assert head == replace(copied, last_modified=head.last_modified)
        assert (head.key, head.size_bytes, head.content_type) == (target, len(content), "image/x-a; b=c")
        assert head.sha256 in {None, sha256(content).digest()}
        assert await _content(store, target) == content
        assert await store.tags(target) == TAGS
        kept = await store.head(source)
        assert kept == replace(stored, last_modified=kept.last_modified)
        assert await store.tags(source) == TAGS
        assert await store.abort_multipart_uploads(prefix) == 0

    @pytest.mark.parametrize("name", KEYS)
    @pytest.mark.parametrize("content", [BODY, PARTED], ids=len)
    async def test_any_key_can_be_copied_to_any_key(
        self, store: ObjectStore, prefix: str, name: str, content: bytes
    ) -> None:
        await store.put(prefix + "a/" + name, content, content_type="image/png")
        await store.copy(prefix + "a/" + name, prefix + "b/" + name)
        assert await _content(store, prefix + "b/" + name) == content
        assert await store.tags(prefix + "b/" + name) == {}

    @pytest.mark.parametrize("content", [BODY, PARTED], ids=len)
    @pytest.mark.parametrize("tags", [{}, {"new": "1"}], ids=len)
    async def test_copy_replaces(
        self, store: ObjectStore, prefix: str, content: bytes, tags: dict[str, str]
    ) -> None:
        await store.put(prefix + "a", content, content_type="image/png")
        await store.set_tags(prefix + "a", tags)
        for was_there in (b"something else", content):
            await store.put(prefix + "b", was_there, content_type="text/plain")
            await store.set_tags(prefix + "b", {"old": "1"})
            await store.copy(prefix + "a", prefix + "b")
            assert await _content(store, prefix + "b") == content
            assert (await store.head(prefix + "b")).content_type == "image/png"
            assert await store.tags(prefix + "b") == tags

    @pytest.mark.parametrize("content", [BODY, PARTED], ids=len)
    async def test_a_copy_does_not_depend_on_its_source(
        self, store: ObjectStore, prefix: str, content: bytes
    ) -> None:
        await store.put(prefix + "a", content, content_type="image/png")
        await store.set_tags(prefix + "a", TAGS)
        await store.copy(prefix + "a", prefix + "b")
        await store.set_tags(prefix + "a", {"other": "1"})
        assert await store.tags(prefix + "b") == TAGS
        await store.delete_batch([prefix + "a"])
        # A copy of the copy, because its ETag may be that of parts.
        await store.copy(prefix + "b", prefix + "c")
        await store.delete_versions_page(prefix + "b")
        assert await _content(store, prefix + "c") == content
        assert await store.tags(prefix + "c") == TAGS

    async def test_the_largest_set_of_tags_is_copied(self, store: ObjectStore, prefix: str) -> None:
        tags = {f"name {n}": f"{n}" for n in range(9)} | {"n" * 128: "v" * 256}
        for content in (BODY, PARTED):
            await store.put(prefix + "a", content, content_type="image/png")
            await store.set_tags(prefix + "a", tags)
            await store.copy(prefix + "a", prefix + "b")
            assert await store.tags(prefix + "b") == tags

    async def test_a_copy_of_a_missing_object_fails(self, store: ObjectStore, prefix: str) -> None:
        await store.put(prefix + "b", BODY, content_type="image/png")
        for target in ("a", "b", "c"):
            with pytest.raises(ObjectMissing) as caught:
                await store.copy(prefix + "a", prefix + target)
            assert caught.value.args == (prefix + "a",)
        assert await _content(store, prefix + "b") == BODY
        assert len((await store.list_page(prefix)).objects) == 1

    async def test_a_copy_onto_itself_changes_nothing(self, store: ObjectStore, prefix: str) -> None:
        await store.put(prefix + "a", BODY, content_type="image/png")
        await store.set_tags(prefix + "a", TAGS)
        before = await store.head(prefix + "a")
        assert await store.copy(prefix + "a", prefix + "a") == before
        assert await store.head(prefix + "a") == before
        assert await store.tags(prefix + "a") == TAGS

    @pytest.mark.parametrize("content", [BODY, PARTED], ids=len)
    async def test_a_copy_to_an_overlong_key_is_refused(
        self, store: ObjectStore, prefix: str, content: bytes
    ) -> None:
        await store.put(prefix + "a", content, content_type="image/png")
        with pytest.raises(StorageRefused):
            await store.copy(prefix + "a", prefix + "k" * 1024)
        assert await store.abort_multipart_uploads(prefix) == 0

    async def test_copies_may_run_at_once(self, store: ObjectStore, prefix: str) -> None:
        await store.put(prefix + "a", PARTED, content_type="image/png")
        await asyncio.gather(*(store.copy(prefix + "a", f"{prefix}copy/{n}") for n in range(6)))
        listed = (await store.list_page(prefix + "copy/")).objects
        assert [found.size_bytes for found in listed] == [len(PARTED)] * 6

    @pytest.mark.parametrize("fate", ["replaced", "deleted"])
    async def test_a_source_that_changes_meanwhile_gives_no_mixture(
        self, store: ObjectStore, prefix: str, fate: str
    ) -> None:
        other = PARTED[::-1]
        for delay_s in (0, 0.005, 0.02):
            await store.put(prefix + "a", PARTED, content_type="image/png")
            copying = asyncio.create_task(store.copy(prefix + "a", prefix + "b"))
            await asyncio.sleep(delay_s)  # the time of the change, not a wait for an outcome
            if fate == "replaced":
                await store.put(prefix + "a", other, content_type="image/png")
            else:
                await store.delete_batch([prefix + "a"])
            # A store may have made the copy before it failed, and a second attempt finds no source.
            with suppress(ObjectMissing, StorageUnavailable):
                await copying
            for found in (await store.list_page(prefix + "b")).objects:
                assert await _content(store, found.key) in {PARTED, other}
            assert await store.abort_multipart_uploads(prefix) == 0
            await store.delete_batch([prefix + "b"])

    async def test_a_cancelled_copy_is_whole_or_absent(self, store: ObjectStore, prefix: str) -> None:
        await store.put(prefix + "a", PARTED, content_type="image/png")
        for delay_s in (0, 0.005, 0.02, 0.05):
            copying = asyncio.create_task(store.copy(prefix + "a", prefix + "b"))
            await asyncio.sleep(delay_s)  # the time of the cancellation, not a wait for an outcome
            copying.cancel()
            await asyncio.wait([copying])
            for found in (await store.list_page(prefix + "b")).objects:
                assert await _content(store, found.key) == PARTED
