import sys
from pathlib import Path

import pytest
from kappi_client.files import LocalFile
from kappi_embedded.commands.terminal import ShareBars

MB = 1_000_000
FILM = LocalFile(Path("/film.mp4"), 60 * MB, "video/mp4", 0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_a_terminal_progress_is_a_line_every_ten_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ShareBars(files=2, size_bytes=100 * MB, clock=clock) as bars:
        bars.resumed(20 * MB)
        for _ in range(240):
            clock.now += 0.125
            bars.moved(MB // 8)
            bars.stored(MB // 8)
            bars.moved(-MB // 8)
        bars.uploaded(FILM)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "uploaded 1/2 film.mp4"
    assert len(lines) == 3 + 1, lines
    assert lines[1].startswith("stored 39.9 of 100.0 MB, 20.0 MB were there before, ")
    assert lines[1].endswith(" left")


def test_bytes_on_their_way_do_not_count_as_stored(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with ShareBars(files=1, size_bytes=60 * MB, clock=clock) as bars:
        bars.moved(50 * MB)
        clock.now = 20.0
        bars.waiting("the connection stood still")
    assert bars.meter.there_bytes == 0
    assert (
        capsys.readouterr().err.strip() == "stored 0.0 of 60.0 MB; the connection stood still: trying again"
    )


def test_a_refused_file_does_not_count_as_missing(clock: Clock) -> None:
    with ShareBars(files=2, size_bytes=100 * MB, clock=clock) as bars:
        bars.rejected(FILM, "the file is empty")
    assert bars.meter.total_bytes == 40 * MB


def test_on_a_terminal_progress_is_a_bar_with_the_bytes_on_their_way(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bars = ShareBars(files=1, size_bytes=60 * MB, clock=clock)
    bars.resumed(10 * MB)
    bars.moved(5 * MB)
    uploading = bars._progress.tasks[1]
    assert (uploading.completed, uploading.total) == (10 * MB, 60 * MB)
    assert uploading.fields["detail"] == "10.0 of 60.0 MB, 10.0 MB were there before, 5.0 MB on the way"
