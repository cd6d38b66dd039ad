"""Films for browsers: what is in them, when it is shown, and in which colours."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from contextlib import aclosing
from fractions import Fraction
from typing import Any

import av
import msgspec
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc
from kappi_media.domain.playback import plays
from kappi_media.rendering.film_maker import FilmMaker
from kappi_media.rendering.film_pictures import shown_size
from kappi_media.rendering.mp4 import head
from kappi_media.rendering.process import DecoderProcess
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_media.rendering.wire import Piece
from kappi_mediameta.probing import BytesSource, MediaFormat, RejectReason, probe
from kappi_mediameta.probing.rejection import RenderRejected
from kappi_testkit.media.films import FilmShape, film, interlaced_film
from kappi_testkit.media.rendering import assert_upright, corners
from kappi_testkit.media.samples import MovieShape, movie
from PIL import Image

# Decoders of films have the lowest priority, so other tests may delay them.
pytestmark = pytest.mark.timeout(300)

_FORMATS = {
    "mp4": MediaFormat.MP4,
    "mov": MediaFormat.MOV,
    "3gp": MediaFormat.THREE_GP,
    "matroska": MediaFormat.MKV,
    "webm": MediaFormat.WEBM,
}


async def pieces(
    body: bytes, container: str = "mp4", *, ticks: int = 0, sound_packets: int = 0, max_seconds: int = 600
) -> list[Piece]:
    source = BytesSource(body)
    facts = await probe(source, _FORMATS[container])
    made = FilmMaker().pieces(
        source, facts, max_seconds=max_seconds, ticks=ticks, sound_packets=sound_packets
    )
    async with aclosing(made):
        return [piece async for piece in made]


def joined(made: Sequence[Piece]) -> bytes:
    return head(made) + b"".join(piece.body for piece in made)


async def ffprobed(body: bytes) -> list[dict[str, Any]]:
    """Returns what FFprobe says of each track."""
    process = await asyncio.create_subprocess_exec(
        *("ffprobe", "-v", "error", "-show_streams", "-of", "json", "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate(body)
    assert complained == b""
    streams: list[dict[str, Any]] = json.loads(said)["streams"]
    return streams


def pictures(body: bytes) -> list[tuple[float, Image.Image]]:
    """Returns all frames with their times."""
    with av.open(io.BytesIO(body), "r") as container:
        frames = container.decode(video=0)
        return [(f.time or 0.0, f.to_image()) for f in frames]  # type: ignore[no-untyped-call]


def brightness(picture: Image.Image) -> float:
    samples = picture.convert("L").tobytes()
    return sum(samples) / len(samples)


@pytest.mark.parametrize(
    "shape",
    [
        FilmShape(codec="libx265"),
        FilmShape(codec="libx265", container="mov", pixels="yuv420p10le"),
        FilmShape(codec="libx264", pixels="yuv422p10le"),
        FilmShape(codec="prores_ks", container="mov", pixels="yuv422p10le", sound="pcm_s16le"),
        FilmShape(codec="mpeg4", container="mp4", frame_rate=25),
        FilmShape(codec="h263", container="3gp", width=352, height=288, frame_rate=25),
        FilmShape(codec="mjpeg", container="mov", pixels="yuvj422p"),
        FilmShape(codec="libvpx-vp9", container="webm", sound="libopus"),
        FilmShape(codec="libx264", container="matroska", sound="ac3"),
    ],
    ids=lambda shape: f"{shape.codec}-{shape.container}-{shape.pixels}",
)
async def test_any_film_becomes_one_that_browsers_play(shape: FilmShape) -> None:
    body = joined(await pieces(film(shape), shape.container))
    picture, sound = await ffprobed(body)
    assert (picture["codec_name"], picture["profile"], picture["pix_fmt"]) == ("h264", "High", "yuv420p")
    assert (picture["width"], picture["height"]) == (shape.width, shape.height)
    colours = (picture["color_range"], picture["color_space"], picture["color_transfer"])
    assert (*colours, picture["color_primaries"]) == ("tv", "bt709", "bt709", "bt709")
    assert float(picture["duration"]) == pytest.approx(shape.seconds, abs=2 / shape.frame_rate)
    assert int(picture["nb_frames"]) == shape.seconds * shape.frame_rate
    assert (sound["codec_name"], sound["sample_rate"], sound["channels"]) == ("aac", "48000", 2)
    assert float(sound["duration"]) == pytest.approx(shape.seconds, abs=0.1)
    assert "side_data_list" not in picture
    assert body.index(b"moov") < body.index(b"mdat")


async def test_sound_and_pictures_stay_together() -> None:
    """Both are quiet or dark in even seconds."""
    body = joined(await pieces(film(FilmShape(seconds=10, frame_rate=25))))
    for time, picture in pictures(body):
        assert (brightness(picture) > 60) == (int(time + 0.001) % 2 == 1), time
    with av.open(io.BytesIO(body), "r") as container:
        for frame in container.decode(audio=0):
            second, part = divmod((frame.time or 0.0), 1)
            if 0.06 < part < 0.9:  # the encoder's own blur around each change
                loudest = max(map(abs, memoryview(frame.planes[0]).cast("B").cast("f")[: frame.samples]))
                assert (loudest > 0.1) == (int(second) % 2 == 1), frame.time


async def test_sound_begins_with_its_first_sample() -> None:
    """What the encoder adds before it is in the file, but an edit list skips it."""
    made = joined(await pieces(film(FilmShape(seconds=4))))
    with av.open(io.BytesIO(made), "r") as container:
        frames = list(container.decode(audio=0))
    with av.open(io.BytesIO(made), "r") as container:
        stored = sum(packet.size > 0 for packet in container.demux(audio=0))
    assert [frame.pts for frame in frames] == [1024 * number for number in range(len(frames))]
    assert stored == len(frames) + 1
    heard = b"".join(bytes(frame.planes[0])[: 4 * frame.samples] for frame in frames)
    samples = memoryview(heard).cast("f")
    # The tone begins with the second second. An encoder blurs that by some hundred samples, not a packet.
    begin = next(number for number, sample in enumerate(samples) if abs(sample) > 0.15)
    assert begin == pytest.approx(48_000, abs=200)


async def test_a_later_attempt_continues_after_any_piece() -> None:
    body = film(FilmShape(seconds=20, frame_rate=5, key_every=7))
    whole = await pieces(body)
    assert [piece.ticks // 90_000 for piece in whole] == [8, 16, 20]
    rest = await pieces(body, ticks=whole[0].ticks, sound_packets=whole[0].sound_packets)
    assert [(piece.ticks, piece.sound_packets) for piece in rest] == [
        (piece.ticks, piece.sound_packets) for piece in whole[1:]
    ]
    assert rest[0].picture_config == whole[0].picture_config
    shown = pictures(joined([whole[0], *rest]))
    assert [round(time * 5) for time, _ in shown] == list(range(100))


async def test_times_of_frames_are_kept() -> None:
    times = [0, 1, 2, 7, 8, 20, 21, 22, 23, 40]
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.max_b_frames = 64, 48, "yuv420p", 0
        for number in times:
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    shown = pictures(joined(await pieces(out.getvalue(), "matroska")))
    assert [round(time * 25) for time, _ in shown] == times


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
async def test_a_film_is_upright(rotation: int, *, mirrored: bool) -> None:
    body = movie(MovieShape(rotation=rotation, mirrored=mirrored, seconds=0.5))
    made = joined(await pieces(body))
    picture = pictures(made)[0][1]
    if mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert_upright(picture)
    (facts,) = await ffprobed(made)
    assert "side_data_list" not in facts


async def test_pixels_become_square() -> None:
    body = movie(MovieShape(width=240, height=180, pixel_shape=Fraction(4, 3), seconds=0.5))
    (_, picture), *_ = pictures(joined(await pieces(body)))
    assert picture.size == (320, 180)
    assert_upright(picture)


async def test_no_metadata_is_kept() -> None:
    body = film(FilmShape(place="+48.8577+002.2950/"))
    assert b"+48.8577" in body
    made = joined(await pieces(body))
    assert b"+48.8577" not in made
    assert b"udta" not in made


async def test_a_film_without_sound_has_none() -> None:
    (picture,) = await ffprobed(joined(await pieces(film(FilmShape(sound=None)))))
    assert picture["codec_name"] == "h264"


@pytest.mark.parametrize(("transfer", "name"), [(ColorTrc.SMPTE2084, "PQ"), (ColorTrc.ARIB_STD_B67, "HLG")])
async def test_high_dynamic_range_looks_as_the_poster_does(transfer: ColorTrc, name: str) -> None:
    colours = (
        ("color_trc", transfer),
        ("color_primaries", ColorPrimaries.BT2020),
        ("colorspace", Colorspace.BT2020),
    )
    body = film(FilmShape(seconds=2, pixels="yuv420p10le", colours=colours))
    shown = pictures(joined(await pieces(body)))
    renderer = Renderer(max_parallel=1)
    try:
        source = BytesSource(body)
        facts = await probe(source, MediaFormat.MP4)
        (poster,) = await renderer.render(source, facts, [RenditionSize(height=180)])
    finally:
        await renderer.close()
    expected = corners(Image.open(io.BytesIO(poster.body)))
    lit = corners(shown[-1][1])
    for found, wanted in zip(lit, expected, strict=True):
        assert all(abs(f - w) <= 12 for f, w in zip(found, wanted, strict=True)), (name, lit, expected)


@pytest.mark.parametrize(
    ("displayed", "shown"),
    [
        ((3840, 2160), (1920, 1080)),
        ((2160, 3840), (1080, 1920)),
        ((1440, 1080), (1440, 1080)),
        ((4096, 1716), (1920, 804)),
        ((321, 181), (320, 180)),
        ((4000, 4000), (1080, 1080)),
        ((1, 1), (2, 2)),
    ],
)
def test_a_film_is_shown_at_1080_lines_at_most(displayed: tuple[int, int], shown: tuple[int, int]) -> None:
    assert shown_size(*displayed) == shown


async def test_garbage_behind_the_header_is_refused() -> None:
    body = film(FilmShape(sound=None))
    start, end = body.index(b"mdat") + 4, body.index(b"moov") - 4
    with pytest.raises(RenderRejected) as refused:
        await pieces(body[:start] + b"\xff" * (end - start) + body[end:])
    assert refused.value.reason is RejectReason.CORRUPT


async def test_a_film_longer_than_it_may_be_is_refused() -> None:
    with pytest.raises(RenderRejected) as refused:
        await pieces(film(FilmShape(seconds=4)), max_seconds=2)
    assert refused.value.reason is RejectReason.TOO_LONG


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b"more than the chunks say"},
        {"picture_sizes": b""},
        {"keys": (1_000,)},
        {"ticks": 90_000 * 3_600 * 24},
        {"sound_packets": 1 << 40},
        {"width": 1 << 20},
        {"sound_config": bytes(300)},
    ],
    ids=str,
)
async def test_a_decoder_that_sends_nonsense_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    body = film(FilmShape())
    (honest,) = await pieces(body)

    async def hostile(*given: Any, **known: Any) -> Any:
        yield msgspec.structs.replace(honest, **changed)

    monkeypatch.setattr(DecoderProcess, "film", hostile)
    with pytest.raises(RenderRejected):
        await pieces(body)


@pytest.mark.parametrize(
    ("shape", "played"),
    [
        (FilmShape(codec="libx264"), True),
        (FilmShape(codec="libx264", container="mov"), True),
        (FilmShape(codec="libvpx-vp9", container="webm", sound="libopus"), True),
        (FilmShape(codec="libx264", container="mov", sound="pcm_s16le"), False),
        (FilmShape(codec="libx264", pixels="yuv420p10le"), False),
        (FilmShape(codec="libx264", container="matroska"), False),
        (FilmShape(codec="libx265"), False),
        (FilmShape(codec="libx264", colours=(("color_trc", ColorTrc.ARIB_STD_B67),)), False),
    ],
    ids=lambda shape: f"{shape.codec}-{shape.container}" if isinstance(shape, FilmShape) else str(shape),
)
async def test_films_that_browsers_play_are_recognised(shape: FilmShape, *, played: bool) -> None:
    content_type = _FORMATS[shape.container].content_type
    renderer = Renderer(max_parallel=1)
    try:
        coding = await renderer.look(BytesSource(film(shape)), content_type)
    finally:
        await renderer.close()
    assert plays(content_type, coding) is played


def torn(picture: Image.Image, *, top: int, bottom: int) -> float:
    """Returns how far lines differ from those above and below them, on average."""
    lines = np.asarray(picture.convert("L"), "f8")[top:bottom]
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


async def test_two_fields_become_one_picture() -> None:
    original = interlaced_film()
    shown = pictures(joined(await pieces(original)))
    assert len(shown) == len(pictures(original)) == 25
    for (_, before), (_, after) in zip(pictures(original)[1:], shown[1:], strict=True):
        assert torn(before, top=10, bottom=110) > 4, "the trial would not notice torn pictures"
        assert torn(after, top=10, bottom=110) < 1
        # What does not move keeps its lines.
        assert torn(after, top=130, bottom=230) > 0.7 * torn(before, top=130, bottom=230)
