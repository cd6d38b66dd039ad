"""The contract suite of every `ObjectStore` and `UrlSigner` pair, as one test class.

A test module subclasses `ObjectStoreContract` and has the fixtures `store` and `signer`. Signed URLs are
called over real HTTP. Keys are under a random prefix, so tests may share one bucket.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

import pytest
from kappi_chassis.storage.contract import (
    ContentBinding,
    ObjectMissing,
    ObjectStore,
    StorageRefused,
    UrlSigner,
)
from kappi_chassis.storage.disposition import attachment

from kappi_testkit.signed_requests import call, without
from kappi_testkit.storage_contract.base import BODY, KEYS, MINUTES_5
from kappi_testkit.storage_contract.copies import CopyContract
from kappi_testkit.storage_contract.multipart import MultipartContract
from kappi_testkit.storage_contract.streams import StreamContract, TagContract

BINDING = ContentBinding(content_type="image/jpeg", size_bytes=len(BODY), sha256=sha256(BODY).digest())


class ObjectStoreContract(StreamContract, TagContract, CopyContract, MultipartContract):
    """Subclasses provide `store` and `signer`."""

    # Operations of the services themselves.

    async def test_ready(self, store: ObjectStore) -> None:
        await store.ready()

    async def test_the_store_has_room(self, store: ObjectStore) -> None:
        await store.check_room(len(BODY))

    @pytest.mark.parametrize("name", KEYS)
    async def test_put_then_head_and_read(self, store: ObjectStore, prefix: str, name: str) -> None:
        key = prefix + name
        stored = await store.put(key, BODY, content_type="image/jpeg")
        head = await store.head(key)
        assert head == replace(stored, last_modified=head.last_modified)
        assert abs(head.last_modified - stored.last_modified) < timedelta(seconds=2)
        assert head.last_modified.utcoffset() == timedelta(0)
        assert (head.key, head.size_bytes, head.content_type) == (key, len(BODY), "image/jpeg")
        assert head.sha256 == sha256(BODY).digest()
        assert head.etag
        assert '"' not in head.etag
        whole = await store.read(key, length=len(BODY) + 1)
        assert whole.body == BODY
        assert whole.head.etag == head.etag

    async def test_put_replaces(self, store: ObjectStore, prefix: str) -> None:
        first = await store.put(prefix + "a", b"first", content_type="text/plain")
        second = await store.put(prefix + "a", b"second one", content_type="text/css")
        found = await store.read(prefix + "a", length=100)
        assert found.body == b"second one"
        assert found.head.content_type == "text/css"
        assert found.head.etag == second.etag != first.etag

    @pytest.mark.parametrize(
        ("start", "length"),
        [(0, 1), (0, 10), (100, 57), (len(BODY) - 3, 100), (len(BODY), 1), (len(BODY) + 999, 5)],
    )
    async def test_read_a_range(self, store: ObjectStore, prefix: str, start: int, length: int) -> None:
        await store.put(prefix + "a", BODY, content_type="image/jpeg")
        found = await store.read(prefix + "a", start=start, length=length)
        assert found.body == BODY[start : start + length]
        assert found.head.size_bytes == len(BODY)
        assert found.head.content_type == "image/jpeg"

    async def test_empty_object(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        await store.put(prefix + "empty", b"", content_type="text/plain")
        found = await store.read(prefix + "empty", length=10)
        assert found.body == b""
        assert found.head.size_bytes == 0
        assert [chunk async for chunk in store.stream(prefix + "empty")] == []
        answer = await call(signer.sign_get(prefix + "empty", now=now, lifetime=MINUTES_5))
        assert (answer.status, answer.body) == (200, b"")
        binding = ContentBinding("text/plain", 0, sha256(b"").digest())
        request = signer.sign_put(prefix + "uploaded", binding=binding, now=now, lifetime=MINUTES_5)
        assert (await call(request, b"")).status == 200
        assert (await store.head(prefix + "uploaded")).size_bytes == 0

    async def test_a_missing_object_is_reported(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(ObjectMissing):
            await store.head(prefix + "nothing")
        with pytest.raises(ObjectMissing):
            await store.read(prefix + "nothing", length=1)
        with pytest.raises(ObjectMissing):
            await anext(store.stream(prefix + "nothing"))

    async def test_overlong_key_is_refused(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(StorageRefused):
            await store.put(prefix + "k" * 1024, b"x", content_type="text/plain")

    async def test_stream(self, store: ObjectStore, prefix: str) -> None:
        content = BODY * 30
        await store.put(prefix + "a", content, content_type="image/jpeg")
        chunks = [chunk async for chunk in store.stream(prefix + "a", chunk_bytes=1 << 16)]
        assert b"".join(chunks) == content
        assert max(map(len, chunks)) <= 1 << 16

    async def test_stream_may_be_left_early(self, store: ObjectStore, prefix: str) -> None:
        await store.put(prefix + "a", BODY * 30, content_type="image/jpeg")
        chunks = store.stream(prefix + "a", chunk_bytes=1000)
        assert await anext(chunks) == (BODY * 30)[:1000]
        await chunks.aclose()
        assert (await store.head(prefix + "a")).size_bytes == len(BODY) * 30

    # Listing and deleting.

    async def test_list_is_ordered_and_paged(self, store: ObjectStore, prefix: str) -> None:
        names = ["a/b", "a-b", "c/b/c", "b", "ä", "a/10", "a/9", "Z", "a0", "a/~/1"]
        for name in names:
            await store.put(prefix + "l/" + name, name.encode(), content_type="text/plain")
        await store.put(prefix + "m", b"outside", content_type="text/plain")
        keys: list[str] = []
        token = None
        pages = 0
        while True:
            page = await store.list_page(prefix + "l/", token=token, limit=3)
            assert len(page.objects) <= 3
            keys += [found.key.removeprefix(prefix + "l/") for found in page.objects]
            assert all(found.size_bytes for found in page.objects)
            pages += 1
            token = page.next_token
            if token is None:
                break
        assert keys == sorted(names, key=str.encode)
        assert pages == 4
        behind = await store.list_page(prefix + "l/", after=f"{prefix}l/{keys[2]}")
        assert [found.key.removeprefix(prefix + "l/") for found in behind.objects] == keys[3:]

    async def test_list_and_purge_thousands(self, store: ObjectStore, prefix: str) -> None:
        keys = {f"{prefix}media-{n % 7}/{n:05}" for n in range(1003)}
        gate = asyncio.Semaphore(16)

        async def put(key: str) -> None:
            async with gate:
                await store.put(key, b"x", content_type="text/plain")

        async with asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(put(key))
        first = await store.list_page(prefix)
        assert len(first.objects) == 1000
        assert first.next_token is not None
        rest = await store.list_page(prefix, token=first.next_token)
        assert rest.next_token is None
        assert {found.key for found in (*first.objects, *rest.objects)} == keys
        counts = []
        while (report := await store.delete_versions_page(prefix)).deleted:
            assert report.failed == {}
            counts.append(report.deleted)
        assert counts == [1000, 3]
        assert (await store.list_page(prefix)).objects == ()

    async def test_a_prefix_matches_no_other_keys(self, store: ObjectStore, prefix: str) -> None:
        for name in ("a/1/x", "a/10/x", "a/1-x", "b/1/x"):
            await store.put(prefix + name, b"x", content_type="text/plain")
        page = await store.list_page(prefix + "a/1/")
        assert [found.key for found in page.objects] == [prefix + "a/1/x"]
        assert (await store.delete_versions_page(prefix + "a/1/")).deleted == 1
        assert (await store.delete_versions_page(prefix + "a/1/")).deleted == 0
        left = await store.list_page(prefix)
        assert [found.key.removeprefix(prefix) for found in left.objects] == ["a/1-x", "a/10/x", "b/1/x"]

    async def test_a_prefix_may_end_inside_a_name(self, store: ObjectStore, prefix: str) -> None:
        for name in ("gal-1/x", "gal-10/x", "gal-2/x"):
            await store.put(prefix + name, b"x", content_type="text/plain")
        page = await store.list_page(prefix + "gal-1")
        assert [found.key.removeprefix(prefix) for found in page.objects] == ["gal-1/x", "gal-10/x"]

    async def test_list_of_no_objects_is_empty(self, store: ObjectStore, prefix: str) -> None:
        page = await store.list_page(prefix + "never/")
        assert (page.objects, page.next_token) == ((), None)

    async def test_delete_batch(self, store: ObjectStore, prefix: str) -> None:
        keys = [prefix + name for name in KEYS]
        for key in keys:
            await store.put(key, b"x", content_type="text/plain")
        await store.put(prefix + "kept", b"x", content_type="text/plain")
        report = await store.delete_batch([*keys, prefix + "never/was", keys[0]])
        assert (report.deleted, report.failed) == (len(keys) + 1, {})
        assert [found.key for found in (await store.list_page(prefix)).objects] == [prefix + "kept"]
        assert (await store.delete_batch(keys)).failed == {}

    async def test_delete_of_no_keys_does_nothing(self, store: ObjectStore) -> None:
        assert (await store.delete_batch([])).deleted == 0

    async def test_delete_batch_is_bounded(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(ValueError, match="1000"):
            await store.delete_batch([f"{prefix}{n}" for n in range(1001)])

    async def test_no_multipart_uploads_to_abort(self, store: ObjectStore, prefix: str) -> None:
        assert await store.abort_multipart_uploads(prefix) == 0

    # Operations of clients with signed URLs.

    @pytest.mark.parametrize("name", KEYS)
    async def test_signed_upload_and_download(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime, name: str
    ) -> None:
        key = prefix + name
        request = signer.sign_put(key, binding=BINDING, now=now, lifetime=MINUTES_5)
        assert request.http_method == "PUT"
        assert request.expires_at == now + MINUTES_5
        uploaded = await call(request, BODY)
        assert uploaded.status == 200, uploaded.body
        head = await store.head(key)
        assert (head.size_bytes, head.content_type, head.sha256) == (len(BODY), "image/jpeg", BINDING.sha256)
        assert uploaded.headers["etag"] == f'"{head.etag}"'
        answer = await call(signer.sign_get(key, now=now, lifetime=MINUTES_5))
        assert (answer.status, answer.body) == (200, BODY)
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["content-length"] == str(len(BODY))
        assert answer.headers["etag"] == f'"{head.etag}"'
        assert answer.headers["accept-ranges"] == "bytes"
        assert "content-disposition" not in answer.headers

    async def test_upload_without_a_declared_checksum(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        binding = BINDING._replace(sha256=None)
        request = signer.sign_put(prefix + "a", binding=binding, now=now, lifetime=MINUTES_5)
        assert "x-amz-checksum-sha256" not in request.headers
        assert (await call(request, BODY)).status == 200
        assert (await store.read(prefix + "a", length=len(BODY))).body == BODY

    async def test_second_upload_is_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        request = signer.sign_put(prefix + "a", binding=BINDING, now=now, lifetime=MINUTES_5)
        assert (await call(request, BODY)).status == 200
        assert (await call(request, BODY)).status == 412
        swapped = BINDING._replace(sha256=None)
        again = signer.sign_put(prefix + "a", binding=swapped, now=now, lifetime=MINUTES_5)
        assert (await call(again, BODY[::-1])).status == 412
        assert (await store.read(prefix + "a", length=len(BODY))).body == BODY

    @pytest.mark.parametrize("body", [BODY[:-1], BODY + b"!", b"", BODY * 2], ids=len)
    async def test_wrong_size_is_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime, body: bytes
    ) -> None:
        binding = BINDING._replace(sha256=None)
        request = signer.sign_put(prefix + "a", binding=binding, now=now, lifetime=MINUTES_5)
        assert (await call(request, body)).status in {400, 403}
        await self._nothing_stored(store, prefix)

    async def test_wrong_content_is_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        request = signer.sign_put(prefix + "a", binding=BINDING, now=now, lifetime=MINUTES_5)
        answer = await call(request, BODY[::-1])
        assert answer.status == 400
        assert b"BadDigest" in answer.body
        await self._nothing_stored(store, prefix)

    @pytest.mark.parametrize(
        ("header", "value"),
        [
            ("content-type", "text/html"),
            ("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
            ("if-none-match", '"something"'),
        ],
    )
    async def test_changed_or_missing_headers_are_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime, header: str, value: str
    ) -> None:
        request = signer.sign_put(prefix + "a", binding=BINDING, now=now, lifetime=MINUTES_5)
        assert (await call(request, BODY, headers={header: value})).status == 403
        assert (await call(without(request, header), BODY)).status == 403
        await self._nothing_stored(store, prefix)

    async def test_tampered_urls_are_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        await store.put(prefix + "a", b"mine", content_type="text/plain")
        await store.put(prefix + "b", b"yours", content_type="text/plain")
        get = signer.sign_get(prefix + "a", now=now, lifetime=MINUTES_5, filename="a.txt")
        assert (await call(get)).body == b"mine"
        path, _, query = get.url.partition("?")
        first, _, rest = query.partition("&")
        last = "0" if query[-1] != "0" else "1"
        for url in (
            f"{path[:-1]}b?{query}",
            f"{get.url}&another=1",
            f"{path}?{rest}",
            f"{path}?{query[:-1]}{last}",
            f"{path}?{query.replace('a.txt', 'b.txt')}",
            f"{path}?{first}",
            path + "?",
        ):
            assert (await call(get._replace(url=url))).status in {400, 403}, url
        assert (await call(get, b"x", http_method="PUT")).status == 403
        assert (await call(get, http_method="DELETE")).status in {403, 405}
        assert (await store.read(prefix + "a", length=9)).body == b"mine"

    async def test_expired_urls_are_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        earlier = now - MINUTES_5 - timedelta(seconds=2)
        put = signer.sign_put(prefix + "a", binding=BINDING, now=earlier, lifetime=MINUTES_5)
        assert (await call(put, BODY)).status == 403
        await self._nothing_stored(store, prefix)
        await store.put(prefix + "a", BODY, content_type="image/jpeg")
        get = signer.sign_get(prefix + "a", now=earlier, lifetime=MINUTES_5)
        answer = await call(get)
        assert answer.status == 403
        assert BODY not in answer.body
        fresh = signer.sign_get(prefix + "a", now=earlier, lifetime=2 * MINUTES_5)
        assert (await call(fresh)).status == 200

    async def test_signed_get_of_a_missing_object_is_404(
        self, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        assert (await call(signer.sign_get(prefix + "a", now=now, lifetime=MINUTES_5))).status == 404

    @pytest.mark.parametrize(
        ("wanted", "first", "last"),
        [
            ("bytes=0-0", 0, 0),
            ("bytes=5-9", 5, 9),
            ("bytes=10000-", 10000, 10239),
            ("bytes=-7", 10233, 10239),
        ],
    )
    async def test_signed_range(
        self,
        store: ObjectStore,
        signer: UrlSigner,
        prefix: str,
        now: datetime,
        wanted: str,
        first: int,
        last: int,
    ) -> None:
        await store.put(prefix + "a", BODY, content_type="image/jpeg")
        get = signer.sign_get(prefix + "a", now=now, lifetime=MINUTES_5)
        answer = await call(get, headers={"range": wanted})
        assert (answer.status, answer.body) == (206, BODY[first : last + 1])
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(BODY)}"

    async def test_signed_get_conditions(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        head = await store.put(prefix + "a", BODY, content_type="image/jpeg")
        get = signer.sign_get(prefix + "a", now=now, lifetime=MINUTES_5)
        assert (await call(get, headers={"if-none-match": f'"{head.etag}"'})).status == 304
        assert (await call(get, headers={"if-none-match": '"other"'})).status == 200
        assert (await call(get, headers={"if-match": f'"{head.etag}"'})).status == 200
        assert (await call(get, headers={"if-match": '"other"'})).status == 412
        beyond = await call(get, headers={"range": f"bytes={len(BODY)}-"})
        assert beyond.status == 416

    @pytest.mark.parametrize(
        "filename",
        [
            *("plain.jpg", 'she said "hi".jpg', "日本語 🏔️.jpg", "a/../b\\c.jpg", "line\r\nbreak.jpg", ""),
            *("תמונה ٣.jpg", "100%+1&2=3;4,5'6.jpg", "photo\u202egpj.exe", "name. . .", "é" * 300 + ".jpg"),
        ],
    )
    async def test_download_filename(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime, filename: str
    ) -> None:
        await store.put(prefix + "a", b"x", content_type="image/jpeg")
        get = signer.sign_get(
            prefix + "a", now=now, lifetime=MINUTES_5, filename=filename, content_type="image/x-other"
        )
        answer = await call(get)
        assert answer.status == 200
        assert answer.headers["content-type"] == "image/x-other"
        assert answer.headers["content-disposition"] == attachment(filename)

    @pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=7, seconds=1), -MINUTES_5])
    def test_impossible_lifetimes(self, signer: UrlSigner, now: datetime, lifetime: timedelta) -> None:
        with pytest.raises(ValueError, match="seconds"):
            signer.sign_get("a", now=now, lifetime=lifetime)

    def test_naive_time_and_broken_types(self, signer: UrlSigner, now: datetime) -> None:
        with pytest.raises(ValueError, match="aware"):
            signer.sign_get("a", now=now.replace(tzinfo=None), lifetime=MINUTES_5)
        with pytest.raises(ValueError, match="content type"):
            signer.sign_put("a", binding=ContentBinding("text/plain\r\nx: y", 1), now=now, lifetime=MINUTES_5)

    async def _nothing_stored(self, store: ObjectStore, prefix: str) -> None:
        assert (await store.list_page(prefix)).objects == ()
