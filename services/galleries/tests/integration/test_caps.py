"""Caps on views and downloads: setting them, counting against them, and the answer when one is reached."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from kappi_chassis.clock import new_id
from kappi_galleries.settings import GalleriesSettings

pytestmark = pytest.mark.integration

VIEW = "/internal/grants/view"
GRACE: timedelta = GalleriesSettings.model_fields["used_up_grace"].default
FIELDS = ("max_views", "views_used", "max_downloads", "downloads_used")


async def _created(http: Any, token: Any = None, **body: Any) -> Any:
    answer = await http("POST", "/v1/galleries", body=body, token=token)
    assert answer.status == 201, answer.body
    return answer.json


async def _caps(http: Any, gallery: Any) -> tuple[Any, ...]:
    answer = await http("GET", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"])
    assert answer.status == 200
    return tuple(answer.json[name] for name in FIELDS)


async def _change(http: Any, gallery: Any, **body: Any) -> Any:
    return await http("PATCH", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"], body=body)


async def _count(http: Any, gallery: Any, kind: str, times: int = 1) -> list[int]:
    path = f"/internal/galleries/{gallery['id']}/{kind}"
    return [(await http("POST", path)).status for _ in range(times)]


async def _opens(http: Any, gallery: Any, **asked: str) -> tuple[int, str | None]:
    answer = await http("POST", VIEW, body={"code": gallery["code"], **asked})
    return answer.status, answer.json.get("code")


async def _grant(http: Any, gallery: Any) -> Any:
    return (await http("POST", VIEW, body={"code": gallery["code"]})).json


@pytest.mark.parametrize("key", [None, "an-idempotency-key-for-this-one"])
async def test_caps_are_set_at_creation(http: Any, account: Any, key: str | None) -> None:
    headers = {} if key is None else {"idempotency-key": key}
    for token in (None, account.token):
        answer = await http(
            "POST", "/v1/galleries", body={"max_views": 10, "max_downloads": 3}, token=token, headers=headers
        )
        assert [answer.json[name] for name in FIELDS] == [10, 0, 3, 0]


async def test_caps_are_changed_and_removed_and_the_change_is_published(http: Any, published: Any) -> None:
    gallery = await _created(http)
    assert await _caps(http, gallery) == (None, 0, None, 0)

    await _change(http, gallery, max_views=2)
    await _change(http, gallery, max_downloads=1_000_000)
    assert await _count(http, gallery, "views") == [204]
    await _change(http, gallery, title="Lisbon")
    assert await _caps(http, gallery) == (2, 1, 1_000_000, 0)
    await _change(http, gallery, max_views=5)
    assert await _caps(http, gallery) == (5, 1, 1_000_000, 0)
    # A count ends with its cap.
    await _change(http, gallery, max_views=None)
    assert await _caps(http, gallery) == (None, 0, 1_000_000, 0)
    await _change(http, gallery, max_views=2)
    assert await _caps(http, gallery) == (2, 0, 1_000_000, 0)

    assert [topic for topic, _, _ in await published()] == ["GalleryCreated"] + 6 * ["GalleryUpdated"]


@pytest.mark.parametrize("value", [0, -1, 1_000_001, 2**40, "3", 1.5, True, []])
@pytest.mark.parametrize("field", ["max_views", "max_downloads"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_cap_is_a_whole_number_within_bounds(http: Any, method: str, field: str, value: Any) -> None:
    gallery = await _created(http)
    path = "/v1/galleries" + ("" if method == "POST" else f"/{gallery['id']}")
    refused = await http(method, path, key=gallery["access_key"], body={field: value})
    assert (refused.status, refused.json["code"]) == (422, "validation_failed")
    assert [error["field"].split(".")[0] for error in refused.json["errors"]] == [field]


@pytest.mark.parametrize("field", ["views_used", "downloads_used", "used_up_at"])
async def test_counts_are_not_set_by_clients(http: Any, field: str) -> None:
    gallery = await _created(http, max_views=1)
    refused = await _change(http, gallery, **{field: 0})
    assert (refused.status, refused.json["code"]) == (422, "unknown_field")


async def test_only_the_manager_sets_caps(http: Any, account: Any, other: Any) -> None:
    anonymous, owned = await _created(http), await _created(http, account.token)
    path = f"/v1/galleries/{owned['id']}"
    body = {"max_views": 1}
    assert (await http("PATCH", path, token=other.token, body=body)).json["code"] == "gallery_not_found"
    wrong = await http("PATCH", path, key=anonymous["access_key"], body=body)
    assert wrong.json["code"] == "gallery_key_wrong"
    assert (await http("PATCH", path, body=body)).json["code"] == "gallery_key_missing"
    assert (await http("PATCH", path, token=account.token, body=body)).json["max_views"] == 1


async def test_views_end_at_their_cap_and_viewers_go_on_for_the_grace(http: Any, clock: Any) -> None:
    gallery = await _created(http, max_views=2)

    assert await _count(http, gallery, "views", 4) == [204, 204, 404, 404]
    assert await _caps(http, gallery) == (2, 2, None, 0)
    # The last viewer turns the page and downloads.
    clock.pass_by(GRACE - timedelta(seconds=1))
    assert await _opens(http, gallery) == (200, None)
    assert await _count(http, gallery, "downloads") == [204]
    assert await _count(http, gallery, "views") == [404]
    clock.pass_by(timedelta(seconds=1))
    assert await _opens(http, gallery) == (404, "gallery_not_found")
    assert await _count(http, gallery, "downloads") == [404]


async def test_downloads_that_reach_their_cap_end_views_too(http: Any, clock: Any) -> None:
    gallery = await _created(http, max_views=9, max_downloads=1)

    assert await _count(http, gallery, "views") == [204]
    assert await _count(http, gallery, "downloads", 2) == [204, 404]
    assert await _count(http, gallery, "views") == [404]
    assert await _caps(http, gallery) == (9, 1, 1, 1)
    clock.pass_by(GRACE)
    assert await _opens(http, gallery) == (404, "gallery_not_found")


async def test_a_used_up_gallery_answers_as_an_expired_one(http: Any, clock: Any) -> None:
    expired = await _created(http, expires_in=3_600)
    used_up = await _created(http, max_views=1)
    await _count(http, used_up, "views")
    clock.pass_by(max(GRACE, timedelta(hours=1)))

    answers = [await http("POST", VIEW, body={"code": gallery["code"]}) for gallery in (expired, used_up)] + [
        await http("POST", f"/internal/galleries/{used_up['id']}/views")
    ]
    bodies = [{**answer.json, "request_id": ""} for answer in answers]
    assert bodies[0] == bodies[1] == bodies[2]


async def test_a_used_up_gallery_asks_for_no_password(http: Any, account: Any) -> None:
    gallery = await _created(http, account.token, password="sesame", max_views=1)
    assert await _opens(http, gallery) == (401, "gallery_password_required")
    await _count(http, gallery, "views")
    assert await _opens(http, gallery) == (404, "gallery_not_found")
    assert await _opens(http, gallery, password="wrong") == (404, "gallery_not_found")
    assert await _opens(http, gallery, password="sesame") == (200, None)


async def test_the_manager_opens_a_used_up_gallery_again(http: Any, clock: Any) -> None:
    gallery = await _created(http, max_views=1, max_downloads=1)
    await _count(http, gallery, "downloads")
    clock.pass_by(GRACE)

    raised = await _change(http, gallery, max_downloads=2)
    assert [raised.json[name] for name in FIELDS] == [1, 0, 2, 1]
    assert await _opens(http, gallery) == (200, None)
    assert await _count(http, gallery, "views", 2) == [204, 404]
    clock.pass_by(GRACE)
    # The other cap still closes it.
    await _change(http, gallery, max_downloads=None)
    assert await _opens(http, gallery) == (404, "gallery_not_found")
    await _change(http, gallery, max_views=None)
    assert await _opens(http, gallery) == (200, None)
    assert await _count(http, gallery, "views", 3) == [204] * 3
    assert await _caps(http, gallery) == (None, 0, None, 0)


async def test_a_cap_below_its_count_closes_the_gallery(http: Any) -> None:
    gallery = await _created(http, max_views=5)
    await _count(http, gallery, "views", 3)
    lowered = await _change(http, gallery, max_views=2)
    assert [lowered.json[name] for name in FIELDS[:2]] == [2, 3]
    assert await _count(http, gallery, "views") == [404]


async def test_caps_stay_with_a_claimed_gallery(http: Any, account: Any) -> None:
    gallery = await _created(http, max_views=3)
    await _count(http, gallery, "views")
    path = f"/v1/galleries/{gallery['id']}"
    claimed = await http("POST", f"{path}/claim", key=gallery["access_key"], token=account.token)
    assert [claimed.json[name] for name in FIELDS[:2]] == [3, 1]
    (listed,) = (await http("GET", "/v1/galleries", token=account.token)).json["items"]
    assert [listed[name] for name in FIELDS[:2]] == [3, 1]


async def test_a_deleted_or_unknown_gallery_counts_nothing(http: Any) -> None:
    gallery = await _created(http, max_views=3)
    await http("DELETE", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"])
    for gone in (gallery, {"id": new_id()}):
        assert await _count(http, gone, "views") == [404]
        assert await _count(http, gone, "downloads") == [404]


@pytest.mark.parametrize("kind", ["views", "downloads"])
async def test_fifty_at_once_pass_a_cap_of_ten_ten_times(http: Any, kind: str) -> None:
    gallery = await _created(http, **{f"max_{kind}": 10})
    path = f"/internal/galleries/{gallery['id']}/{kind}"
    answers = await asyncio.gather(*(http("POST", path) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [204] * 10 + [404] * 40
    used = dict(zip(FIELDS, await _caps(http, gallery), strict=True))
    assert used[f"{kind}_used"] == 10


async def test_a_cap_that_is_raised_while_views_arrive_stays_exact(
    http: Any,
) -> None:
    gallery = await _created(http, max_views=5)
    raised, *counted = await asyncio.gather(
        _change(http, gallery, max_views=12), *(_count(http, gallery, "views") for _ in range(40))
    )
    assert raised.status == 200
    later = await _count(http, gallery, "views", 12)
    assert counted.count([204]) + later.count(204) == 12
    assert (await _caps(http, gallery))[:2] == (12, 12)


async def test_a_gallery_that_is_claimed_while_views_arrive_stays_exact(http: Any, account: Any) -> None:
    gallery = await _created(http, max_views=6)
    claim = http(
        "POST", f"/v1/galleries/{gallery['id']}/claim", key=gallery["access_key"], token=account.token
    )
    claimed, _, *counted = await asyncio.gather(
        claim,
        _change(http, gallery, expires_in=7_200),
        *(_count(http, gallery, "views") for _ in range(20)),
    )
    assert (claimed.status, counted.count([204])) == (200, 6)
    (listed,) = (await http("GET", "/v1/galleries", token=account.token)).json["items"]
    assert [listed[name] for name in (*FIELDS[:2], "expires_at")] == [6, 6, None]


@pytest.mark.parametrize("kind", ["views", "downloads"])
async def test_the_access_that_uses_up_a_cap_is_published_and_no_other(
    http: Any, published: Any, kind: str
) -> None:
    gallery = await _created(http, **{f"max_{kind}": 2})
    assert (await _grant(http, gallery))["summary"]["used_up"] is False
    await _count(http, gallery, kind)
    assert [topic for topic, _, _ in await published()] == ["GalleryCreated"]
    await _count(http, gallery, kind, 3)
    events = await published()
    assert [(topic, sequence) for topic, sequence, _ in events] == [
        ("GalleryCreated", 1),
        ("GalleryUpdated", 2),
    ]
    assert (await _grant(http, gallery))["summary"]["used_up"] is True


async def test_a_cap_that_is_raised_within_the_grace_opens_the_gallery_at_once(http: Any, clock: Any) -> None:
    gallery = await _created(http, max_views=1)
    await _count(http, gallery, "views")
    clock.pass_by(GRACE / 2)
    await _change(http, gallery, max_views=2)
    assert (await _grant(http, gallery))["summary"]["used_up"] is False
    clock.pass_by(GRACE)
    assert await _opens(http, gallery) == (200, None)
    # The grace of the last view begins anew.
    assert await _count(http, gallery, "views") == [204]
    clock.pass_by(GRACE / 2)
    assert (await _grant(http, gallery))["summary"]["used_up"] is True


async def test_a_longer_lifetime_opens_no_used_up_gallery(http: Any, clock: Any) -> None:
    gallery = await _created(http, max_views=1, expires_in=2 * 3_600)
    await _count(http, gallery, "views")
    clock.pass_by(GRACE)
    assert (await _change(http, gallery, expires_in=7_200)).status == 200
    assert await _opens(http, gallery) == (404, "gallery_not_found")
