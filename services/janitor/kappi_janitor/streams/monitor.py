"""The lag of the Faust app, in the metrics of the chassis."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import faust
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.observability import metrics


class LagMonitor(faust.Monitor):
    """A Faust sensor that sets the lag of each partition."""

    def __init__(self, connection: KafkaConnection) -> None:
        super().__init__()
        self._connection = connection
        self._reached: dict[Any, int] = {}
        self._ends: dict[Any, int] = {}

    def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
        self._reached.setdefault(tp, offset)
        self._measure(tp)

    def track_tp_end_offset(self, tp: Any, offset: int) -> None:
        self._ends[tp] = offset
        self._measure(tp)

    def on_tp_commit(self, tp_offsets: Mapping[Any, int]) -> None:
        for tp, offset in tp_offsets.items():
            self._reached[tp] = offset
            self._measure(tp)

    def forget(self) -> None:
        """Remove the lag of all partitions before they are assigned again."""
        for tp in self._reached:
            with suppress(KeyError):  # never measured
                metrics.CONSUMER_LAG.remove(*self._labels(tp))
        self._reached.clear()
        self._ends.clear()

    def _measure(self, tp: Any) -> None:
        if tp in self._reached and tp in self._ends:
            metrics.CONSUMER_LAG.labels(*self._labels(tp)).set(max(0, self._ends[tp] - self._reached[tp]))

    def _labels(self, tp: Any) -> tuple[str, str]:
        return self._connection.unprefixed(tp.topic), str(tp.partition)
