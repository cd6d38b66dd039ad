"""A store whose calls are spans, named after the operation. It is used only with a tracer."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

from kappi_chassis.observability import context, tracing
from kappi_chassis.storage.contract import ObjectStore


def traced(store: ObjectStore) -> ObjectStore:
    """Returns the store, with spans if this process has a tracer."""
    return store if tracing.tracer is None else cast("ObjectStore", _TracedStore(store))


class _TracedStore:
    """Passes all calls on. Keys are in no attribute: the work around a call names its item."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        if not inspect.iscoroutinefunction(call):
            return call
        operation = _operation(name, call)
        setattr(self, name, operation)
        return operation

    async def stream(self, *args: Any, **options: Any) -> AsyncGenerator[bytes]:
        # The span lasts until the last chunk is taken. It is not the consumer's context in the meantime.
        tracer, parent = tracing.tracer, context.traceparent.get()
        chunks = self._store.stream(*args, **options)
        exported = tracer is not None and parent is not None and context.is_exported(parent)
        span = tracer.begin("store stream", kind="client", parent=parent) if tracer and exported else None
        try:
            async for chunk in chunks:
                yield chunk
        except Exception as error:
            if span is not None:
                span.fail(type(error).__name__)
            raise
        finally:
            if span is not None:
                span.end()
            await chunks.aclose()


def _operation(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    async def operation(*args: Any, **options: Any) -> Any:
        with tracing.step(f"store {name}", kind="client"):
            return await call(*args, **options)

    return operation
