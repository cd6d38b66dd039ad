"""The media service's answers to a claim or a cover, and their translation into failures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiohttp import web
from kappi_chassis.problems import Problem
from kappi_galleries.errors import ClaimsUnavailable, CoverUnavailable, MediaNotFound, MediaNotReady
from kappi_galleries.media_client import MediaService

GALLERY, ACCOUNT, ITEM = uuid4(), uuid4(), uuid4()


@pytest.fixture
async def answers() -> AsyncIterator[tuple[MediaService, list[web.Response], list[object]]]:
    """Yields the client, the service's prepared answers, and the requests it received."""
    to_come: list[web.Response] = []
    asked: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        asked.append((request.method, request.path, body))
        return to_come.pop(0)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    media = MediaService(f"http://127.0.0.1:{runner.addresses[0][1]}", headers={})
    await media.start()
    yield media, to_come, asked
    await media.close()
    await runner.cleanup()


def problem(status: int, code: str) -> web.Response:
    return web.json_response({"code": code, "detail": f"about {code}"}, status=status)


async def test_room_is_reserved(answers: tuple[MediaService, list[web.Response], list[object]]) -> None:
    media, to_come, asked = answers
    to_come.append(web.Response(status=204))
    await media.reserve(GALLERY, ACCOUNT, accept_tier=True)
    new = {"account_id": str(ACCOUNT), "accept_tier": True}
    assert asked == [("POST", f"/internal/galleries/{GALLERY}/claim", new)]


@pytest.mark.parametrize(
    ("told", "code", "status"),
    [
        (403, "quota_exceeded", 409),
        (413, "file_too_large", 409),
        (409, "claim_in_progress", 409),
        (409, "tier_withholds", 409),
        (403, "gallery_key_wrong", 403),
        (404, "gallery_not_found", 404),
    ],
)
async def test_a_refusal_keeps_its_code_and_its_words(
    answers: tuple[MediaService, list[web.Response], list[object]], told: int, code: str, status: int
) -> None:
    media, to_come, _ = answers
    to_come.append(problem(told, code))
    with pytest.raises(Problem) as refused:
        await media.reserve(GALLERY, ACCOUNT, accept_tier=False)
    assert (refused.value.code, refused.value.status) == (code, status)
    assert refused.value.detail == f"about {code}"


async def test_an_item_is_asked_for_before_it_is_named_as_cover(
    answers: tuple[MediaService, list[web.Response], list[object]],
) -> None:
    media, to_come, asked = answers
    to_come += [
        web.json_response({"version": 7}),
        problem(404, "media_not_found"),
        problem(409, "media_not_ready"),
        problem(404, "not_found"),
        problem(503, "overloaded"),
        web.Response(text="{}"),
    ]
    assert await media.version_of_ready(GALLERY, ITEM) == 7
    assert asked == [("GET", f"/internal/galleries/{GALLERY}/ready/{ITEM}", None)]
    for refusal in (MediaNotFound, MediaNotReady, *[CoverUnavailable] * 3):
        with pytest.raises(refusal):
            await media.version_of_ready(GALLERY, ITEM)


async def test_anything_else_is_no_answer(
    answers: tuple[MediaService, list[web.Response], list[object]],
) -> None:
    media, to_come, _ = answers
    for failed in (
        problem(503, "overloaded"),
        web.Response(status=500, text="?"),
        problem(422, "media_not_ready"),
    ):
        to_come.append(failed)
        with pytest.raises(ClaimsUnavailable):
            await media.reserve(GALLERY, ACCOUNT, accept_tier=False)
    away = MediaService("http://127.0.0.1:1", headers={})
    await away.start()
    with pytest.raises(ClaimsUnavailable) as refused:
        await away.reserve(GALLERY, ACCOUNT, accept_tier=False)
    assert refused.value.headers["Retry-After"] == "2"
    await away.close()
