"""Faust's transport with aiokafka's waits of this deployment, for which Faust has no settings."""

from __future__ import annotations

import logging
from typing import Any, cast

from faust.transport.drivers import aiokafka

# aiokafka's loop is also woken by what happens.
_LOOP_S = 5.0
# Faust's own messages keep the log level of the `faust` loggers.
_logger = logging.getLogger("faust.janitor")


class Transport(aiokafka.Transport):
    """Connects with `fetch_max_wait_ms` of the app."""

    logger = _logger

    class Consumer(aiokafka.Consumer):
        logger = _logger

        def _new_consumer_thread(self) -> aiokafka.AIOKafkaConsumerThread:
            return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Thread(aiokafka.AIOKafkaConsumerThread):
    logger = _logger

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Read by `start`, which follows.
        consumer._fetch_max_wait_ms = cast("Any", self.app).fetch_max_wait_ms
        consumer._consumer_timeout = _LOOP_S
        return consumer
