"""A long film is a whole MP4 and a fragmented one in the same bytes, in two sizes."""

from __future__ import annotations

import asyncio
import io
import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest
from kappi_media.rendering.film_maker import FilmMaker
from kappi_media.rendering.fragments import Segment, codecs, fragments, initialization, segments
from kappi_media.rendering.mp4 import head
from kappi_media.rendering.process import DecoderProcess
from kappi_media.rendering.wire import FilmChunk, Piece
from kappi_mediameta.probing import BytesSource, MediaFormat, probe
from kappi_mediameta.probing.rejection import RenderRejected
from kappi_testkit.media.films import FilmShape, film

# Decoders of films have the lowest priority, so other tests may delay them.
pytestmark = pytest.mark.timeout(300)

_BOX = struct.Struct(">I4s")


async def pieces(body: bytes, *, ticks: int = 0, sound_packets: int = 0) -> list[Piece]:
    source = BytesSource(body)
    facts = await probe(source, MediaFormat.MP4)
    known = {"max_seconds": 600, "ticks": ticks, "sound_packets": sound_packets, "two_sizes": True}
    async with aclosing(FilmMaker().pieces(source, facts, **known)) as made:  # type: ignore[arg-type]
        return [piece async for piece in made]


def of_size(made: Sequence[Piece], *, small: bool) -> list[Piece]:
    if not small:
        return list(made)
    return [piece.small for piece in made if piece.small is not None]


@dataclass(frozen=True, slots=True)
class Stored:
    """A film as it is stored. start: of the initialization."""

    body: bytes
    start: int
    init_bytes: int
    segments: Sequence[Segment]

    @classmethod
    def of(cls, made: Sequence[Piece]) -> Stored:
        before, init = list(fragments(made)), initialization(made[0])
        begin = head(made, before=[len(each) for each in before])
        body = begin + b"".join(each + piece.body for each, piece in zip(before, made, strict=True))
        lengths = [len(before[0]) - len(init), *map(len, before[1:])]
        return cls(body, len(begin), len(init), segments(made, lengths))

    def parts(self) -> Iterator[bytes]:
        """Yields the initialization and the segments, which a player gets by their place."""
        yield self.body[self.start : self.start + self.init_bytes]
        at = self.start + self.init_bytes
        for segment in self.segments:
            yield self.body[at : at + segment.size_bytes]
            at += segment.size_bytes
        assert at == len(self.body)


def shown(body: bytes) -> tuple[list[tuple[int | None, bytes]], list[tuple[int | None, bytes]]]:
    """Returns the pictures and the sound with their times."""
    found = []
    for kind in ({"video": 0}, {"audio": 0}):
        with av.open(io.BytesIO(body), "r") as container:
            frames: Iterator[Any] = container.decode(**kind)
            found.append([(frame.pts, bytes(frame.planes[0])) for frame in frames])
    return found[0], found[1]


def boxes(body: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(body):
        size, kind = _BOX.unpack_from(body, at)
        begin = 8
        if size == 1:
            (size,), begin = struct.unpack_from(">Q", body, at + 8), 16
        yield kind.decode(), body[at + begin : at + size]
        at += size
    assert at == len(body)


@pytest.fixture(scope="module")
def made() -> list[Piece]:
    return asyncio.run(pieces(film(FilmShape(width=1280, height=720, seconds=20, frame_rate=5))))


@pytest.mark.parametrize("small", [False, True])
async def test_the_whole_film_and_its_segments_show_the_same(made: list[Piece], *, small: bool) -> None:
    of_one = of_size(made, small=small)
    stored = Stored.of(of_one)
    plain = shown(head(of_one) + b"".join(piece.body for piece in of_one))
    assert len(plain[0]) == 100
    assert shown(stored.body) == plain
    assert shown(b"".join(stored.parts())) == plain
    assert [kind for kind, _ in boxes(stored.body)] == ["ftyp", "moov", "mdat"]


@pytest.mark.parametrize("small", [False, True])
async def test_each_segment_begins_with_a_key_frame_where_the_one_before_ends(
    made: list[Piece], *, small: bool
) -> None:
    stored = Stored.of(of_size(made, small=small))
    init, *parts = stored.parts()
    assert [kind for kind, _ in boxes(init)] == ["ftyp", "moov"]
    assert [segment.ticks for segment in stored.segments] == [8 * 90_000, 8 * 90_000, 4 * 90_000]
    begin = 0
    for part, segment in zip(parts, stored.segments, strict=True):
        assert [kind for kind, _ in boxes(part)] == ["moof", "mdat"]
        with av.open(io.BytesIO(init + part), "r") as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        assert packets[0].is_keyframe
        assert packets[0].pts == begin
        begin += segment.ticks


@pytest.mark.parametrize("segmented", [False, True])
async def test_ffprobe_reads_the_same(made: list[Piece], tmp_path: Path, *, segmented: bool) -> None:
    stored = Stored.of(made)
    path = tmp_path / "film.mp4"
    path.write_bytes(b"".join(stored.parts()) if segmented else stored.body)
    process = await asyncio.create_subprocess_exec(
        *("ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert complained == b""
    picture, sound = json.loads(said)["streams"]
    assert (picture["codec_name"], picture["width"], picture["nb_read_frames"]) == ("h264", 1280, "100")
    assert sound["codec_name"] == "aac"
    assert float(picture["duration"]) == 20.0


async def test_the_small_size_is_480_lines_at_most(made: list[Piece]) -> None:
    assert {(piece.width, piece.height) for piece in of_size(made, small=True)} == {(852, 480)}
    assert all(
        len(small.body) < len(piece.body)
        for piece, small in zip(made, of_size(made, small=True), strict=True)
    )


async def test_a_small_film_is_not_enlarged() -> None:
    (piece,) = await pieces(film(FilmShape(width=320, height=180, seconds=1)))
    assert piece.small is not None
    assert (piece.small.width, piece.small.height) == (320, 180)


async def test_both_sizes_continue_after_any_piece() -> None:
    body = film(FilmShape(seconds=20, frame_rate=5, key_every=7))
    whole = await pieces(body)
    rest = await pieces(body, ticks=whole[0].ticks, sound_packets=whole[0].sound_packets)
    for small in (False, True):
        stored = Stored.of(of_size([whole[0], *rest], small=small))
        pictures, sound = shown(b"".join(stored.parts()))
        assert [round((pts or 0) / 18_000) for pts, _ in pictures] == list(range(100))
        assert [pts for pts, _ in sound] == [1024 * number for number in range(len(sound))]


async def test_a_film_without_sound_has_segments_too() -> None:
    stored = Stored.of(await pieces(film(FilmShape(seconds=10, frame_rate=5, sound=None))))
    with av.open(io.BytesIO(b"".join(stored.parts())), "r") as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert len(list(container.decode(video=0))) == 50


async def test_a_piece_without_pictures_is_part_of_the_next_segment(made: list[Piece]) -> None:
    first = made[0]
    silent = msgspec.structs.replace(
        first, sound_sizes=b"", chunks=tuple(each for each in first.chunks if not each.sound)
    )
    sound = struct.unpack(f">{len(first.sound_sizes) // 4}I", first.sound_sizes)
    heard = msgspec.structs.replace(
        *(first,),
        picture_sizes=b"",
        picture_times=b"",
        keys=(),
        chunks=(FilmChunk(sound=True, samples=len(sound), size_bytes=sum(sound)),),
        ticks=0,
    )
    before = [len(each) for each in fragments([heard, silent, *made[1:]])]
    found = segments([heard, silent, *made[1:]], before)
    assert [each.ticks for each in found] == [each.ticks for each in Stored.of(made).segments]
    only = segments([*made, msgspec.structs.replace(heard, ticks=made[-1].ticks)], [0] * 4)
    assert len(only) == 3


async def test_codecs_are_named(made: list[Piece]) -> None:
    assert codecs(made[0]) == f"avc1.{made[0].picture_config[1:4].hex()},mp4a.40.2"
    assert codecs(msgspec.structs.replace(made[0], sound_config=b"")).startswith("avc1.6400")


@pytest.mark.parametrize(
    "changed",
    [{"small": None}, {"ticks": 1}, {"sound_sizes": b""}, {"body": b"more than the chunks say"}],
    ids=str,
)
async def test_a_decoder_whose_sizes_do_not_fit_is_not_believed(
    made: list[Piece], monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    small = msgspec.structs.replace(of_size(made, small=True)[0], **{**changed, "small": None})

    async def hostile(*given: Any, **known: Any) -> Any:
        yield msgspec.structs.replace(made[0], small=changed.get("small", small))

    monkeypatch.setattr(DecoderProcess, "film", hostile)
    with pytest.raises(RenderRejected):
        await pieces(film(FilmShape(seconds=1)))
