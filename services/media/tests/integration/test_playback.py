"""Films that browsers play: the original, or a rendition that is made in the background."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import av
import pytest
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.storage import SignedRequest
from kappi_contracts.events import AccountCreated, TierChanged
from kappi_contracts.keys import media_prefix, playback_pieces_prefix
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.playback import Films
from kappi_media.bootstrap.use_cases import build_mover
from kappi_media.rendering.renderer import Renderer
from kappi_media.settings import MediaSettings
from kappi_media.use_cases import move_items
from kappi_media.use_cases.make_film import ATTEMPTS, FAILURE_KEPT, LEASE
from kappi_media.use_cases.renditions import MakeRendition
from kappi_testkit.asgi import Answer
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.film_making import Interrupted
from kappi_testkit.media.films import FilmShape, film
from kappi_testkit.media.harness import (
    Client,
    Clock,
    Gallery,
    Http,
    Published,
    Teller,
)
from kappi_testkit.media.motion_photos import google_photo, samsung_photo
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.signed_requests import call

# Decoders of films have the lowest priority, so other tests may delay them.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SHORT = film(FilmShape(codec="libx265", seconds=1))
LONG = film(FilmShape(codec="libx265", seconds=20, frame_rate=5))
PLAYED = film(FilmShape(codec="libx264", seconds=1))
DEEP = film(FilmShape(codec="libx264", pixels="yuv420p10le", seconds=1))
PHOTO = encode(quadrants(64, 48), "JPEG")
Publications = Callable[..., Awaitable[list[Published]]]
Ready = Callable[..., Awaitable[str]]
Working = Callable[..., Any]


@pytest.fixture
def http(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    make_rendition: MakeRendition,
    renderer: Renderer,
) -> Http:
    app = build_app(deps, make_settings(), make_rendition, films=Films(renderer))
    return Http(app)


async def ask(http: Http, gallery: Gallery, media_id: str, right: Any = "view") -> Answer:
    return await http("GET", f"/v1/media/{media_id}/playback", grant=gallery.grant(right))


async def playable(http: Http, gallery: Gallery, media_id: str) -> str:
    """Returns the URL of a film once it is made."""

    async def made() -> str:
        answer = await ask(http, gallery, media_id)
        assert answer.status == 302, answer.body
        return answer.headers["location"]

    return await eventually(made, deadline_s=120)


async def downloaded(url: str) -> bytes:
    answer = await call(SignedRequest(url, "GET", {}, utc_now()))
    assert answer.status == 200
    return answer.body


async def stored(store: FaultyStore, gallery: Gallery, media_id: str) -> set[str]:
    prefix = media_prefix(gallery.id, UUID(media_id))
    return {each.key.removeprefix(prefix) for each in (await store.list_page(prefix, limit=100)).objects}


async def test_a_film_is_made_playable(
    http: Http, gallery: Gallery, ready: Ready, working: Working, store: FaultyStore, database: Database
) -> None:
    media_id = await ready(gallery, LONG)
    first = await ask(http, gallery, media_id)
    assert (first.status, first.json) == (202, {"state": "waiting", "progress": 0.0})
    assert first.headers["retry-after"] == "2"

    async def forgotten() -> None:
        assert await database.hot.fetchval("SELECT count(*) FROM playbacks") == 0

    async with working():
        body = await downloaded(await playable(http, gallery, media_id))
        await eventually(forgotten)  # its pieces are removed after it can be played
    with av.open(io.BytesIO(body), "r") as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        assert container.duration == pytest.approx(20e6, abs=2e5)
    assert body.index(b"moov") < body.index(b"mdat")
    assert await stored(store, gallery, media_id) == {
        "/original",
        "/renditions/400.jpg",
        "/renditions/playback.mp4",
    }


async def test_progress_is_told_while_it_is_made(
    http: Http, gallery: Gallery, ready: Ready, working: Working, making: Interrupted
) -> None:
    media_id = await ready(gallery, LONG)
    await ask(http, gallery, media_id)
    making.go = asyncio.Semaphore(1)
    async with working():

        async def half_made() -> None:
            answer = (await ask(http, gallery, media_id)).json
            assert answer["state"] == "making"
            assert 0.3 < answer["progress"] < 0.5

        await eventually(half_made, deadline_s=60)
        making.go.release()
        making.go.release()
        await playable(http, gallery, media_id)


@pytest.mark.parametrize("photo", [google_photo, samsung_photo])
async def test_the_film_in_a_motion_photo_is_made_playable(
    http: Http,
    gallery: Gallery,
    ready: Ready,
    working: Working,
    photo: Callable[[bytes], bytes],
) -> None:
    body = photo(film(FilmShape(width=180, height=320)))
    media_id = await ready(gallery, body, content_type="image/jpeg", filename="Gipfel.jpg")
    assert (await ask(http, gallery, media_id)).status == 202
    async with working():
        shown = await downloaded(await playable(http, gallery, media_id))
    with av.open(io.BytesIO(shown), "r") as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].width < container.streams.video[0].height
        assert container.duration == pytest.approx(2e6, abs=2e5)


@pytest.mark.parametrize("body", [SHORT, DEEP], ids=["another codec", "ten bits"])
async def test_what_browsers_lack_is_made(http: Http, gallery: Gallery, ready: Ready, body: bytes) -> None:
    assert (await ask(http, gallery, await ready(gallery, body))).status == 202


async def test_an_original_that_browsers_play_is_not_made_again(
    http: Http, gallery: Gallery, ready: Ready, database: Database
) -> None:
    media_id = await ready(gallery, PLAYED)
    for _ in range(2):  # the first looks at the film, the second knows
        answer = await ask(http, gallery, media_id)
        assert answer.status == 302
        assert await downloaded(answer.headers["location"]) == PLAYED
    assert await database.hot.fetchval("SELECT original FROM playbacks")


async def test_the_url_is_returned_instead_of_a_redirect(http: Http, gallery: Gallery, ready: Ready) -> None:
    media_id = await ready(gallery, PLAYED)
    path = f"/v1/media/{media_id}/playback?redirect=false"
    answer = await http("GET", path, grant=gallery.grant("view"))
    assert answer.status == 200
    assert await downloaded(answer.json["url"]) == PLAYED


async def test_viewers_without_places_get_the_copy_without_them(
    http: Http, make_gallery: Callable[..., Gallery], ready: Ready
) -> None:
    gallery = make_gallery(location_free=True)
    media_id = await ready(gallery, film(FilmShape(codec="libx264", seconds=1, place="+48.8577+002.2950/")))
    shown = await downloaded((await ask(http, gallery, media_id)).headers["location"])
    assert b"+48.8577" not in shown
    original = await downloaded((await ask(http, gallery, media_id, "manage")).headers["location"])
    assert b"+48.8577" in original


async def test_a_picture_is_no_film(http: Http, gallery: Gallery, ready: Ready) -> None:
    media_id = await ready(gallery, PHOTO, content_type="image/jpeg", filename="a.jpg")
    answer = await ask(http, gallery, media_id)
    assert (answer.status, answer.code) == (422, "media_not_a_film")


async def test_an_item_in_processing_is_not_ready(http: Http, client: Client, gallery: Gallery) -> None:
    item = await client.upload(gallery, SHORT, content_type="video/mp4", filename="a.mp4")
    answer = await ask(http, gallery, item["id"])
    assert (answer.status, answer.code) == (409, "media_not_ready")


async def test_items_of_other_galleries_do_not_exist(
    http: Http, gallery: Gallery, make_gallery: Callable[..., Gallery], ready: Ready
) -> None:
    media_id = await ready(gallery, SHORT)
    answer = await ask(http, make_gallery(), media_id)
    assert (answer.status, answer.code) == (404, "media_not_found")
    assert (await ask(http, gallery, str(new_id()))).status == 404


async def test_a_rejected_item_does_not_exist(http: Http, gallery: Gallery, ready: Ready) -> None:
    media_id = await ready(gallery, SHORT[:200])
    assert (await ask(http, gallery, media_id)).code == "media_not_found"


async def test_without_a_credential_nothing_is_shown(http: Http) -> None:
    assert (await http("GET", f"/v1/media/{new_id()}/playback")).status == 401


@pytest.mark.parametrize("setting", [{"playback_minutes": 0}, {"playback_minutes_by_tier": {"traveller": 0}}])
async def test_the_tier_limits_how_long_a_film_may_be(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    make_rendition: MakeRendition,
    renderer: Renderer,
    make_gallery: Callable[..., Gallery],
    ready: Ready,
    setting: dict[str, Any],
) -> None:
    gallery = make_gallery(owner_id=new_id())
    media_id = await ready(gallery, SHORT)
    app = build_app(deps, make_settings(**setting), make_rendition, films=Films(renderer))
    answer = await ask(Http(app), gallery, media_id)
    assert (answer.status, answer.code) == (403, "playback_not_in_tier")


async def test_a_tier_without_originals_gets_a_rendition_of_any_film(
    http: Http, make_gallery: Callable[..., Gallery], ready: Ready, tell: Teller
) -> None:
    owner_id = new_id()
    await tell(AccountCreated(account_id=owner_id, tier="Small", created_at=utc_now()))
    await tell(
        TierChanged(
            name="Small",
            rendition_sizes=[200],
            original_access=False,
            expiring_links=False,
            max_file_bytes=1 << 30,
            quota_bytes=None,
            deleted=False,
            changed_at=utc_now(),
        )
    )
    gallery = make_gallery(owner_id=owner_id)
    assert (await ask(http, gallery, await ready(gallery, PLAYED))).status == 202


async def test_one_owner_cannot_fill_the_queue(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    make_rendition: MakeRendition,
    renderer: Renderer,
    make_gallery: Callable[..., Gallery],
    ready: Ready,
) -> None:
    settings = make_settings(films_waiting_of_one=1)
    http = Http(build_app(deps, settings, make_rendition, films=Films(renderer)))
    mine, theirs = make_gallery(), make_gallery(code="b2cd")
    first, second = await ready(mine, SHORT), await ready(mine, SHORT + b"\0\0\0\x08free")
    other = await ready(theirs, SHORT)
    headers = [{"x-forwarded-for": f"192.0.2.{number}"} for number in range(3)]
    path = "/v1/media/{}/playback"
    assert (await http("GET", path.format(first), grant=mine.grant("view"), headers=headers[0])).status == 202
    refused = await http("GET", path.format(second), grant=mine.grant("view"), headers=headers[1])
    assert (refused.status, refused.code) == (503, "playbacks_busy")
    assert int(refused.headers["retry-after"]) > 0
    assert (
        await http("GET", path.format(other), grant=theirs.grant("view"), headers=headers[2])
    ).status == 202


async def test_a_worker_that_dies_is_continued_after_its_last_piece(
    http: Http,
    gallery: Gallery,
    ready: Ready,
    working: Working,
    making: Interrupted,
    database: Database,
    clock: Clock,
) -> None:
    media_id = await ready(gallery, LONG)
    await ask(http, gallery, media_id)
    making.go = asyncio.Semaphore(1)
    async with working():

        async def one_piece() -> None:
            assert await database.hot.fetchval("SELECT cardinality(pieces) FROM playbacks") == 1

        await eventually(one_piece, deadline_s=60)
        # A process that is killed leaves its lease.
        held = await database.hot.fetchrow("SELECT leased_until, lease_id FROM playbacks")
    await database.hot.execute("UPDATE playbacks SET leased_until = $1, lease_id = $2", *held)
    clock.pass_by(LEASE + timedelta(seconds=1))
    making.go = asyncio.Semaphore(1_000)
    async with working():
        body = await downloaded(await playable(http, gallery, media_id))
    assert making.begun == [0, 8 * 90_000]
    with av.open(io.BytesIO(body), "r") as container:
        assert len(list(container.decode(video=0))) == 100


async def test_workers_do_not_make_the_same_film_twice(
    http: Http, gallery: Gallery, ready: Ready, working: Working, making: Interrupted
) -> None:
    media_id = await ready(gallery, SHORT)
    await asyncio.gather(*(ask(http, gallery, media_id) for _ in range(5)))
    async with working(), working():
        await playable(http, gallery, media_id)
    assert making.begun == [0]


async def test_a_film_that_cannot_be_decoded_fails_and_blocks_no_other(
    http: Http,
    gallery: Gallery,
    ready: Ready,
    working: Working,
    client: Client,
    database: Database,
    clock: Clock,
    store: FaultyStore,
) -> None:
    poisoned, sound = await ready(gallery, SHORT), await ready(gallery, LONG)
    key = f"{media_prefix(gallery.id, UUID(poisoned))}/original"
    start, end = SHORT.index(b"mdat") + 4, SHORT.index(b"moov") - 4
    garbage = SHORT[:start] + b"\xff" * (end - start) + SHORT[end:]
    await store.put(key, garbage, content_type="video/mp4")
    await ask(http, gallery, poisoned)
    await ask(http, gallery, sound)
    async with working():
        await playable(http, gallery, sound)

        async def impossible() -> None:
            answer = await ask(http, gallery, poisoned)
            assert (answer.status, answer.code) == (422, "playback_impossible")

        await eventually(impossible, deadline_s=60)
    clock.pass_by(FAILURE_KEPT + timedelta(seconds=1))
    assert (await ask(http, gallery, poisoned)).status == 202


async def test_a_film_that_ends_its_decoder_each_time_is_given_up(
    http: Http,
    gallery: Gallery,
    ready: Ready,
    working: Working,
    making: Interrupted,
    clock: Clock,
) -> None:
    media_id = await ready(gallery, SHORT)
    await ask(http, gallery, media_id)
    making.go, making.killed = asyncio.Semaphore(0), True
    async with working():

        async def given_up() -> None:
            clock.pass_by(timedelta(minutes=6))
            assert (await ask(http, gallery, media_id)).code == "playback_impossible"

        await eventually(given_up, deadline_s=60)
    assert len(making.begun) == ATTEMPTS


async def moved(
    http: Http,
    deps: Dependencies,
    media_id: str,
    *,
    to: Gallery,
    headers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Returns once the item is in the other gallery."""
    monkeypatch.setattr(move_items, "WAIT_S", 0.0)
    body = {"ids": [media_id], "action": "move", "gallery_id": str(to.id)}
    await http("POST", "/v1/media/bulk", grant=to.grant(), headers=headers, body=body)
    mover = asyncio.create_task(build_mover(deps).run())

    async def is_there() -> None:
        answer = await http("GET", f"/v1/media/{media_id}", grant=to.grant("view"))
        assert answer.status == 200

    await eventually(is_there)
    mover.cancel()
    await asyncio.wait((mover,))


@pytest.mark.parametrize("when", ["made", "being made"])
async def test_a_film_moves_with_its_item(
    http: Http,
    make_gallery: Callable[..., Gallery],
    bearer: Callable[[UUID], dict[str, str]],
    deps: Dependencies,
    ready: Ready,
    working: Working,
    making: Interrupted,
    tell: Teller,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    owner_id = new_id()
    await tell(AccountCreated(account_id=owner_id, tier="Enterprise", created_at=utc_now()))
    home, album = (make_gallery(owner_id=owner_id, code=code, expires_at=None) for code in ("h2me", "a2bm"))
    media_id = await ready(home, LONG)
    await ask(http, home, media_id)
    change = {"to": album, "headers": bearer(owner_id), "monkeypatch": monkeypatch}
    if when == "made":
        async with working():
            await playable(http, home, media_id)
        await moved(http, deps, media_id, **change)  # type: ignore[arg-type]
        assert (await ask(http, album, media_id)).status == 302
        assert making.begun == [0]
        return
    making.go = asyncio.Semaphore(1)
    async with working():

        async def one_piece() -> None:
            assert await database.hot.fetchval("SELECT cardinality(pieces) FROM playbacks") == 1

        await eventually(one_piece, deadline_s=60)
        await moved(http, deps, media_id, **change)  # type: ignore[arg-type]
        for _ in range(9):
            making.go.release()
        body = await downloaded(await playable(http, album, media_id))
    assert making.begun == [0, 0], "pieces are not copied"
    assert b"avc1" in body


async def test_nothing_of_a_film_stays_that_is_deleted_while_it_is_made(
    http: Http,
    gallery: Gallery,
    ready: Ready,
    working: Working,
    making: Interrupted,
    published: Publications,
    store: FaultyStore,
    database: Database,
) -> None:
    media_id = await ready(gallery, LONG)
    await ask(http, gallery, media_id)
    making.go = asyncio.Semaphore(1)
    async with working():

        async def one_piece() -> None:
            assert (
                await store.list_page(playback_pieces_prefix(gallery.id, UUID(media_id)), limit=9)
            ).objects

        await eventually(one_piece, deadline_s=60)
        await http("DELETE", f"/v1/media/{media_id}", grant=gallery.grant("manage"))
        making.go.release()

        async def purged_again() -> None:
            assert len(await published("MediaDeleted")) == 2

        await eventually(purged_again, deadline_s=60)
    assert await database.hot.fetchval("SELECT count(*) FROM playbacks") == 0
