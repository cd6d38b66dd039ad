"""The ages of a consumer as metrics: of its oldest unhandled record, and of the broker's last answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError

from kappi_chassis.bus.partition_queue import PartitionQueue
from kappi_chassis.clock import Clock, utc_now
from kappi_chassis.observability import metrics


class ConsumerAges:
    """Computes both ages when `/metrics` is read, so that they grow while nothing moves.

    queues: of the assigned partitions, as the consumer changes them. topic_of: removes the deployment's
    prefix.
    """

    def __init__(
        self,
        queues: Mapping[TopicPartition, PartitionQueue],
        *,
        topic_of: Callable[[str], str],
        clock: Clock = utc_now,
    ) -> None:
        self._queues = queues
        self._topic_of = topic_of
        self._clock = clock
        self._answered_ms = self._now_ms()

    def show(self, group: str, topics: Sequence[str]) -> None:
        """Starts to show the gauges of this consumer."""
        self._answered_ms = self._now_ms()
        metrics.CONSUMER_SILENT_SECONDS.labels(group).set_function(self.silent_s)
        for topic in topics:
            metrics.CONSUMER_OLDEST_SECONDS.labels(group, topic).set_function(partial(self.oldest_s, topic))

    def listen(self, kafka: AIOKafkaConsumer, *, joined: bool) -> None:
        """Notes when the broker last answered: for the partition that has waited longest.

        aiokafka reports no lost broker while it looks for it again. A paused partition is not asked for, and
        a consumer without a partition asks for nothing.
        """
        asked = [partition for partition, queue in self._queues.items() if not queue.paused]
        answers = [answer for partition in asked if (answer := _last_answer_ms(kafka, partition)) is not None]
        if answers:
            self._answered_ms = min(answers)
        elif joined and not asked:
            self._answered_ms = self._now_ms()

    def silent_s(self) -> float:
        return self._age_s(self._answered_ms)

    def oldest_s(self, topic: str) -> float:
        sent = [
            queue.oldest_ms
            for partition, queue in self._queues.items()
            if queue.oldest_ms is not None and self._topic_of(partition.topic) == topic
        ]
        return self._age_s(min(sent)) if sent else 0.0

    def _age_s(self, moment_ms: int) -> float:
        return max(0.0, (self._now_ms() - moment_ms) / 1e3)

    def _now_ms(self) -> int:
        return round(self._clock().timestamp() * 1e3)


def is_answered(kafka: AIOKafkaConsumer, *, within_s: float, clock: Clock = utc_now) -> bool:
    """Whether the broker answered this consumer for each of its partitions within the last seconds."""
    since_ms = (clock().timestamp() - within_s) * 1e3
    answers = [_last_answer_ms(kafka, partition) for partition in kafka.assignment()]
    return all(answer is not None and answer > since_ms for answer in answers)


def _last_answer_ms(kafka: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    try:
        answered: int | None = kafka.last_poll_timestamp(partition)
    except (IllegalStateError, AssertionError):  # the partition is being revoked
        return None
    return answered
