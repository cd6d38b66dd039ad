from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from kappi_chassis.db import Database
from kappi_testkit.media.harness import Client, Clock, Gallery, Http
from kappi_testkit.media.samples import encode, quadrants

GIB = 1 << 30


def jpeg(size: int = 10, **more: Any) -> dict[str, Any]:
    return {"filename": "a.jpg", "size": size, "content_type": "image/jpeg", **more}


async def test_a_hundred_files_are_signed_and_really_taken_by_the_store(
    client: Client, gallery: Gallery, database: Database
) -> None:
    bodies = [f"photograph {number}".encode() for number in range(100)]
    files = [
        jpeg(len(body), filename=f"{number}.jpg", sha256=hashlib.sha256(body).hexdigest())
        for number, body in enumerate(bodies)
    ]
    promised = await client.sign(gallery, *files)

    assert len(promised) == len({one["id"] for one in promised}) == 100
    assert [await client.put(one, body) for one, body in zip(promised, bodies, strict=True)] == [200] * 100
    rows = await database.hot.fetch("SELECT filename, media_id, state FROM uploads ORDER BY media_id")
    assert [row["filename"] for row in rows] == [f"{number}.jpg" for number in range(100)]
    assert [str(row["media_id"]) for row in rows] == [one["media_id"] for one in promised]
    assert {row["state"] for row in rows} == {"pending"}


async def test_the_store_takes_nothing_but_what_was_declared(client: Client, gallery: Gallery) -> None:
    (promised,) = await client.sign(gallery, jpeg(4))
    assert await client.put(promised, b"12345") == 400
    other = dict(promised, single={**promised["single"], "headers": {"content-type": "text/html"}})
    assert await client.put(other, b"1234") == 403
    assert await client.put(promised, b"1234") == 200
    assert await client.put(promised, b"1234") == 412


async def test_the_answer_has_the_shape_clients_rely_on(
    client: Client, gallery: Gallery, clock: Clock
) -> None:
    (promised,) = await client.sign(gallery, jpeg())
    assert set(promised) == {"id", "media_id", "method", "expires_at", "expires_in", "single"}
    assert promised["method"] == "single"
    assert set(promised["single"]) == {"url", "http_method", "headers"}
    assert promised["single"]["http_method"] == "PUT"
    left = datetime.fromisoformat(promised["expires_at"]) - clock()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    assert 0 <= promised["expires_in"] - left.total_seconds() < 30


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"size": 5 * GIB + 1}, 413, "file_too_large", "files.0.size"),
        (
            {"content_type": "application/x-dosexec"},
            422,
            "unsupported_content_type",
            "files.0.content_type",
        ),
        ({"content_type": "image/svg+xml"}, 422, "unsupported_content_type", "files.0.content_type"),
        (
            {"content_type": "image/jpeg\r\nx-evil:1"},
            422,
            "unsupported_content_type",
            "files.0.content_type",
        ),
        ({"content_type": "image/jpeg\n"}, 422, "unsupported_content_type", "files.0.content_type"),
        ({"size": 0}, 422, "validation_failed", "files.0.size"),
        ({"size": "10"}, 422, "validation_failed", "files.0.size"),
        ({"size": 2**70}, 413, "file_too_large", "files.0.size"),
        ({"filename": ""}, 422, "validation_failed", "files.0.filename"),
        ({"filename": "x" * 256}, 422, "validation_failed", "files.0.filename"),
        ({"sha256": "beef"}, 422, "validation_failed", "files.0.sha256"),
        ({"tags": ["x"] * 51}, 422, "validation_failed", "files.0.tags"),
        ({"attributes": {"x": "y" * 5000}}, 422, "validation_failed", "files.0.attributes"),
        ({"attributes": [1]}, 422, "validation_failed", "files.0.attributes"),
    ],
)
async def test_a_faulty_file_is_named_and_nothing_is_promised(
    http: Http,
    gallery: Gallery,
    database: Database,
    change: dict[str, Any],
    status: int,
    code: str,
    field: str,
) -> None:
    answer = await http(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        grant=gallery.grant(),
        body={"files": [{**jpeg(), **change}, jpeg()]},
    )
    assert (answer.status, answer.code) == (status, code)
    assert field in [error["field"] for error in answer.json["errors"]]
    assert await database.hot.fetchval("SELECT count(*) FROM uploads") == 0


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b'{"files":[{"filename":"\xff"}]}', 400, "malformed_json"),
        (
            b'{"files":[{"filename":"a\\ud800","size":1,"content_type":"image/gif"}]}',
            422,
            "validation_failed",
        ),
        (b'{"files":[{"filename":"a","size":NaN,"content_type":"image/gif"}]}', 422, "validation_failed"),
        (
            b'{"files":[{"filename":"a","size":1,"content_type":"image/gif","attributes":{"a":NaN}}]}',
            400,
            "malformed_json",
        ),
        (b'{"files":[{"attributes":{"deep":' + b"[" * 20_000, 400, "malformed_json"),
        (b"[]", 422, "validation_failed"),
        (b"{}", 422, "validation_failed"),
        (b'{"files":[]}', 422, "validation_failed"),
        (
            b'{"files":[{"filename":"a\\u0000","size":1,"content_type":"image/jpeg"}]}',
            422,
            "validation_failed",
        ),
        (
            b'{"files":[{"filename":"a","size":1,"content_type":"image/jpeg","attributes":{"\\u0000":1}}]}',
            422,
            "validation_failed",
        ),
        (b'{"files":[], "padding":"' + b" " * (1 << 20) + b'"}', 413, "payload_too_large"),
    ],
)
async def test_a_body_that_cannot_be_is_refused(
    http: Http, gallery: Gallery, raw: bytes, status: int, code: str
) -> None:
    path = f"/v1/galleries/{gallery.id}/uploads"
    answer = await http("POST", path, grant=gallery.grant(), raw=raw)
    assert (answer.status, answer.code) == (status, code)


async def test_every_bad_file_of_a_batch_is_named_in_words(
    http: Http, gallery: Gallery, database: Database
) -> None:
    bad: list[tuple[dict[str, Any], str, str, str]] = [
        ({"flename": "b"}, "flename", "unknown_field", "There is no field of this name."),
        ({"filename": "a\0b"}, "filename", "invalid", "It may not hold the character U+0000."),
        (
            {"caption": "half \ud800"},
            "caption",
            "invalid",
            "It may not hold the character U+D800, half of a surrogate pair.",
        ),
        ({"size": "10"}, "size", "invalid", "It must be a whole number, not text."),
        ({"size": 0}, "size", "invalid", "It must be at least 1."),
        ({"filename": ""}, "filename", "invalid", "It must have at least 1 character."),
        ({"tags": ["a", ""]}, "tags.1", "invalid", "It must have at least 1 character."),
        ({"tags": "a"}, "tags", "invalid", "It must be a list, not text."),
        (
            {"sha256": "beef"},
            "sha256",
            "invalid",
            "It must be as described: SHA-256 of the content, 64 hexadecimal digits; checked when given.",
        ),
        (
            {"attributes": {"x": "y" * 5000}},
            "attributes",
            "too_large",
            "It has more than 4096 bytes.",
        ),
        (
            {"size": 6 * GIB},
            "size",
            "file_too_large",
            f"It has {6 * GIB} bytes; the largest file taken here has {5 * GIB}.",
        ),
    ]
    files = [each for change, *_ in bad for each in (jpeg(), {**jpeg(), **change})]
    files.append({"filename": "only a name", "size": 1})
    files.append({**jpeg(), "content_type": "text/plain"})
    raw = json.dumps({"files": files}).encode()
    answer = await http("POST", f"/v1/galleries/{gallery.id}/uploads", grant=gallery.grant(), raw=raw)
    assert (answer.status, answer.code) == (422, "unknown_field")
    last = len(bad) * 2
    assert [(error["field"], error["code"], error["message"]) for error in answer.json["errors"]][:-1] == [
        *((f"files.{2 * n + 1}.{field}", code, message) for n, (_, field, code, message) in enumerate(bad)),
        (f"files.{last}.content_type", "missing", "It is missing."),
    ]
    foreign = answer.json["errors"][-1]
    assert (foreign["field"], foreign["code"]) == (
        f"files.{last + 1}.content_type",
        "unsupported_content_type",
    )
    assert await database.hot.fetchval("SELECT count(*) FROM uploads") == 0


async def test_files_too_large_and_of_a_foreign_type_are_named_together(http: Http, gallery: Gallery) -> None:
    files = [{**jpeg(), "content_type": "text/plain"}, {**jpeg(), "size": 6 * GIB}, jpeg()]
    path = f"/v1/galleries/{gallery.id}/uploads"
    answer = await http("POST", path, grant=gallery.grant(), body={"files": files})
    assert (answer.status, answer.code) == (413, "file_too_large")
    assert [error["field"] for error in answer.json["errors"]] == ["files.0.content_type", "files.1.size"]


async def test_a_hundred_bad_files_all_have_their_place(http: Http, gallery: Gallery) -> None:
    worst = dict.fromkeys((f"field {n}" for n in range(200)), 1)
    path = f"/v1/galleries/{gallery.id}/uploads"
    answer = await http("POST", path, grant=gallery.grant(), body={"files": [worst] * 100})
    assert (answer.status, answer.code) == (422, "unknown_field")
    named = [int(error["field"].split(".")[1]) for error in answer.json["errors"]]
    assert set(named) == set(range(100))
    assert len(named) <= 500


async def test_a_batch_has_a_hundred_files_at_most(http: Http, gallery: Gallery) -> None:
    path = f"/v1/galleries/{gallery.id}/uploads"
    answer = await http("POST", path, grant=gallery.grant(), body={"files": [jpeg()] * 101})
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"][0]["field"] == "files"


async def test_an_escaped_backslash_is_no_nul(client: Client, gallery: Gallery) -> None:
    assert await client.sign(gallery, jpeg(caption="\\u0000 and \\\\u0000"))


async def test_a_file_name_never_leads_out_of_a_folder(
    client: Client, gallery: Gallery, database: Database
) -> None:
    names = ["../../etc/passwd", "日本の写真.jpg", ".hidden", "a\u202egpj.exe", "plain (1).jpg"]
    await client.sign(gallery, *(jpeg(filename=name) for name in names))
    rows = await database.hot.fetch("SELECT filename FROM uploads ORDER BY media_id")
    stored = [row["filename"] for row in rows]
    assert stored[1] == "日本の写真.jpg"
    assert stored[4] == "plain (1).jpg"
    assert not any("/" in name or name.startswith(".") or "\u202e" in name for name in stored)


async def test_the_same_idempotency_key_promises_once(
    http: Http, gallery: Gallery, database: Database
) -> None:
    async def ask(size: int, *, right: Any = "contribute") -> Any:
        return await http(
            "POST",
            f"/v1/galleries/{gallery.id}/uploads",
            grant=gallery.grant(right),
            body={"files": [jpeg(size)]},
            headers={"Idempotency-Key": "0f3a6f0e-retry"},
        )

    first, second = await ask(10), await ask(10)
    assert first.status == second.status == 201
    assert [one["id"] for one in first.json["uploads"]] == [one["id"] for one in second.json["uploads"]]
    assert await database.hot.fetchval("SELECT count(*) FROM uploads") == 1
    other = await ask(11)
    assert (other.status, other.code) == (422, "idempotency_key_reused")


async def test_a_repeated_request_has_working_urls_whenever_it_comes(
    client: Client, http: Http, gallery: Gallery, clock: Clock, database: Database
) -> None:
    async def ask() -> Any:
        return await http(
            "POST",
            f"/v1/galleries/{gallery.id}/uploads",
            grant=gallery.grant(),
            body={"files": [jpeg(3), jpeg(4), jpeg(5)]},
            headers={"Idempotency-Key": "0f3a6f0e-later"},
        )

    first = (await ask()).json["uploads"]
    assert (await http("DELETE", f"/v1/uploads/{first[1]['id']}", grant=gallery.grant())).status == 204
    clock.pass_by(timedelta(hours=2))
    again = (await ask()).json["uploads"]
    assert [one["id"] for one in again] == [one["id"] for one in first]
    assert [one.get("state") for one in again] == [None, "aborted", None]
    assert again[0]["single"]["url"] != first[0]["single"]["url"]
    assert "single" not in again[1]
    assert await client.put(again[2], b"12345") == 200
    await database.hot.execute("DELETE FROM uploads WHERE id = $1", first[0]["id"])
    gone = await ask()
    assert (gone.status, gone.code) == (404, "upload_not_found")


async def test_a_pending_upload_can_be_asked_for_a_fresh_url(
    client: Client, http: Http, gallery: Gallery, clock: Clock
) -> None:
    (promised,) = await client.sign(gallery, jpeg(3))
    path = f"/v1/uploads/{promised['id']}"
    clock.pass_by(timedelta(hours=23, minutes=50))
    fresh = await http("GET", path, grant=gallery.grant("contribute"))
    assert fresh.status == 200
    assert fresh.json["state"] == "pending"
    assert fresh.json["single"]["url"] != promised["single"]["url"]
    # No URL outlives the upload itself.
    left = datetime.fromisoformat(fresh.json["expires_at"]) - clock()
    assert left <= timedelta(minutes=10)
    assert 0 <= fresh.json["expires_in"] - left.total_seconds() < 30
    clock.pass_by(timedelta(minutes=20))
    late = await http("GET", path, grant=gallery.grant("contribute"))
    assert (late.json["state"], late.json["expires_in"]) == ("expired", 0)
    assert "single" not in late.json


async def test_an_aborted_upload_is_told_once(
    client: Client,
    http: Http,
    gallery: Gallery,
    published: Callable[..., Awaitable[list[Any]]],
) -> None:
    (promised,) = await client.sign(gallery, jpeg(3))
    path = f"/v1/uploads/{promised['id']}"
    assert (await http("DELETE", path, grant=gallery.grant("contribute"))).status == 204
    assert (await http("DELETE", path, grant=gallery.grant("contribute"))).status == 204
    (event,) = await published()
    assert (event.topic, event.key, event.sequence) == ("MediaDeleted", promised["media_id"], 1)
    assert event.data["reason"] == "requested"
    assert (await http("GET", path, grant=gallery.grant())).json["state"] == "aborted"
    refused = await client.complete(gallery, promised["id"])
    assert (refused.status, refused.code) == (409, "upload_aborted")


async def test_other_galleries_uploads_do_not_exist(
    client: Client, http: Http, gallery: Gallery, make_gallery: Callable[..., Gallery]
) -> None:
    (promised,) = await client.sign(gallery, jpeg(3))
    stranger = make_gallery()
    for method, path in (
        ("GET", f"/v1/uploads/{promised['id']}"),
        ("DELETE", f"/v1/uploads/{promised['id']}"),
        ("POST", f"/v1/uploads/{promised['id']}/complete"),
        ("POST", "/v1/uploads/not-an-id/complete"),
    ):
        answer = await http(method, path, grant=stranger.grant())
        assert (answer.status, answer.code) == (404, "upload_not_found")
    assert (await http("GET", f"/v1/uploads/{promised['id']}", grant=gallery.grant())).status == 200


async def test_a_file_that_the_gallery_has_already_is_named(
    client: Client, http: Http, gallery: Gallery, make_gallery: Callable[..., Gallery]
) -> None:
    body = encode(quadrants(16, 16), "JPEG")
    digest = hashlib.sha256(body).hexdigest()
    item = await client.upload(gallery, body, sha256=digest)
    again = await client.sign(
        gallery, jpeg(len(body), sha256=digest.upper()), jpeg(len(body), sha256="0" * 64), jpeg(len(body))
    )
    assert [upload.get("duplicate_of") for upload in again] == [item["id"], None, None]
    # The client decides: all can be sent.
    assert await client.put(again[0], body) == 200
    assert (await client.complete(gallery, again[0]["id"])).status == 200
    (elsewhere,) = await client.sign(make_gallery(), jpeg(len(body), sha256=digest))
    assert "duplicate_of" not in elsewhere


async def test_a_repeated_request_is_no_duplicate_of_its_own_item(
    client: Client, http: Http, gallery: Gallery
) -> None:
    body = encode(quadrants(16, 16), "JPEG")
    request = {"files": [jpeg(len(body), sha256=hashlib.sha256(body).hexdigest())]}
    path, headers = f"/v1/galleries/{gallery.id}/uploads", {"idempotency-key": "batch-of-today"}
    (upload,) = (await http("POST", path, grant=gallery.grant(), body=request, headers=headers)).json[
        "uploads"
    ]
    assert await client.put(upload, body) == 200
    assert (await client.complete(gallery, upload["id"])).status == 200
    (again,) = (await http("POST", path, grant=gallery.grant(), body=request, headers=headers)).json[
        "uploads"
    ]
    assert (again["state"], again.get("duplicate_of")) == ("completed", None)
