"""Spans: their traces, what is exported of them, and what is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kappi_chassis.db.statement_spans import statement_name
from kappi_chassis.http.edge import Edge, Message, Receive, Scope, Send
from kappi_chassis.observability import context, metrics, trace_export, tracing
from kappi_chassis.observability.trace_export import OtlpTracer
from kappi_chassis.outbox import relay
from kappi_chassis.storage import ObjectMissing
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.traced import traced
from kappi_testkit.asgi import AsgiClient
from kappi_testkit.eventually import eventually
from kappi_testkit.otlp_collector import Collector, collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
EXPORTED, NOT_EXPORTED = f"00-{TRACE}-00f067aa0ba902b7-01", f"00-{TRACE}-00f067aa0ba902b7-00"


@pytest.fixture
def collected() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture
def tracer(collected: Collector) -> Iterator[OtlpTracer]:
    tracer = OtlpTracer("test", endpoint=collected.endpoint, ratio=1.0, called_by="services")
    tracing.use(tracer)
    yield tracer
    tracing.use(None)
    tracer.close()


def dropped(reason: str) -> float:
    return float(metrics.TRACE_SPANS_DROPPED.labels(reason)._value.get())


def test_without_a_tracer_a_step_changes_nothing() -> None:
    with context.work_caused_by(EXPORTED):
        before = context.traceparent.get()
        with tracing.step("store read") as span:
            assert span is None
            assert context.traceparent.get() == before


async def test_spans_of_one_trace_reach_the_collector(collected: Collector, tracer: OtlpTracer) -> None:
    with tracing.work_caused_by(EXPORTED, "process X", kind="consumer", attributes={"a": 1}):
        with tracing.step("store read"):
            inner = context.traceparent.get()
        with pytest.raises(ValueError, match="secret"), tracing.step("fails"):
            raise ValueError("the secret text of an error")
    assert inner is not None
    assert context.same_trace(inner, EXPORTED)
    tracer.close()
    by_name = {span.name: span for span in collected.of_trace(TRACE)}
    assert by_name.keys() == {"process X", "store read", "fails"}
    assert by_name["process X"].parent_id == "00f067aa0ba902b7"
    assert by_name["process X"].attributes == {"a": 1}
    assert by_name["store read"].parent_id == by_name["process X"].span_id
    assert by_name["store read"].span_id == inner.split("-")[2]
    assert by_name["fails"].failed
    assert by_name["fails"].attributes == {"error.type": "ValueError"}
    assert {span.service for span in by_name.values()} == {"test"}


def test_work_for_several_causes_is_a_span_of_each(collected: Collector, tracer: OtlpTracer) -> None:
    other = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    causes = [EXPORTED, f"00-{other}-00f067aa0ba902b7-01"]

    def work() -> None:
        with tracing.work_caused_by_all(
            causes, "process X", kind="consumer", attributes=lambda index: {"index": index}
        ) as traceparents:
            with tracing.step("for all"):
                pass
            with tracing.continued(traceparents[1]), tracing.step("for one"):
                pass
            raise ValueError("a statement failed")

    with pytest.raises(ValueError, match="a statement"):
        work()
    tracer.close()
    first = {span.name: span for span in collected.of_trace(TRACE)}
    second = {span.name: span for span in collected.of_trace(other)}
    assert set(first) == {"process X", "for all"}
    assert set(second) == {"process X", "for one"}
    assert [each["process X"].attributes["index"] for each in (first, second)] == [0, 1]
    assert all(each["process X"].failed for each in (first, second))
    assert first["for all"].parent_id == first["process X"].span_id
    assert second["for one"].parent_id == second["process X"].span_id
    assert (first["process X"].linked, second["process X"].linked) == ((), (TRACE,))


def test_without_a_tracer_work_for_several_causes_has_their_traces() -> None:
    with tracing.work_caused_by_all(
        [EXPORTED, None], "process X", kind="consumer", attributes=_never
    ) as each:
        assert each == [EXPORTED, None]
        with tracing.continued(each[0]):
            assert context.trace_id() == TRACE
    assert context.traceparent.get() is None


def _never(_: int) -> tracing.Attributes:
    raise AssertionError("attributes cost time, and nothing is exported")


def test_work_that_joins_another_trace_is_linked_both_ways(collected: Collector, tracer: OtlpTracer) -> None:
    with tracing.work_caused_by(None, "request"):
        request = context.trace_id()
        with tracing.joining(EXPORTED, "complete upload"):
            assert context.trace_id() == TRACE
        assert context.trace_id() == request
    tracer.close()
    (joined,) = collected.of_trace(TRACE)
    (asked,) = collected.of_trace(request or "")
    assert (joined.linked, asked.linked) == ((request,), (TRACE,))


def test_a_trace_that_is_not_exported_goes_on_and_is_not_sent(
    collected: Collector, tracer: OtlpTracer
) -> None:
    with tracing.work_caused_by(NOT_EXPORTED, "process X"), tracing.step("store read"):
        assert context.traceparent.get("").startswith(f"00-{TRACE}-")  # type: ignore[union-attr]
        assert context.traceparent.get("").endswith("-00")  # type: ignore[union-attr]
    tracer.close()
    assert collected.spans == []


@pytest.mark.parametrize(("called_by", "exported"), [("services", 1), ("clients", 0)])
def test_a_client_cannot_have_its_trace_exported(collected: Collector, called_by: str, exported: int) -> None:
    tracer = OtlpTracer("test", endpoint=collected.endpoint, ratio=0.0, called_by=called_by)  # type: ignore[arg-type]
    tracer.begin("request", kind="server", parent=EXPORTED).end()
    tracer.begin("request", kind="server", parent=None).end()
    tracer.close()
    assert len(collected.spans) == exported


async def test_a_collector_that_refuses_costs_counted_drops(
    collected: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_export, "QUEUE_SPANS", 20)
    monkeypatch.setattr(trace_export, "BATCH_SPANS", 10)
    monkeypatch.setattr(trace_export, "SEND_TIMEOUT_S", 0.2)
    collected.status = 503
    before = dropped("queue") + dropped("collector")
    tracer = OtlpTracer("test", endpoint=collected.endpoint, ratio=1.0, called_by="services")
    for _ in range(500):
        tracer.begin("step", kind="internal", parent=EXPORTED).end()
    assert dropped("queue") > 0

    def all_are_counted() -> None:
        assert dropped("queue") + dropped("collector") - before == 500

    await eventually(all_are_counted, deadline_s=30)
    collected.status = 200
    tracer.begin("later", kind="internal", parent=EXPORTED).end()
    tracer.close()
    assert [span.name for span in collected.spans] == ["later"]


async def test_a_request_is_a_span_without_its_path(collected: Collector, tracer: OtlpTracer) -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        scope["kappi.route"] = "/v1/g/{code}"
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send(last)

    last: Message = {"type": "http.response.body", "body": b""}
    call = AsgiClient(Edge(app, max_in_flight=1))
    answer = await call("GET", "/v1/g/the-code", headers={"traceparent": EXPORTED})
    tracer.close()
    (span,) = collected.of_trace(TRACE)
    assert (span.name, span.failed) == ("GET /v1/g/{code}", True)
    assert span.attributes["kappi.request_id"] == answer.headers["x-request-id"]
    assert "the-code" not in str(span)


async def test_calls_of_the_store_are_spans_without_keys(
    collected: Collector, tracer: OtlpTracer, tmp_path: Path
) -> None:
    store = traced(LocalObjectStore(tmp_path))
    with tracing.work_caused_by(EXPORTED, "work"):
        await store.put("a/secret-key", b"content", content_type="text/plain")
        assert [chunk async for chunk in store.stream("a/secret-key")] == [b"content"]
        with pytest.raises(ObjectMissing):
            await store.head("a/nothing")
    await store.close()
    tracer.close()
    spans = {span.name: span for span in collected.of_trace(TRACE)}
    assert spans.keys() == {"work", "store put", "store stream", "store head"}
    assert spans["store head"].attributes == {"error.type": "ObjectMissing"}
    assert {span.parent_id for name, span in spans.items() if name != "work"} == {spans["work"].span_id}
    assert "secret-key" not in str(spans)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (relay._UNSENT, "relay.unsent"),
        ("INSERT INTO inbox (consumer) VALUES ($1)", "INSERT inbox"),
        ("UPDATE purges SET lease_id=$1 WHERE id = 'secret'", "UPDATE purges"),
        ("SELECT a FROM items WHERE id IN (SELECT b FROM links)", "SELECT items"),
        ("COMMIT;", "COMMIT"),
        ("", "statement"),
    ],
)
def test_a_statement_has_a_name(text: str, name: str) -> None:
    assert statement_name(text) == name
