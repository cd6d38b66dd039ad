"""Log lines about answers: every one if the setting says so, always those with an error, within a limit."""

from __future__ import annotations

from typing import Any

from kappi_chassis.observability import metrics
from kappi_chassis.observability.line_limit import LineLimit
from kappi_chassis.observability.logs import get_logger

LINES_OF_CLIENT, LINES_IN_ALL, CLIENTS = 60, 1_200, 2_000
"""Lines about errors per minute: of one client, of all together, and the clients that are told apart."""

_log = get_logger(__name__)


class AccessLog:
    """The access log of a process.

    every: whether answers without an error are logged, too; then nothing is left out.
    """

    def __init__(self, of_client: LineLimit | None = None, in_all: LineLimit | None = None) -> None:
        self.every = False
        self._of_client = of_client or LineLimit(lines=LINES_OF_CLIENT, keys=CLIENTS)
        self._in_all = in_all or LineLimit(lines=LINES_IN_ALL, keys=1)

    def note(self, *, client: str, level: str, **fields: Any) -> None:
        """Logs an answer, unless its client had too many errors in this minute. client: is not logged."""
        if not self.every and not self._admits(client):
            metrics.LOG_LINES_LEFT_OUT.labels("answers").inc()
            return
        getattr(_log, level)("http.answered", **fields)

    def _admits(self, client: str) -> bool:
        left_out = sum(lines for _, lines in (*self._of_client.left_out(), *self._in_all.left_out()))
        if left_out:
            _log.warning("http.answers_not_logged", lines=left_out)
        # What one client has in excess must not use up the lines of all.
        return self._of_client.admits(client) and self._in_all.admits("")


access_log = AccessLog()
"""The access log of this process."""
