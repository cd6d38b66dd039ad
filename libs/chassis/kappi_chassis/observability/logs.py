"""Structured logs: one JSON object a line, with request and trace ids, and never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from kappi_chassis.observability import context, metrics
from kappi_chassis.observability.line_limit import LineLimit
from kappi_chassis.observability.secret_shapes import REDACTED, without_secrets

_SECRET_NAMES = re.compile(
    r"^(?:(?:.*[_-])?(?:authorization|cookie)|.*(?:password|secret|(?:access|gallery|contributor)[_-]?key|token|signature|grant))$",
    re.IGNORECASE,
)
_NOISY = (
    *("PIL", "aiobotocore", "aiokafka", "aiohttp", "asyncio", "boto3", "botocore", "faust", "libav", "mode"),
    *("opentelemetry", "s3transfer", "sqlalchemy", "urllib3", "uvicorn.access"),
)
"""Libraries of whose logs only warnings are shown."""
MESSAGES_PER_MINUTE, MESSAGES = 3, 500
"""Lines of one message of a library, and the number of messages that are told apart."""
_PLAIN = (int, float, bool, type(None), datetime, UUID)
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")
_TEMPLATE_CHARACTERS = 200
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Removes secrets by field name, and signatures, credentials, tokens and keys inside any text."""
    for name, value in event.items():
        event[name] = REDACTED if _is_secret(name) else _clean(value)
    return event


@lru_cache(maxsize=1_024)  # the same few names on every line
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.match(name) is not None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {
            without_secrets(str(name)): REDACTED if _is_secret(_text(name)) else _clean(each)
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        match list(value):
            case [(str() | bytes()) as name, (str() | bytes())] if _is_secret(_text(name)):
                return [_text(name), REDACTED]  # a header, as libraries represent it
            case parts:
                return [_clean(each) for each in parts]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} bytes]"
    return without_secrets(str(value))  # an exception, an address: logged as its text


def _text(name: Any) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)


def _one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escapes line breaks for the console format, so that no text can end its line and forge the next one."""
    for name, value in event.items():
        if isinstance(value, str) and name != "exception":
            event[name] = _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), value)
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
    """Sends all logs, the standard library's included, through one redacting pipeline to stdout."""
    shared = _shared_processors(service)
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
    handler.addFilter(LibraryLimit())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(renderer)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel("WARNING")


class LibraryLimit(logging.Filter):
    """Leaves out what third-party libraries repeat: a broker that is away causes hundreds of lines a second.

    A few lines of each message pass in a minute; the number of the others is logged when the minute is over.
    """

    def __init__(self, limit: LineLimit | None = None) -> None:
        super().__init__()
        self._limit = limit or LineLimit(lines=MESSAGES_PER_MINUTE, keys=MESSAGES)

    def filter(self, record: logging.LogRecord) -> bool:
        for (name, message), lines in self._limit.left_out():
            get_logger(__name__).warning("log.left_out", logger=name, message=message, lines=lines)
        # structlog's events are those of this system's code. Each migration has one line of the same message.
        if isinstance(record.msg, dict) or record.name.startswith("alembic."):
            return True
        if self._limit.admits((record.name, _template(record))):
            return True
        metrics.LOG_LINES_LEFT_OUT.labels("library").inc()
        return False


def _template(record: logging.LogRecord) -> str:
    """Returns the message without what differs from line to line."""
    text = str(record.msg)
    return text if record.args else _NUMBERS.sub("#", text[:_TEMPLATE_CHARACTERS])


def _shared_processors(service: str) -> list[Processor]:
    """Returns the steps that every log event passes, from structlog or from the standard library."""

    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return [
        structlog.stdlib.add_log_level,
        add_service,
        _add_ids,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        redact,
    ]


def _renderers(renderer: Literal["json", "console"]) -> list[Processor]:
    if renderer == "json":
        return [_to_json]
    # The default formatter of exceptions shows local variables, which hold secrets.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return [_one_line, console]


def get_logger(name: str) -> Any:
    """Returns a structlog logger. Events are named `area.what_happened`, details go in keywords."""
    return structlog.stdlib.get_logger(name)
