"""Contributor keys become grants, and drops show items only to those that have one."""

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec
import pytest
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply, Seen, grant_reply, problem_reply
from kappi_testkit.gateway.stack import Stack, StackFactory

from .live_client import Feed, gallery_deleted, ready, removed, updated, watching

KEY = "kappi_" + "c" * 26
CONTRIBUTOR = f"X-Contributor-Key: {KEY}"
MANAGER = "X-Gallery-Key: kappi_" + "a" * 26
CODE = "X-Gallery-Code: abcd"
ITEM, UPLOAD = f"/v1/media/{GALLERY_ID}", f"/v1/uploads/{GALLERY_ID}"
GALLERY = f"/v1/galleries/{GALLERY_ID}"
JOIN = "/v1/g/abcd/contributors"
UPLOADING = (
    ("POST", f"{GALLERY}/uploads"),
    ("POST", f"{GALLERY}/media"),
    ("GET", UPLOAD),
    ("DELETE", UPLOAD),
    ("POST", f"{UPLOAD}/parts"),
    ("POST", f"{UPLOAD}/complete"),
    ("PATCH", ITEM),
    ("DELETE", ITEM),
)
LOOKING = (("GET", ITEM), ("GET", f"{ITEM}/download"), ("GET", f"{ITEM}/renditions/400"))
MANAGING = (
    ("POST", f"{ITEM}/links"),
    ("GET", f"{ITEM}/links"),
    ("DELETE", f"/v1/links/{GALLERY_ID}"),
    ("GET", f"{GALLERY}/accesses"),
)


def gives(stack: Stack, *, drop: bool = False, of: UUID = GALLERY_ID, refused: Reply | None = None) -> None:
    """Makes the galleries service give grants that are named after the credential.

    of: the gallery of the contributor key. refused: the answer to that key instead.
    """

    async def answer(seen: Seen) -> Reply:
        kind = seen.raw_path.rpartition(b"/")[2].decode()
        if kind == "contributor" and refused is not None:
            return refused
        reply = grant_reply(grant=kind, gallery_id=of if kind == "contributor" else GALLERY_ID)
        document = msgspec.json.decode(reply.body) | {"hides_items": drop and kind == "view"}
        return Reply(body=msgspec.json.encode(document))

    stack.galleries.answer = answer


def granted(stack: Stack) -> list[str]:
    """Returns the grants that the media service got."""
    return [seen.headers["x-kappi-grant"] for seen in stack.media.seen]


@pytest.mark.parametrize(("method", "target"), [*UPLOADING, *LOOKING])
async def test_a_contributor_key_is_exchanged_once(stack: Stack, method: str, target: str) -> None:
    gives(stack)
    body = b"{}" if method in {"POST", "PATCH"} else b""
    for _ in range(2):
        assert (await stack.ask(method, target, CONTRIBUTOR, body=body)).status == 200
    assert granted(stack) == ["contributor"] * 2
    assert [seen.json() for seen in stack.grants_asked()] == [{"contributor_key": KEY}]
    assert all("x-contributor-key" not in seen.headers for seen in stack.media.seen)


@pytest.mark.parametrize(("method", "target"), MANAGING)
async def test_it_manages_nothing(stack: Stack, method: str, target: str) -> None:
    gives(stack)
    answer = await stack.ask(method, target, CONTRIBUTOR, body=b"{}" if method == "POST" else b"")
    assert (answer.status, answer.code) == (401, "gallery_key_missing")
    assert stack.grants_asked() == []


async def test_the_key_of_the_gallery_wins_and_the_code_loses(stack: Stack) -> None:
    gives(stack)
    for lines in ((CONTRIBUTOR, MANAGER), (CODE, CONTRIBUTOR), (CODE,)):
        await stack.ask("GET", ITEM, *lines)
    assert granted(stack) == ["key", "contributor", "view"]


async def test_a_wrong_key_is_refused_and_not_cached(stack: Stack) -> None:
    gives(stack, refused=problem_reply(403, "contributor_key_wrong"))
    for _ in range(2):
        answer = await stack.ask("POST", f"{GALLERY}/uploads", CONTRIBUTOR, body=b"{}")
        assert (answer.status, answer.code) == (403, "contributor_key_wrong")
    assert len(stack.grants_asked()) == 2
    assert stack.media.seen == []


async def test_without_a_credential_the_answer_names_all(stack: Stack) -> None:
    answer = await stack.ask("POST", f"{GALLERY}/uploads", body=b"{}")
    assert (answer.status, answer.code) == (401, "gallery_key_missing")
    assert b"X-Contributor-Key" in answer.body


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_change_of_the_gallery_drops_the_grants_of_its_contributors(
    stack: Stack, method: str
) -> None:
    gives(stack)
    target = GALLERY if method == "PATCH" else f"{GALLERY}/contributors/{uuid4()}"
    await stack.ask("GET", UPLOAD, CONTRIBUTOR)
    assert (await stack.ask(method, target, MANAGER, body=b"{}" if method == "PATCH" else b"")).status == 200
    await stack.ask("GET", UPLOAD, CONTRIBUTOR)
    assert len(stack.grants_asked()) == 2


# drops


@pytest.mark.parametrize("target", ["/v1/g/abcd", "/v1/g/abcd/archive"])
async def test_a_drop_is_shown_by_the_better_credential(stack: Stack, target: str) -> None:
    gives(stack, drop=True)
    for lines in ((), (CONTRIBUTOR,), (MANAGER,), (CONTRIBUTOR, MANAGER)):
        assert (await stack.ask("GET", target, *lines)).status == 200
    assert granted(stack) == ["view", "contributor", "key", "key"]


async def test_the_owner_sees_its_drop(make_stack: StackFactory) -> None:
    stack = await make_stack(accounts=True)
    stack.publish_keys(stack.issuer)
    gives(stack, drop=True)
    assert (await stack.ask("GET", "/v1/g/abcd", stack.bearer())).status == 200
    assert granted(stack) == ["owner"]


@pytest.mark.parametrize("target", ["/v1/g/abcd", "/v1/g/abcd/archive"])
async def test_other_galleries_are_shown_by_their_code_alone(stack: Stack, target: str) -> None:
    gives(stack)
    assert (await stack.ask("GET", target, CONTRIBUTOR, MANAGER)).status == 200
    assert granted(stack) == ["view"]
    assert len(stack.grants_asked()) == 1


async def test_a_key_of_another_gallery_shows_nothing_of_a_drop(stack: Stack) -> None:
    gives(stack, drop=True, of=uuid4())
    answer = await stack.ask("GET", "/v1/g/abcd", CONTRIBUTOR)
    assert (answer.status, answer.code) == (403, "contributor_key_wrong")
    gives(stack, drop=True, refused=problem_reply(403, "contributor_key_wrong"))
    stack.cache.drop_all()
    answer = await stack.ask("GET", "/v1/g/abcd", CONTRIBUTOR)
    assert (answer.status, answer.code) == (403, "contributor_key_wrong")
    assert stack.media.seen == []


async def test_the_code_and_the_password_of_a_drop_are_asked_for_first(stack: Stack) -> None:
    for status, code in ((404, "gallery_not_found"), (401, "gallery_password_required")):
        stack.galleries.always(problem_reply(status, code))
        answer = await stack.ask("GET", "/v1/g/abcd", CONTRIBUTOR, MANAGER)
        assert (answer.status, answer.code) == (status, code)


# becoming a contributor


async def test_a_contributor_is_added_by_the_code(stack: Stack) -> None:
    gives(stack)
    assert (await stack.ask("POST", "/v1/g/ABCD/contributors", body=b'{"name":"Grace"}')).status == 200
    gives(stack, drop=True)
    assert (await stack.ask("POST", JOIN, CONTRIBUTOR, MANAGER, body=b"{}")).status == 200
    (seen, _) = [seen for seen in stack.galleries.seen if b"/grants/" not in seen.raw_path]
    assert seen.raw_path == JOIN.encode()
    assert (seen.headers["x-kappi-grant"], seen.body) == ("view", b'{"name":"Grace"}')


async def test_contributors_of_one_address_are_limited(make_stack: StackFactory) -> None:
    stack = await make_stack(contributor_burst=2, contributors_per_hour=60)

    async def answer(seen: Seen) -> Reply:
        return grant_reply() if b"/grants/" in seen.raw_path else Reply(status=201)

    stack.galleries.answer = answer
    statuses = [(await stack.ask("POST", JOIN, body=b"{}")).status for _ in range(2)]
    refused = await stack.ask("POST", JOIN, body=b"{}")
    assert (statuses, refused.status, refused.code) == ([201, 201], 429, "too_many_contributions")
    assert refused.headers["retry-after"] == "60"
    stack.time.now_s += 60
    assert (await stack.ask("POST", JOIN, body=b"{}")).status == 201


# live streams


async def test_a_stream_of_a_drop_tells_of_no_item(stack: Stack) -> None:
    feed = Feed(stack.live)
    gives(stack, drop=True)
    async with watching(stack) as viewer, watching(stack, MANAGER) as manager:
        feed.bring(ready(), removed(uuid4()), updated(), ready(), to=[stack.live])
        for each in (viewer, manager):
            assert (await each.next()).kind == "gallery_updated"
        last_id = viewer.last_id
        feed.bring(ready(), gallery_deleted(), to=[stack.live])
        assert [told.kind for told in await viewer.ends()] == ["gallery_deleted"]
    async with watching(stack, last_id=last_id) as late:
        assert (await late.next()).kind == "gallery_deleted"


async def test_a_stream_follows_the_gallery_into_and_out_of_a_drop(stack: Stack) -> None:
    feed, shown = Feed(stack.live), [uuid4(), uuid4()]

    def becomes(*, drop: bool) -> None:
        gives(stack, drop=drop)
        stack.cache.drop_gallery(GALLERY_ID)  # as the consumer does

    gives(stack)
    async with watching(stack) as viewer:
        becomes(drop=True)
        feed.bring(updated(), ready(), to=[stack.live])
        assert (await viewer.next()).kind == "gallery_updated"
        feed.bring(ready(), to=[stack.live])
        becomes(drop=False)
        feed.bring(updated(), ready(shown[0]), to=[stack.live])
        assert (await viewer.next()).kind == "gallery_updated"
        feed.bring(ready(shown[1]), to=[stack.live])
        told = [(await viewer.next()).data["id"] for _ in shown]
        assert told == [str(item) for item in shown]
