"""The running stack permits exactly what the authorisation matrix says, and hides what exists."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlencode
from uuid import UUID

import pytest

from tests.e2e import evidence
from tests.e2e.authorisation import OPERATIONS, SENDS, Caller, Kind, Operation, named
from tests.e2e.authorisation_world import World, build, things_to_delete
from tests.e2e.phone import Answer, Gallery, Phone
from tests.e2e.refusals import UNKNOWN_ID, UNKNOWN_KEY
from tests.e2e.stacks import StackUnderTest

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_PER_ANSWER_HEADERS = {"date", "x-request-id", "traceparent", "content-length"}


pytestmark = pytest.mark.real_servers


@pytest.fixture(scope="module")
def world(stack: StackUnderTest) -> World:
    async def built() -> World:
        async with Phone(stack.base_url, secrets=stack.secrets) as phone:
            return await build(stack, phone)

    return asyncio.run(built())


async def test_the_matrix_has_every_running_operation(stack: StackUnderTest, phone: Phone) -> None:
    paths = (await phone.ask("GET", "/openapi.json")).ok()["paths"]
    running = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert running == {operation.name for operation in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_callers_may_do_exactly_what_the_matrix_says(
    operation: Operation, stack: StackUnderTest, phone: Phone, world: World
) -> None:
    """Tests every caller on every kind of gallery; afterwards, refused calls must have changed nothing."""
    differences = []
    for kind in operation.kinds:
        names = [await _names(stack, phone, world, operation, kind, caller) for caller in Caller]
        answers = await asyncio.gather(
            *(_ask(phone, operation, caller, each) for caller, each in zip(Caller, names, strict=True))
        )
        for caller, answer in zip(Caller, answers, strict=True):
            expected, got = operation.expected(caller, kind), _outcome(answer)
            if got != expected:
                differences.append(f"{caller.value}, {kind.value} gallery: {got} instead of {expected}")
    assert not differences, "\n".join([operation.name, *differences])
    if operation.spends:
        await _assert_all_exists(phone, world)


async def _names(
    stack: StackUnderTest, phone: Phone, world: World, operation: Operation, kind: Kind, caller: Caller
) -> Mapping[str, str]:
    names = world.named(kind, caller)
    if operation.spends and operation.may(caller, kind) and operation.expected(caller, kind)[0] == "2":
        names |= await things_to_delete(stack, phone, world, operation, kind=kind, caller=caller)
    return names


async def _ask(phone: Phone, operation: Operation, caller: Caller, names: Mapping[str, str]) -> Answer:
    headers = named(SENDS[caller], names)
    body = None
    if operation.form:
        headers, body = {**headers, **_FORM}, urlencode(operation.form).encode()
    return await phone.ask(
        operation.method,
        operation.target.format(**names),
        json=named(operation.json, names),
        body=body,
        headers=headers,
    )


def _outcome(answer: Answer) -> str:
    if answer.status < 400:
        return str(answer.status)
    code = answer.json()["code"]
    answer.problem(answer.status, code)
    if answer.status == 401:
        assert "WWW-Authenticate" in answer.headers, code
    return f"{answer.status} {code}"


async def _assert_all_exists(phone: Phone, world: World) -> None:
    for kind, gallery in world.galleries.items():
        names = world.names[kind]
        for path in (f"/v1/galleries/{gallery.id}", f"/v1/media/{names['item']}"):
            assert (await phone.ask("GET", path, headers=gallery.key)).status == 200, (kind, path)
    post = world.names[Kind.SHARED]["post"]
    assert (await phone.ask("GET", f"/v1/posts/{post}")).ok()["comment_count"] >= len(Kind)
    for name in ("owner_token", "other_token", "admin_token"):
        headers = {"Authorization": f"Bearer {world.names[Kind.SHARED][name]}"}
        assert (await phone.ask("GET", "/v1/me", headers=headers)).status == 200, name


async def test_a_stranger_cannot_find_out_which_galleries_exist(
    stack: StackUnderTest, phone: Phone, world: World
) -> None:
    """Private, unknown, expired and deleted galleries have the same answer by code, for any caller."""
    expired, deleted = await phone.create_gallery(), await phone.create_gallery()
    await _let_expire(stack, expired)
    (await phone.ask("DELETE", f"/v1/galleries/{deleted.id}", headers=deleted.key)).ok(204)
    codes = {
        "private": world.galleries[Kind.PRIVATE].code,
        "unknown": "zzzzzzzz",
        "expired": expired.code,
        "deleted": deleted.code,
        "of no alphabet": "0000",
    }
    item = world.names[Kind.SHARED]["item"]
    for more in ({}, {"X-Gallery-Password": "any-password"}, world.owner.key):
        answers = {
            name: await phone.ask("GET", f"/v1/g/{code}", headers=more) for name, code in codes.items()
        }
        _assert_alike(answers, 404, "gallery_not_found")
    for path in (f"/v1/media/{item}", f"/v1/media/{item}/download", f"/v1/media/{item}/renditions/400"):
        shown = {
            name: await phone.ask("GET", path, headers={"X-Gallery-Code": code})
            for name, code in codes.items()
        }
        _assert_alike(shown, 404, "gallery_not_found")


async def test_an_account_cannot_find_out_which_galleries_others_have(
    stack: StackUnderTest, phone: Phone, world: World
) -> None:
    """Galleries of others, anonymous, deleted and unknown ones have the same answer."""
    other = {"Authorization": f"Bearer {world.names[Kind.SHARED]['other_token']}"}
    mine = (await phone.ask("POST", "/v1/galleries", json={}, headers=other)).ok(201)["id"]
    (await phone.ask("DELETE", f"/v1/galleries/{mine}", headers=other)).ok(204)
    galleries = {kind.value: gallery.id for kind, gallery in world.galleries.items()}
    galleries |= {"unknown": UNKNOWN_ID, "deleted": mine}
    for method, path in (
        ("GET", "/v1/galleries/{}"),
        ("PATCH", "/v1/galleries/{}"),
        ("POST", "/v1/galleries/{}/rotate-code"),
    ):
        body = {"title": "Whose?"} if method == "PATCH" else None
        answers = {
            name: await phone.ask(method, path.format(each), json=body, headers=other)
            for name, each in galleries.items()
        }
        _assert_alike(answers, 404, "gallery_not_found")
    items = {kind.value: world.names[kind]["item"] for kind in Kind} | {"unknown": UNKNOWN_ID}
    seen = {name: await phone.ask("GET", f"/v1/media/{each}", headers=other) for name, each in items.items()}
    _assert_alike(seen, 404, "media_not_found")


async def test_the_answer_to_a_wrong_key_shows_nothing(phone: Phone, world: World) -> None:
    """Unknown, void and other galleries' keys have the same answer, whether or not a gallery exists."""
    void = world.galleries[Kind.SHARED].access_key
    keys = {"unknown": UNKNOWN_KEY, "void": void, "another's": world.names[Kind.SHARED]["foreign_key"]}
    galleries = {kind.value: gallery.id for kind, gallery in world.galleries.items()} | {"none": UNKNOWN_ID}
    answers = {
        f"{of} key, {name} gallery": await phone.ask(
            "GET", f"/v1/galleries/{gallery}", headers={"X-Gallery-Key": key}
        )
        for of, key in keys.items()
        for name, gallery in galleries.items()
    }
    _assert_alike(answers, 403, "gallery_key_wrong")


def _assert_alike(answers: Mapping[str, Answer], status: int, code: str) -> None:
    """Asserts equal problems: status, headers and body except for the request's id."""
    shown = {}
    for name, answer in answers.items():
        document = answer.problem(status, code)
        document.pop("request_id")
        headers = {key.lower(): value for key, value in answer.headers.items()}
        shown[name] = (document, {key: headers[key] for key in headers.keys() - _PER_ANSWER_HEADERS})
    first = next(iter(shown.values()))
    assert {name: each for name, each in shown.items() if each != first} == {}


async def _let_expire(stack: StackUnderTest, gallery: Gallery) -> None:
    """Moves the expiry into the past, as before the janitor's next tick."""
    async with evidence.database(stack, "galleries") as connection:
        await connection.execute(
            "UPDATE galleries SET expires_at = now() - interval '1 minute' WHERE id = $1", UUID(gallery.id)
        )
