"""The part of the stores' contract suite about multipart uploads."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import md5
from urllib.parse import urlsplit

import pytest
from kappi_chassis.storage.contract import (
    ContentBinding,
    MultipartMissing,
    ObjectExistsAlready,
    ObjectMissing,
    ObjectStore,
    StorageRefused,
    StorageUnavailable,
    StoredPart,
    UrlSigner,
)

from kappi_testkit.signed_requests import Answer, call
from kappi_testkit.storage_contract.base import BODY, KEYS, MINUTES_5, ContractSuite

PART_BYTES = 5 << 20
"""The smallest size that S3 accepts for a part that is not the last."""
FIRST, SECOND, LAST = (bytes([n]) * PART_BYTES for n in (1, 2, 3))


class MultipartContract(ContractSuite):
    async def _send(
        self,
        signer: UrlSigner,
        key: str,
        *,
        upload_id: str,
        number: int,
        body: bytes,
        now: datetime,
    ) -> Answer:
        request = signer.sign_part(
            key, upload_id=upload_id, number=number, size_bytes=len(body), now=now, lifetime=MINUTES_5
        )
        assert (request.http_method, request.headers) == ("PUT", {})
        assert request.expires_at == now + MINUTES_5
        return await call(request, body)

    @pytest.mark.parametrize("in_parts", [False, True])
    async def test_a_signed_upload_permits_no_copy(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime, in_parts: bool
    ) -> None:
        """A client that may upload must not copy another object to its own key (CVE-2026-54330)."""
        foreign, own = prefix + "foreign", prefix + "own"
        await store.put(foreign, BODY, content_type="image/jpeg")
        source = urlsplit(signer.sign_get(foreign, now=now, lifetime=MINUTES_5).url).path
        upload_id = await store.create_multipart(own, content_type="image/jpeg") if in_parts else ""
        size_bytes = len(BODY)
        signed = (
            signer.sign_part(
                own, upload_id=upload_id, number=1, size_bytes=size_bytes, now=now, lifetime=MINUTES_5
            )
            if in_parts
            else signer.sign_put(
                own, binding=ContentBinding("image/jpeg", size_bytes), now=now, lifetime=MINUTES_5
            )
        )
        await call(signed, bytes(size_bytes), headers={"x-amz-copy-source": source})
        if in_parts and (parts := await store.list_parts(own, upload_id=upload_id)):
            await store.complete_multipart(own, upload_id=upload_id, parts=parts)
        with suppress(ObjectMissing):
            assert (await store.read(own, start=0, length=size_bytes)).body == bytes(size_bytes)

    @pytest.mark.parametrize("name", KEYS)
    async def test_one_part(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime, name: str
    ) -> None:
        key = prefix + name
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        assert await store.list_parts(key, upload_id=upload_id) == ()
        sent = await self._send(signer, key, upload_id=upload_id, number=1, body=BODY, now=now)
        assert sent.status == 200, sent.body
        parts = await store.list_parts(key, upload_id=upload_id)
        assert [(part.number, part.size_bytes) for part in parts] == [(1, len(BODY))]
        assert sent.headers["etag"] == f'"{parts[0].etag}"'
        with pytest.raises(ObjectMissing):
            await store.head(key)
        assert (await store.list_page(prefix)).objects == ()
        made = await store.complete_multipart(key, upload_id=upload_id, parts=parts)
        assert (made.key, made.size_bytes, made.content_type) == (key, len(BODY), "video/mp4")
        head = await store.head(key)
        assert (head.etag, head.sha256) == (made.etag, None)
        answer = await call(signer.sign_get(key, now=now, lifetime=MINUTES_5))
        assert (answer.status, answer.body) == (200, BODY)
        assert answer.headers["etag"] == f'"{head.etag}"'

    async def test_parts_in_any_order(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        for number, body in ((9, b"the end"), (2, FIRST), (5, SECOND)):
            assert (
                await self._send(signer, key, upload_id=upload_id, number=number, body=body, now=now)
            ).status == 200
        parts = await store.list_parts(key, upload_id=upload_id)
        assert [part.number for part in parts] == [2, 5, 9]
        await store.complete_multipart(key, upload_id=upload_id, parts=parts[::-1])
        whole = FIRST + SECOND + b"the end"
        assert (await store.read(key, length=len(whole) + 1)).body == whole
        assert (await store.read(key, start=PART_BYTES - 2, length=4)).body == b"\1\1\2\2"

    async def test_a_part_sent_again_replaces(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        for body in (b"first", b"second one"):
            await self._send(signer, key, upload_id=upload_id, number=1, body=body, now=now)
        (part,) = await store.list_parts(key, upload_id=upload_id)
        assert part.size_bytes == len(b"second one")
        await store.complete_multipart(key, upload_id=upload_id, parts=[part])
        assert (await store.read(key, length=99)).body == b"second one"

    async def test_only_chosen_parts_are_joined(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        for number, body in ((1, FIRST), (2, SECOND), (3, b"end")):
            await self._send(signer, key, upload_id=upload_id, number=number, body=body, now=now)
        parts = await store.list_parts(key, upload_id=upload_id)
        await store.complete_multipart(key, upload_id=upload_id, parts=[parts[0], parts[2]])
        assert (await store.head(key)).size_bytes == PART_BYTES + 3

    async def test_completions_with_wrong_parts_are_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        await self._send(signer, key, upload_id=upload_id, number=1, body=FIRST, now=now)
        (part,) = await store.list_parts(key, upload_id=upload_id)
        wrong: list[list[StoredPart]] = [
            [],
            [part, replace(part, number=2)],
            [replace(part, number=2)],
            [replace(part, etag="0" * 32)],
            [part, part],
        ]
        for parts in wrong:
            with pytest.raises(StorageRefused):
                await store.complete_multipart(key, upload_id=upload_id, parts=parts)
        with pytest.raises(ObjectMissing):
            await store.head(key)
        await store.complete_multipart(key, upload_id=upload_id, parts=[part])
        assert (await store.head(key)).size_bytes == PART_BYTES

    async def test_an_object_is_not_replaced(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        await self._send(signer, key, upload_id=upload_id, number=1, body=BODY, now=now)
        await store.put(key, b"mine", content_type="text/plain")
        parts = await store.list_parts(key, upload_id=upload_id)
        with pytest.raises(ObjectExistsAlready):
            await store.complete_multipart(key, upload_id=upload_id, parts=parts)
        assert (await store.read(key, length=9)).body == b"mine"

    async def test_completing_twice(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        await self._send(signer, key, upload_id=upload_id, number=1, body=BODY, now=now)
        parts = await store.list_parts(key, upload_id=upload_id)
        await store.complete_multipart(key, upload_id=upload_id, parts=parts)
        with pytest.raises((ObjectExistsAlready, MultipartMissing)):
            await store.complete_multipart(key, upload_id=upload_id, parts=parts)
        await store.delete_batch([key])
        with pytest.raises(MultipartMissing):
            await store.complete_multipart(key, upload_id=upload_id, parts=parts)
        with pytest.raises(MultipartMissing):
            await store.list_parts(key, upload_id=upload_id)

    async def test_two_completions_at_once(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        for number, body in ((1, FIRST), (2, SECOND), (3, LAST)):
            await self._send(signer, key, upload_id=upload_id, number=number, body=body, now=now)
        parts = await store.list_parts(key, upload_id=upload_id)
        outcomes = await asyncio.gather(
            *(store.complete_multipart(key, upload_id=upload_id, parts=parts) for _ in range(4)),
            return_exceptions=True,
        )
        failures = [each for each in outcomes if isinstance(each, BaseException)]
        # A store may answer the slower calls that it is busy, or also with success, but nothing else.
        assert len(failures) < 4
        assert all(
            isinstance(each, ObjectExistsAlready | MultipartMissing | StorageUnavailable) for each in failures
        )
        whole = FIRST + SECOND + LAST
        assert (await store.read(key, length=len(whole) + 1)).body == whole

    async def test_abort(self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        await self._send(signer, key, upload_id=upload_id, number=1, body=BODY, now=now)
        (part,) = await store.list_parts(key, upload_id=upload_id)
        await store.abort_multipart(key, upload_id=upload_id)
        await store.abort_multipart(key, upload_id=upload_id)
        with pytest.raises(MultipartMissing):
            await store.list_parts(key, upload_id=upload_id)
        with pytest.raises(MultipartMissing):
            await store.complete_multipart(key, upload_id=upload_id, parts=[part])
        late = await self._send(signer, key, upload_id=upload_id, number=2, body=BODY, now=now)
        assert late.status == 404
        assert b"NoSuchUpload" in late.body
        assert (await store.list_page(prefix)).objects == ()

    async def test_uploads_that_were_never_begun_are_missing(self, store: ObjectStore, prefix: str) -> None:
        begun = await store.create_multipart(prefix + "a", content_type="video/mp4")
        for key, upload_id in (
            (prefix + "a", "0" * 32),
            (prefix + "other", begun),
        ):
            with pytest.raises(MultipartMissing):
                await store.list_parts(key, upload_id=upload_id)
            with pytest.raises(MultipartMissing):
                await store.complete_multipart(key, upload_id=upload_id, parts=[StoredPart(1, 3, "0" * 32)])
            await store.abort_multipart(key, upload_id=upload_id)
        assert await store.list_parts(prefix + "a", upload_id=begun) == ()

    async def test_abort_by_prefix(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        names = ("in/a", "in/b", "in/日本", "in/b", "inside/d", "out")
        begun = [
            (prefix + name, await store.create_multipart(prefix + name, content_type="video/mp4"))
            for name in names
        ]
        key, upload_id = begun[0]
        await self._send(signer, key, upload_id=upload_id, number=1, body=BODY, now=now)
        assert await store.abort_multipart_uploads(prefix + "in/") == 4
        assert await store.abort_multipart_uploads(prefix + "in/") == 0
        with pytest.raises(MultipartMissing):
            await store.list_parts(key, upload_id=upload_id)
        for key, upload_id in begun[4:]:
            assert await store.list_parts(key, upload_id=upload_id) == ()
        assert await store.abort_multipart_uploads(prefix) == 2

    async def test_uploads_with_invalid_properties_are_refused(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(StorageRefused):
            await store.create_multipart(prefix + "k" * 1024, content_type="video/mp4")
        with pytest.raises(StorageRefused):
            await store.create_multipart(prefix + "a", content_type="a\nb")

    # The properties that a signed part is bound to.

    @pytest.mark.parametrize("body", [BODY[:-1], BODY + b"!", b"", BODY * 2], ids=len)
    async def test_a_part_of_another_size_is_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime, body: bytes
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        request = signer.sign_part(
            key, upload_id=upload_id, number=1, size_bytes=len(BODY), now=now, lifetime=MINUTES_5
        )
        assert (await call(request, body)).status in {400, 403}
        assert await store.list_parts(key, upload_id=upload_id) == ()

    @pytest.mark.parametrize("sent", [BODY[::-1], BODY], ids=["other bytes", "the bytes"])
    async def test_a_part_that_does_not_match_its_signed_md5_is_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime, sent: bytes
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        request = signer.sign_part(
            key, upload_id=upload_id, number=1, size_bytes=len(BODY), now=now, lifetime=MINUTES_5
        )
        said = {"content-md5": b64encode(md5(BODY, usedforsecurity=False).digest()).decode()}
        answer = await call(request, sent, headers=said)
        there = [part.number for part in await store.list_parts(key, upload_id=upload_id)]
        assert (answer.status, there) == ((200, [1]) if sent == BODY else (400, []))

    @pytest.mark.parametrize("said", ["no Base64", "QUJD", ""])
    async def test_an_invalid_md5_is_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime, said: str
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        request = signer.sign_part(
            key, upload_id=upload_id, number=1, size_bytes=len(BODY), now=now, lifetime=MINUTES_5
        )
        assert (await call(request, BODY, headers={"content-md5": said})).status == 400
        assert await store.list_parts(key, upload_id=upload_id) == ()

    async def test_tampered_part_urls_are_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        other_id = await store.create_multipart(key, content_type="video/mp4")
        request = signer.sign_part(
            key, upload_id=upload_id, number=1, size_bytes=len(BODY), now=now, lifetime=MINUTES_5
        )
        changed = [
            request.url.replace(upload_id, other_id),
            request.url.replace("partNumber=1", "partNumber=2").replace("part=1", "part=2"),
            request.url.replace(prefix.rstrip("/"), prefix.rstrip("/") + "x"),
        ]
        for url in changed:
            assert url != request.url
            assert (await call(request._replace(url=url), BODY)).status == 403
        assert (await call(request, http_method="GET")).status == 403
        assert (await call(request, BODY)).status == 200
        assert await store.list_parts(key, upload_id=other_id) == ()

    async def test_expired_part_urls_are_refused(
        self, store: ObjectStore, signer: UrlSigner, prefix: str, now: datetime
    ) -> None:
        key = prefix + "a"
        upload_id = await store.create_multipart(key, content_type="video/mp4")
        earlier = now - MINUTES_5 - timedelta(seconds=2)
        late = await self._send(signer, key, upload_id=upload_id, number=1, body=BODY, now=earlier)
        assert late.status == 403
        assert await store.list_parts(key, upload_id=upload_id) == ()

    @pytest.mark.parametrize("number", [0, -1, 10_001])
    def test_impossible_part_numbers_are_refused(self, signer: UrlSigner, now: datetime, number: int) -> None:
        with pytest.raises(ValueError, match="10000"):
            signer.sign_part("a", upload_id="u", number=number, size_bytes=1, now=now, lifetime=MINUTES_5)
