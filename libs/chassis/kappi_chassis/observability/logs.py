"""Structured logs: one JSON object a line, with request and trace ids, and never a secret."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Literal

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from kappi_chassis.observability import context

REDACTED = "[redacted]"
_SECRET_NAMES = re.compile(
    r"(?i)^(authorization|cookie|set-cookie|.*(password|secret|access_?key|gallery_?key|token|signature|grant))$"
)
_SECRET_VALUES = re.compile(
    r"(?i)(X-Amz-(?:Signature|Credential|Security-Token)=|[?&](?:signature|sig|token|password|key)=|Bearer\s+|"
    r"://[^/\s:@]*:)[^&\s\"'@]+"
)


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Drop secrets by field name, and signatures, credentials and bearer tokens inside any text."""
    for name, value in event.items():
        if _SECRET_NAMES.match(name):
            event[name] = REDACTED
        elif isinstance(value, str):
            event[name] = _SECRET_VALUES.sub(lambda found: found[1] + REDACTED, value)
    return event


def _add_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if identifier := context.request_id.get():
        event.setdefault("request_id", identifier)
    if trace := context.trace_id():
        event.setdefault("trace_id", trace)
    return event


def _to_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def configure_logging(*, service: str, level: str, renderer: Literal["json", "console"]) -> None:
    """Send everything, the standard library's loggers included, through one redacting pipeline to stdout."""

    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        add_service,
        _add_ids,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        redact,
    ]
    final: Processor = (
        _to_json
        if renderer == "json"
        else structlog.dev.ConsoleRenderer(
            exception_formatter=structlog.dev.plain_traceback  # the pretty one shows local variables: secrets
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in (
        "aiokafka",
        "botocore",
        "boto3",
        "urllib3",
        "uvicorn.access",
        "faust",
        "mode",
        "PIL",
        "libav",
    ):
        logging.getLogger(noisy).setLevel("WARNING")


def get_logger(name: str) -> Any:
    """A structlog logger. Events are named `area.what_happened`, details go in keywords."""
    return structlog.stdlib.get_logger(name)
