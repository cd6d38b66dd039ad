"""Progress and results, on a terminal or in a log."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from kappi_client import ApiError, DownloadProgress, Gallery, LocalFile, Meter, UploadProgress
from kappi_client.progress import size
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Column

from kappi_embedded.commands.hints import explained

_LINE_EVERY_S = 10.0
_BARS_FROM_WIDTH = 80  # columns; a narrower terminal leaves the space to the text

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # file names may contain any bytes


def fail(message: str) -> int:
    """Prints what went wrong and returns the exit status."""
    err.print(f"[red]Error:[/red] {escape(message)}")
    return 1


def failed(error: Exception) -> int:
    """Like `fail`, for the error of a call to the API or of a step before it."""
    return fail(explained(error) if isinstance(error, ApiError) else str(error))


def plural(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("ry") else f"{count} {noun}s"


class _Bars:
    """Bars on a terminal, from `_start` on; without a terminal one line per finished file."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            *([BarColumn()] if err.width >= _BARS_FROM_WIDTH else []),
            *self._columns(),
            console=err,
            disable=not self._live,
        )

    def _columns(self) -> tuple[ProgressColumn, ...]:
        return DownloadColumn(), TransferSpeedColumn()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def _start(self) -> None:
        self._progress.start()

    def _line(self, text: str) -> None:
        if not self._live:
            err.print(text, markup=False)

    def _warn(self, text: str) -> None:
        self._progress.console.print(f"[yellow]![/yellow] {escape(text)}")


class ShareBars(_Bars, UploadProgress):
    """Progress of an upload. Without a terminal: a line every ten seconds, and one per finished file."""

    def __init__(self, *, files: int, size_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._files = files
        self._uploaded = 0
        self._clock = clock
        self._told_at = clock()
        self.meter = Meter(size_bytes, clock=clock)
        self._hashing = self._progress.add_task("Reading", total=size_bytes, detail="")
        self._sending = self._progress.add_task("Uploading", total=size_bytes, detail="", start=False)
        self._processing: TaskID | None = None

    def _columns(self) -> tuple[ProgressColumn, ...]:
        return (TextColumn("{task.fields[detail]}", table_column=Column(overflow="fold")),)

    def continued(self, begun_at: str) -> None:
        err.print(f"Going on with what was begun at {begun_at}.")

    def restarted(self) -> None:
        err.print("The gallery of the earlier call is gone (expired, deleted or claimed): beginning anew.")

    def started(self, gallery: Gallery) -> None:
        self._start()

    def hashed(self, count: int) -> None:
        self._progress.advance(self._hashing, count)

    def moved(self, count: int) -> None:
        self.meter.moved(count)
        self._show()

    def stored(self, count: int) -> None:
        self.meter.stored(count)
        self._show()

    def resumed(self, count: int) -> None:
        self.meter.resumed_bytes += count
        self._show()

    def waiting(self, reason: str) -> None:
        self._show(f"; {reason}: trying again")

    def uploaded(self, file: LocalFile) -> None:
        self._uploaded += 1
        self._line(f"uploaded {self._uploaded}/{self._files} {file.path.name}")

    def rejected(self, file: LocalFile, reason: str) -> None:
        self.meter.total_bytes -= file.size_bytes
        self._files -= 1
        self._show()
        self._warn(f"{file.path}: {reason}")

    def processing(self, *, done: int, total: int) -> None:
        if self._processing is None:
            self._processing = self._progress.add_task("Processing", total=None, detail="")
        if self._live:
            description = f"Ready {done}/{total}"
            self._progress.update(self._processing, description=description)
        elif done == total:
            self._line(f"ready {done}/{total}")

    def _show(self, trouble: str = "") -> None:
        if self._live:
            moving = self.meter.moving_bytes
            on_its_way = f", {size(moving)} on the way" if moving else ""
            self._progress.update(
                self._sending,
                completed=self.meter.there_bytes,
                total=self.meter.total_bytes,
                detail=escape(f"{self.meter.line()}{on_its_way}{trouble}"),
            )
        elif self._clock() - self._told_at >= _LINE_EVERY_S:
            self._told_at = self._clock()
            self._line(f"stored {self.meter.line()}{trouble}")


class DownloadBars(_Bars, DownloadProgress):
    """Progress of a download."""

    def __init__(self) -> None:
        super().__init__()
        self._receiving = self._progress.add_task("Downloading", total=None)
        self._files = 0
        self._saved = 0

    def planned(self, *, files: int, size_bytes: int) -> None:
        self._files = files
        self._start()
        self._progress.update(self._receiving, total=size_bytes)

    def received(self, count: int) -> None:
        self._progress.advance(self._receiving, count)

    def saved(self, name: str) -> None:
        self._saved += 1
        self._line(f"saved {self._saved}/{self._files} {name}")

    def failed(self, name: str, reason: str) -> None:
        self._warn(f"{name}: {reason}")


def shown(path: Path) -> str:
    return escape(str(path))
