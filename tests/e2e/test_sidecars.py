"""XMP sidecars: sent with their pictures, read, archived, and withheld where places are hidden."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.corpus.raws import RAWS
from kappi_testkit.media.metadata_blocks import caption, keywords, xmp_packet
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.phone import Answer, File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

pytestmark = pytest.mark.real_servers

XMP_TYPE = "application/rdf+xml"
JPEG = File("a.jpg", "image/jpeg", encode(quadrants(64, 48), "JPEG"))
SIDECAR = xmp_packet(
    caption("Above the clouds"),
    keywords("alps", "dawn"),
    attributes='xmp:Rating="4"',
)


def sidecar(name: str, body: bytes = SIDECAR, content_type: str = "text/xml") -> File:
    return File(name, content_type, body)


@pytest.fixture
def raw(tmp_path: Path) -> File:
    path = tmp_path / "IMG_1.dng"
    RAWS["previews.dng"](path)
    return File(path.name, "image/x-adobe-dng", path.read_bytes())


async def declare(phone: Phone, gallery: Gallery, *files: File, headers: Any = None) -> Answer:
    path = f"/v1/galleries/{gallery.id}/uploads"
    body = {"files": [file.declaration() for file in files]}
    return await phone.ask("POST", path, json=body, headers=headers or gallery.key)


@pytest.mark.timeout(180)
async def test_one_is_kept_with_its_picture_and_read(
    stack: StackUnderTest, phone: Phone, raw: File, tmp_path: Path
) -> None:
    gallery = await phone.create_gallery()
    other = File("IMG_1.jpg", "image/jpeg", JPEG.body)
    beside, of_picture = sidecar("IMG_1.XMP"), sidecar("IMG_1.jpg.xmp")
    first, second, picture, third = await phone.sign(gallery, [beside, raw, other, of_picture])
    assert [upload.get("sidecar") for upload in (first, second, picture, third)] == [True, None, None, True]
    assert (first["media_id"], third["media_id"]) == (second["media_id"], picture["media_id"])

    assert (await phone.put(first, beside.body)).status == 200
    early = await phone.insist("POST", f"/v1/uploads/{first['id']}/complete", headers=gallery.key)
    assert early.ok(202) == {"status": "waiting"}
    await phone.deliver(gallery, second, raw)
    await phone.deliver(gallery, picture, other)
    await phone.deliver(gallery, third, of_picture)
    shown = await phone.until_ready(gallery, 2)

    for item, name, size in zip(shown, ("IMG_1.XMP", "IMG_1.jpg.xmp"), (len(SIDECAR),) * 2, strict=True):
        assert (item["rating"], item["caption"]) == (4, "Above the clouds")
        assert item["tags"] == ["alps", "dawn"]
        assert (item["sidecar"]["filename"], item["sidecar"]["size"]) == (name, size)
        served = await phone.ask("GET", item["sidecar"]["url"])
        assert (served.status, served.body) == (200, SIDECAR)
        assert served.headers["Content-Type"] == XMP_TYPE
        assert name in served.headers["Content-Disposition"]
    packed = await phone.ask("GET", f"/v1/g/{gallery.code}/archive")
    with zipfile.ZipFile(io.BytesIO(packed.body)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["IMG_1.dng", "IMG_1.XMP", "IMG_1.jpg", "IMG_1.jpg.xmp"]
        assert archive.read("IMG_1.XMP") == SIDECAR

    gone = await phone.ask("DELETE", f"/v1/media/{shown[0]['id']}", headers=gallery.key)
    assert gone.status == 204

    async def is_removed() -> None:
        assert (await phone.ask("GET", shown[0]["sidecar"]["url"])).status == 404

    await eventually(is_removed)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("files", "status", "code", "fields"),
    [
        ([sidecar("a.xmp")], 422, "validation_failed", {"files.0.filename": "sidecar_without_picture"}),
        (
            [JPEG, sidecar("b.xmp")],
            422,
            "validation_failed",
            {"files.1.filename": "sidecar_without_picture"},
        ),
        (
            [JPEG, sidecar("a.xmp"), sidecar("a.jpg.xmp")],
            422,
            "validation_failed",
            {"files.2.filename": "sidecar_repeated"},
        ),
        (
            [JPEG, sidecar("a.xmp", SIDECAR + b" " * (1 << 20))],
            413,
            "file_too_large",
            {"files.1.size": "file_too_large"},
        ),
    ],
)
async def test_what_is_refused_at_its_declaration(
    phone: Phone, files: list[File], status: int, code: str, fields: dict[str, str]
) -> None:
    gallery = await phone.create_gallery()
    problem = (await declare(phone, gallery, *files)).problem(status, code)
    assert {error["field"]: error["code"] for error in problem["errors"]} == fields


@pytest.mark.timeout(120)
async def test_one_that_is_no_xmp_leaves_its_picture_as_it_is(phone: Phone) -> None:
    gallery = await phone.create_gallery()
    broken = sidecar("a.xmp", b"<html>no XMP</html>")
    picture, beside = await phone.sign(gallery, [JPEG, broken])
    await phone.deliver(gallery, picture, JPEG)
    assert (await phone.put(beside, broken.body)).status == 200

    answer = await phone.insist("POST", f"/v1/uploads/{beside['id']}/complete", headers=gallery.key)

    answer.problem(422, "content_mismatch")
    (item,) = await phone.until_ready(gallery, 1)
    assert (item["sidecar"], item["caption"], item["rating"]) == (None, None, None)


@pytest.mark.timeout(120)
async def test_none_is_posted_alone(phone: Phone) -> None:
    gallery = await phone.create_gallery()
    body = {"filename": "a.xmp", "content_base64": base64.b64encode(SIDECAR).decode()}
    answer = await phone.ask("POST", f"/v1/galleries/{gallery.id}/media", json=body, headers=gallery.key)
    answer.problem(415, "unsupported_content_type")


@pytest.mark.timeout(180)
async def test_viewers_send_none_and_get_none_where_places_are_hidden(phone: Phone) -> None:
    gallery = await phone.create_gallery(location_free=True)
    with_code = {"X-Gallery-Code": gallery.code}
    refused = await declare(phone, gallery, JPEG, sidecar("a.xmp"), headers=with_code)
    refused.problem(401, "gallery_key_missing")
    picture, beside = await phone.sign(gallery, [JPEG, sidecar("a.xmp")])
    await phone.deliver(gallery, picture, JPEG)
    await phone.deliver(gallery, beside, sidecar("a.xmp"))
    (shown,) = await phone.until_ready(gallery, 1)
    path = f"/v1/media/{picture['media_id']}"

    assert shown["sidecar"] is None
    assert (await phone.ask("GET", path, headers=with_code)).ok()["sidecar"] is None
    assert (await phone.ask("GET", path, headers=gallery.key)).ok()["sidecar"]["filename"] == "a.xmp"

    async def packed() -> list[str]:
        answer = await phone.ask("GET", f"/v1/g/{gallery.code}/archive")
        assert answer.status == 200, answer.body
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            return archive.namelist()

    assert await eventually(packed) == ["a.jpg"]
