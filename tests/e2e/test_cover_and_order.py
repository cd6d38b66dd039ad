"""A gallery whose manager arranges it, as a viewer sees it meanwhile."""

from __future__ import annotations

import io
import zipfile

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.live_viewer import watching
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

NAMES = ("a.png", "b.png", "c.png")


def _picture(name: str) -> File:
    side = 60 + 10 * NAMES.index(name)
    return File(name, "image/png", encode(quadrants(side, side), "PNG"))


@pytest.mark.timeout(180)
async def test_a_viewer_follows_a_gallery_that_is_arranged(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery(title="Arranged")
    path, manage = f"/v1/g/{gallery.code}", f"/v1/galleries/{gallery.id}"
    a, b, c = [(await phone.upload(gallery, _picture(name)))[0] for name in NAMES]
    await phone.until_ready(gallery, 3)

    async def shown() -> list[str]:
        return [item["id"] for item in (await phone.ask("GET", path)).ok()["items"]]

    async def covered() -> str:
        answer = await phone.ask("GET", f"{path}/cover")
        assert answer.status == 302
        picture = await phone.ask("GET", answer.headers["Location"])
        assert picture.headers["Content-Type"] == "image/jpeg"
        return answer.headers["Location"].split("/renditions/")[0].rsplit("/", 1)[1]

    assert (await shown(), await covered()) == ([a, b, c], a)
    async with watching(stack, gallery) as told:
        assert await told.next() == ("reset", {})
        order = {"ids": [c], "before": a}
        moved = await phone.ask("POST", f"{manage}/order", headers=gallery.key, json=order)
        assert moved.ok() == {"moved": [c], "not_found": []}
        assert await told.next() == ("gallery_updated", {"id": gallery.id})
        assert (await shown(), await covered()) == ([c, a, b], c)

        named = await phone.ask("PATCH", manage, headers=gallery.key, json={"cover_media_id": b})
        assert named.ok()["cover_media_id"] == b
        assert await told.next() == ("gallery_updated", {"id": gallery.id})
        assert await covered() == b
        assert (await phone.ask("GET", path)).ok()["gallery"]["cover_media_id"] == b

        (await phone.ask("DELETE", f"/v1/media/{b}", headers=gallery.key)).ok(204)
        events = {(await told.next())[0] for _ in range(2)}
        assert events == {"item_deleted", "gallery_updated"}

    async def cleared() -> None:
        assert (await phone.ask("GET", manage, headers=gallery.key)).ok()["cover_media_id"] is None

    await eventually(cleared, 30)
    assert await covered() == c
    gone = await phone.ask("PATCH", manage, headers=gallery.key, json={"cover_media_id": b})
    gone.problem(404, "media_not_found")
    (await phone.ask("POST", f"{manage}/order", headers=gallery.key, json={"sort": "name"})).ok()
    archive = await phone.ask("GET", f"{path}/archive")
    assert zipfile.ZipFile(io.BytesIO(archive.body)).namelist() == ["a.png", "c.png"]
