"""The Faust app: its settings, without the parts of Faust that this service does not use."""

from __future__ import annotations

import logging
from typing import Any

import faust
from faust.app.base import BootStrategy
from kappi_chassis.bus import KafkaConnection
from mode.supervisors import CrashingSupervisor

from kappi_janitor.streams.transport import Transport

COMMIT_INTERVAL_S = 0.2
"""Time after which the offset of a handled record is committed."""
IDLE_COMMIT_S = 10.0
YEAR_S = 365 * 24 * 3600.0


class _Boot(BootStrategy):
    enable_kafka_producer = False  # events go through the outbox
    enable_web = False
    enable_sensors = False  # the monitor's own statistics, computed each second, have no reader


class JanitorApp(faust.App):
    """A Faust app without tables."""

    logger = logging.getLogger("faust.janitor")
    """Keep Faust's own messages at the log level of the `faust` loggers."""
    BootStrategy = _Boot
    fetch_max_wait_ms = 500
    """Time for which the broker may keep a request for records that it does not have yet."""

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    async def commit_soon(self) -> None:
        """Commits what is handled, a moment later. Faust's own loop would wake an idle process."""
        await self.sleep(COMMIT_INTERVAL_S)
        if not self.should_stop:  # a stop commits, too
            await self.consumer.commit()

    async def on_first_start(self) -> None:
        """Create no data folder, because there are no tables."""


def build_app(connection: KafkaConnection, *, group: str, monitor: faust.Monitor) -> JanitorApp:
    """Returns a Faust app that consumes as the group `group`."""
    app = JanitorApp(
        group,
        monitor=monitor,
        broker=f"kafka://{connection.bootstrap.replace(',', ';kafka://')}",
        broker_credentials=credentials(connection.security or {}),
        broker_session_timeout=connection.session_timeout_ms / 1000,
        broker_heartbeat_interval=connection.session_timeout_ms / 3000,
        broker_commit_interval=max(COMMIT_INTERVAL_S, IDLE_COMMIT_S),
        # A tick that is retried for days must not end the membership. Heartbeats continue in the meantime.
        broker_max_poll_interval=YEAR_S,
        # Faust measures it by a poll time that aiokafka never sets, and would report every partition.
        stream_processing_timeout=YEAR_S,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=30_000,
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        # Another supervisor would restart the agent after the failed record.
        agent_supervisor=CrashingSupervisor,
        # A rebalance must not wait for a tick that is retried.
        stream_wait_empty=False,
    )
    app.fetch_max_wait_ms = connection.fetch_max_wait_ms
    return app


def credentials(security: dict[str, Any]) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """Returns the security options of aiokafka in Faust's form; None for a plain connection."""
    context = security.get("ssl_context")
    if "sasl_mechanism" in security:
        return faust.SASLCredentials(
            username=security["sasl_plain_username"],
            password=security["sasl_plain_password"],
            mechanism=security["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
