"""The output of `kappi up`: plain text and a little colour.

A table library would cost the supervisor 10 MB.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

_GREEN, _YELLOW, _RED, _DIM, _BOLD, _PLAIN = (
    "\x1b[32m",
    "\x1b[33m",
    "\x1b[31m",
    "\x1b[2m",
    "\x1b[1m",
    "\x1b[0m",
)
_LIGHT_ON_DARK = "\x1b[97;40m"
_TICK, _TICK_ASCII = "✓", "ok"


class Console:
    """Writes lines to one stream, with colours only on a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._colours = self._stream.isatty()
        encoding = (self._stream.encoding or "ascii").lower()
        self._tick = _TICK if encoding.startswith("utf") else _TICK_ASCII
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def say(self, text: str = "") -> None:
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except (OSError, UnicodeEncodeError):
            return  # the reader is gone, the disk full, or the encoding too small: the stack runs on

    def done(self, what: str, detail: str = "") -> None:
        """Reports a finished step of the start-up."""
        timing = self._in(_DIM, f"{self.elapsed_s:5.1f} s")
        self.say(f"  {self._in(_GREEN, self._tick)} {what:<12} {timing}  {detail}".rstrip())

    def warn(self, text: str) -> None:
        self.say(f"{self._in(_YELLOW, '!')} {text}")

    def fail(self, text: str) -> None:
        self.say(f"{self._in(_RED, 'Error:')} {text}")

    def draw(self, lines: str) -> None:
        """Prints light blocks on dark, even where the terminal shows dark text on light."""
        self.say("\n".join(f"  {self._in(_LIGHT_ON_DARK, line)}" for line in lines.splitlines()))

    def strong(self, text: str) -> str:
        return self._in(_BOLD, text)

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colours else text
