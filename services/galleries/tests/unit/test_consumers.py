from __future__ import annotations

from kappi_chassis.clock import utc_now
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_contracts.topics import consumed_by
from kappi_galleries.consumers import GROUP, handlers


def test_every_topic_the_registry_sends_here_has_a_handler_and_no_other() -> None:
    outbox = Outbox(Database("postgresql://nobody@127.0.0.1/none"))
    assert set(handlers(outbox, clock=utc_now)) == {topic.name for topic in consumed_by(GROUP)}
