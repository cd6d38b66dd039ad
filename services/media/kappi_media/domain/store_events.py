"""What a store tells of its objects, read into the originals that arrived.

The standard library only: the function that runs at the store packs this file. Forms: S3 event messages (of
AWS, MinIO and Versity: "Event message structure" in the S3 user guide), the test message S3 sends when a
notification is set up, and the messages of SeaweedFS's filer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus
from uuid import UUID

MAX_MESSAGE_BYTES: Final = 1 << 20
MAX_RECORDS: Final = 1_000

_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ORIGINAL: Final = re.compile(f"galleries/({_UUID})/({_UUID})/original")
_FILER_PATH: Final = re.compile(r"/buckets/([^/]+)/(.+?)(?:\.versions(?:/v_[0-9a-f]+)?)?", re.DOTALL)


class UnreadableStoreEvent(Exception):
    """The message is in no form known here: the sender is set up wrongly, or newer than this."""


class Arrival(NamedTuple):
    """An original came to be under its key."""

    bucket: str
    gallery_id: UUID
    media_id: UUID


@dataclass(frozen=True, slots=True)
class StoreMessage:
    """arrivals: in the order told, each once. ignored: records about anything else."""

    arrivals: tuple[Arrival, ...]
    ignored: int


def read_message(body: bytes) -> StoreMessage:
    """A message as the store sent it. Raises UnreadableStoreEvent."""
    if len(body) > MAX_MESSAGE_BYTES:
        raise UnreadableStoreEvent(f"more than {MAX_MESSAGE_BYTES} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:  # what is no UTF-8 is a ValueError, too
        raise UnreadableStoreEvent("no JSON") from error
    return understand(document)


def understand(document: object) -> StoreMessage:
    """The same of a message that is parsed already. Raises UnreadableStoreEvent."""
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
    """None for what is no original's arrival. Raises UnreadableStoreEvent for what is no S3 event record."""
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
    # S3 writes keys as in a form. Ours hold nothing that this would change, whoever leaves it out.
    return _arrival(bucket, unquote_plus(key))


def _of_filer(event_type: str, path: str) -> Arrival | None:
    """In a versioned bucket an object is a folder, and there once the folder is told which is the newest."""
    place = _FILER_PATH.fullmatch(path)
    if place is None or event_type not in {"create", "update"}:
        return None
    return _arrival(place[1], place[2])


def _arrival(bucket: str, key: str) -> Arrival | None:
    found = _ORIGINAL.fullmatch(key)
    return Arrival(bucket, UUID(found[1]), UUID(found[2])) if found is not None else None


def originals(message: StoreMessage) -> Iterator[tuple[str, str]]:
    """Bucket and key of each."""
    for bucket, gallery_id, media_id in message.arrivals:
        yield bucket, f"galleries/{gallery_id}/{media_id}/original"
