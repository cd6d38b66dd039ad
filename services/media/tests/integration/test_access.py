from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from kappi_chassis.auth import SigningKey
from kappi_contracts.grants import Right
from kappi_testkit.media.harness import Clock, Gallery, Http

ANY_ID = "0199e1a6-02aa-7c33-9b52-0d9c4be1f7a2"
EVERY_ROUTE: list[tuple[str, str, Right]] = [
    ("POST", "/v1/galleries/{gallery}/uploads", "contribute"),
    ("GET", f"/v1/uploads/{ANY_ID}", "contribute"),
    ("DELETE", f"/v1/uploads/{ANY_ID}", "contribute"),
    ("POST", f"/v1/uploads/{ANY_ID}/complete", "contribute"),
    ("GET", f"/v1/media/{ANY_ID}", "view"),
    ("PATCH", f"/v1/media/{ANY_ID}", "manage"),
    ("DELETE", f"/v1/media/{ANY_ID}", "manage"),
    ("GET", f"/v1/media/{ANY_ID}/download", "view"),
    ("GET", f"/v1/media/{ANY_ID}/renditions/400", "view"),
    ("POST", f"/v1/media/{ANY_ID}/links", "manage"),
    ("GET", f"/v1/media/{ANY_ID}/links", "manage"),
    ("DELETE", f"/v1/links/{ANY_ID}", "manage"),
    ("GET", "/v1/g/k7dm", "view"),
]
LESSER: dict[Right, Right | None] = {"view": None, "contribute": "view", "manage": "contribute"}
FILES = {"files": [{"filename": "a.jpg", "size": 1, "content_type": "image/jpeg"}]}


async def ask(http: Http, method: str, path: str, gallery: Gallery, grant: str | None) -> Any:
    bodies: dict[str, Any] = {"uploads": FILES, "links": {"valid_for": 300}}
    body = bodies.get(path.rpartition("/")[2]) if method == "POST" else {} if method == "PATCH" else None
    return await http(method, path.format(gallery=gallery.id), grant=grant, body=body)


def tampered(grant: str) -> str:
    head, body, signature = grant.split(".")
    middle = len(body) // 2
    return ".".join(
        (head, body[:middle] + ("A" if body[middle] != "A" else "B") + body[middle + 1 :], signature)
    )


async def test_nothing_opens_without_a_grant(http: Http, gallery: Gallery) -> None:
    for method, path, _right in EVERY_ROUTE:
        answer = await ask(http, method, path, gallery, None)
        assert (answer.status, answer.code) == (401, "credentials_missing")


async def test_nothing_opens_with_a_grant_that_is_none(
    http: Http, gallery: Gallery, make_gallery: Callable[..., Gallery]
) -> None:
    for method, path, _right in EVERY_ROUTE:
        forger = Gallery(SigningKey.generate(), gallery.public)
        for grant in (
            "nonsense",
            tampered(gallery.grant()),
            forger.grant(),
            gallery.grant(lifetime=timedelta(seconds=-10)),
        ):
            answer = await ask(http, method, path, gallery, grant)
            assert (answer.status, answer.code) == (401, "grant_invalid")


async def test_a_lesser_right_is_not_enough(http: Http, gallery: Gallery) -> None:
    for method, path, right in EVERY_ROUTE:
        enough = await ask(http, method, path, gallery, gallery.grant(right))
        assert enough.status in {200, 201, 404} or enough.code == "links_not_in_tier"
        lesser = LESSER[right]
        if lesser is not None:
            answer = await ask(http, method, path, gallery, gallery.grant(lesser))
            assert (answer.status, answer.code) == (403, "right_missing")


async def test_a_foreign_gallerys_grant_does_not_open_this_one(
    http: Http, gallery: Gallery, make_gallery: Callable[..., Gallery]
) -> None:
    foreign = make_gallery(code="other")
    answer = await ask(http, "POST", "/v1/galleries/{gallery}/uploads", gallery, foreign.grant())
    assert (answer.status, answer.code) == (403, "gallery_key_wrong")
    answer = await ask(http, "POST", "/v1/galleries/no-uuid/uploads", gallery, foreign.grant())
    assert (answer.status, answer.code) == (403, "gallery_key_wrong")
    answer = await ask(http, "GET", "/v1/g/k7dm", gallery, foreign.grant())
    assert (answer.status, answer.code) == (404, "gallery_not_found")


async def test_a_gallery_whose_time_is_over_is_gone(http: Http, gallery: Gallery, clock: Clock) -> None:
    for method, path, _right in EVERY_ROUTE:
        clock.pass_by(timedelta(days=30, seconds=1))
        answer = await ask(http, method, path, gallery, gallery.grant())
        assert (answer.status, answer.code) == (404, "gallery_not_found")


async def test_no_problem_repeats_the_grant(http: Http, gallery: Gallery) -> None:
    grant = tampered(gallery.grant())
    answer = await ask(http, "GET", "/v1/g/k7dm", gallery, grant)
    assert grant.encode() not in answer.body


async def test_what_is_not_there_is_a_problem_too(http: Http, gallery: Gallery) -> None:
    answer = await http("GET", "/v1/nothing", grant=gallery.grant())
    assert (answer.status, answer.code) == (404, "not_found")
    answer = await http("GET", "/v1/media/no-uuid", grant=gallery.grant())
    assert (answer.status, answer.code) == (422, "validation_failed")
    answer = await http("PUT", "/v1/g/k7dm", grant=gallery.grant())
    assert (answer.status, answer.code) == (405, "method_not_allowed")
