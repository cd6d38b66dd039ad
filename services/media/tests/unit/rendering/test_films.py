"""Posters of films in every container and codec, in the colours they were filmed in."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from kappi_media.rendering import poster
from kappi_media.rendering.renderer import Renderer, RenderLimits
from kappi_media.rendering.sizes import RenditionSize
from kappi_media.rendering.wire import Refused, RenderJob, WireSize
from kappi_media.rendering.worker import render
from kappi_mediameta.probing import BytesSource, MediaFormat, RejectReason, probe
from kappi_testkit.media.rendering import assert_upright, corners, rendered
from kappi_testkit.media.samples import CountingSource, quadrants, scheduled_as_before
from PIL import Image


@dataclass(frozen=True, slots=True)
class Film:
    """A film. width, height: as coded. dark_frames: black ones before the quadrants, to which fade_frames
    then lead.

    key_every: frames from one key frame to the next; None for the codec's own choice.
    """

    container: str
    codec: str
    width: int = 320
    height: int = 180
    pixel_format: str = "yuv420p"
    dark_frames: int = 0
    fade_frames: int = 0
    key_every: int | None = 5
    options: tuple[tuple[str, str], ...] = ()


@scheduled_as_before()
def filmed(film: Film, picture: Image.Image | None = None, *, frames: int = 6, **colour: Any) -> bytes:
    """Returns an encoded film. colour: attributes of the codec's context."""
    out = io.BytesIO()
    with av.open(out, "w", format=film.container) as container:
        stream = container.add_stream(film.codec, rate=10, options=dict(film.options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = film.width, film.height, film.pixel_format
        if film.key_every is not None:
            stream.gop_size = film.key_every
        for name, value in colour.items():
            setattr(stream.codec_context, name, value)
        lit = picture or quadrants(film.width, film.height)
        for number in range(film.dark_frames + frames):
            light = (number - film.dark_frames + 1) / (film.fade_frames + 1)
            shown = Image.blend(Image.new("RGB", lit.size), lit, min(1.0, max(0.0, light)))
            frame = av.VideoFrame.from_image(shown)  # type: ignore[no-untyped-call] # its stub lacks types
            matrix = colour.get("colorspace")
            frame = frame.reformat(
                format=film.pixel_format, dst_colorspace=matrix, dst_color_range=ColorRange.MPEG
            )
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


FILMS = (
    Film("webm", "libvpx"),
    Film("webm", "libvpx-vp9"),
    Film("webm", "libsvtav1"),
    Film("matroska", "libx264"),
    Film("matroska", "libx265", pixel_format="yuv420p10le"),
    Film("mp4", "libx265"),
    Film("mp4", "libsvtav1", pixel_format="yuv420p10le"),
    Film("mov", "prores_ks", pixel_format="yuv422p10le"),
    Film("3gp", "h263", width=352, height=288),
    Film("ipod", "libx264"),
    Film("avi", "mpeg4"),
    Film("avi", "mjpeg", pixel_format="yuvj420p"),
    Film("mpegts", "libx264"),
    Film("mpegts", "libx265"),
    Film("mpegts", "mpeg2video"),
    Film("asf", "wmv2"),
    Film("asf", "msmpeg4"),
)


@pytest.mark.parametrize("film", FILMS, ids=lambda film: f"{film.container}-{film.codec}")
async def test_every_container_and_codec_has_a_poster(film: Film) -> None:
    (picture,) = await rendered(filmed(film))
    assert picture.height == 100
    assert picture.width == pytest.approx(100 * film.width / film.height, abs=1)
    assert_upright(picture, tolerance=25)


@pytest.mark.parametrize(
    ("container", "codec", "brand"), [("avif", "libsvtav1", b"avis"), ("mp4", "libx265", b"hevc")]
)
async def test_a_sequence_of_pictures_shows_one(container: str, codec: str, brand: bytes) -> None:
    body = bytearray(filmed(Film(container, codec)))
    body[8:12] = brand  # FFmpeg writes no sequence of HEICs, which is an MP4 of another brand
    (picture,) = await rendered(bytes(body))
    assert_upright(picture)


@pytest.mark.parametrize("container", ["matroska", "webm", "mp4", "avi", "mpegts", "asf"])
async def test_the_black_that_films_begin_with_is_passed_over(container: str) -> None:
    codec = "libvpx" if container == "webm" else "libx264"
    (picture,) = await rendered(filmed(Film(container, codec, dark_frames=10)))
    assert_upright(picture, tolerance=40)


@pytest.mark.parametrize("key_every", [5, None])
@pytest.mark.parametrize("start_s", [50_000, 95_443])  # the second is shortly before the clock starts anew
async def test_the_times_of_a_transport_stream_start_anywhere(start_s: int, key_every: int | None) -> None:
    film = filmed(Film("mpegts", "libx264", dark_frames=10, key_every=key_every), frames=40)
    out = io.BytesIO()
    with av.open(io.BytesIO(film), "r") as read, av.open(out, "w", format="mpegts") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts = packet.pts + start_s * 90_000, packet.dts + start_s * 90_000
                packet.stream = stream
                written.mux(packet)
    (picture,) = await rendered(out.getvalue())
    assert_upright(picture, tolerance=40)


@pytest.mark.parametrize(("dark_frames", "fade_frames"), [(1, 0), (5, 0), (8, 0), (3, 20)])
@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
async def test_a_short_film_with_one_key_frame_that_is_black_shows_something(
    container: str, dark_frames: int, fade_frames: int
) -> None:
    film = Film(container, "libx264", dark_frames=dark_frames, fade_frames=fade_frames, key_every=None)
    body = filmed(film, frames=60)
    with av.open(io.BytesIO(body), "r") as opened:
        keys = [packet.is_keyframe for packet in opened.demux(video=0) if packet.size]
        assert (keys[0], sum(keys)) == (True, 1)
    (picture,) = await rendered(body)
    assert_upright(picture, tolerance=40)


async def test_a_film_that_is_black_throughout_is_watched_for_a_while_and_shown_black(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded = 0
    mean_luma = poster._mean_luma

    def counting(frame: av.VideoFrame) -> float:
        nonlocal decoded
        decoded += 1
        return mean_luma(frame)

    monkeypatch.setattr(poster, "_mean_luma", counting)
    film = Film("mp4", "libx264", 64, 48, dark_frames=2 * poster._MAX_FRAMES, key_every=None)
    (picture,) = await rendered(filmed(film, frames=0))
    assert max(max(colour) for colour in corners(picture)) < 24
    assert decoded < 1.1 * poster._MAX_FRAMES / poster._EVERY


async def test_a_search_for_light_ends_before_the_file_is_given_up() -> None:
    """A film without an index, with its picture beyond the read limit: a black poster, not a refusal."""
    noise = Image.effect_noise((640, 480), 120).convert("RGB")
    finest = (("qmin", "1"), ("qmax", "1"))
    film = Film("matroska", "mjpeg", 640, 480, "yuvj420p", dark_frames=5, options=finest)
    body = filmed(film, noise, frames=40).replace(b"\x1c\x53\xbb\x6b", b"\x1c\x53\xbb\x6c")
    limit = 1 << 20
    assert len(body) > 4 * limit
    found = await probe(BytesSource(body), MediaFormat.MKV)
    source = CountingSource(body)
    renderer = Renderer(limits=RenderLimits(video_read_bytes=limit))
    (image,) = await renderer.render(source, found, [RenditionSize(100)])
    await renderer.close()
    assert max(max(colour) for colour in corners(Image.open(io.BytesIO(image.body)))) < 24
    assert sum(source.reads) <= limit


async def test_a_film_that_does_not_say_is_taken_for_what_its_height_suggests() -> None:
    for film, matrix in (
        (Film("mp4", "libx264", width=320, height=240), Colorspace.ITU601),
        (Film("mp4", "libx264", width=1280, height=720), Colorspace.ITU709),
    ):
        (picture,) = await rendered(_unsaid(film, matrix), WireSize(height=100))
        assert_upright(picture, tolerance=10)


def _unsaid(film: Film, matrix: Colorspace) -> bytes:
    body = filmed(film, colorspace=matrix)
    # 'colr' of the sample entry and the stream's own header would name it: neither is written for
    # "unspecified".
    return body.replace(b"colrnclx", b"freenclx")


@pytest.mark.parametrize(
    ("transfer", "white", "black"),
    [(ColorTrc.SMPTE2084, 148, 8), (ColorTrc.ARIB_STD_B67, 191, 8)],
    ids=["pq", "hlg"],
)
async def test_high_dynamic_range_is_not_grey(transfer: ColorTrc, white: int, black: int) -> None:
    """The left half is filmed as diffuse white, the right as nearly black."""
    picture = Image.new("RGB", (320, 180), (white,) * 3)
    picture.paste((black,) * 3, (160, 0, 320, 180))
    film = Film("mp4", "libx265", pixel_format="yuv420p10le")
    body = filmed(
        film,
        picture,
        color_trc=transfer,
        color_primaries=ColorPrimaries.BT2020,
        colorspace=Colorspace.BT2020,
        color_range=ColorRange.MPEG,
    )
    (poster,) = await rendered(body)
    bright, dark = corners(poster)[:2]
    assert min(bright) >= 215
    assert max(dark) <= 12


def test_sound_alone_is_no_film() -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream = container.add_stream("libopus", rate=48_000)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame(format="flt", layout="mono", samples=960)
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    body = out.getvalue()
    job = RenderJob("video/x-matroska", len(body), 100, 100, 1, (WireSize(height=50),), 1_000_000)
    answer = render(job, lambda start, length: body[start : start + length])
    assert isinstance(answer, Refused)
    assert answer.reason is RejectReason.NO_PICTURE


def test_a_container_under_another_ones_name() -> None:
    body = filmed(Film("matroska", "libx264"))
    job = RenderJob("video/mp4", len(body), 320, 180, 1, (WireSize(height=50),), 1_000_000)
    answer = render(job, lambda start, length: body[start : start + length])
    assert isinstance(answer, Refused)
    assert answer.reason is RejectReason.CORRUPT
