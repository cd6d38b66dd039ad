"""The state of an upload as the API describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kappi_client.object_store import SignedPut

COMPLETED = "completed"
PENDING = "pending"


@dataclass(frozen=True, slots=True)
class PresentPart:
    """A part that the store lists. etag: without quotes."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class Parts:
    """A multipart upload. urls: of missing parts, up to a hundred."""

    part_size_bytes: int
    count: int
    present: Sequence[PresentPart]
    urls: Mapping[int, SignedPut]

    def span(self, number: int, *, of_bytes: int) -> tuple[int, int]:
        """Returns (offset, size in bytes) of a part of a file."""
        start = (number - 1) * self.part_size_bytes
        return start, min(self.part_size_bytes, of_bytes - start)


@dataclass(frozen=True, slots=True)
class UploadState:
    """An upload. state: see the API. single and parts are None when the upload takes no more bytes."""

    id: str
    media_id: str
    state: str
    single: SignedPut | None
    parts: Parts | None


def upload_state_of(document: Mapping[str, Any]) -> UploadState:
    """Reads an answer that signs or describes an upload."""
    single, multipart = document.get("single"), document.get("multipart")
    return UploadState(
        id=document["id"],
        media_id=document["media_id"],
        state=document.get("state", PENDING),
        single=_signed(single) if single is not None else None,
        parts=_parts(multipart) if multipart is not None else None,
    )


def signed_parts(documents: list[Mapping[str, Any]]) -> dict[int, SignedPut]:
    """Returns signed requests by part number."""
    return {each["number"]: _signed(each) for each in documents}


def _parts(document: Mapping[str, Any]) -> Parts:
    return Parts(
        part_size_bytes=document["part_size"],
        count=document["part_count"],
        present=[
            PresentPart(each["number"], each["size"], each["etag"].strip('"'))
            for each in document.get("present") or ()
        ],
        urls=signed_parts(document["parts"]),
    )


def _signed(document: Mapping[str, Any]) -> SignedPut:
    return SignedPut(document["url"], document["headers"], document.get("http_method", "PUT"))
