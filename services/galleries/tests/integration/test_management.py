"""GET, PATCH and DELETE with an access key."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from kappi_galleries.domain.credentials import new_access_key

pytestmark = pytest.mark.integration

METHODS = ("GET", "PATCH", "DELETE")


@pytest.fixture
async def gallery(http: Any) -> Any:
    return (await http("POST", "/v1/galleries", body={"title": "Lisbon"})).json


def path(gallery: Any) -> str:
    return f"/v1/galleries/{gallery['id']}"


def _without_id(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.json.items() if name != "request_id"}


async def test_the_manager_reads_everything_but_the_key(http: Any, gallery: Any) -> None:
    answer = await http("GET", path(gallery), key=gallery["access_key"])

    expected = dict(gallery)
    del expected["access_key"]
    assert (answer.status, answer.json) == (200, expected)


@pytest.mark.parametrize("method", METHODS)
async def test_without_a_key_there_is_nothing_to_do(http: Any, gallery: Any, method: str) -> None:
    answer = await http(method, path(gallery), body={"title": "x"})
    assert (answer.status, answer.json["code"]) == (401, "gallery_key_missing")


@pytest.mark.parametrize("method", METHODS)
async def test_wrong_and_foreign_keys_get_one_answer_everywhere(http: Any, gallery: Any, method: str) -> None:
    other = (await http("POST", "/v1/galleries")).json
    deleted = (await http("POST", "/v1/galleries")).json
    await http("DELETE", path(deleted), key=deleted["access_key"])
    nowhere = {"id": str(uuid4())}
    attempts = [
        (gallery, new_access_key()),
        (gallery, "nonsense"),
        (gallery, other["access_key"]),
        (gallery, deleted["access_key"]),
        (nowhere, new_access_key()),
        (nowhere, gallery["access_key"]),
        (deleted, gallery["access_key"]),
    ]

    answers = [
        await http(method, path(target), key=key, body={"title": "stolen"}) for target, key in attempts
    ]

    assert {(answer.status, answer.json["code"]) for answer in answers} == {(403, "gallery_key_wrong")}
    assert all(_without_id(answer) == _without_id(answers[0]) for answer in answers)
    assert (await http("GET", path(gallery), key=gallery["access_key"])).json["title"] == "Lisbon"


async def test_a_title_changes_and_goes(http: Any, gallery: Any, clock: Any, published: Any) -> None:
    key = gallery["access_key"]
    clock.pass_by(timedelta(minutes=1))
    renamed = await http("PATCH", path(gallery), key=key, body={"title": " Porto "})
    cleared = await http("PATCH", path(gallery), key=key, body={"title": None})

    assert (renamed.status, renamed.json["title"]) == (200, "Porto")
    assert datetime.fromisoformat(renamed.json["updated_at"]) == clock.now
    assert renamed.json["expires_at"] == gallery["expires_at"]
    assert cleared.json["title"] is None
    events = [(topic, sequence) for topic, sequence, _ in await published()]
    assert events == [("GalleryCreated", 1), ("GalleryUpdated", 2), ("GalleryUpdated", 3)]


async def test_the_deadline_is_extended_from_now(http: Any, gallery: Any, clock: Any, published: Any) -> None:
    clock.pass_by(timedelta(days=20))
    answer = await http("PATCH", path(gallery), key=gallery["access_key"], body={"expires_in": 30 * 86_400})

    assert answer.status == 200
    assert datetime.fromisoformat(answer.json["expires_at"]) == clock.now + timedelta(days=30)
    assert answer.json["title"] == "Lisbon"
    topic, sequence, event = (await published())[-1]
    assert (topic, sequence) == ("GalleryUpdated", 2)
    assert datetime.fromisoformat(event["expires_at"]) == clock.now + timedelta(days=30)


@pytest.mark.parametrize("seconds", [3_599, 30 * 86_400 + 1])
async def test_a_deadline_out_of_bounds_is_refused(http: Any, gallery: Any, seconds: int) -> None:
    answer = await http("PATCH", path(gallery), key=gallery["access_key"], body={"expires_in": seconds})

    assert (answer.status, answer.json["code"]) == (422, "validation_failed")
    assert [error["field"] for error in answer.json["errors"]] == ["expires_in"]


@pytest.mark.parametrize("body", [{"visibility": "private"}, {"password": "secret"}])
async def test_a_change_that_takes_an_account_is_refused(http: Any, gallery: Any, body: Any) -> None:
    answer = await http("PATCH", path(gallery), key=gallery["access_key"], body=body)
    assert (answer.status, answer.json["code"]) == (422, "account_required")


@pytest.mark.parametrize("body", [{}, {"title": "Lisbon"}, {"password": None}, {"visibility": "shared"}])
async def test_a_change_of_nothing_publishes_nothing(
    http: Any, gallery: Any, published: Any, clock: Any, body: Any
) -> None:
    clock.pass_by(timedelta(minutes=1))
    answer = await http("PATCH", path(gallery), key=gallery["access_key"], body=body)

    assert (answer.status, answer.json["updated_at"]) == (200, gallery["updated_at"])
    assert len(await published()) == 1


async def test_changes_at_once_each_get_a_sequence_of_their_own(
    http: Any, gallery: Any, published: Any
) -> None:
    await asyncio.gather(
        *(
            http("PATCH", path(gallery), key=gallery["access_key"], body={"title": f"title {number}"})
            for number in range(12)
        )
    )

    # The order in which the relay will send them.
    assert [sequence for _, sequence, _ in await published()] == list(range(1, 14))


async def test_deleting_leaves_a_bare_tombstone(
    http: Any, gallery: Any, database: Any, clock: Any, published: Any
) -> None:
    key = gallery["access_key"]
    answer = await http("DELETE", path(gallery), key=key)

    assert (answer.status, answer.body) == (204, b"")
    row = await database.hot.fetchrow("SELECT * FROM galleries")
    assert (str(row["id"]), row["code"], row["deleted_at"]) == (gallery["id"], gallery["code"], clock.now)
    assert (row["title"], row["password_hash"], row["item_count"], row["size_bytes"]) == (None, None, 0, 0)
    topic, sequence, event = (await published())[-1]
    assert (topic, sequence, event["reason"]) == ("GalleryDeleted", 2, "requested")
    for method in ("GET", "PATCH"):
        gone = await http(method, path(gallery), key=key, body={"title": "back"})
        assert (gone.status, gone.json["code"]) == (404, "gallery_not_found")


async def test_deleting_again_and_at_once_is_deleting_once(http: Any, gallery: Any, published: Any) -> None:
    answers = await asyncio.gather(
        *(http("DELETE", path(gallery), key=gallery["access_key"]) for _ in range(8))
    )

    assert {answer.status for answer in answers} == {204}
    assert [topic for topic, _, _ in await published()] == ["GalleryCreated", "GalleryDeleted"]


async def test_past_its_deadline_it_is_gone_before_it_is_swept(http: Any, gallery: Any, clock: Any) -> None:
    clock.pass_by(timedelta(days=30))

    for method in ("GET", "PATCH"):
        answer = await http(method, path(gallery), key=gallery["access_key"], body={"expires_in": 86_400})
        assert (answer.status, answer.json["code"]) == (404, "gallery_not_found")
    assert (await http("DELETE", path(gallery), key=gallery["access_key"])).status == 204


async def test_an_id_that_is_none_names_the_field(http: Any, gallery: Any) -> None:
    answer = await http("GET", "/v1/galleries/not-an-id", key=gallery["access_key"])

    assert (answer.status, answer.json["code"]) == (422, "validation_failed")
    assert [error["field"] for error in answer.json["errors"]] == ["gallery_id"]
