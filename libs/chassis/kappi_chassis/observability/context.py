"""Request and trace ids in context variables, passed on through HTTP, Kafka and logs (W3C Trace Context)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_NO_TRACE = "0" * 32


def continue_trace(incoming: str | None) -> str:
    """Returns a traceparent for work caused by `incoming`: same trace, new span; a new trace if invalid."""
    match = _TRACEPARENT.fullmatch(incoming) if incoming else None
    if match is None or match[1] == _NO_TRACE:
        return f"00-{new_id()}-{new_id()[:16]}-01"
    return f"00-{match[1]}-{new_id()[:16]}-{match[3]}"


def same_trace(one: str | None, other: str | None) -> bool:
    """Returns whether two traceparents are of one trace."""
    return one is not None and other is not None and one[3:35] == other[3:35]


def parse(incoming: str | None) -> tuple[int, int, bool] | None:
    """Returns trace id, span id and whether the trace is exported; None for an invalid traceparent."""
    match = _TRACEPARENT.fullmatch(incoming) if incoming else None
    if match is None or match[1] == _NO_TRACE:
        return None
    return int(match[1], 16), int(match[2], 16), bool(int(match[3], 16) & 1)


def is_exported(current: str) -> bool:
    """Returns whether the trace of a traceparent is exported. It must be valid."""
    return current[-1] in "13579bdf"


def accept_request_id(incoming: str | None) -> str:
    """Returns the caller's request id if it has an allowed form, else a new one."""
    if incoming and _REQUEST_ID.fullmatch(incoming):
        return incoming
    return new_id()


def new_id() -> str:
    """Returns a new id: 32 hexadecimal digits. It tells requests apart and protects nothing."""
    return f"{random.getrandbits(128):032x}"


def trace_id() -> str | None:
    current = traceparent.get()
    return current[3:35] if current else None


@contextmanager
def work_caused_by(incoming: str | None) -> Iterator[None]:
    """Within the context, logs and published events belong to the trace of `incoming`."""
    token = traceparent.set(continue_trace(incoming))
    try:
        yield
    finally:
        traceparent.reset(token)
