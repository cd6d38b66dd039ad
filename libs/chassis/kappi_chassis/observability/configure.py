"""Starts the logs and traces of a service's process, as its settings say."""

from __future__ import annotations

from typing import Literal

from kappi_chassis.observability import tracing
from kappi_chassis.observability.access_log import access_log
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.settings import PlatformSettings


def configure_observability(
    service: str, platform: PlatformSettings, *, called_by: Literal["clients", "services"] = "services"
) -> None:
    """Configures logs, access log and traces. Call it before anything of the service is built.

    called_by: "clients" for the public port.
    """
    configure_logging(service=service, level=platform.log_level, renderer=platform.log_format)
    access_log.every = platform.access_log
    if platform.otlp_endpoint is None:
        return
    # Imported only here: the SDK takes 9 MB of memory.
    from kappi_chassis.observability import trace_export

    tracing.use(
        trace_export.start(
            service, endpoint=platform.otlp_endpoint, ratio=platform.trace_ratio, called_by=called_by
        )
    )
