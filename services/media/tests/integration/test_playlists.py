"""Long films are made in two sizes, and played by HTTP Live Streaming."""

from __future__ import annotations

import asyncio
import io
import zlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

import av
import pytest
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.storage import SignedRequest
from kappi_contracts.events import AccountCreated
from kappi_contracts.keys import media_prefix
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.playback import Films
from kappi_media.bootstrap.use_cases import build_mover
from kappi_media.rendering.renderer import Renderer
from kappi_media.settings import MediaSettings
from kappi_media.use_cases import move_items
from kappi_media.use_cases.make_film import FAILURE_KEPT, LEASE
from kappi_media.use_cases.renditions import MakeRendition
from kappi_testkit.asgi import Answer
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.film_making import Interrupted
from kappi_testkit.media.films import FilmShape, film
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Teller
from kappi_testkit.media.motion_photos import google_photo
from kappi_testkit.media.playlists import MediaPlaylist, media, variants
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.signed_requests import call

# Decoders of films have the lowest priority, so other tests may delay them.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LONG = film(FilmShape(codec="libx265", seconds=20, frame_rate=5, width=960, height=540))
PLAYED = film(FilmShape(codec="libx264", seconds=12, frame_rate=5))
SHORT = film(FilmShape(codec="libx265", seconds=1))
PHOTO = encode(quadrants(64, 48), "JPEG")
ABOVE = timedelta(seconds=10)
Ready = Callable[..., Awaitable[str]]
Working = Callable[..., Any]
TYPE = "application/vnd.apple.mpegurl"


@pytest.fixture
def make_films(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    make_rendition: MakeRendition,
    renderer: Renderer,
) -> Callable[..., Http]:
    def make(**settings: Any) -> Http:
        settings = {"hls_above": ABOVE} | settings
        return Http(build_app(deps, make_settings(**settings), make_rendition, films=Films(renderer)))

    return make


@pytest.fixture
def http(make_films: Callable[..., Http]) -> Http:
    return make_films()


def path(media_id: str, more: str = "") -> str:
    return f"/v1/media/{media_id}/playback.m3u8{more}"


async def ask(http: Http, gallery: Gallery, media_id: str, more: str = "", **headers: str) -> Answer:
    return await http("GET", path(media_id, more), grant=gallery.grant("view"), headers=headers)


async def listed(http: Http, gallery: Gallery, media_id: str) -> str:
    """Returns the playlist of all sizes once the film is made."""

    async def made() -> str:
        answer = await ask(http, gallery, media_id)
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == TYPE
        return answer.body.decode()

    return await eventually(made, deadline_s=120)


async def of_size(http: Http, media_id: str, uri: str) -> MediaPlaylist:
    """Returns what a player without a credential gets."""
    answer = await http("GET", urljoin(path(media_id), uri))
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == TYPE
    return media(answer.body.decode())


async def part(url: str, start: int, length: int) -> bytes:
    answer = await call(
        SignedRequest(url, "GET", {"Range": f"bytes={start}-{start + length - 1}"}, utc_now())
    )
    assert answer.status == 206
    return answer.body


async def played(listing: MediaPlaylist) -> bytes:
    """Returns what a player gets that plays it from its beginning to its end."""
    parts = [await part(*listing.init)]
    parts += [await part(each.url, each.start, each.length) for each in listing.segments]
    return b"".join(parts)


def frames(body: bytes) -> list[tuple[int, int]]:
    """Returns when the pictures are shown, in fifths of a second, and how high they are."""
    with av.open(io.BytesIO(body), "r") as container:
        return [(round((frame.time or 0.0) * 5), frame.height) for frame in container.decode(video=0)]


async def test_a_long_film_is_played_in_two_sizes(
    http: Http, gallery: Gallery, ready: Ready, working: Working, database: Database, store: FaultyStore
) -> None:
    media_id = await ready(gallery, LONG)
    first = await ask(http, gallery, media_id)
    assert (first.status, first.json) == (202, {"state": "waiting", "progress": 0.0})
    assert first.headers["retry-after"] == "2"
    async with working():
        found = variants(await listed(http, gallery, media_id))
    assert [known["RESOLUTION"] for _, known in found] == ["960x540", "852x480"]
    for (uri, known), height in zip(found, (540, 480), strict=True):
        listing = await of_size(http, media_id, uri)
        assert [each.seconds for each in listing.segments] == [8.0, 8.0, 4.0]
        assert listing.target == 8
        assert frames(await played(listing)) == [(number, height) for number in range(100)]
        peak = max(each.length * 8 / each.seconds for each in listing.segments)
        assert int(known["BANDWIDTH"]) == pytest.approx(peak, abs=1)
    prefix = media_prefix(gallery.id, UUID(media_id))
    names = {each.key.removeprefix(prefix) for each in (await store.list_page(prefix, limit=100)).objects}
    assert {name for name in names if "playback" in name} == {
        "/renditions/playback.mp4",
        "/renditions/playback-480.mp4",
    }
    assert await database.hot.fetchval("SELECT count(*) FROM playbacks") == 0


async def test_playback_is_the_same_film_in_one_file(
    http: Http, gallery: Gallery, ready: Ready, working: Working
) -> None:
    media_id = await ready(gallery, LONG)
    answer = await http("GET", f"/v1/media/{media_id}/playback", grant=gallery.grant("view"))
    assert answer.status == 202
    async with working():
        await listed(http, gallery, media_id)
    answer = await http("GET", f"/v1/media/{media_id}/playback", grant=gallery.grant("view"))
    whole = await call(SignedRequest(answer.headers["location"], "GET", {}, utc_now()))
    assert frames(whole.body) == [(number, 540) for number in range(100)]


async def test_a_long_film_that_browsers_play_stays_their_playback(
    http: Http,
    gallery: Gallery,
    ready: Ready,
    working: Working,
    database: Database,
    making: Interrupted,
) -> None:
    media_id = await ready(gallery, PLAYED)
    assert (await ask(http, gallery, media_id)).status == 202

    async def plays_original() -> bool:
        answer = await http("GET", f"/v1/media/{media_id}/playback", grant=gallery.grant("view"))
        assert answer.status == 302
        return answer.headers["location"].partition("?")[0].endswith("/original")

    assert await plays_original()
    making.go = asyncio.Semaphore(1)
    async with working():

        async def one_piece() -> None:
            assert await database.hot.fetchval("SELECT cardinality(pieces) FROM playbacks") == 1

        await eventually(one_piece, deadline_s=60)
        assert await plays_original()
        making.go.release()
        assert len(variants(await listed(http, gallery, media_id))) == 2
    assert await plays_original()
    assert await database.hot.fetchval("SELECT original AND NOT two_sizes FROM playbacks")
    assert making.begun == [0]


async def test_a_failure_of_the_two_sizes_leaves_the_original(
    http: Http, gallery: Gallery, ready: Ready, working: Working, store: FaultyStore, clock: Clock
) -> None:
    media_id = await ready(gallery, PLAYED)
    assert (await ask(http, gallery, media_id)).status == 202
    key = f"{media_prefix(gallery.id, UUID(media_id))}/original"
    start, end = PLAYED.index(b"mdat") + 4, PLAYED.index(b"moov") - 4
    garbage = PLAYED[:start] + b"\xff" * (end - start) + PLAYED[end:]
    await store.put(key, garbage, content_type="video/mp4")
    async with working():

        async def impossible() -> None:
            answer = await ask(http, gallery, media_id)
            assert (answer.status, answer.code) == (422, "playback_impossible")

        await eventually(impossible, deadline_s=60)
    answer = await http("GET", f"/v1/media/{media_id}/playback", grant=gallery.grant("view"))
    assert answer.status == 302
    clock.pass_by(FAILURE_KEPT + timedelta(seconds=1))
    assert (await ask(http, gallery, media_id)).status == 202


async def test_a_player_without_credentials_gets_a_signed_url(
    http: Http, gallery: Gallery, ready: Ready, working: Working, clock: Clock
) -> None:
    media_id = await ready(gallery, LONG)
    await ask(http, gallery, media_id)
    async with working():
        await listed(http, gallery, media_id)
    signed = (await ask(http, gallery, media_id, "?signed=true")).json
    assert signed["expires_in"] == 10 * 60 + 20
    url = signed["url"].partition("/v1/")[2]
    answer = await http("GET", f"/v1/{url}")
    assert answer.status == 200
    uri, _ = variants(answer.body.decode())[1]
    # Late, as when the network has become slow: what is left of the film has the time that is left.
    clock.pass_by(timedelta(seconds=signed["expires_in"] - 5))
    await played(await of_size(http, media_id, uri))
    clock.pass_by(timedelta(minutes=6))
    expired = await http("GET", urljoin(path(media_id), uri))
    assert (expired.status, expired.code) == (403, "playlist_url_invalid")


async def test_a_signature_opens_one_film(
    http: Http, gallery: Gallery, ready: Ready, working: Working
) -> None:
    media_id, other = await ready(gallery, LONG), await ready(gallery, PLAYED)
    await ask(http, gallery, media_id)
    async with working():
        await listed(http, gallery, media_id)
    query = (await ask(http, gallery, media_id, "?signed=true")).json["url"].partition("?")[2]
    for wrong in (path(other, f"?{query}"), path(str(new_id()), f"?{query}"), path(media_id, f"?{query}0")):
        refused = await http("GET", wrong)
        assert (refused.status, refused.code) == (403, "playlist_url_invalid")
    odd = await http("GET", path(media_id, f"?{query}&size=1080"))
    assert (odd.status, odd.code) == (422, "validation_failed")


async def test_playlists_are_sent_compressed(
    http: Http, gallery: Gallery, ready: Ready, working: Working
) -> None:
    media_id = await ready(gallery, LONG)
    await ask(http, gallery, media_id)
    async with working():
        await listed(http, gallery, media_id)
    headers = {"accept-encoding": "gzip"}
    answer = await ask(http, gallery, media_id, "?size=playback", **headers)
    assert answer.headers["content-encoding"] == "gzip"
    assert len(media(zlib.decompress(answer.body, 31).decode()).segments) == 3


async def test_a_film_in_two_sizes_moves_with_its_item(
    http: Http,
    make_gallery: Callable[..., Gallery],
    bearer: Callable[[UUID], dict[str, str]],
    deps: Dependencies,
    ready: Ready,
    working: Working,
    making: Interrupted,
    tell: Teller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner_id = new_id()
    await tell(AccountCreated(account_id=owner_id, tier="Enterprise", created_at=utc_now()))
    home, album = (make_gallery(owner_id=owner_id, code=code, expires_at=None) for code in ("h2me", "a2bm"))
    media_id = await ready(home, LONG)
    await ask(http, home, media_id)
    async with working():
        await listed(http, home, media_id)
    query = (await ask(http, home, media_id, "?signed=true")).json["url"].partition("?")[2]
    monkeypatch.setattr(move_items, "WAIT_S", 0.0)
    body = {"ids": [media_id], "action": "move", "gallery_id": str(album.id)}
    await http("POST", "/v1/media/bulk", grant=album.grant(), headers=bearer(owner_id), body=body)
    mover = asyncio.create_task(build_mover(deps).run())
    for uri, _ in variants(await listed(http, album, media_id)):
        assert len(frames(await played(await of_size(http, media_id, uri)))) == 100
    mover.cancel()
    await asyncio.wait((mover,))
    assert making.begun == [0], "it is copied, and not made again"
    assert (await http("GET", path(media_id, f"?{query}"))).code == "playlist_url_invalid"


async def test_a_film_whose_small_size_is_lost_is_made_again(
    http: Http, gallery: Gallery, ready: Ready, working: Working, database: Database
) -> None:
    media_id = await ready(gallery, LONG)
    await ask(http, gallery, media_id)
    async with working():
        await listed(http, gallery, media_id)
    query = (await ask(http, gallery, media_id, "?signed=true")).json["url"].partition("?")[2]
    await database.hot.execute("DELETE FROM renditions WHERE size = 'playback-480'")
    assert (await http("GET", path(media_id, f"?{query}"))).code == "playlist_url_invalid"
    assert (await ask(http, gallery, media_id)).status == 202
    async with working():
        assert len(variants(await listed(http, gallery, media_id))) == 2


async def test_a_film_of_one_size_is_made_again_in_two(
    make_films: Callable[..., Http], gallery: Gallery, ready: Ready, working: Working
) -> None:
    """As those that were made before there were two sizes."""
    before, http = make_films(hls_above=timedelta(hours=1)), make_films()
    media_id = await ready(gallery, LONG)

    async def made() -> None:
        answer = await before("GET", f"/v1/media/{media_id}/playback", grant=gallery.grant("view"))
        assert answer.status == 302

    async with working():
        await eventually(made, deadline_s=120)
        assert (await ask(http, gallery, media_id)).status == 202
        await made()
        assert len(variants(await listed(http, gallery, media_id))) == 2


async def test_pieces_of_a_worker_that_made_one_size_are_made_again(
    http: Http,
    gallery: Gallery,
    ready: Ready,
    working: Working,
    making: Interrupted,
    store: FaultyStore,
    database: Database,
    clock: Clock,
) -> None:
    """A process of the release before may have begun with the film."""
    media_id = await ready(gallery, LONG)
    await ask(http, gallery, media_id)
    making.go = asyncio.Semaphore(1)
    async with working():

        async def one_piece() -> None:
            assert await database.hot.fetchval("SELECT cardinality(pieces) FROM playbacks") == 1

        await eventually(one_piece, deadline_s=60)
    prefix = media_prefix(gallery.id, UUID(media_id))
    found = [each.key for each in (await store.list_page(prefix, limit=100)).objects]
    (small,) = [key for key in found if key.endswith("-480")]
    await store.delete_batch([small])
    making.go = asyncio.Semaphore(1_000)
    async with working():

        async def shown() -> str:
            clock.pass_by(timedelta(seconds=10))
            answer = await ask(http, gallery, media_id)
            assert answer.status == 200
            return answer.body.decode()

        found_uris = variants(await eventually(shown, deadline_s=120))
    assert making.begun == [0, 0]
    listing = await of_size(http, media_id, found_uris[1][0])
    assert frames(await played(listing)) == [(number, 480) for number in range(100)]


async def test_both_sizes_are_continued_after_the_last_piece(
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
    clock.pass_by(LEASE + timedelta(seconds=1))
    making.go = asyncio.Semaphore(1_000)
    async with working():
        found = variants(await listed(http, gallery, media_id))
    assert making.begun == [0, 8 * 90_000]
    for uri, _ in found:
        shown = frames(await played(await of_size(http, media_id, uri)))
        assert [time for time, _ in shown] == list(range(100))


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        (SHORT, {}),
        (google_photo(PLAYED), {"content_type": "image/jpeg", "filename": "Gipfel.jpg"}),
    ],
    ids=["short", "motion photo"],
)
async def test_a_film_that_is_not_long_has_no_playlist(
    http: Http, gallery: Gallery, ready: Ready, body: bytes, declared: dict[str, str]
) -> None:
    answer = await ask(http, gallery, await ready(gallery, body, **declared))
    assert (answer.status, answer.code) == (422, "film_not_long")
    assert "`playback`" in answer.json["detail"]


async def test_a_picture_is_no_film(http: Http, gallery: Gallery, ready: Ready) -> None:
    media_id = await ready(gallery, PHOTO, content_type="image/jpeg", filename="a.jpg")
    answer = await ask(http, gallery, media_id)
    assert (answer.status, answer.code) == (422, "media_not_a_film")


async def test_an_item_in_processing_is_not_ready(http: Http, client: Client, gallery: Gallery) -> None:
    item = await client.upload(gallery, LONG, content_type="video/mp4", filename="a.mp4")
    answer = await ask(http, gallery, item["id"])
    assert (answer.status, answer.code) == (409, "media_not_ready")


async def test_items_of_other_galleries_do_not_exist(
    http: Http, gallery: Gallery, make_gallery: Callable[..., Gallery], ready: Ready
) -> None:
    answer = await ask(http, make_gallery(), await ready(gallery, LONG))
    assert (answer.status, answer.code) == (404, "media_not_found")


async def test_without_a_credential_nothing_is_shown(http: Http) -> None:
    assert (await http("GET", path(str(new_id())))).status == 401


async def test_the_tier_limits_how_long_a_film_may_be(
    make_films: Callable[..., Http], gallery: Gallery, ready: Ready
) -> None:
    http = make_films(playback_minutes=0, playback_minutes_by_tier={})
    answer = await ask(http, gallery, await ready(gallery, LONG))
    assert (answer.status, answer.code) == (403, "playback_not_in_tier")


async def test_one_owner_cannot_fill_the_queue(
    make_films: Callable[..., Http], gallery: Gallery, ready: Ready
) -> None:
    http = make_films(films_waiting_of_one=1)
    # The second one is known already: browsers play it.
    first, second = await ready(gallery, LONG), await ready(gallery, PLAYED)
    answer = await http("GET", f"/v1/media/{second}/playback", grant=gallery.grant("view"))
    assert answer.status == 302
    assert (await ask(http, gallery, first)).status == 202
    refused = await ask(http, gallery, second)
    assert (refused.status, refused.code) == (503, "playbacks_busy")
