"""Records that the broker dropped before a consumer read them: the metric, the log, a note for a replay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiokafka import TopicPartition

from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.settings import PlatformSettings

OnGap = Callable[[str], Awaitable[None]]

_log = get_logger(__name__)


async def report_gaps(
    wanted: Mapping[TopicPartition, int],
    begins: Mapping[TopicPartition, int],
    *,
    topic_of: Callable[[str], str],
    on_gap: OnGap | None,
) -> None:
    """Reports each partition that begins after the offset its group wants next.

    Offsets of records alone do not show a gap: transactions and compaction leave holes in which nothing was
    lost. topic_of: removes the deployment's prefix.
    """
    for partition, offset in wanted.items():
        if (lost := begins[partition] - offset) <= 0:
            continue
        topic = topic_of(partition.topic)
        metrics.CONSUMER_GAPS.labels(topic).inc()
        _log.error("consumer.gap", topic=topic, partition=partition.partition, lost=lost)
        if on_gap is not None:
            await on_gap(topic)


def loss_of_records(settings: PlatformSettings) -> OnGap | None:
    """Returns a hook for `Consumer(on_gap=...)` that creates a file named after the topic in
    `gap_signal_dir`.

    Returns None when no folder is set: a broker that keeps its records for days is watched by its metrics.
    """
    folder = settings.gap_signal_dir
    if folder is None:
        return None

    async def leave_note(topic: str) -> None:
        _touch(folder, topic)

    return leave_note


def _touch(folder: Path, topic: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / topic).touch()
