"""The gateway's question for the gallery of a thing, for which it must send its token."""

from __future__ import annotations

from collections.abc import Callable

from kappi_chassis.clock import new_id
from kappi_contracts.events import AccountCreated
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Teller
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(64, 48), "JPEG")


async def test_everything_knows_its_gallery_until_it_is_gone(
    client: Client, http: Http, make_gallery: Callable[..., Gallery], clock: Clock, tell: Teller
) -> None:
    owner_id = new_id()
    gallery = make_gallery(owner_id=owner_id)
    account = AccountCreated(account_id=owner_id, tier="Enterprise", created_at=clock())
    await tell(account)
    (promised,) = await client.sign(gallery, {"filename": "a.jpg", "size": 1, "content_type": "image/jpeg"})
    item = await client.upload(gallery, JPEG)
    link = await http("POST", f"/v1/media/{item['id']}/links", grant=gallery.grant(), body={"valid_for": 300})
    things = {
        f"/internal/uploads/{promised['id']}": promised["media_id"],
        f"/internal/media/{promised['media_id']}": promised["media_id"],
        f"/internal/media/{item['id']}": item["id"],
        f"/internal/links/{link.json['id']}": item["id"],
    }
    for path, media_id in things.items():
        answer = await http("GET", path)
        assert (answer.status, answer.json) == (200, {"gallery_id": str(gallery.id), "media_id": media_id})
    await http("DELETE", f"/v1/media/{item['id']}", grant=gallery.grant())
    for path in list(things)[2:]:
        assert (await http("GET", path)).status == 404


async def test_what_does_not_exist_is_nowhere(http: Http) -> None:
    for collection in ("media", "uploads", "links"):
        for thing in (new_id(), "no-uuid"):
            answer = await http("GET", f"/internal/{collection}/{thing}")
            assert (answer.status, answer.code) == (404, "not_found")
