"""Files posted through the gateway, and galleries that hide places from their viewers."""

from __future__ import annotations

import asyncio
import base64
import io
import secrets
import zipfile
from typing import Any
from urllib.parse import unquote

import pytest
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing import BytesSource
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import Shot, encode, quadrants
from PIL import Image

from tests.e2e.phone import Answer, File, Gallery, Phone

PLACED = encode(quadrants(320, 240), "JPEG", shot=Shot(make="Kappi", place=(48.8577, 2.295, 35.0)))
LARGE = encode(Image.effect_noise((1600, 1200), 80).convert("RGB"), "JPEG", options={"quality": 97})
"""Larger than the limit of JSON."""
BOUNDARY = "kappi7MA4YWxk"


async def post_form(phone: Phone, gallery: Gallery, body: bytes, name: str, **headers: str) -> Answer:
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="caption"\r\n\r\nOù ça?\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return await phone.ask(
        "POST",
        f"/v1/galleries/{gallery.id}/media",
        body=head.encode() + body + f"\r\n--{BOUNDARY}--\r\n".encode(),
        headers={**gallery.key, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **headers},
    )


async def test_a_form_and_a_json_document_become_pictures(phone: Phone) -> None:
    gallery = await phone.create_gallery()
    once = {"Idempotency-Key": secrets.token_hex(16)}
    first = (await post_form(phone, gallery, LARGE, "Grüße 🏔.jpg", **once)).ok(201)
    again = (await post_form(phone, gallery, LARGE, "Grüße 🏔.jpg", **once)).ok(201)
    assert again["id"] == first["id"]
    text = base64.b64encode(PLACED).decode()
    second = await phone.ask(
        "POST",
        f"/v1/galleries/{gallery.id}/media",
        json={"content_base64": text, "filename": "b.jpg", "tags": ["alps"]},
        headers=gallery.key,
    )
    assert second.ok(201)["tags"] == ["alps"]

    shown = await phone.until_ready(gallery, 2)
    assert [(item["filename"], item["width"]) for item in shown] == [("Grüße 🏔.jpg", 1600), ("b.jpg", 320)]
    assert shown[0]["caption"] == "Où ça?"
    download = await phone.ask("GET", shown[0]["original"]["url"])
    assert (download.status, download.body) == (200, LARGE)
    disposition = download.headers["Content-Disposition"]
    assert disposition.isascii()
    assert unquote(disposition.rpartition("UTF-8''")[2]) == "Grüße 🏔.jpg"


async def test_a_file_of_fifteen_megabytes_is_refused(phone: Phone) -> None:
    gallery = await phone.create_gallery()
    refused = await post_form(phone, gallery, PLACED + bytes(15 << 20), "a.jpg")
    refused.problem(413, "file_too_large")
    assert await phone.items(gallery.code) == []


async def has_place(body: bytes) -> bool:
    return bool(await find_location(BytesSource(body)))


@pytest.mark.parametrize("from_the_start", [True, False])
async def test_viewers_of_a_gallery_without_places_never_see_a_place(
    phone: Phone, from_the_start: bool
) -> None:
    fields: dict[str, Any] = {"location_free": True} if from_the_start else {}
    gallery = await phone.create_gallery(**fields)
    await phone.upload(gallery, File("placed.jpg", "image/jpeg", PLACED))
    (item,) = await phone.until_ready(gallery, 1)
    if not from_the_start:
        assert item["gps"]["latitude"] == pytest.approx(48.8577)
        assert (await phone.ask("GET", item["original"]["url"])).body == PLACED
        path = f"/v1/galleries/{gallery.id}"
        changed = await phone.ask("PATCH", path, json={"location_free": True}, headers=gallery.key)
        assert changed.ok()["location_free"] is True
    by_code = {"X-Gallery-Code": gallery.code}

    async def page_with_copy() -> dict[str, Any]:
        page = (await phone.ask("GET", f"/v1/g/{gallery.code}")).ok()
        assert page["gallery"]["location_free"] is True
        (seen,) = page["items"]
        assert seen["gps"] is None
        assert seen["original"] is not None
        return dict(seen)

    seen = await eventually(page_with_copy, 60)
    path = f"/v1/media/{item['id']}/download"
    bodies = [
        (await phone.ask("GET", seen["original"]["url"])).body,
        (await phone.ask("GET", (await phone.ask("GET", path, headers=by_code)).ok()["url"])).body,
    ]
    archive = await phone.ask("GET", f"/v1/g/{gallery.code}/archive")
    with zipfile.ZipFile(io.BytesIO(archive.body)) as opened:
        bodies.append(opened.read("placed.jpg"))
    for body in bodies:
        assert not await has_place(body)
        assert (len(body), body[-1000:]) == (len(PLACED), PLACED[-1000:])
        assert 0x010F not in Image.open(io.BytesIO(body)).getexif()
    managed = (await phone.ask("GET", path, headers=gallery.key)).ok()
    assert (await phone.ask("GET", managed["url"])).body == PLACED


async def test_ten_concurrent_posts_succeed(phone: Phone) -> None:
    gallery = await phone.create_gallery()
    answers = await asyncio.gather(*(post_form(phone, gallery, PLACED, f"{n}.jpg") for n in range(10)))
    assert len({answer.ok(201)["id"] for answer in answers}) == 10
    assert len(await phone.until_ready(gallery, 10)) == 10
