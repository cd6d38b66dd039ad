"""Spans: the timed steps of a trace. Without a tracer nothing is measured, and no SDK is loaded.

The `traceparent` of the context is the only carrier of a trace, with and without a tracer. A span therefore
needs no context of its own, and logs and events name the same trace as the exported spans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

from kappi_chassis.observability import context

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool
Attributes = Mapping[str, Value]


class Span(Protocol):
    """A step that is under way.

    Its attributes hold no secret, no address of a client and no text of a person.

    traceparent: of the work within it.
    """

    @property
    def traceparent(self) -> str: ...

    def rename(self, name: str) -> None: ...

    def note(self, attributes: Attributes) -> None: ...

    def link(self, traceparent: str) -> None:
        """Adds a reference to a span of another trace."""
        ...

    def fail(self, kind: str) -> None:
        """Marks the step as failed. kind: the type of the error; its text may hold a secret."""
        ...

    def end(self) -> None: ...


class Tracer(Protocol):
    def begin(
        self,
        name: str,
        *,
        kind: Kind,
        parent: str | None,
        began_at_ns: int | None = None,
        links: Sequence[str] = (),
    ) -> Span:
        """Begins a span.

        parent, links: traceparents; a trace begins without a parent. began_at_ns: since 1970; None for now.
        """
        ...


tracer: Tracer | None = None
"""The tracer of this process; None if `KAPPI_OTLP_ENDPOINT` is not set."""

_current: ContextVar[Span | None] = ContextVar("span", default=None)


def use(new: Tracer | None) -> None:
    """Sets the tracer of this process. Parts look for it when they are built, so call it before."""
    global tracer
    tracer = new


def enter(span: Span) -> None:
    """Makes the rest of the current task the work of a span."""
    _current.set(span)
    context.traceparent.set(span.traceparent)


@contextmanager
def step(
    name: str, *, kind: Kind = "internal", attributes: Attributes | None = None
) -> Iterator[Span | None]:
    """Within the context, work is a span of the current trace. Yields None if that is not exported."""
    parent = context.traceparent.get()
    if tracer is None or parent is None or not context.is_exported(parent):
        yield None
        return
    with _within(tracer.begin(name, kind=kind, parent=parent), attributes) as span:
        yield span


@contextmanager
def work_caused_by(
    incoming: str | None,
    name: str,
    *,
    kind: Kind = "internal",
    attributes: Attributes | None = None,
    links: Sequence[str] = (),
) -> Iterator[Span | None]:
    """Within the context, logs and published events belong to the trace of `incoming`, as a span of it.

    A new trace begins if `incoming` is None or invalid.
    """
    if tracer is None:
        with context.work_caused_by(incoming):
            yield None
        return
    with _within(tracer.begin(name, kind=kind, parent=incoming, links=links), attributes) as span:
        yield span


@contextmanager
def work_caused_by_all(
    incoming: Sequence[str | None], name: str, *, kind: Kind, attributes: Callable[[int], Attributes]
) -> Iterator[Sequence[str | None]]:
    """Within the context, work is done for several causes at once. Yields the traceparent of each.

    Each cause has a span of its own trace. What belongs to none of them alone, such as a statement for all,
    is in the trace of the first; the spans of the others are linked with it. attributes: of the span of the
    cause with this index.
    """
    if tracer is None:
        yield incoming
        return
    spans = [tracer.begin(name, kind=kind, parent=each) for each in incoming]
    for index, span in enumerate(spans):
        span.note(attributes(index))
        if index:
            span.link(spans[0].traceparent)
    try:
        with continued(spans[0].traceparent):
            yield [span.traceparent for span in spans]
    except BaseException as error:
        for span in spans:
            span.fail(type(error).__name__)
        raise
    finally:
        for span in spans:
            span.end()


@contextmanager
def continued(traceparent: str | None) -> Iterator[None]:
    """Within the context, work belongs to a span that has begun; without a tracer, to a new one of its
    trace.
    """
    if tracer is None:
        with context.work_caused_by(traceparent):
            yield
        return
    token = context.traceparent.set(traceparent)
    try:
        yield
    finally:
        context.traceparent.reset(token)


@contextmanager
def joining(incoming: str | None, name: str) -> Iterator[None]:
    """Within the context, work belongs to the trace that began what it is about, for example an upload.

    The traces of both are linked in both directions. incoming: of that trace; None if it is not known.
    """
    here, outer = context.traceparent.get(), _current.get()
    if incoming is None or context.same_trace(incoming, here):
        with step(name):
            yield
        return
    with work_caused_by(incoming, name, links=[here] if here else ()) as span:
        if span is not None and outer is not None:
            outer.link(span.traceparent)
        yield


@contextmanager
def _within(span: Span, attributes: Attributes | None) -> Iterator[Span]:
    if attributes:
        span.note(attributes)
    outer, trace = _current.set(span), context.traceparent.set(span.traceparent)
    try:
        yield span
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    finally:
        context.traceparent.reset(trace)
        _current.reset(outer)
        span.end()
