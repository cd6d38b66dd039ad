"""`python -m kappi_chassis.bus.create_topics [TOPIC …]`: every topic of the registry, as a job.

TOPIC: of somebody else's that a service reads, made with its dead letters like the others; gets the prefix.

With it done and `KAPPI_KAFKA_CREATE_TOPICS=false`, the services need no right to create topics. A broker that
is away is an error: jobs are repeated by whoever runs them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from kappi_chassis.bus.connection import KafkaConnection
from kappi_chassis.bus.topics import declare_topics
from kappi_chassis.observability.logs import configure_logging, get_logger
from kappi_chassis.settings import PlatformSettings

_log = get_logger(__name__)


async def create_topics(settings: PlatformSettings, *, foreign: Sequence[str] = ()) -> None:
    """Existing topics are left as they are. Raises KafkaError, OSError, TimeoutError."""
    connection = KafkaConnection.from_settings(settings)
    await declare_topics(connection, replication_factor=settings.kafka_replication_factor, foreign=foreign)


def main(foreign: Sequence[str] = ()) -> int:
    """Exit status 0: the topics are there; 1: they are not, and why is in the log."""
    settings = PlatformSettings()
    configure_logging(service="topics", level=settings.log_level, renderer=settings.log_format)
    try:
        asyncio.run(create_topics(settings, foreign=foreign))
    except (KafkaError, OSError, TimeoutError) as error:
        _log.error("topics.not_created", error_type=type(error).__name__, error=str(error))
        return 1
    _log.info("topics.created")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
