"""The public surface: every documented operation works, and no internals are shown."""

from __future__ import annotations

import importlib
import json
import os
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urljoin

import pytest
from kappi_chassis.observability import metrics as chassis
from kappi_chassis.observability.declared import MetricGroup
from kappi_contracts.services import SERVING
from kappi_gateway.metrics import STORE as TRANSFERS
from kappi_testkit.eventually import eventually
from kappi_testkit.media.films import FilmShape, film
from kappi_testkit.media.metadata_blocks import caption, xmp_packet
from kappi_testkit.media.playlists import media, variants
from kappi_testkit.media.samples import encode, quadrants
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.test_openapi_clients import fits
from tests.e2e.phone import Answer, File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
FILM = File("a.mp4", "video/mp4", film(FilmShape(codec="libx265", seconds=1)))
LONG = FilmShape(codec="libx264", width=64, height=48, seconds=601, frame_rate=1, key_every=60, sound=None)
LONG_FILM = File("b.mp4", "video/mp4", film(LONG))
PICTURE = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))
SIDECAR = File("a.xmp", "application/rdf+xml", xmp_packet(caption("Above the clouds")))
REFRESH = "KAPPI_TEST_REFRESH_OPENAPI"
# These need an account, or a tier that only accounts have. test_authorisation.py calls them, and all
# operations on accounts.
ACCOUNT_OPERATIONS = {
    "GET /v1/admin/stats",
    "GET /v1/media",
    "GET /v1/media/places",
    "GET /v1/media/tags",
    "POST /v1/media/bulk",
    "GET /v1/galleries",
    "GET /v1/me/stats",
    "POST /v1/galleries/{id}/claim",
    "POST /v1/media/{id}/links",
    "GET /v1/media/{id}/links",
    "DELETE /v1/links/{id}",
    "GET /v1/l/{token}",
}
_ALL = (chassis.PROCESS, chassis.DATABASE, chassis.RELAY)
_PARTS: Mapping[str, Sequence[MetricGroup]] = {
    "gateway": (chassis.PROCESS, chassis.HTTP),
    "identity": (*_ALL, chassis.HTTP, chassis.PASSWORDS, chassis.CONSUMER),
    "galleries": (*_ALL, chassis.HTTP, chassis.PASSWORDS, chassis.CONSUMER, chassis.RECONCILE),
    "media": (*_ALL, chassis.HTTP, chassis.CONSUMER, chassis.STORE, chassis.RECONCILE),
    "janitor": (*_ALL, chassis.CONSUMER, chassis.STORE, chassis.DEAD_LETTERS, chassis.RECONCILE),
    "store": (chassis.PROCESS, chassis.HTTP, chassis.FOLDER),
}
_OF_EMBEDDED_STORE = (chassis.LOCAL_STORE, TRANSFERS)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


async def test_the_committed_openapi_is_the_running_one(stack: StackUnderTest, phone: Phone) -> None:
    running = (await phone.ask("GET", "/openapi.json")).ok()
    if os.environ.get(REFRESH):
        COMMITTED.write_text(json.dumps(running, indent=2, ensure_ascii=False) + "\n")
    assert json.loads(COMMITTED.read_text()) == running, (
        f"docs/openapi.json is out of date. Refresh it, and look at the difference:\n"
        f"  {REFRESH}=1 .venv/bin/pytest tests/e2e/test_surface.py -k committed_openapi"
    )


async def _send_a_sidecar(phone: Phone, gallery: Gallery, call: Callable[..., Awaitable[Answer]]) -> None:
    picture, sidecar = await phone.sign(gallery, [PICTURE, SIDECAR])
    complete = "POST /v1/uploads/{id}/complete"
    assert (await phone.put(sidecar, SIDECAR.body)).status == 200
    await call(complete, f"/v1/uploads/{sidecar['id']}/complete", 202, headers=gallery.key)
    await phone.deliver(gallery, picture, PICTURE)
    media = f"/v1/media/{picture['media_id']}"

    async def ready() -> None:
        item = (await call("GET /v1/media/{id}", media, 200, headers=gallery.key)).json()
        assert (item["status"], item["sidecar"] and item["sidecar"]["filename"]) == ("ready", "a.xmp")

    await eventually(ready, 30)


async def _ready(phone: Phone, gallery: Gallery, file: File) -> str:
    """Returns the path of an item once it is ready."""
    (media_id,) = await phone.upload(gallery, file)
    item = f"/v1/media/{media_id}"

    async def ready() -> str:
        answer = await phone.ask("GET", item, headers={"X-Gallery-Code": gallery.code})
        assert answer.ok()["status"] == "ready"
        return item

    return await eventually(ready, 30)


async def _play_a_film(phone: Phone, gallery: Gallery, call: Callable[..., Awaitable[Answer]]) -> None:
    item, code = await _ready(phone, gallery, FILM), {"X-Gallery-Code": gallery.code}
    await call("GET /v1/media/{id}/playback", f"{item}/playback", 202, headers=code)

    async def made() -> str:
        answer = await phone.ask("GET", f"{item}/playback", headers=code)
        assert answer.status == 302
        return str(answer.headers["Location"])

    played = await phone.ask("GET", await eventually(made, 60))
    path = f"{item}/playback?redirect=false"
    signed = (await call("GET /v1/media/{id}/playback", path, 200, headers=code)).json()
    assert (await phone.ask("GET", signed["url"])).body == played.body
    assert played.headers["Content-Type"] == "video/mp4"
    assert b"avc1" in played.body
    refused = await call("GET /v1/media/{id}/playback.m3u8", f"{item}/playback.m3u8", 422, headers=code)
    assert refused.json()["code"] == "film_not_long"


async def _stream_a_film(phone: Phone, gallery: Gallery, call: Callable[..., Awaitable[Answer]]) -> None:
    """Plays it as a player does that is given a URL alone."""
    item, code = await _ready(phone, gallery, LONG_FILM), {"X-Gallery-Code": gallery.code}
    operation, path = "GET /v1/media/{id}/playback.m3u8", f"{item}/playback.m3u8"
    await call(operation, path, 202, headers=code)

    async def made() -> None:
        assert (await phone.ask("GET", path, headers=code)).status == 200

    await eventually(made, 120)
    signed = (await call(operation, f"{path}?signed=true", 200, headers=code)).json()
    listed = await phone.ask("GET", signed["url"])
    assert listed.headers["Content-Type"] == "application/vnd.apple.mpegurl"
    found = variants(listed.body.decode())
    assert len(found) == 2
    for uri, _ in found:
        listing = media((await phone.ask("GET", urljoin(signed["url"], uri))).body.decode())
        assert sum(each.seconds for each in listing.segments) == 601.0
        places = [listing.init, listing.segments[-1][:3]]
        parts = [
            await phone.ask("GET", url, headers={"Range": f"bytes={start}-{start + length - 1}"})
            for url, start, length in places
        ]
        assert [part.status for part in parts] == [206, 206]
        assert [part.body[4:8] for part in parts] == [b"ftyp", b"moof"]


async def test_every_operation_of_the_document_works(stack: StackUnderTest, phone: Phone) -> None:
    """Calls every operation on one gallery; each answers with a documented status."""
    document = (await phone.ask("GET", "/openapi.json")).ok()
    walked: set[str] = set()

    async def call(operation: str, path: str, status: int, **given: Any) -> Answer:
        answer = await phone.ask(operation.split(" ")[0], path, **given)
        assert answer.status == status, (operation, answer.status, answer.body[:300])
        method, template = operation.lower().split(" ", 1)
        documented = document["paths"][template][method]["responses"][str(status)]
        if "application/json" in documented.get("content", {}):
            assert fits(documented["content"]["application/json"]["schema"], answer.json()) == [], operation
        walked.add(operation)
        return answer

    created = (await call("POST /v1/galleries", "/v1/galleries", 201, json={"title": "Walk"})).json()
    stack.secrets.add(created["access_key"])
    gallery, key = f"/v1/galleries/{created['id']}", {"X-Gallery-Key": created["access_key"]}
    code = {"X-Gallery-Code": created["code"]}
    await call("GET /v1/galleries/{id}", gallery, 200, headers=key)
    await call("PATCH /v1/galleries/{id}", gallery, 200, headers=key, json={"title": "Walked"})
    declared = {"files": [PICTURE.declaration()] * 2}
    signed = await call(
        "POST /v1/galleries/{id}/uploads", f"{gallery}/uploads", 201, headers=key, json=declared
    )
    first, second = signed.json()["uploads"]
    upload, media = f"/v1/uploads/{first['id']}", f"/v1/media/{first['media_id']}"
    await call("GET /v1/uploads/{id}", upload, 200, headers=key)
    large = {"filename": "a.mp4", "size": 17 << 20, "content_type": "video/mp4"}
    begun = await phone.ask("POST", f"{gallery}/uploads", headers=key, json={"files": [large]})
    parts = f"/v1/uploads/{begun.ok(201)['uploads'][0]['id']}/parts"
    await call("POST /v1/uploads/{id}/parts", parts, 200, headers=key, json={"numbers": [1, 3]})
    assert (await phone.put(first, PICTURE.body)).status == 200
    await call("POST /v1/uploads/{id}/complete", f"{upload}/complete", 200, headers=key)
    await call("DELETE /v1/uploads/{id}", f"/v1/uploads/{second['id']}", 204, headers=key)

    posted = {"filename": "b.png", "content_base64": b64encode(PICTURE.body).decode()}
    small = await call("POST /v1/galleries/{id}/media", f"{gallery}/media", 201, headers=key, json=posted)
    assert small.json()["size"] == len(PICTURE.body)

    async def ready() -> None:
        item = (await phone.ask("GET", media, headers=code)).ok()
        assert item["status"] == "ready"

    await eventually(ready, 30)
    await call("GET /v1/media/{id}", media, 200, headers=code)
    await call("PATCH /v1/media/{id}", media, 200, headers=key, json={"caption": "Here"})
    await call("GET /v1/media/{id}/download", f"{media}/download", 200, headers=code)
    redirected = await call(
        "GET /v1/media/{id}/download", f"{media}/download?redirect=true", 302, headers=code
    )
    assert (await phone.ask("GET", redirected.headers["Location"])).body == PICTURE.body
    small = await call("GET /v1/media/{id}/renditions/{size}", f"{media}/renditions/400", 302, headers=code)
    assert (await phone.ask("GET", small.headers["Location"])).headers["Content-Type"] == "image/jpeg"
    whole = Gallery(created["id"], created["code"], created["access_key"], "")
    await _play_a_film(phone, whole, call)
    await _send_a_sidecar(phone, whole, call)
    films = Gallery(created["id"], created["code"], created["access_key"], "")
    await _play_a_film(phone, films, call)
    await _stream_a_film(phone, films, call)
    page = await call("GET /v1/g/{code}", f"/v1/g/{created['code']}", 200)
    etag = {"If-None-Match": page.headers["ETag"]}
    again = await phone.ask("GET", f"/v1/g/{created['code']}", headers=etag)
    assert again.status in {304, 200}, "200 if its URLs were signed again in between"
    archive = await call("GET /v1/g/{code}/archive", f"/v1/g/{created['code']}/archive", 200)
    assert archive.headers["Content-Type"] == "application/zip"
    cover = await call("GET /v1/g/{code}/cover", f"/v1/g/{created['code']}/cover", 302)
    assert (await phone.ask("GET", cover.headers["Location"])).headers["Content-Type"] == "image/jpeg"
    order = {"ids": [first["media_id"]]}
    await call("POST /v1/galleries/{id}/order", f"{gallery}/order", 200, headers=key, json=order)
    await call("GET /v1/galleries/{id}/media", f"{gallery}/media", 200, headers=key)
    live = await call("GET /v1/g/{code}/live", f"/v1/g/{created['code']}/live", 200)
    assert live.headers["Content-Type"].startswith("text/event-stream")
    for kind, content_type in (("svg", "image/svg+xml"), ("png", "image/png")):
        drawn = await call(f"GET /v1/g/{{code}}/qr.{kind}", f"/v1/g/{created['code']}/qr.{kind}", 200)
        assert drawn.headers["Content-Type"] == content_type
    stats = await call("GET /v1/galleries/{id}/stats", f"{gallery}/stats", 200, headers=key)
    assert stats.json().keys() == {"from", "to", "totals", "days", "items"}
    log = await call("GET /v1/galleries/{id}/accesses", f"{gallery}/accesses", 200, headers=key)
    assert log.json().keys() == {"items", "next_cursor"}
    await call("DELETE /v1/media/{id}", media, 204, headers=key)
    (await phone.ask("PATCH", gallery, headers=key, json={"contributions": "open"})).ok()
    join = "POST /v1/g/{code}/contributors"
    named = {"name": "Grace"}
    added = (await call(join, f"/v1/g/{created['code']}/contributors", 201, json=named)).json()
    stack.secrets.add(added["contributor_key"])
    listed = await call("GET /v1/galleries/{id}/contributors", f"{gallery}/contributors", 200, headers=key)
    assert [contributor["name"] for contributor in listed.json()["items"]] == ["Grace"]
    leave = "DELETE /v1/galleries/{id}/contributors/{contributor_id}"
    await call(leave, f"{gallery}/contributors/{added['id']}", 204, headers=key)
    rotated = "POST /v1/galleries/{id}/rotate-code"
    new_code = (await call(rotated, f"{gallery}/rotate-code", 200, headers=key)).json()["code"]
    (await phone.ask("GET", f"/v1/g/{created['code']}")).problem(404, "gallery_not_found")
    assert (await phone.ask("GET", f"/v1/g/{new_code}")).status == 200
    rotated = "POST /v1/galleries/{id}/rotate-key"
    new_key = (await call(rotated, f"{gallery}/rotate-key", 200, headers=key)).json()["access_key"]
    stack.secrets.add(new_key)
    (await phone.ask("GET", gallery, headers=key)).problem(403, "gallery_key_wrong")
    await call("DELETE /v1/galleries/{id}", gallery, 204, headers={"X-Gallery-Key": new_key})
    assert walked == _anonymous(document)


async def test_pages_load_nothing_from_other_origins(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery()
    for path in ("/", "/docs", f"/g/{gallery.code}"):
        page = await phone.ask("GET", path)
        assert page.status == 200
        assert page.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert re.findall(rb'(?:src|href)="(?:https?:)?//[^"]+"', page.body) == []
        head = await phone.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
    preflight = await phone.ask(
        "OPTIONS",
        f"/v1/galleries/{gallery.id}",
        headers={"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"},
    )
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    refused = await phone.ask("GET", "/v1/g/zzzzzzzz", headers={"Origin": "https://app.example"})
    assert refused.headers["Access-Control-Allow-Origin"] == "*", "a page must be able to read refusals"


@pytest.mark.timeout(180)
async def test_metrics_and_logs_show_the_events(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery()
    before = {service: await _metrics(stack, phone, service) for service in stack.running.note.services}
    await phone.upload(gallery, PICTURE)
    await phone.until_ready(gallery, 1)
    await stack.running.wait_idle()  # ready items must be counted before their gallery is deleted
    answer = await phone.ask("DELETE", f"/v1/galleries/{gallery.id}", headers=gallery.key)
    assert answer.status == 204
    await stack.running.wait_idle()

    expected = {
        "galleries": (
            "kappi_galleries_deleted_galleries_total{reason=requested}",
            "kappi_galleries_grants_total{right=manage}",
            "kappi_galleries_item_events_total{outcome=counted}",
            "kappi_outbox_sent_events_total{topic=GalleryDeleted}",
            "kappi_outbox_lag_seconds_count{}",
            "kappi_consumer_records_total{fate=done,topic=MediaReady}",
        ),
        "media": (
            "kappi_media_uploads_signed_total{}",
            "kappi_media_completions_total{outcome=completed}",
            "kappi_media_items_processed_total{outcome=ready}",
            "kappi_media_processing_seconds_count{kind=image}",
            "kappi_media_ready_seconds_count{}",
            "kappi_media_views_total{outcome=built}",
            "kappi_consumer_records_total{fate=done,topic=UploadCompleted}",
            "kappi_consumer_records_total{fate=done,topic=GalleryDeleted}",
        ),
        "janitor": (
            "kappi_janitor_purge_sweeps_total{outcome=clean}",
            "kappi_janitor_purge_sweep_seconds_count{}",
            "kappi_outbox_sent_events_total{topic=ObjectsPurged}",
        ),
        "gateway": (
            "kappi_gateway_grants_total{kind=key,outcome=asked}",
            "kappi_gateway_grants_total{kind=view,outcome=asked}",
        ),
    }

    async def moved() -> None:
        for service, names in expected.items():
            after = await _metrics(stack, phone, service)
            for name in names:
                assert after.get(name, 0) > before[service].get(name, 0), (service, name)

    await eventually(moved, 30)
    for service in before:
        await _check_operations_port(stack, phone, service)


async def _check_operations_port(stack: StackUnderTest, phone: Phone, service: str) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await phone.ask("GET", stack.ops_url(service) + path)).status == 200, (service, path)
    text = (await phone.ask("GET", f"{stack.ops_url(service)}/metrics")).body.decode()
    assert _UUID.search(text) is None, "no ids in labels"
    families = {family.name for family in text_string_to_metric_families(text)}
    shown = {name for name in families if name.startswith("kappi_")}
    own = importlib.import_module(f"kappi_{service}.metrics") if service != "store" else None
    required = _families(*_PARTS[service], *_groups(own)) - _families(*_OF_EMBEDDED_STORE)
    assert required <= shown, (service, required - shown)
    optional = _families(*_OF_EMBEDDED_STORE)
    assert shown <= required | optional, f"{service} shows metrics of parts that it does not run"
    assert not re.search(r"^\w+_created[{ ]", text, re.MULTILINE)
    # The service's own port has no operations endpoints.
    for path in ("/metrics", "/healthz", "/readyz"):
        if service in SERVING:
            url, headers = stack.service_url(service) + path, stack.running.introduction
            (await phone.ask("GET", url, headers=headers)).problem(404, "not_found")


def _groups(module: ModuleType | None) -> list[MetricGroup]:
    return [each for each in vars(module).values() if isinstance(each, MetricGroup)] if module else []


def _families(*groups: MetricGroup) -> set[str]:
    """Returns the families of the groups' metrics, as they are exposed."""
    return {family.name for group in groups for metric in group.collectors() for family in metric.describe()}


async def _metrics(stack: StackUnderTest, phone: Phone, service: str) -> Mapping[str, float]:
    """Returns samples by name and labels."""
    text = (await phone.ask("GET", f"{stack.ops_url(service)}/metrics")).body.decode()
    return {
        f"{sample.name}{{{','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _anonymous(document: Mapping[str, Any]) -> set[str]:
    """Returns the operations for people without an account; posts have other tests."""
    return {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation["tags"] not in (["Accounts"], ["Posts"], ["Webhooks"])
    } - ACCOUNT_OPERATIONS
