"""The messages of stores in their own formats, and their parsed content."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_contracts.keys import original_key, rendition_key
from kappi_media.domain.store_events import (
    MAX_MESSAGE_BYTES,
    MAX_RECORDS,
    Arrival,
    StoreMessage,
    UnreadableStoreEvent,
    originals,
    read_message,
)

GALLERY = UUID("0198a3c2-0000-7000-8000-000000000001")
MEDIA = UUID("0198a3c2-0000-7000-8000-00000000000a")
KEY = original_key(GALLERY, MEDIA)


def record(name: str = "ObjectCreated:Put", key: str = KEY, **more: Any) -> dict[str, Any]:
    about = {"bucket": {"name": "kappi"}, "object": {"key": key, "size": 3, "eTag": "e"}}
    return {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name, "s3": about, **more}


def read(*records: Any, **more: Any) -> StoreMessage:
    return read_message(json.dumps({"Records": records, **more}).encode())


HERE = StoreMessage((Arrival("kappi", GALLERY, MEDIA),), ignored=0)


@pytest.mark.parametrize("name", ["Put", "Post", "Copy", "CompleteMultipartUpload", "SomethingOfNextYear"])
@pytest.mark.parametrize("prefix", ["", "s3:"])
def test_an_original_arrives_in_any_way_there_is(name: str, prefix: str) -> None:
    assert read(record(f"{prefix}ObjectCreated:{name}")) == HERE


def test_a_message_of_minio_has_more_around_it() -> None:
    message = read(
        record("s3:ObjectCreated:Put", quote_plus(KEY), eventSource="minio:s3"),
        EventName="s3:ObjectCreated:Put",
        Key=f"kappi/{KEY}",
    )
    assert message == HERE


def test_a_message_of_the_versity_gateway() -> None:
    told = record("s3:ObjectCreated:CompleteMultipartUpload", eventVersion="2.2")
    told["glacierEventData"] = {"restoreEventData": {"lifecycleRestorationExpiryTime": ""}}
    assert read(told) == HERE


@pytest.mark.parametrize("kind", ["create", "update"])
@pytest.mark.parametrize("within", ["", ".versions", ".versions/v_6716452775ccd7316cd1b850afdadf46"])
def test_a_message_of_seaweedfs_filer(kind: str, within: str) -> None:
    told = {"key": f"/buckets/kappi/{KEY}{within}", "event_type": kind, "message": {"new_entry": {}}}
    assert read_message(json.dumps(told).encode()) == HERE


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("delete", f"/buckets/kappi/{KEY}"),
        ("rename", f"/buckets/kappi/{KEY}"),
        ("create", f"/buckets/kappi/.uploads/{KEY}/0001.part"),
        ("create", f"/elsewhere/{KEY}"),
        ("create", f"/buckets/kappi/{KEY}.versions/v_"),
        ("create", f"/buckets/kappi/{KEY}.versions/v_1/more"),
        ("create", f"/buckets/kappi/{KEY}.version"),
        ("create", "/buckets/kappi"),
    ],
)
def test_what_else_seaweedfs_tells_is_ignored(kind: str, key: str) -> None:
    told = {"key": key, "event_type": kind, "message": {}}
    assert read_message(json.dumps(told).encode()) == StoreMessage((), ignored=1)


def test_the_message_s3_sends_when_it_is_set_up() -> None:
    told = {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Bucket": "kappi",
        "RequestId": "1",
        "HostId": "2",
    }
    assert read_message(json.dumps(told).encode()) == StoreMessage((), ignored=1)


def test_keys_come_written_as_in_a_form() -> None:
    assert read(record(key=quote_plus(KEY, safe=""))) == HERE
    assert read(record(key=KEY.replace("galleries", "%67alleries"))) == HERE


def test_several_records_are_all_taken_and_a_repeated_one_once() -> None:
    other = UUID(int=MEDIA.int + 1)
    message = read(record(), record(key=original_key(GALLERY, other)), record("ObjectCreated:Copy"))
    assert [arrival.media_id for arrival in message.arrivals] == [MEDIA, other]
    assert list(originals(message)) == [("kappi", KEY), ("kappi", original_key(GALLERY, other))]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("ObjectCreated:Put", rendition_key(GALLERY, MEDIA, "400")),
        ("ObjectCreated:Put", KEY + "s"),
        ("ObjectCreated:Put", "a/" + KEY),
        ("ObjectCreated:Put", KEY.upper()),
        ("ObjectCreated:Put", KEY + "\n"),
        ("ObjectCreated:Put", KEY.replace("/", "%2F%2F")),
        ("ObjectCreated:Put", "galleries/../../etc/passwd"),
        ("ObjectCreated:Put", ""),
        ("ObjectRemoved:Delete", KEY),
        ("s3:ObjectRemoved:DeleteMarkerCreated", KEY),
        ("ObjectTagging:Put", KEY),
        ("s3:LifecycleExpiration:Delete", KEY),
        ("ObjectCreatedNot", KEY),
    ],
)
def test_everything_else_is_ignored(name: str, key: str) -> None:
    assert read(record(name, key)) == StoreMessage((), ignored=1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"1" * 5_000,
        b"[]",
        b'"Records"',
        b"{}",
        b'{"Records": {}}',
        b'{"Records": [1]}',
        b'{"Records": [{}]}',
        b'{"Records": [{"eventName": 7, "s3": {}}]}',
        b'{"Records": [{"eventName": "ObjectCreated:Put", "s3": []}]}',
        json.dumps(
            {"Records": [record() | {"s3": {"bucket": {"name": "b"}, "object": {"key": 1}}}]}
        ).encode(),
        json.dumps(
            {"Records": [record() | {"s3": {"bucket": {"name": None}, "object": {"key": "k"}}}]}
        ).encode(),
        json.dumps({"Records": [record()] * (MAX_RECORDS + 1)}).encode(),
        b'{"Records": []}' + b" " * MAX_MESSAGE_BYTES,
        b'{"event_type": "create"}',
    ],
)
def test_what_cannot_be_understood_is_said_so(body: bytes) -> None:
    with pytest.raises(UnreadableStoreEvent):
        read_message(body)


def test_nothing_told_is_understood() -> None:
    assert read() == StoreMessage((), ignored=0)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["Records", "s3", "bucket", "object", "key", "name", "eventName", "event_type", "Event"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(_json)
def test_no_json_does_anything_but_be_understood_or_refused(document: Any) -> None:
    try:
        message = read_message(json.dumps(document).encode())
    except UnreadableStoreEvent:
        return
    assert message.arrivals == ()


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_else(body: bytes) -> None:
    with contextlib.suppress(UnreadableStoreEvent):
        read_message(body)
