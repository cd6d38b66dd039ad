"""Declares topics on a broker that allows it: partitions and retention come from the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NotControllerError, TopicAlreadyExistsError, for_code
from kappi_contracts.topics import DLQ_RETENTION, DLQ_SUFFIX, TOPICS

from kappi_chassis.bus.connection import KafkaConnection
from kappi_chassis.observability.logs import get_logger

RETRY_S = 2.0

_log = get_logger(__name__)


class TopicDeclaration:
    """Declares the topics once per process, as soon as the broker answers.

    Nothing subscribes or sends before: a broker that creates topics on first use would create them with its
    own number of partitions. wanted: False when the broker cannot create them or an operator declares them.
    """

    def __init__(self, connection: KafkaConnection, *, wanted: bool, replication_factor: int) -> None:
        self._connection = connection
        self._replication_factor = replication_factor
        self._declared = not wanted
        self._lock = asyncio.Lock()
        self._foreign: list[str] = []

    def also(self, topic: str) -> None:
        """Also declares an external topic that this process reads, and its dead letters."""
        self._foreign.append(topic)

    async def done(self) -> None:
        """Returns when the topics are declared; waits for an unavailable broker."""
        async with self._lock:
            while not self._declared:
                try:
                    await declare_topics(
                        self._connection, replication_factor=self._replication_factor, foreign=self._foreign
                    )
                    self._declared = True
                except (KafkaError, OSError, TimeoutError) as error:
                    _log.warning(
                        "topics.not_declared",
                        error=str(error),
                        error_type=type(error).__name__,
                        retry_in_s=RETRY_S,
                    )
                    await asyncio.sleep(RETRY_S)


async def declare_topics(
    connection: KafkaConnection, *, replication_factor: int = -1, foreign: Sequence[str] = ()
) -> None:
    """Creates every missing topic of the registry and its dead letters; existing ones are left unchanged.

    replication_factor: -1 for the broker's default. foreign: topics beside those of the registry. Raises
    KafkaError.
    """
    wanted = [(name + suffix, 1, DLQ_RETENTION) for name in foreign for suffix in ("", DLQ_SUFFIX)]
    for topic in TOPICS:
        wanted.append((topic.name, topic.partitions, topic.retention))
        wanted.append((topic.name + DLQ_SUFFIX, 1, DLQ_RETENTION))
    admin = AIOKafkaAdminClient(**connection.client_options())
    await admin.start()
    try:
        # aiokafka asks the controller, and raises other errors than KafkaError when a cluster has none yet.
        cluster = await admin.describe_cluster()
        if cluster["controller_id"] not in {broker["node_id"] for broker in cluster["brokers"]}:
            raise NotControllerError("the cluster has no controller at the moment")
        response = await admin.create_topics(
            [
                NewTopic(
                    connection.topic(name),
                    num_partitions=partitions,
                    replication_factor=replication_factor,
                    # aiokafka takes the broker's default only together with an assignment: an empty one.
                    replica_assignments={} if replication_factor == -1 else None,
                    topic_configs={"retention.ms": str(int(retention.total_seconds() * 1000))},
                )
                for name, partitions, retention in wanted
            ]
        )
    finally:
        await admin.close()
    for topic_name, code, *detail in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"{topic_name}: {detail}")
