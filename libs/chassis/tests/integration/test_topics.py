"""Topics are declared as the registry lists them, on a broker that allows it."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import NotControllerError
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.bus.topics import TopicDeclaration, declare_topics
from kappi_chassis.embedded.broker import EmbeddedBroker
from kappi_chassis.embedded.ports import free_port
from kappi_contracts.topics import DLQ_SUFFIX, TOPICS
from kappi_testkit.eventually import eventually
from kappi_testkit.plugin import BrokerUnderTest


async def test_every_topic_and_its_dead_letters_are_declared(
    every_broker: BrokerUnderTest, topic_prefix: str
) -> None:
    if every_broker.kind == "embedded":  # it does not support CreateTopics; a topic appears on first use
        return
    connection = KafkaConnection(bootstrap=every_broker.bootstrap, prefix=topic_prefix)
    declaration = TopicDeclaration(connection, wanted=True, replication_factor=-1)
    declaration.also("of-somebody-else")
    await declaration.done()
    await TopicDeclaration(connection, wanted=True, replication_factor=-1).done()  # as by another process
    admin = AIOKafkaAdminClient(**connection.client_options())
    await admin.start()
    names = [connection.topic(topic.name) for topic in TOPICS]
    foreign = connection.topic("of-somebody-else")

    async def known() -> dict[str, int]:
        """Returns the topics once the broker has learned of them from the controller, which created them."""
        topics = await admin.describe_topics(
            [*names, *(name + DLQ_SUFFIX for name in names), foreign, foreign + DLQ_SUFFIX]
        )
        assert {topic["error_code"] for topic in topics} == {0}
        return {topic["topic"]: len(topic["partitions"]) for topic in topics}

    described = await eventually(known)
    await admin.close()
    assert {name: described[name] for name in names} == {
        connection.topic(topic.name): topic.partitions for topic in TOPICS
    }
    assert all(described[name + DLQ_SUFFIX] == 1 for name in names)
    assert (described[foreign], described[foreign + DLQ_SUFFIX]) == (1, 1)


async def test_the_declaration_waits_for_an_unreachable_broker() -> None:
    unreachable = KafkaConnection(bootstrap=f"127.0.0.1:{free_port()}")
    declaration = TopicDeclaration(unreachable, wanted=True, replication_factor=-1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await declaration.done()
    await TopicDeclaration(unreachable, wanted=False, replication_factor=-1).done()


async def test_the_declaration_waits_for_a_controller(embedded_broker: EmbeddedBroker) -> None:
    """The embedded broker never has one; a real cluster has none during an election."""
    connection = KafkaConnection(bootstrap=embedded_broker.bootstrap)
    with pytest.raises(NotControllerError):
        await declare_topics(connection)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await TopicDeclaration(connection, wanted=True, replication_factor=-1).done()
