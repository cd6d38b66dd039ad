"""Parses a store's messages about its objects into the uploaded files that arrived.

It imports only the standard library, because the function that runs at the store packs this file. Formats: S3
event messages (of AWS, MinIO and Versity: "Event message structure" in the S3 user guide), the test message
S3 sends when a notification is configured, and the messages of SeaweedFS's filer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote_plus
from uuid import UUID

MAX_MESSAGE_BYTES: Final = 1 << 20
MAX_RECORDS: Final = 1_000

_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_UPLOADED: Final = re.compile(f"galleries/({_UUID})/({_UUID})/(original|sidecar[.]xmp)")
_ROLES: Final[dict[str, Literal["original", "sidecar"]]] = {"original": "original", "sidecar.xmp": "sidecar"}
_FILER_PATH: Final = re.compile(r"/buckets/([^/]+)/(.+?)(?:\.versions(?:/v_[0-9a-f]+)?)?", re.DOTALL)


class UnreadableStoreEvent(Exception):
    """The message has no known format: the sender is configured wrongly, or newer than this service."""


class Arrival(NamedTuple):
    """An uploaded file was stored under its key: an original, or the sidecar of one."""

    bucket: str
    gallery_id: UUID
    media_id: UUID
    role: Literal["original", "sidecar"] = "original"


@dataclass(frozen=True, slots=True)
class StoreMessage:
    """The content of a message. arrivals: in the order of the message, each once. ignored: records about
    other things.
    """

    arrivals: tuple[Arrival, ...]
    ignored: int


def read_message(body: bytes) -> StoreMessage:
    """Returns the content of a message as the store sent it. Raises UnreadableStoreEvent."""
    if len(body) > MAX_MESSAGE_BYTES:
        raise UnreadableStoreEvent(f"more than {MAX_MESSAGE_BYTES} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:  # invalid UTF-8 is a ValueError, too
        raise UnreadableStoreEvent("no JSON") from error
    return understand(document)


def understand(document: object) -> StoreMessage:
    """As `read_message`, of a message that is already parsed. Raises UnreadableStoreEvent."""
    if not isinstance(document, dict):
        raise UnreadableStoreEvent("no JSON object")
    if document.get("Event") == "s3:TestEvent":
        return StoreMessage((), ignored=1)
    if isinstance(document.get("event_type"), str) and isinstance(document.get("key"), str):
        return _message([_of_filer(document["event_type"], document["key"])])
    records = document.get("Records")
    if not isinstance(records, list):
        raise UnreadableStoreEvent("no Records")
    if len(records) > MAX_RECORDS:
        raise UnreadableStoreEvent(f"more than {MAX_RECORDS} records")
    return _message([_of_record(record) for record in records])


def _message(found: list[Arrival | None]) -> StoreMessage:
    arrivals = dict.fromkeys(arrival for arrival in found if arrival is not None)
    return StoreMessage(tuple(arrivals), ignored=found.count(None))


def _of_record(record: Any) -> Arrival | None:
    """Returns None for a record that is not the arrival of an original.

    Raises UnreadableStoreEvent for one that is not an S3 event record.
    """
    try:
        name = record["eventName"].removeprefix("s3:")
        bucket = record["s3"]["bucket"]["name"]
        key = record["s3"]["object"]["key"]
    except (AttributeError, KeyError, TypeError) as error:
        raise UnreadableStoreEvent("a record is no S3 event") from error
    if not isinstance(key, str) or not isinstance(bucket, str):
        raise UnreadableStoreEvent("a record names no object")
    if not name.startswith("ObjectCreated:"):
        return None
    # S3 encodes keys as in a form. Kappi's keys contain nothing that decoding would change, so stores that do
    # not encode are read correctly too.
    return _arrival(bucket, unquote_plus(key))


def _of_filer(event_type: str, path: str) -> Arrival | None:
    """Returns the arrival, or None. In a versioned bucket an object is a folder; it exists once an event of
    the folder names the newest version.
    """
    place = _FILER_PATH.fullmatch(path)
    if place is None or event_type not in {"create", "update"}:
        return None
    return _arrival(place[1], place[2])


def _arrival(bucket: str, key: str) -> Arrival | None:
    found = _UPLOADED.fullmatch(key)
    return Arrival(bucket, UUID(found[1]), UUID(found[2]), _ROLES[found[3]]) if found is not None else None


def originals(message: StoreMessage) -> Iterator[tuple[str, str]]:
    """Yields the bucket and key of each original that arrived."""
    for bucket, gallery_id, media_id, role in message.arrivals:
        if role == "original":
            yield bucket, f"galleries/{gallery_id}/{media_id}/original"
