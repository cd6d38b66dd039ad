"""Declaring topics on a broker that lets us: partitions and retention from the registry."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from kappi_contracts.topics import DLQ_RETENTION, DLQ_SUFFIX, TOPICS

from kappi_chassis.bus.connection import KafkaConnection


async def declare_topics(connection: KafkaConnection, *, replication_factor: int = -1) -> None:
    """Create every topic of the registry and its dead letters where missing; existing ones are left alone.

    replication_factor: -1 for the broker's default. Raises KafkaError.
    """
    wanted = []
    for topic in TOPICS:
        wanted.append((topic.name, topic.partitions, topic.retention))
        wanted.append((topic.name + DLQ_SUFFIX, 1, DLQ_RETENTION))
    admin = AIOKafkaAdminClient(**connection.client_options())
    await admin.start()
    try:
        response = await admin.create_topics(
            [
                NewTopic(
                    connection.topic(name),
                    num_partitions=partitions,
                    replication_factor=replication_factor,
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
