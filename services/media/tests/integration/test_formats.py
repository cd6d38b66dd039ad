"""Every format is uploaded, probed, rendered and shown; files that only imitate one are refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import numpy as np
import pytest
import tifffile
from kappi_contracts.events import AccountCreated
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_worker, probe_limits
from kappi_media.rendering.renderer import Renderer
from kappi_media.settings import MediaSettings
from kappi_testkit.events import RecordingDeadLetters
from kappi_testkit.media.containers import Heif, cluster, ispe, matroska
from kappi_testkit.media.corpus.raws import RAWS
from kappi_testkit.media.harness import (
    Client,
    Clock,
    Gallery,
    Published,
    Teller,
    Worker,
    redelivered,
)
from kappi_testkit.media.newer_jpegs import located_jp2, located_jxl
from kappi_testkit.media.samples import Shot, animation, encode, quadrants, register_heif
from kappi_testkit.media.windows_films import SOUND, avi

SHOT = Shot(
    orientation=6,
    make="Canon",
    model="Canon EOS R6m2",
    taken="2026:05:30 06:41:12",
    offset="+02:00",
    place=(45.9237, 6.8694, 1035.0),
)
Publications = Callable[..., Awaitable[list[Published]]]


def picture(fmt: str) -> bytes:
    register_heif()
    return encode(quadrants(300, 200), fmt, shot=SHOT)


def film(container: str, codec: str, *, size: tuple[int, int] = (320, 240)) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as muxer:
        stream = muxer.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        frame: av.VideoFrame = av.VideoFrame.from_image(quadrants(*size))  # type: ignore[no-untyped-call]
        for number in range(10):
            frame.pts, frame.time_base = number, Fraction(1, 10)
            muxer.mux(stream.encode(frame))
        muxer.mux(stream.encode(None))
    return out.getvalue()


PICTURES: dict[str, Callable[[], bytes]] = {
    "image/heic": lambda: picture("HEIF"),
    "image/avif": lambda: picture("AVIF"),
    "image/tiff": lambda: picture("TIFF"),
    "image/jxl": lambda: located_jxl(quadrants(300, 200), SHOT),
    "image/jp2": lambda: located_jp2(quadrants(300, 200), SHOT),
}
FILMS = {
    "video/x-m4v": ("ipod", "libx264"),
    "video/3gpp": ("3gp", "mpeg4"),
    "video/webm": ("webm", "libvpx-vp9"),
    "video/x-matroska": ("matroska", "libx264"),
    "video/x-msvideo": ("avi", "mpeg4"),
    "video/mp2t": ("mpegts", "libx264"),
    "video/x-ms-wmv": ("asf", "wmv2"),
}


async def worked(
    client: Client,
    gallery: Gallery,
    worker: Worker,
    published: Publications,
    *,
    body: bytes,
    content_type: str,
) -> dict[str, Any]:
    """Returns the item after the worker has processed it."""
    item = await client.upload(gallery, body, content_type=content_type, filename="a")
    await worker.process(redelivered((await published("UploadCompleted"))[-1]))
    answer = await client.http("GET", f"/v1/media/{item['id']}", grant=gallery.grant("view"))
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = answer.json
    return shown


@pytest.mark.parametrize("content_type", PICTURES)
async def test_pictures(
    content_type: str, client: Client, gallery: Gallery, worker: Worker, published: Publications
) -> None:
    body = PICTURES[content_type]()
    item = await worked(client, gallery, worker, published, body=body, content_type=content_type)
    assert (item["status"], item["kind"], item["content_type"]) == ("ready", "image", content_type)
    assert (item["width"], item["height"]) == (300, 200)
    assert (item["taken_at"], item["taken_offset_minutes"]) == ("2026-05-30T04:41:12Z", 120)
    assert item["camera"] == {"make": "Canon", "model": "Canon EOS R6m2"}
    assert item["gps"] == {"latitude": 45.9237, "longitude": 6.8694, "altitude": 1035.0}
    codecs = {"heic": "hevc", "avif": "av1", "tiff": "tiff", "jxl": "jxl", "jp2": "jpeg2000"}
    assert item["codec"] == codecs[content_type.removeprefix("image/")]
    assert "400" in item["renditions"]


async def test_camera_raw_declared_as_a_tiff(
    client: Client, gallery: Gallery, worker: Worker, published: Publications, tmp_path: Path
) -> None:
    """Phones and programs that do not know the format go by its first bytes."""
    RAWS["turned-6.nef"](tmp_path / "a.nef")
    body = (tmp_path / "a.nef").read_bytes()
    item = await worked(client, gallery, worker, published, body=body, content_type="image/tiff")
    assert (item["status"], item["kind"], item["content_type"]) == ("ready", "image", "image/x-nikon-nef")
    assert (item["width"], item["height"], item["codec"]) == (320, 480, "nef")
    assert (item["taken_at"], item["taken_offset_minutes"]) == ("2024-06-21T15:04:05Z", 120)
    assert item["camera"] == {"make": "NIKON CORPORATION", "model": "NIKON Z 6_3"}
    assert "image%2Fx-nikon-nef" in item["original"]["url"]
    assert "400" in item["renditions"]


@pytest.mark.parametrize("content_type", FILMS)
async def test_films(
    content_type: str, client: Client, gallery: Gallery, worker: Worker, published: Publications
) -> None:
    body = film(*FILMS[content_type])
    item = await worked(client, gallery, worker, published, body=body, content_type=content_type)
    assert (item["status"], item["kind"], item["content_type"]) == ("ready", "video", content_type)
    assert (item["width"], item["height"], item["duration_ms"]) == (320, 240, 1000)
    assert (item["camera"], item["gps"], item["live_partner_id"]) == (None, None, None)
    assert "400" in item["renditions"]


async def test_a_place_is_told_only_where_the_original_would_tell_it(
    client: Client, gallery: Gallery, worker: Worker, published: Publications, tell: Teller, clock: Clock
) -> None:
    """The Basic tier withholds originals, so facts that only the original contains must not be shown."""
    owner_id = uuid4()
    await tell(AccountCreated(account_id=owner_id, tier="Basic", created_at=clock()))
    owned = gallery.of(owner_id)
    item = await worked(client, owned, worker, published, body=picture("JPEG"), content_type="image/jpeg")
    assert (item["status"], item["original"], item["gps"]) == ("ready", None, None)
    assert item["camera"]["make"] == "Canon"
    (shown,) = (await client.view(owned)).json["items"]
    assert shown["gps"] is None


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("run.sh", "#!/bin/sh\n")
    return out.getvalue()


def heights(*, signed: bool) -> bytes:
    """Returns a TIFF of metres above the sea: numbers that are no shades, by their values or by their
    format.
    """
    out = io.BytesIO()
    pixels = np.linspace(-400, 8_848, 5_400).reshape(60, 90).astype("i2" if signed else "f4")
    tifffile.imwrite(out, pixels, photometric="minisblack")
    return out.getvalue()


HOSTILE = {
    "a ZIP in a JPEG": (encode(quadrants(60, 40), "JPEG") + zipped(), "image/jpeg", "polyglot"),
    "a HEIC bomb": (Heif(properties=(ispe(30_000, 30_000),)).build(), "image/heic", "too_many_pixels"),
    "a TIFF of heights": (heights(signed=False), "image/tiff", "unsupported_type"),
    "signed samples": (heights(signed=True), "image/tiff", "unsupported_type"),
    "half a TIFF": (encode(quadrants(60, 40), "TIFF")[:900], "image/tiff", "truncated"),
    "a film of nothing": (matroska(cluster()), "video/webm", "corrupt"),
    "sound in a film's container": (avi(SOUND), "video/avi", "no_picture"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_must_not_be_kept(
    name: str, client: Client, gallery: Gallery, worker: Worker, published: Publications
) -> None:
    body, content_type, reason = HOSTILE[name]
    item = await worked(client, gallery, worker, published, body=body, content_type=content_type)
    assert (item["status"], item["rejection_reason"], item["original"]) == ("rejected", reason, None)
    (event,) = await published("MediaRejected")
    assert event.data["reason"] == reason
    assert (await client.view(gallery)).json["items"] == []


@pytest.mark.parametrize(
    ("setting", "body", "content_type", "reason"),
    [
        ({"max_picture_pixels": 2_399}, encode(quadrants(60, 40), "PNG"), "image/png", "too_many_pixels"),
        ({"max_video_pixels": 76_799}, film("webm", "libvpx-vp9"), "video/webm", "too_many_pixels"),
        ({"max_frames": 2}, animation("GIF", 60, 40), "image/gif", "too_many_frames"),
        ({"max_duration": timedelta(milliseconds=999)}, film("webm", "libvpx-vp9"), "video/webm", "too_long"),
    ],
)
async def test_limits_are_settings(
    setting: dict[str, Any],
    body: bytes,
    content_type: str,
    reason: str,
    client: Client,
    gallery: Gallery,
    deps: Dependencies,
    renderer: Renderer,
    dead_letters: RecordingDeadLetters,
    published: Publications,
    make_settings: Callable[..., MediaSettings],
) -> None:
    limits = probe_limits(make_settings(**setting))
    worker = Worker(deps, build_worker(deps, renderer, concurrency=1, limits=limits), dead_letters)
    item = await worked(client, gallery, worker, published, body=body, content_type=content_type)
    assert (item["status"], item["rejection_reason"]) == ("rejected", reason)


async def test_a_type_that_is_not_taken_is_told_what_is(client: Client, gallery: Gallery) -> None:
    answer = await client.http(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        grant=gallery.grant("contribute"),
        body={"files": [{"filename": "a.svg", "size": 10, "content_type": "image/svg+xml"}]},
    )
    assert (answer.status, answer.code) == (422, "unsupported_content_type")
    for title in ("HEIC", "AVIF", "TIFF", "MKV", "3GP", "AVI", "MPEG-TS", "WMV"):
        assert title in answer.json["detail"]
