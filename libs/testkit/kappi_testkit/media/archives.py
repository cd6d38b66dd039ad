"""Makes galleries to be archived, without uploads and workers, and reads the archives."""

from __future__ import annotations

import io
import zipfile
import zlib
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.storage import ObjectStore
from kappi_contracts.keys import original_key, sidecar_key

from kappi_testkit.asgi import Answer
from kappi_testkit.media.harness import Gallery, Http

WINDOW = 1 << 18
"""A window so small that files of some hundred kilobytes are larger."""
BIG = 900_000


class Shelf:
    """Puts ready items into a gallery, as uploads and the worker would."""

    def __init__(self, database: Database, store: ObjectStore, gallery: Gallery) -> None:
        self._database = database
        self._store = store
        self._gallery = gallery

    async def add(self, filename: str, body: bytes, *, status: str = "ready", **columns: Any) -> UUID:
        media_id = new_id()
        key = original_key(self._gallery.id, media_id)
        head = await self._store.put(key, body, content_type="image/jpeg")
        await self._database.hot.execute(
            "INSERT INTO contents (gallery_id, version, item_count) VALUES ($1, 1, 1) "
            "ON CONFLICT (gallery_id) DO UPDATE SET version = contents.version + 1, "
            "item_count = contents.item_count + 1",
            self._gallery.id,
        )
        values = {
            "id": media_id,
            "gallery_id": self._gallery.id,
            "upload_id": media_id,
            "filename": filename,
            "content_type": "image/jpeg",
            "kind": "image",
            "width": 1,
            "height": 1,
            "status": status,
            "size_bytes": len(body),
            "etag": head.etag,
            "created_at": datetime(2026, 5, 6, 7, 8, 10, tzinfo=UTC),
            **columns,
        }
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self._database.hot.execute(
            f"INSERT INTO items ({', '.join(values)}) VALUES ({places})",  # noqa: S608 - names above
            *values.values(),
        )
        return media_id

    async def add_sidecar(self, media_id: UUID, filename: str, body: bytes) -> None:
        """Put an XMP sidecar beside an item."""
        key = sidecar_key(self._gallery.id, media_id)
        head = await self._store.put(key, body, content_type="application/rdf+xml")
        await self._database.hot.execute(
            "INSERT INTO uploads (id, media_id, gallery_id, filename, content_type, size_bytes, "
            "sidecar_bytes, state, expires_at, created_at) SELECT id, id, gallery_id, filename, "
            "content_type, size_bytes, $2, 'completed', created_at, created_at FROM items WHERE id = $1",
            media_id,
            len(body),
        )
        await self._database.hot.execute(
            "INSERT INTO sidecars (id, media_id, filename, size_bytes, state, expires_at, etag, crc32) "
            "SELECT $2, id, $3, $4, 'completed', created_at, $5, $6 FROM items WHERE id = $1",
            media_id,
            new_id(),
            filename,
            len(body),
            head.etag,
            zlib.crc32(body),
        )
        await self._database.hot.execute(
            "UPDATE items SET sidecar_filename = $2, sidecar_bytes = $3 WHERE id = $1",
            media_id,
            filename,
            len(body),
        )

    async def crcs(self) -> list[int | None]:
        """Returns the checksums in the database, in order."""
        rows = await self._database.hot.fetch(
            "SELECT crc32 FROM items WHERE gallery_id = $1 ORDER BY id", self._gallery.id
        )
        return [row["crc32"] for row in rows]


def noise(size: int, seed: int = 1) -> bytes:
    """Returns bytes that are the same every time."""
    return Random(seed).randbytes(size)  # noqa: S311 - no secret


FILES = {
    "first.jpg": noise(40_000, 1),
    "big.mp4": noise(BIG, 2),
    "IMG.JPG": b"x",
    "img.jpg": noise(5_000, 3),
    "夏 été.heic": noise(WINDOW, 4),
    "last.mp4": noise(BIG + 17, 5),
}
NAMES = ["first.jpg", "big.mp4", "IMG.JPG", "img (2).jpg", "夏 été.heic", "last.mp4"]


async def fill(shelf: Shelf) -> None:
    for filename, body in FILES.items():
        await shelf.add(filename, body)


async def archive(app: Any, gallery: Gallery, method: str = "GET", **headers: str) -> Answer:
    """Requests the archive. Header names are written with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/v1/g/{gallery.public.code}/archive"
    return await Http(app)(method, path, grant=gallery.grant("view"), headers=named)


def contents(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        assert opened.testzip() is None
        return {info.filename: opened.read(info) for info in opened.infolist()}
