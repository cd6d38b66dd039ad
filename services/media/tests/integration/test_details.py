"""Items show the details in their files: exposure, lens, rating, title, projection, film."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.repository.items import ItemQueries
from kappi_mediameta.probing import EmbeddedFilm
from kappi_testkit.media.harness import Client, Gallery, Published, Worker, redelivered
from kappi_testkit.media.metadata_blocks import exif_block, jpeg, xmp_packet
from kappi_testkit.media.motion_photos import film_of_photo, google_photo

Show = Callable[..., Awaitable[dict[str, Any]]]

EXIF = exif_block(
    details=[
        (0x829A, 5, struct.pack(">II", 1, 250)),
        (0x829D, 5, struct.pack(">II", 28, 10)),
        (0x8827, 3, struct.pack(">H", 640)),
        (0x920A, 5, struct.pack(">II", 35, 1)),
        (0xA405, 3, struct.pack(">H", 52)),
        (0xA434, 2, b"XF 35mm F1.4 R\x00"),
    ]
)
XMP = xmp_packet(
    '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Andermatt</rdf:li></rdf:Alt></dc:title>',
    attributes='xmp:Rating="4"',
)
EXPOSURE = {
    "lens": "XF 35mm F1.4 R",
    "exposure_time_s": 0.004,
    "aperture": 2.8,
    "iso": 640,
    "focal_length_mm": 35.0,
    "focal_length_35mm": 52.0,
}


@pytest.fixture
def show(client: Client, worker: Worker, published: Callable[..., Awaitable[list[Published]]]) -> Show:
    """`await show(gallery, body)` returns the item of a file that the worker has processed."""

    async def shown(gallery: Gallery, body: bytes, right: Any = "manage") -> dict[str, Any]:
        item = await client.upload(gallery, body)
        assert (item["exposure"], item["rating"], item["title"]) == (None, None, None)
        await worker.process(redelivered((await published("UploadCompleted"))[-1]))
        answer = await client.http("GET", f"/v1/media/{item['id']}", grant=gallery.grant(right))
        result: dict[str, Any] = answer.json
        return result

    return shown


async def test_an_item_shows_how_it_was_taken(client: Client, gallery: Gallery, show: Show) -> None:
    item = await show(gallery, jpeg(XMP, exif=EXIF), "view")
    assert (item["exposure"], item["rating"], item["title"]) == (EXPOSURE, 4, "Andermatt")
    (listed,) = (await client.view(gallery)).json["items"]
    assert (listed["exposure"], listed["rating"], listed["title"]) == (EXPOSURE, 4, "Andermatt")


async def test_a_file_without_details_has_none(gallery: Gallery, show: Show) -> None:
    item = await show(gallery, jpeg())
    assert (item["exposure"], item["rating"], item["title"]) == (None, None, None)


async def test_a_title_may_name_the_place(
    client: Client, make_gallery: Callable[..., Gallery], show: Show
) -> None:
    gallery = make_gallery(location_free=True)
    item = await show(gallery, jpeg(XMP, exif=EXIF))
    assert (item["rating"], item["title"]) == (4, "Andermatt"), "for its manager"
    for right in ("view", "contribute"):
        answer = await client.http("GET", f"/v1/media/{item['id']}", grant=gallery.grant(right))
        assert (answer.json["exposure"], answer.json["title"]) == (EXPOSURE, None)
    page = await client.view(gallery)
    assert "Andermatt" not in page.body.decode()


async def test_a_motion_photo_is_marked_and_its_film_kept_in_mind(
    client: Client, gallery: Gallery, show: Show, deps: Dependencies
) -> None:
    film = film_of_photo()
    body = google_photo(film)
    item = await show(gallery, body, "view")
    assert (item["motion"], item["projection"]) == (True, None)
    kept = await ItemQueries(deps.database).find(MediaId(UUID(item["id"])), GalleryId(gallery.id))
    assert kept is not None
    assert kept.film == EmbeddedFilm(start=len(body) - len(film), size_bytes=len(film))


async def test_a_panorama_is_marked(gallery: Gallery, show: Show) -> None:
    panorama = (
        'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular"'
    )
    item = await show(gallery, jpeg(xmp_packet(attributes=panorama)))
    assert (item["projection"], item["motion"]) == ("equirectangular", False)
