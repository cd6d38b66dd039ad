"""One upload can be followed from its declaration to its purge, by the id that the client was given."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.otlp_collector import CollectedSpan, Collector, collector

from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

STEPS = {
    # service and span, in the order in which they happen
    ("gateway", "POST /v1/galleries/{id}/uploads"),
    ("gateway", "POST media"),
    ("media", "uploads.promise"),
    ("media", "complete upload"),
    ("media", "store read"),
    ("media", "completion.complete"),
    ("media", "publish UploadCompleted"),
    ("media", "process UploadCompleted"),
    ("media", "process upload"),
    ("media", "decoder probe"),
    ("media", "decoder render"),
    ("media", "store put"),
    ("media", "processing.ready"),
    ("media", "publish MediaReady"),
    ("galleries", "process MediaReady"),
    ("gateway", "process MediaReady"),
    ("media", "delete item"),
    ("media", "publish MediaDeleted"),
    ("janitor", "process MediaDeleted"),
    ("janitor", "purge"),
    ("janitor", "store delete_versions_page"),
    ("janitor", "publish ObjectsPurged"),
}
EVENTS = {
    ("media", "upload.completed"),
    ("media", "consumer.handled", "UploadCompleted"),
    ("media", "media.ready"),
    ("galleries", "consumer.handled", "MediaReady"),
    ("gateway", "changes.handled", "MediaReady"),
    ("media", "media.deleted"),
    ("janitor", "consumer.handled", "MediaDeleted"),
    ("janitor", "purge.done"),
}
FILE = File("secret-name.png", "image/png", encode(quadrants(80, 60), "PNG"))


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def own_settings(traces: Collector) -> Mapping[str, str]:
    return {"KAPPI_OTLP_ENDPOINT": traces.endpoint, "KAPPI_ACCESS_LOG": "true", "KAPPI_LOG_LEVEL": "DEBUG"}


@pytest.mark.timeout(240)
async def test_every_step_of_an_upload_is_found_by_the_request_id(
    own_stack: StackUnderTest, traces: Collector
) -> None:
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        gallery = await phone.create_gallery(title="Traced")
        upload, request_id = await _declare(phone, gallery)
        assert (await phone.put(upload, FILE.body)).status == 200
        completed = await phone.ask("POST", f"/v1/uploads/{upload['id']}/complete", headers=gallery.key)
        media_id = completed.ok()["id"]
        await phone.until_ready(gallery, 1)
        deleted = await phone.ask("DELETE", f"/v1/media/{media_id}", headers=gallery.key)
        assert deleted.status == 204

    (trace_id,) = {line["trace_id"] for line in _lines(own_stack) if line.get("request_id") == request_id}

    def in_the_collector() -> None:
        found = {(span.service, span.name) for span in traces.of_trace(trace_id)}
        assert not STEPS - found, (STEPS - found, sorted(found))

    def in_the_logs() -> None:
        found = [line for line in _lines(own_stack) if line.get("trace_id") == trace_id]
        shapes: set[tuple[str, ...]] = {(line["service"], line["event"]) for line in found}
        shapes |= {(line["service"], line["event"], line.get("topic", "")) for line in found}
        assert not EVENTS - shapes, (EVENTS - shapes, shapes)
        assert all(line["event_id"] for line in found if line["event"] == "consumer.handled")

    def linked_with_the_requests() -> None:
        for step, answer in (("complete upload", completed), ("delete item", deleted)):
            (joined,) = [span for span in traces.of_trace(trace_id) if span.name == step]
            (other,) = joined.linked
            asked = traces.of_trace(other)
            assert answer.headers["X-Request-Id"] in {
                span.attributes.get("kappi.request_id") for span in asked
            }
            assert any(trace_id in span.linked for span in asked)

    await eventually(in_the_collector, deadline_s=60)
    await eventually(in_the_logs, deadline_s=60)
    await eventually(linked_with_the_requests, deadline_s=60)
    # A span arrives after those that it caused.
    await eventually(lambda: _check_tree(traces.of_trace(trace_id)), deadline_s=60)
    told = json.dumps([span.attributes for span in traces.spans])
    secrets = {*own_stack.secrets, gallery.code, upload["id"], FILE.name, "signature"}
    assert not [secret for secret in secrets if secret in told]


async def test_the_request_id_of_a_refusal_is_found_in_the_log(own_stack: StackUnderTest) -> None:
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        answer = await phone.ask("GET", "/v1/g/nothing-here")
    request_id = answer.problem(404, "gallery_not_found")["request_id"]

    def logged() -> None:
        found = [line for line in _lines(own_stack) if line.get("request_id") == request_id]
        assert {(line["service"], line["status"]) for line in found if line["event"] == "http.answered"} >= {
            ("gateway", 404)
        }

    await eventually(logged)


async def _declare(phone: Phone, gallery: Gallery) -> tuple[dict[str, Any], str]:
    answer = await phone.ask(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        headers=gallery.key,
        json={"files": [FILE.declaration()]},
    )
    return answer.ok(201)["uploads"][0], answer.headers["X-Request-Id"]


def _check_tree(spans: list[CollectedSpan]) -> None:
    """Each span but the first has its parent in the trace."""
    ids = {span.span_id for span in spans}
    assert [span.name for span in spans if span.parent_id not in ids] == ["POST /v1/galleries/{id}/uploads"]


def _lines(stack: StackUnderTest) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted((stack.running.data_dir / "logs").glob("*.log*"))
        for line in path.read_text(errors="replace").splitlines()
        if line.startswith("{") and line.endswith("}")
    ]
