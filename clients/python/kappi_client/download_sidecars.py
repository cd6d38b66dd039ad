"""Downloads of XMP sidecars, which are small: each at once, into the folder of its picture."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kappi_client.api import UNREACHABLE, Api
from kappi_client.files import NameBook
from kappi_client.retry import ATTEMPTS, backoff
from kappi_client.sidecars import names_beside

_URL_EXPIRED = 403


class SidecarMissing(Exception):
    """The sidecar cannot be downloaded; the message says why."""


@dataclass(frozen=True, slots=True)
class WantedSidecar:
    """The sidecar of an item. picture: where its picture is saved. name: for the sidecar, taken already."""

    item: Mapping[str, Any]
    picture: Path
    name: str

    @property
    def size_bytes(self) -> int:
        return int(self.item["sidecar"]["size"])


def wanted_sidecar(item: Mapping[str, Any], picture: Path, names: NameBook) -> WantedSidecar | None:
    """Returns the sidecar of an item; None where it has none."""
    sidecar = item.get("sidecar")
    if sidecar is None:
        return None
    fitting = names_beside(sidecar["filename"], picture=item["filename"], saved_as=picture.name)
    free = next((name for name in fitting if names.is_free(name)), fitting[-1])
    return WantedSidecar(item, picture, names.take(free))


async def read_sidecar(api: Api, headers: Mapping[str, str], wanted: WantedSidecar) -> bytes:
    """Returns the content. Raises SidecarMissing, ApiError, Unreachable."""
    url = wanted.item["sidecar"]["url"]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with api.session.get(url, headers={"Accept-Encoding": "identity"}) as answer:
                status, reason = answer.status, f"HTTP status {answer.status}"
                if status == 200:
                    body = await answer.content.read(wanted.size_bytes + 1)
                    while len(body) <= wanted.size_bytes and (more := await answer.content.read(1 << 16)):
                        body += more
                    if len(body) == wanted.size_bytes:
                        return body
                    reason = f"it has not the expected {wanted.size_bytes} bytes"
        except UNREACHABLE as failure:
            status, reason = 0, str(failure) or type(failure).__name__
        if attempt < ATTEMPTS:
            await backoff(attempt)
        if status == _URL_EXPIRED:
            item = await api.call("GET", f"/v1/media/{wanted.item['id']}", headers=headers)
            url = (item["sidecar"] or wanted.item["sidecar"])["url"]
    raise SidecarMissing(f"the download broke off ({reason}); call again to go on")


async def save_sidecar(wanted: WantedSidecar, body: bytes, names: NameBook) -> tuple[Path, bool]:
    """Returns where the sidecar is, and whether it was there before. A file of other content stays."""
    return await asyncio.to_thread(_save, wanted, body, names)


def _save(wanted: WantedSidecar, body: bytes, names: NameBook) -> tuple[Path, bool]:
    folder = wanted.picture.parent
    target = folder / wanted.name
    while target.exists():
        if target.is_file() and target.stat().st_size == len(body) and target.read_bytes() == body:
            return target, True
        target = folder / names.take(wanted.name)
    draft = folder / f".{wanted.item['id']}.kappi-sidecar"
    draft.write_bytes(body)
    draft.replace(target)
    return target, False
