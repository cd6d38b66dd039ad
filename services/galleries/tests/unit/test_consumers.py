from __future__ import annotations

from datetime import timedelta

from kappi_chassis.clock import utc_now
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_contracts.topics import consumed_by
from kappi_galleries.consumers import GROUP, handlers
from kappi_galleries.use_cases.post_upkeep import PostUpkeep


def test_every_topic_the_registry_sends_here_has_a_handler_and_no_other() -> None:
    database = Database("postgresql://nobody@127.0.0.1/none")
    outbox = Outbox(database)
    upkeep = PostUpkeep(database, outbox, draft_lifetime=timedelta(hours=1), clock=utc_now)
    assert set(handlers(outbox, clock=utc_now, upkeep=upkeep)) == {topic.name for topic in consumed_by(GROUP)}
