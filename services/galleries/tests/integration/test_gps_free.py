"""The setting that hides places from viewers: requesting it, changing it, and its events and grants."""

from __future__ import annotations

from typing import Any

import pytest
from kappi_chassis.auth import GrantVerifier, JwksSource, TokenVerifier
from kappi_chassis.clock import utc_now
from kappi_contracts.grants import GRANT_AUDIENCE, GRANT_ISSUER, Grant

pytestmark = pytest.mark.integration

VIEW, KEY = "/internal/grants/view", "/internal/grants/key"


@pytest.fixture
def clock(clock: Any) -> Any:
    """Returns the clock set to the current time, because verifiers read the wall clock."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def grant(http: Any) -> Any:
    """Returns `await grant(VIEW, code=…)`: the gallery in a grant."""

    async def fetch() -> bytes:
        body: bytes = (await http("GET", "/internal/jwks.json")).body
        return body

    verifier = GrantVerifier(
        TokenVerifier(JwksSource(fetch), issuer=GRANT_ISSUER, audience=GRANT_AUDIENCE), clock=utc_now
    )

    async def opened(path: str, **asked: str) -> Grant:
        answer = await http("POST", path, body=asked)
        assert answer.status == 200, answer.body
        return await verifier.open(answer.json["grant"])

    return opened


async def test_nobody_gets_it_unasked(http: Any, grant: Any) -> None:
    gallery = (await http("POST", "/v1/galleries")).json
    assert gallery["location_free"] is False
    assert (await grant(VIEW, code=gallery["code"])).gallery.location_free is False


@pytest.mark.parametrize("key", [None, "an-idempotency-key-for-this-one"])
async def test_an_anonymous_gallery_may_have_it_from_the_start(
    http: Any, grant: Any, key: str | None
) -> None:
    headers = {} if key is None else {"idempotency-key": key}
    answer = await http("POST", "/v1/galleries", body={"location_free": True}, headers=headers)
    gallery = answer.json
    assert (answer.status, gallery["location_free"]) == (201, True)
    read = await http("GET", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"])
    assert read.json["location_free"] is True
    assert (await grant(VIEW, code=gallery["code"])).gallery.location_free is True
    assert (await grant(KEY, access_key=gallery["access_key"])).gallery.location_free is True


async def test_an_accounts_gallery_may_have_it_from_the_start(http: Any, account: Any, grant: Any) -> None:
    gallery = (await http("POST", "/v1/galleries", body={"location_free": True}, token=account.token)).json
    assert gallery["location_free"] is True
    assert (await grant(VIEW, code=gallery["code"])).gallery.location_free is True
    (listed,) = (await http("GET", "/v1/galleries", token=account.token)).json["items"]
    assert listed["location_free"] is True


async def test_it_is_switched_on_and_off_and_told(http: Any, grant: Any, published: Any) -> None:
    gallery = (await http("POST", "/v1/galleries", body={"title": "Lisbon"})).json
    path, key = f"/v1/galleries/{gallery['id']}", gallery["access_key"]
    for version, wanted in enumerate((True, False), start=2):
        changed = await http("PATCH", path, key=key, body={"location_free": wanted})
        assert (changed.status, changed.json["location_free"], changed.json["title"]) == (
            200,
            wanted,
            "Lisbon",
        )
        seen = (await grant(VIEW, code=gallery["code"])).gallery
        assert (seen.location_free, seen.version) == (wanted, version)
        topic, sequence, data = (await published())[-1]
        assert (topic, sequence, data.get("location_free", False)) == ("GalleryUpdated", version, wanted)

    again = await http("PATCH", path, key=key, body={"location_free": False})
    assert again.status == 200
    assert len(await published()) == 3


async def test_it_stays_when_something_else_changes(http: Any, account: Any, published: Any) -> None:
    gallery = (await http("POST", "/v1/galleries", body={"location_free": True})).json
    path, key = f"/v1/galleries/{gallery['id']}", gallery["access_key"]
    assert (await http("PATCH", path, key=key, body={"title": "Porto"})).json["location_free"] is True
    assert (await http("PATCH", path, key=key, body={"location_free": None})).json["location_free"] is True
    assert (await http("POST", f"{path}/rotate-code", key=key)).status == 200
    claimed = await http("POST", f"{path}/claim", key=key, token=account.token)
    assert claimed.json["location_free"] is True
    assert [data["location_free"] for topic, _, data in await published() if topic == "GalleryUpdated"] == [
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("value", ["yes", 1, {}])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_it_is_a_boolean(http: Any, method: str, value: Any) -> None:
    gallery = (await http("POST", "/v1/galleries")).json
    path = "/v1/galleries" + ("" if method == "POST" else f"/{gallery['id']}")
    refused = await http(method, path, key=gallery["access_key"], body={"location_free": value})
    assert (refused.status, refused.json["code"]) == (422, "validation_failed")
    assert [error["field"].split(".")[0] for error in refused.json["errors"]] == ["location_free"]
