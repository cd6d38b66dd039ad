import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kappi_chassis.disk import DiskSpace
from kappi_embedded import child_log
from kappi_embedded.child_log import ChildLog, brief
from kappi_testkit.eventually import eventually


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def log(tmp_path: Path, shown: list[str]) -> Iterator[ChildLog]:
    log = ChildLog("media", tmp_path, warn=shown.append)
    yield log
    log.close()


async def fed(log: ChildLog, *chunks: bytes) -> None:
    """Writes the chunks through a pipe and waits for its end."""
    end = await log.open_pipe()
    for chunk in chunks:
        await asyncio.to_thread(os.write, end, chunk)
    os.close(end)
    await read_to_the_end(log)


async def fed_beside(log: ChildLog, chunk: bytes) -> None:
    """Writes the chunk through a pipe of its own, while another pipe is open."""
    end = await log.open_pipe()
    await asyncio.to_thread(os.write, end, chunk)
    os.close(end)


async def read_to_the_end(log: ChildLog) -> None:
    def read() -> None:
        assert not log.is_reading

    await eventually(read)


async def test_lines_are_kept_in_any_chunks(log: ChildLog) -> None:
    await fed(log, b"one\ntw", b"o\nthree")
    assert log.path.read_bytes() == b"one\ntwo\nthree\n"


async def test_lines_of_two_processes_are_not_mixed(log: ChildLog) -> None:
    first = await log.open_pipe()
    await asyncio.to_thread(os.write, first, b"half")
    await fed_beside(log, b"whole\n")
    os.close(first)
    await read_to_the_end(log)
    assert sorted(log.path.read_bytes().splitlines()) == [b"half", b"whole"]


async def test_warnings_are_shown_briefly_and_routine_is_not(log: ChildLog, shown: list[str]) -> None:
    await fed(
        log,
        b'{"event":"service.started","level":"info","time":"t"}\n',
        b'{"event":"health.not_ready","level":"warning","dependency":"x"}\n',
        b'{"error":"no","event":"consumer.retry","level":"warning","time":"t","trace_id":"abc"}\n',
    )
    assert shown == ["media: consumer.retry error=no"]
    assert log.path.read_bytes().count(b"\n") == 3


async def test_the_file_is_rotated_by_size(log: ChildLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_log, "LIMIT_BYTES", 100)
    await fed(log, *[b"x" * 60 + b"\n"] * 5)
    assert log.path.stat().st_size <= 61
    assert log.path.with_suffix(".log.1").stat().st_size == 122


async def test_a_line_without_end_does_not_fill_the_memory(log: ChildLog) -> None:
    end = await log.open_pipe()
    for _ in range(10):
        await asyncio.to_thread(os.write, end, b"x" * 100_000)

    def kept() -> None:
        assert log.path.exists()
        assert log.path.stat().st_size > 500_000

    await eventually(kept)
    os.close(end)
    await read_to_the_end(log)


async def test_lines_are_dropped_and_counted_on_a_full_disk_and_the_count_is_logged(
    log: ChildLog, shown: list[str]
) -> None:
    log.path.symlink_to("/dev/full")
    await fed(log, *[b"lost %d\n" % n for n in range(1_000)], b'{"event":"e","level":"error"}\n')
    assert shown == [
        "media: its log cannot be written, lines are dropped: No space left on device",
        "media: e ",
    ]
    log.path.unlink()  # there is space again
    await fed(log, b"kept\n", b"kept too\n")
    gap, *kept = log.path.read_bytes().splitlines()
    assert kept == [b"kept", b"kept too"]
    entry = json.loads(gap)
    assert (entry["event"], entry["lines"], entry["service"]) == ("log.lines_dropped", 1_001, "media")


async def test_a_line_that_fits_only_in_part_is_not_written(
    log: ChildLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may write only its last free bytes, in a short write."""
    await fed(log, b"whole\n")
    real, room = open, [8]

    class Small:
        def __init__(self, path: Path) -> None:
            self._file = real(path, "ab", buffering=0)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, text: bytes) -> int:
            return self._file.write(text[: room[0]])

    log.close()
    with monkeypatch.context() as small:
        small.setattr(Path, "open", lambda path, *_, **__: Small(path))
        await fed(log, b"too long for it\n")
    assert log.path.read_bytes() == b"whole\n"
    await fed(log, b"again\n")
    first, gap, last = log.path.read_bytes().splitlines()
    assert (first, last) == (b"whole", b"again")
    assert json.loads(gap)["lines"] == 1


async def test_logs_use_a_small_part_of_a_small_disk(log: ChildLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_log, "disk_space", lambda _: DiskSpace(0, 40_000))
    await fed(log, *[b"x" * 60 + b"\n"] * 5)
    assert log.path.with_suffix(".log.1").stat().st_size == 122


def test_text_that_is_no_json_is_shortened() -> None:
    assert brief(b'Traceback "level":"error" ' + b"y" * 1_000).startswith("Traceback")
    assert len(brief(b"y" * 1_000)) == 200
