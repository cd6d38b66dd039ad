"""SQL statements as spans. Used only with a tracer: without one, no hook is registered.

A span has the name of its statement, never its text or its parameters.
"""

from __future__ import annotations

import re
import sys
import time
from functools import lru_cache
from typing import Any

from sqlalchemy import Engine, event

from kappi_chassis.observability import context, tracing

_VERB = re.compile(r"\s*(\w+)")
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+(\w+)", re.IGNORECASE)
_SHORTEST_CONSTANT = 10
_BEGAN = "kappi.began_at_ns"


def note_statement(record: Any) -> None:
    """Records a statement that asyncpg ran as a span of the current trace. record: a LoggedQuery."""
    tracer, parent = tracing.tracer, context.traceparent.get()
    if tracer is None or parent is None or not context.is_exported(parent):
        return
    began_at_ns = time.time_ns() - int(record.elapsed * 1e9)
    _note(tracer, record.query, parent=parent, began_at_ns=began_at_ns, failure=record.exception)


def trace_statements(engine: Engine) -> None:
    """Registers hooks by which each statement of SQLAlchemy becomes a span of the current trace."""
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "before_cursor_execute", _before)
    event.listen(engine, "after_cursor_execute", _after)
    event.listen(engine, "handle_error", _on_error)


@lru_cache(maxsize=2_000)
def statement_name(text: str) -> str:
    """Returns the name of a statement: that of the constant which holds it, else its verb and table.

    The constant `_COMPLETE` of `kappi_media.repository.completion` is `completion.complete`.
    """
    constant = _constants().get(text)
    if constant is not None:
        return constant
    verb, table = _VERB.match(text), _TABLE.search(text)
    return f"{verb[1].upper() if verb else 'statement'} {table[1] if table else ''}".rstrip()


@lru_cache(maxsize=1)
def _constants() -> dict[str, str]:
    """Returns the names of all texts that the modules of this system have as constants."""
    return {
        text: f"{name.rpartition('.')[2]}.{constant.strip('_').lower()}"
        for name, module in list(sys.modules.items())
        if name.startswith("kappi_")
        for constant, text in vars(module).items()
        if isinstance(text, str) and constant.isupper() and len(text) > _SHORTEST_CONSTANT
    }


def _note(
    tracer: tracing.Tracer, text: str, *, parent: str, began_at_ns: int, failure: BaseException | None
) -> None:
    name = statement_name(text)
    span = tracer.begin(name, kind="client", parent=parent, began_at_ns=began_at_ns)
    span.note({"db.system.name": "postgresql", "db.query.summary": name})
    if failure is not None:
        span.fail(type(failure).__name__)
    span.end()


def _on_connect(connection: Any, _: Any) -> None:
    # What does not go through a cursor: BEGIN, COMMIT, and statements written for asyncpg.
    connection.driver_connection.add_query_logger(note_statement)


def _before(connection: Any, *_: Any) -> None:
    connection.info[_BEGAN] = time.time_ns()


def _after(connection: Any, _: Any, statement: str, *__: Any) -> None:
    _end(connection, statement, failure=None)


def _on_error(failed: Any) -> None:
    if failed.connection is not None and failed.statement is not None:
        _end(failed.connection, failed.statement, failure=failed.original_exception)


def _end(connection: Any, statement: str, *, failure: BaseException | None) -> None:
    tracer, parent = tracing.tracer, context.traceparent.get()
    began_at_ns = connection.info.pop(_BEGAN, None)
    if tracer is None or parent is None or began_at_ns is None or not context.is_exported(parent):
        return
    _note(tracer, statement, parent=parent, began_at_ns=began_at_ns, failure=failure)
