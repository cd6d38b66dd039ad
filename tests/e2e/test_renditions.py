"""Pictures of all kinds, requested through the gateway in the formats and sizes that apps use."""

from __future__ import annotations

import asyncio
import io
from base64 import b64decode

from kappi_testkit.media.samples import MovieShape, Shot, encode, movie, quadrants, register_heif
from PIL import Image

from tests.e2e.phone import File, Phone

BROWSER = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


def heic() -> bytes:
    register_heif()
    return encode(quadrants(1200, 900), "HEIF", shot=Shot(orientation=6, place=(48.1, 11.5, 520.0)))


async def test_a_photograph_is_served_in_every_format_and_size(phone: Phone) -> None:
    gallery = await phone.create_gallery()
    film = movie(MovieShape(width=640, height=480, rotation=-90, seconds=1))
    media_id, film_id = await phone.upload(
        gallery,
        File("IMG_0412.HEIC", "image/heic", await asyncio.to_thread(heic)),
        File("IMG_0413.MOV", "video/quicktime", film),
    )
    items = {item["id"]: item for item in await phone.until_ready(gallery, 2)}
    assert (items[media_id]["width"], items[media_id]["height"]) == (1200, 900)
    for item in items.values():
        assert len(b64decode(item["placeholder"], validate=True)) >= 5
        assert set(item["renditions"]) == {"200", "400", "2048"}
    code = {"X-Gallery-Code": gallery.code}

    async def seen(of: str, size: str, **headers: str) -> Image.Image:
        answer = await phone.insist("GET", f"/v1/media/{of}/renditions/{size}", headers={**code, **headers})
        assert (answer.status, answer.headers["Vary"]) == (302, "Accept"), answer.body[:300]
        stored = await phone.ask("GET", answer.headers["Location"])
        assert stored.status == 200
        picture = Image.open(io.BytesIO(stored.body))
        assert stored.headers["Content-Type"] == f"image/{(picture.format or '').lower()}"
        assert not picture.getexif()
        return picture

    for headers, fmt in (({}, "JPEG"), ({"Accept": BROWSER}, "AVIF"), ({"Accept": "image/webp"}, "WEBP")):
        picture = await seen(media_id, "200", **headers)
        assert (picture.format, picture.size) == (fmt, (267, 200))
        picture = await seen(film_id, "400x200", **headers)
        assert (picture.format, picture.size) == (fmt, (400, 200))
    refused = await phone.ask("GET", f"/v1/media/{media_id}/renditions/600x600", headers=code)
    refused.problem(403, "rendition_not_in_tier")
    nonsense = await phone.ask("GET", f"/v1/media/{media_id}/renditions/large", headers=code)
    assert nonsense.problem(422, "validation_failed")["errors"][0]["field"] == "size"
