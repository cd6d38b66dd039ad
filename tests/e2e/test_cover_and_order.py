"""A gallery whose manager arranges it, as a viewer sees it meanwhile."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from kappi_client import Client, Gallery
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
async def test_the_client_arranges_a_gallery(stack: StackUnderTest, phone: Phone, tmp_path: Path) -> None:
    made = await phone.create_gallery(title="Arranged")
    a, b, c = [(await phone.upload(made, _picture(name)))[0] for name in NAMES]
    await phone.until_ready(made, 3)
    gallery = Gallery(made.id, made.code, None, made.access_key)
    client = Client(stack.base_url, environ={"HOME": str(tmp_path)})

    async def shown() -> list[str]:
        return [item["id"] for item in await phone.items(made.code)]

    assert await client.reorder(gallery, [c, b], before=a) == [c, b]
    assert await shown() == [c, b, a]
    assert await client.reorder(gallery, [c]) == [c]
    assert await shown() == [b, a, c]
    await client.sort(gallery, "filename")
    assert await shown() == [a, b, c]
    for named in (b, None):
        await client.name_cover(gallery, named)
        answer = await phone.ask("GET", f"/v1/galleries/{made.id}", headers=made.key)
        assert answer.ok()["cover_media_id"] == named


@pytest.mark.timeout(180)
async def test_a_page_tells_what_a_gallery_is(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery(title="May")
    path = f"/g/{gallery.code}"
    await phone.upload(gallery, _picture("a.png"))
    await phone.until_ready(gallery, 1)

    async def told() -> str:
        answer = await phone.ask("GET", path)
        assert answer.status == 200
        return answer.body.decode()

    async def counted() -> None:
        assert (await phone.ask("GET", f"/v1/galleries/{gallery.id}", headers=gallery.key)).ok()["item_count"]

    await eventually(counted, 30)
    # A change makes the gateway ask for the gallery again.
    manage, title = f"/v1/galleries/{gallery.id}", '<Lisbon> & "June"'
    (await phone.ask("PATCH", manage, headers=gallery.key, json={"title": title})).ok()

    async def facts() -> None:
        assert "<p>1 photograph or film, " in await told()

    await eventually(facts, 30)
    page = await told()
    assert "<title>&lt;Lisbon&gt; &amp; &quot;June&quot; · Kappi</title>" in page
    (image,) = re.findall(r'<meta property="og:image" content="([^"]+)">', page)
    assert (await phone.ask("GET", image)).status == 302
    (archive,) = re.findall(r'href="\.\.(/v1/g/[^"]+/archive)"', page)
    assert (await phone.ask("GET", archive)).headers["Content-Type"] == "application/zip"

    # Pages are no views: the only view is still to be had.
    (await phone.ask("PATCH", manage, headers=gallery.key, json={"max_views": 1})).ok()
    for _ in range(3):
        await told()
        assert (await phone.ask("GET", f"/v1{path}/cover")).status == 302
    (await phone.ask("GET", f"/v1{path}")).ok()
    (await phone.ask("GET", f"/v1{path}/cover")).problem(404, "gallery_not_found")
    (await phone.ask("DELETE", manage, headers=gallery.key)).ok(204)

    async def gone() -> None:
        answer = await phone.ask("GET", path)
        assert (answer.status, b"Lisbon" in answer.body) == (404, False)

    await eventually(gone, 30)


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
        assert await told.next_of("gallery_updated") == {"id": gallery.id}
        assert (await shown(), await covered()) == ([c, a, b], c)

        named = await phone.ask("PATCH", manage, headers=gallery.key, json={"cover_media_id": b})
        assert named.ok()["cover_media_id"] == b
        assert await told.next_of("gallery_updated") == {"id": gallery.id}
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
    (await phone.ask("POST", f"{manage}/order", headers=gallery.key, json={"sort": "filename"})).ok()
    archive = await phone.ask("GET", f"{path}/archive")
    assert zipfile.ZipFile(io.BytesIO(archive.body)).namelist() == ["a.png", "c.png"]
