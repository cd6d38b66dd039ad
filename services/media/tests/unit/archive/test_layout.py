"""The bytes of an archive, checked by other readers."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kappi_media.archive.layout import ArchiveFile, ArchiveLayout, Data, End, Header, Listing, StoredFile
from kappi_media.archive.records import MAX_32, Entry, central_header, end_of_directory, local_header
from kappi_media.archive.times import EntryTime, entry_time
from kappi_testkit.programs import require_program

NOON = entry_time(
    taken_at=datetime(2026, 7, 1, 10, 0, 1, tzinfo=UTC),
    offset_minutes=120,
    kind="image",
    created_at=None,  # type: ignore[arg-type]
)
GIB = 1 << 30


def file(name: str, size_bytes: int, *, etag: str = "tag", time: EntryTime = NOON) -> ArchiveFile:
    return ArchiveFile(name, time, StoredFile(UUID(int=1), f"k/{name}", size_bytes, etag, None))


def layout_of(contents: dict[str, bytes]) -> ArchiveLayout:
    return ArchiveLayout([file(name, len(body)) for name, body in contents.items()])


def written(layout: ArchiveLayout, bodies: list[bytes], first: int, last: int) -> bytes:
    """Returns what a stream of that span would send."""
    crcs = [zlib.crc32(body) for body in bodies]
    out = b""
    for piece in layout.pieces(first, last):
        match piece:
            case Header():
                out += layout.header(piece, crcs[piece.number])
            case Data(index, start, length):
                out += bodies[index][start : start + length]
            case Listing():
                out += layout.listing(piece, crcs[piece.number])
            case End():
                out += layout.end(piece)
    return out


def whole(contents: dict[str, bytes]) -> bytes:
    layout = layout_of(contents)
    return written(layout, list(contents.values()), 0, layout.size_bytes - 1)


CONTENTS = {"a.jpg": b"one", "Ærø 日本.heic": b"second" * 100, "b.mp4": bytes(range(256)) * 3}


def test_pythons_reader_finds_what_was_put_in() -> None:
    with zipfile.ZipFile(io.BytesIO(whole(CONTENTS))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(CONTENTS)
        for info in archive.infolist():
            assert archive.read(info) == CONTENTS[info.filename]
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.flag_bits == 1 << 11
            assert info.date_time == (2026, 7, 1, 12, 0, 0)
            assert info.external_attr >> 16 == 0o100644
            assert info.extract_version == 20
            assert info.extra == struct.pack("<HHBi", 0x5455, 5, 1, 1_782_900_001)


@pytest.mark.parametrize("program", ["unzip", "bsdtar", "7zz"])
def test_other_readers_unpack_it(program: str, tmp_path: Path) -> None:
    if program != "unzip" and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    require_program("unzip")
    packed, unpacked = tmp_path / "a.zip", tmp_path / "out"
    packed.write_bytes(whole(CONTENTS))
    unpacked.mkdir()
    commands = {
        "unzip": ["unzip", "-q", str(packed), "-d", str(unpacked)],
        # From a pipe: only the headers before the files can be read.
        "bsdtar": ["bsdtar", "-x", "-C", str(unpacked), "-f", "-"],
        "7zz": ["7zz", "x", "-bd", f"-o{unpacked}", str(packed)],
    }
    with packed.open("rb") as pipe:
        subprocess.run(
            commands[program],
            check=True,
            stdin=pipe,
            capture_output=True,
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "TZ": "UTC"},
        )

    assert {path.name: path.read_bytes() for path in unpacked.iterdir()} == CONTENTS
    assert (unpacked / "a.jpg").stat().st_mtime == 1_782_900_001


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=8), st.binary(min_size=1, max_size=40)), min_size=1, max_size=5),
    st.data(),
)
def test_any_part_is_a_part_of_the_whole(files: list[tuple[str, bytes]], data: st.DataObject) -> None:
    layout = ArchiveLayout([file(name, len(body)) for name, body in files])
    bodies = [body for _, body in files]
    everything = written(layout, bodies, 0, layout.size_bytes - 1)

    assert len(everything) == layout.size_bytes
    with zipfile.ZipFile(io.BytesIO(everything)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == layout.names
        assert [archive.read(info) for info in archive.infolist()] == bodies
    first = data.draw(st.integers(0, layout.size_bytes - 1))
    last = data.draw(st.integers(first, layout.size_bytes - 1))
    assert written(layout, bodies, first, last) == everything[first : last + 1]


def test_every_single_byte_and_split_of_a_small_one() -> None:
    contents = {"a": b"xyz", "b": b"12"}
    layout, bodies, everything = layout_of(contents), list(contents.values()), whole(contents)
    size = layout.size_bytes

    assert b"".join(written(layout, bodies, at, at) for at in range(size)) == everything
    for at in range(1, size):
        assert written(layout, bodies, 0, at - 1) + written(layout, bodies, at, size - 1) == everything


class Sparse(io.RawIOBase):
    """An archive too big to write: its files are zeros, their checksums 7."""

    def __init__(self, layout: ArchiveLayout) -> None:
        self._layout = layout
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + {0: 0, 1: self._at, 2: self._layout.size_bytes}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._layout.size_bytes if size < 0 else min(self._at + size, self._layout.size_bytes)
        assert end - self._at < 1 << 26
        out = bytearray()
        for piece in self._layout.pieces(self._at, end - 1) if end > self._at else ():
            match piece:
                case Header():
                    out += self._layout.header(piece, 7)
                case Data():
                    out += bytes(piece.length)
                case Listing():
                    out += self._layout.listing(piece, 7)
                case End():
                    out += self._layout.end(piece)
        self._at = end
        return bytes(out)


def directory_of(*sizes: int) -> list[zipfile.ZipInfo]:
    layout = ArchiveLayout([file(f"{n}.mp4", size) for n, size in enumerate(sizes)])
    with zipfile.ZipFile(Sparse(layout)) as archive:
        infos = archive.infolist()
        assert [info.file_size for info in infos] == list(sizes)
        for info in infos:
            archive.open(info).close()  # reads the local header at the position in the directory
        return infos


def zip64_fields(info: zipfile.ZipInfo) -> int:
    """Returns how many numbers the directory keeps in the Zip64 field; -1 without one."""
    identifier, length = struct.unpack_from("<HH", info.extra)
    return length // 8 if identifier == 1 else -1


@pytest.mark.parametrize(
    ("sizes", "fields"),
    [
        ((1, MAX_32 - 1), (-1, -1)),
        ((MAX_32, 1), (2, 1)),
        ((5 * GIB, 5 * GIB, 1), (2, 3, 1)),
        ((2 * GIB, 2 * GIB, 2 * GIB), (-1, -1, 1)),
    ],
)
def test_zip64_only_where_it_is_needed(sizes: tuple[int, ...], fields: tuple[int, ...]) -> None:
    infos = directory_of(*sizes)

    assert tuple(map(zip64_fields, infos)) == fields
    assert [info.extract_version for info in infos] == [45 if count > 0 else 20 for count in fields]


def test_the_end_is_zip64_only_where_it_is_needed() -> None:
    plain, wide = 22, 22 + 20 + 56
    assert len(end_of_directory(entries=0xFFFE, size_bytes=MAX_32 - 1, offset=MAX_32 - 1)) == plain
    assert len(end_of_directory(entries=0xFFFF, size_bytes=1, offset=1)) == wide
    assert len(end_of_directory(entries=1, size_bytes=MAX_32, offset=1)) == wide
    assert len(end_of_directory(entries=1, size_bytes=1, offset=MAX_32)) == wide


def test_more_entries_than_sixteen_bits_count() -> None:
    layout = ArchiveLayout([file("image.jpg", 1)] * 70_000)

    with zipfile.ZipFile(Sparse(layout)) as archive:
        assert len(archive.infolist()) == 70_000


@pytest.mark.slow
@pytest.mark.parametrize("program", ["unzip", "bsdtar"])
def test_a_file_over_four_gigabytes_passes_other_readers(program: str, tmp_path: Path) -> None:
    if program == "bsdtar" and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    require_program("unzip")
    size = 4 * GIB + 5
    layout = ArchiveLayout([file("big.mp4", size), file("after.jpg", 3)])
    zeros, crc, left = bytes(1 << 24), 0, size
    while left:
        crc = zlib.crc32(zeros[:left], crc)
        left -= min(left, len(zeros))
    crcs = [crc, zlib.crc32(bytes(3))]
    path = tmp_path / "big.zip"
    with path.open("wb") as out:
        for piece in layout.pieces(0, layout.size_bytes - 1):
            match piece:
                case Header():
                    out.write(layout.header(piece, crcs[piece.number]))
                case Data():
                    out.seek(piece.length, io.SEEK_CUR)
                case Listing():
                    out.write(layout.listing(piece, crcs[piece.number]))
                case End():
                    out.write(layout.end(piece))
    command = ["unzip", "-tq", str(path)] if program == "unzip" else ["bsdtar", "-xOf", str(path), "big.mp4"]

    done = subprocess.run(command, stdout=subprocess.DEVNULL, timeout=110, check=False)

    assert done.returncode == 0


def test_the_tag_is_one_of_the_bytes() -> None:
    def tag(*files: ArchiveFile) -> str:
        return ArchiveLayout(files).etag

    plain = tag(file("a", 1), file("b", 2))
    assert tag(file("a", 1), file("b", 2)) == plain
    known = file("a", 1)
    assert tag(known._replace(stored=known.stored._replace(crc32=5)), file("b", 2)) == plain
    others = {
        tag(file("b", 2), file("a", 1)),
        tag(file("a", 1)),
        tag(file("c", 1), file("b", 2)),
        tag(file("a", 3), file("b", 2)),
        tag(file("a", 1, etag="other"), file("b", 2)),
        tag(file("a", 1, time=EntryTime(NOON.dos + 1, NOON.instant)), file("b", 2)),
        tag(file("a", 1, time=EntryTime(NOON.dos, None)), file("b", 2)),
        tag(file("a", 1), file("a.xmp", 3)._replace(is_sidecar=True), file("b", 2)),
    }
    assert len(others | {plain}) == 9


def test_lengths_are_those_of_the_records() -> None:
    for entry in (Entry(b"a", 1, NOON), Entry(b"a", 9 * GIB, EntryTime(NOON.dos, None))):
        layout = ArchiveLayout([file("a", entry.size_bytes, time=entry.time)])
        header = next(piece for piece in layout.pieces(0, 500) if isinstance(piece, Header))
        assert header.take == len(local_header(entry, 1))
        (listing,) = (
            piece
            for piece in layout.pieces(entry.size_bytes, layout.size_bytes)
            if isinstance(piece, Listing)
        )
        assert listing.take == len(central_header(entry, 1, offset=0))
