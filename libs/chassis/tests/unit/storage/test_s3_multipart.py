"""Answers of some S3s to multipart calls that the server of the integration tests never gives."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.stub import Stubber
from kappi_chassis.storage import (
    MultipartMissing,
    ObjectExistsAlready,
    ObjectMissing,
    StorageRefused,
    StorageUnavailable,
    StoredPart,
    s3_multipart,
)
from kappi_chassis.storage.part_numbers import MAX_PARTS
from kappi_chassis.storage.rechunk import rechunk
from kappi_chassis.storage.s3 import S3ObjectStore
from kappi_chassis.storage.s3_client import S3Address, make_client
from kappi_chassis.storage.s3_multipart import piece_size
from kappi_chassis.storage.sigv4 import Credentials
from kappi_chassis.storage.tag_rules import checked_tags

ADDRESS = S3Address(bucket="photos", region="us-east-1", endpoint="http://127.0.0.1:1")
CREDENTIALS = Credentials("AK", "SK")
Stubbed = tuple[S3ObjectStore, Stubber]
UPLOAD = {"Bucket": "photos", "Key": "k", "UploadId": "u"}
PARTS = [StoredPart(2, 5, "b"), StoredPart(1, 5, "a")]
CHOSEN = {
    **UPLOAD,
    "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": '"a"'}, {"PartNumber": 2, "ETag": '"b"'}]},
}
HEAD = {"ContentLength": 10, "ETag": '"e-2"', "LastModified": datetime(2026, 5, 1, tzinfo=UTC)}


@pytest.fixture
async def stubbed() -> AsyncIterator[Stubbed]:
    store = S3ObjectStore(ADDRESS, credentials=CREDENTIALS, threads=1)
    client = make_client(ADDRESS, credentials=CREDENTIALS, connections=1)
    store._connection.use(client)
    with Stubber(client) as stubber:
        yield store, stubber
        stubber.assert_no_pending_responses()
    await store.close()


def nothing_there(stubber: Stubber) -> None:
    for operation in ("head_object", "get_object"):
        stubber.add_client_error(operation, "NoSuchKey", http_status_code=404)


async def test_the_newer_of_two_listings_of_a_part_is_used(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    parts = [
        {"PartNumber": 1, "Size": 5, "ETag": '"old"'},
        {"PartNumber": 1, "Size": 5, "ETag": '"new"'},
        {"PartNumber": 2, "Size": 3, "ETag": '"b"'},
    ]
    stubber.add_response("list_parts", {"Parts": parts, "IsTruncated": False}, UPLOAD)
    assert await store.list_parts("k", upload_id="u") == (StoredPart(1, 5, "new"), StoredPart(2, 3, "b"))


async def test_parts_are_listed_in_pages(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    first: dict[str, Any] = {
        "Parts": [{"PartNumber": 1, "Size": 5, "ETag": '"a"'}],
        "IsTruncated": True,
        "NextPartNumberMarker": 1,
    }
    second = {"Parts": [{"PartNumber": 2, "Size": 5, "ETag": '"b"'}], "IsTruncated": False}
    stubber.add_response("list_parts", first, UPLOAD)
    stubber.add_response("list_parts", second, {**UPLOAD, "PartNumberMarker": 1})
    assert await store.list_parts("k", upload_id="u") == (StoredPart(1, 5, "a"), StoredPart(2, 5, "b"))


async def test_completion_asks_the_store_not_to_replace_an_object(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    nothing_there(stubber)
    stubber.add_response("complete_multipart_upload", {}, {**CHOSEN, "IfNoneMatch": "*"})
    stubber.add_response("head_object", HEAD)
    made = await store.complete_multipart("k", upload_id="u", parts=PARTS)
    assert (made.size_bytes, made.etag) == (10, "e-2")


async def test_completion_works_on_a_store_without_that_condition(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    for attempt in range(2):
        nothing_there(stubber)
        if attempt == 0:
            stubber.add_client_error("complete_multipart_upload", "NotImplemented", http_status_code=501)
        stubber.add_response("complete_multipart_upload", {}, CHOSEN)
        stubber.add_response("head_object", HEAD)
        await store.complete_multipart("k", upload_id="u", parts=PARTS)


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("NoSuchUpload", 404, MultipartMissing),
        ("PreconditionFailed", 412, ObjectExistsAlready),
        ("ConditionalRequestConflict", 409, StorageUnavailable),
        ("InvalidPart", 400, StorageRefused),
        ("EntityTooSmall", 400, StorageRefused),
        ("InternalError", 500, StorageUnavailable),
    ],
)
async def test_errors_of_a_completion_become_errors_of_the_store(
    stubbed: Stubbed, code: str, status: int, meaning: type[Exception]
) -> None:
    store, stubber = stubbed
    nothing_there(stubber)
    stubber.add_client_error("complete_multipart_upload", code, http_status_code=status)
    with pytest.raises(meaning):
        await store.complete_multipart("k", upload_id="u", parts=PARTS)


async def test_a_failed_put_stream_is_aborted_and_raises_its_own_error(stubbed: Stubbed) -> None:
    store, stubber = stubbed

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(piece_size(1) + 1)

    stubber.add_response("create_multipart_upload", {"UploadId": "u"})
    stubber.add_client_error("upload_part", "SlowDown", http_status_code=503)
    stubber.add_client_error("abort_multipart_upload", "InternalError", http_status_code=500)
    with pytest.raises(StorageUnavailable, match="SlowDown"):
        await store.put_stream("k", chunks(), content_type="image/jpeg", replace=True)


async def test_the_error_for_an_object_without_tags_means_no_tags(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    stubber.add_client_error("get_object_tagging", "NoSuchTagSet", http_status_code=404)
    assert await store.tags("k") == {}


# Copies in parts. The source is `k`, of 10 bytes, the target `t`.

TO_TARGET = {"Bucket": "photos", "Key": "t", "UploadId": "u"}
NEW_UPLOAD = {"Bucket": "photos", "Key": "t", "ContentType": "application/octet-stream"}
TAGGED = {"TagSet": [{"Key": "a b", "Value": "1+2"}]}


@pytest.fixture
async def copying(stubbed: Stubbed, monkeypatch: pytest.MonkeyPatch) -> Stubbed:
    """One part at a time, because a stub supports only one order."""
    monkeypatch.setattr(s3_multipart, "_COPIED_PARTS_AT_ONCE", 1)
    stubbed[0]._copy_part_bytes = 4
    return stubbed


def a_part(stubber: Stubber, number: int, byte_range: str) -> None:
    wanted = {
        **TO_TARGET,
        "PartNumber": number,
        "CopySource": {"Bucket": "photos", "Key": "k"},
        "CopySourceIfMatch": '"e-2"',
        "CopySourceRange": f"bytes={byte_range}",
    }
    stubber.add_response("upload_part_copy", {"CopyPartResult": {"ETag": f'"{number}"'}}, wanted)


def all_parts(stubber: Stubber, *byte_ranges: str) -> None:
    for number, byte_range in enumerate(byte_ranges, start=1):
        a_part(stubber, number, byte_range)
    named = [{"PartNumber": number, "ETag": f'"{number}"'} for number in range(1, len(byte_ranges) + 1)]
    stubber.add_response("complete_multipart_upload", {}, {**TO_TARGET, "MultipartUpload": {"Parts": named}})


async def test_a_large_object_is_copied_in_parts(copying: Stubbed) -> None:
    store, stubber = copying
    stubber.add_response("head_object", HEAD)
    stubber.add_response("get_object_tagging", TAGGED, {"Bucket": "photos", "Key": "k"})
    stubber.add_response(
        "create_multipart_upload", {"UploadId": "u"}, {**NEW_UPLOAD, "Tagging": "a%20b=1%2B2"}
    )
    all_parts(stubber, "0-3", "4-7", "8-9")
    stubber.add_response("get_object_tagging", TAGGED, {"Bucket": "photos", "Key": "t"})
    stubber.add_response("head_object", HEAD)
    assert (await store.copy("k", "t")).key == "t"


async def test_no_object_has_more_parts_than_it_may(
    copying: Stubbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_multipart, "MAX_PARTS", 2)
    store, stubber = copying
    stubber.add_response("head_object", HEAD | {"ContentLength": 9})
    stubber.add_response("get_object_tagging", {"TagSet": []})
    stubber.add_response("create_multipart_upload", {"UploadId": "u"}, NEW_UPLOAD)
    all_parts(stubber, "0-4", "5-8")
    stubber.add_response("head_object", HEAD)
    await store.copy("k", "t")


@pytest.mark.parametrize("length", [10, 200])
async def test_tags_that_were_not_copied_are_set(copying: Stubbed, length: int) -> None:
    """The tags are too long for a header, or the store ignored the header."""
    store, stubber = copying
    tags = {"TagSet": [{"Key": "n", "Value": "v" * length}]}
    header = {"Tagging": "n=" + "v" * length} if length < 100 else {}
    stubber.add_response("head_object", HEAD)
    stubber.add_response("get_object_tagging", tags)
    stubber.add_response("create_multipart_upload", {"UploadId": "u"}, NEW_UPLOAD | header)
    all_parts(stubber, "0-3", "4-7", "8-9")
    stubber.add_response("get_object_tagging", {"TagSet": []})
    stubber.add_response("put_object_tagging", {}, {"Bucket": "photos", "Key": "t", "Tagging": tags})
    stubber.add_response("head_object", HEAD)
    await store.copy("k", "t")


async def test_a_store_without_tags_copies_objects(copying: Stubbed) -> None:
    store, stubber = copying
    stubber.add_response("head_object", HEAD)
    stubber.add_client_error("get_object_tagging", "NotImplemented", http_status_code=501)
    stubber.add_response("create_multipart_upload", {"UploadId": "u"}, NEW_UPLOAD)
    all_parts(stubber, "0-3", "4-7", "8-9")
    stubber.add_response("head_object", HEAD)
    await store.copy("k", "t")


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("PreconditionFailed", 412, StorageUnavailable),
        ("NoSuchKey", 404, ObjectMissing),
        ("NoSuchUpload", 404, StorageUnavailable),
        ("SlowDown", 503, StorageUnavailable),
        ("EntityTooLarge", 400, StorageRefused),
    ],
)
async def test_a_failed_copy_is_aborted(
    copying: Stubbed, code: str, status: int, meaning: type[Exception]
) -> None:
    store, stubber = copying
    stubber.add_response("head_object", HEAD)
    stubber.add_response("get_object_tagging", {"TagSet": []})
    stubber.add_response("create_multipart_upload", {"UploadId": "u"}, NEW_UPLOAD)
    a_part(stubber, 1, "0-3")
    stubber.add_client_error("upload_part_copy", code, http_status_code=status)
    stubber.add_response("abort_multipart_upload", {}, TO_TARGET)
    with pytest.raises(meaning) as caught:
        await store.copy("k", "t")
    assert caught.value.args == ("k",) or meaning is not ObjectMissing


async def test_a_copy_whose_completion_fails_is_not_aborted(copying: Stubbed) -> None:
    """The completion may have begun, and some stores would then delete the object's bytes with the upload."""
    store, stubber = copying
    stubber.add_response("head_object", HEAD | {"ContentLength": 5})
    stubber.add_response("get_object_tagging", {"TagSet": []})
    stubber.add_response("create_multipart_upload", {"UploadId": "u"}, NEW_UPLOAD)
    a_part(stubber, 1, "0-3")
    a_part(stubber, 2, "4-4")
    stubber.add_client_error("complete_multipart_upload", "InternalError", http_status_code=500)
    with pytest.raises(StorageUnavailable):
        await store.copy("k", "t")


async def test_a_copy_that_is_deleted_at_once_is_not_a_missing_source(copying: Stubbed) -> None:
    store, stubber = copying
    stubber.add_response("head_object", HEAD | {"ContentLength": 4})
    stubber.add_response(
        "copy_object",
        {},
        {"Bucket": "photos", "Key": "t", "CopySource": {"Bucket": "photos", "Key": "k"}},
    )
    nothing_there(stubber)
    with pytest.raises(StorageUnavailable):
        await store.copy("k", "t")


async def test_the_number_of_concurrent_part_copies_is_bounded() -> None:
    at_once = s3_multipart._COPIED_PARTS_AT_ONCE
    all_busy = threading.Barrier(at_once, timeout=10)
    lock = threading.Lock()
    busy: list[int] = [0]
    numbers: list[int] = []

    def upload_part_copy(**asked: Any) -> Any:
        with lock:
            busy[0] += 1
            numbers.append(asked["PartNumber"])
            assert busy[0] <= at_once
        all_busy.wait()
        with lock:
            busy[0] -= 1
        return {"CopyPartResult": {"ETag": '"e"'}}

    joined: list[Any] = []
    client: Any = SimpleNamespace(
        head_object=lambda **_: HEAD | {"ContentLength": 3 * at_once},
        get_object_tagging=lambda **_: {"TagSet": []},
        create_multipart_upload=lambda **_: {"UploadId": "u"},
        upload_part_copy=upload_part_copy,
        complete_multipart_upload=lambda **asked: joined.append(asked["MultipartUpload"]["Parts"]),
        close=lambda: None,
    )
    store = S3ObjectStore(ADDRESS, credentials=CREDENTIALS, copy_part_bytes=1)
    store._connection.use(client)
    await store.copy("k", "t")
    assert sorted(numbers) == [part["PartNumber"] for part in joined[0]] == list(range(1, 3 * at_once + 1))
    await store.close()


def test_piece_sizes_suffice_for_the_largest_object() -> None:
    sizes = [piece_size(number) for number in range(1, MAX_PARTS + 1)]
    assert sum(sizes) > 500 << 30
    assert min(sizes) >= 5 << 20
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("chunk", [1, 3, 4, 5, 100])
@pytest.mark.parametrize("total", [0, 1, 3, 4, 8, 9, 30])
async def test_pieces_contain_the_same_bytes(chunk: int, total: int) -> None:
    content = bytes(range(total))

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, total, chunk):
            yield content[at : at + chunk]

    pieces = [piece async for piece in rechunk(chunks(), size_of=lambda number: 3 + number)]
    assert b"".join(pieces) == content
    assert all(len(piece) == 3 + number for number, piece in enumerate(pieces[:-1], start=1))
    assert 0 < len(pieces[-1]) <= 3 + len(pieces) or total == 0


async def test_rechunking_keeps_one_piece_in_memory() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 16)

    tracemalloc.start()
    try:
        async for piece in rechunk(chunks(), size_of=lambda _: 1 << 20):
            del piece
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 3 << 19


@pytest.mark.parametrize(
    "tags",
    [{}, {"a": ""}, {"n" * 128: "v" * 256}, {"Größe": "10 m/s + 3 = @x:y_z-."}, {"日本": "東京"}],
)
def test_valid_tags_are_accepted(tags: dict[str, str]) -> None:
    assert checked_tags(tags) == tags


@pytest.mark.parametrize(
    "tags", [{"": "x"}, {"AWS:x": ""}, {"a": "\n"}, {"a": "\x00"}, {"a;b": ""}, {"a": "€"}]
)
def test_invalid_tags_are_refused(tags: dict[str, str]) -> None:
    with pytest.raises(StorageRefused):
        checked_tags(tags)
