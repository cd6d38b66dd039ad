"""`python -m kappi_chassis.bus.create_topics [TOPIC …]` creates every topic of the registry, as a job.

TOPIC: an external topic that a service reads, created with its dead letters like the others; it gets the
prefix. After it, and with `KAPPI_KAFKA_CREATE_TOPICS=false`, the services need no right to create topics. An
unavailable broker is an error: the job is repeated by the program that runs it.
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
    """Creates the topics. Existing ones are left as they are. Raises KafkaError, OSError, TimeoutError."""
    connection = KafkaConnection.from_settings(settings)
    await declare_topics(connection, replication_factor=settings.kafka_replication_factor, foreign=foreign)


def main(foreign: Sequence[str] = ()) -> int:
    """Returns the exit status. 0: the topics exist; 1: they do not, and the log contains the reason."""
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
