"""Every refused request gets the right problem, stores nothing and shows no internals."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from kappi_gateway.routes import ROUTES, Credential, Route
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e import evidence, posts
from tests.e2e.accounts import sign_up
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.refusals import HOME_KEY, REFUSALS, TOKEN, UNKNOWN_ID, Refusal
from tests.e2e.stacks import StackUnderTest

PICTURE = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))


@dataclass(frozen=True, slots=True)
class World:
    """names: values that the refusals' paths and headers may name."""

    home: Gallery
    names: Mapping[str, str]


pytestmark = pytest.mark.real_servers


@pytest.fixture(scope="module")
def world(stack: StackUnderTest) -> World:
    """Builds a gallery with an item, a pending and an aborted upload; another person's; a deleted one."""
    return asyncio.run(_build(stack))


async def _build(stack: StackUnderTest) -> World:
    async with Phone(stack.base_url, secrets=stack.secrets) as phone:
        home, foreign, dead = [await phone.create_gallery(expires_in=59 * 86_400) for _ in range(3)]
        completed, pending, aborted = await phone.sign(home, [PICTURE] * 3)
        await phone.deliver(home, completed, PICTURE)
        await phone.until_ready(home, 1)
        for path in (f"/v1/uploads/{aborted['id']}", f"/v1/galleries/{dead.id}"):
            key = dead.key if "galleries" in path else home.key
            assert (await phone.ask("DELETE", path, headers=key)).status == 204
        galleries = {"home": home, "foreign": foreign, "dead": dead}
        names = {name: gallery.id for name, gallery in galleries.items()}
        names |= {f"{name}_key": gallery.access_key for name, gallery in galleries.items()}
        names |= {f"{name}_code": gallery.code for name, gallery in galleries.items()}
        names |= {
            "item": completed["media_id"],
            "completed": completed["id"],
            "pending": pending["id"],
            "pending_item": pending["media_id"],
            "aborted": aborted["id"],
            **await _post(stack, phone),
        }
    await stack.running.wait_idle()
    return World(home, names)


async def _post(stack: StackUnderTest, phone: Phone) -> dict[str, str]:
    """Creates a post with a comment by the same account, and another account."""
    author, stranger = await sign_up(stack, phone, "author"), await sign_up(stack, phone, "stranger")
    post = (await posts.create(phone, author, PICTURE.body)).ok(201)["id"]
    comment = (await posts.comment(phone, author, post, "First")).ok(201)["id"]
    tokens = {"token": author.access_token, "stranger_token": stranger.access_token}
    return {"post": post, "comment": comment, **tokens}


async def _footprint(stack: StackUnderTest, home: Gallery) -> object:
    """Returns all state that a refused request could have changed."""
    return (
        await evidence.ask_database(
            stack,
            "galleries",
            "SELECT ((SELECT count(*) FROM galleries), version, title, expires_at,"
            " (SELECT array_agg(version ORDER BY id) FROM posts), (SELECT count(*) FROM comments))::text"
            " FROM galleries WHERE id = $1",
            UUID(home.id),
        ),
        await evidence.ask_database(
            stack,
            "media",
            "SELECT ((SELECT array_agg(state ORDER BY id) FROM uploads),"
            " (SELECT array_agg(version ORDER BY id) FROM items),"
            " (SELECT sum(version) FROM contents), (SELECT count(*) FROM post_pictures),"
            " (SELECT sum(reserved_bytes) FROM accounts))::text",
        ),
        await evidence.objects_under(stack, f"galleries/{home.id}/"),
    )


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
async def test_a_refusal_has_its_code_and_stores_and_shows_nothing(
    refusal: Refusal, stack: StackUnderTest, phone: Phone, world: World
) -> None:
    before = await _footprint(stack, world.home)
    answer = await phone.ask(
        refusal.method,
        _named(refusal.path, world),
        json=_named_in(refusal.json, world),
        body=refusal.body,
        headers={name: _named(value, world) for name, value in refusal.headers.items()},
    )
    document = answer.problem(refusal.status, refusal.code)
    if refusal.names is not None:
        fields = [error["field"] for error in document["errors"]]
        assert refusal.names in fields, fields
    if refusal.status == 405:
        assert refusal.method not in answer.headers["Allow"].split(", ")
    shown = answer.body.decode()
    for secret in ("home_key", "foreign_key", "dead_key", "token"):
        assert world.names[secret] not in shown
    assert await _footprint(stack, world.home) == before


_TO_IDS = {
    "galleries": "{home}",
    "media": "{item}",
    "uploads": "{pending}",
    "posts": "{post}",
    "comments": "{comment}",
}


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if not route.template.startswith("/v1/l")],
    ids=lambda route: f"{route.method} {route.template}",
)
async def test_unknown_parameters_are_refused_by_every_operation(
    route: Route, stack: StackUnderTest, phone: Phone, world: World
) -> None:
    path = route.template.replace("{id}", _TO_IDS.get(route.collection, UNKNOWN_ID))
    path = path.replace("{code}", "{home_code}").replace("{size}", "400")
    path = path.replace("{contributor_id}", UNKNOWN_ID).replace("{delivery_id}", UNKNOWN_ID)
    before = await _footprint(stack, world.home)
    answer = await phone.ask(
        route.method,
        _named(path.replace("{name}", "basic").replace("{token}", "t"), world) + "?limt=3&cursr=",
        headers={name: _named(value, world) for name, value in _GOOD[route.credential].items()},
        json={} if route.method in {"POST", "PUT", "PATCH"} else None,
    )
    errors = answer.problem(422, "unknown_field")["errors"]
    assert [error["field"] for error in errors] == ["limt", "cursr"]
    assert await _footprint(stack, world.home) == before


_GOOD: Mapping[Credential, Mapping[str, str]] = {
    Credential.NONE: {},
    Credential.ACCOUNT: TOKEN,
    Credential.CODE_IN_PATH: {},
    Credential.CODE_WITHOUT_PASSWORD: {},
    Credential.MANAGER: HOME_KEY,
    Credential.UPLOADER: HOME_KEY,
    Credential.VIEWER: HOME_KEY,
}


@pytest.mark.parametrize("action", ["claim", "rotate-code", "rotate-key"])
async def test_an_operation_without_a_body_refuses_fields(
    action: str, stack: StackUnderTest, phone: Phone, world: World
) -> None:
    path = f"/v1/galleries/{world.home.id}/{action}"
    answer = await phone.ask("POST", path, headers=world.home.key, json={"code": "mine"})
    assert answer.problem(422, "unknown_field")["errors"][0]["field"] == "code"


def _named(text: str, world: World) -> str:
    return text.format(**world.names) if "{" in text else text


def _named_in(json: Any, world: World) -> Any:
    if not isinstance(json, Mapping):
        return json
    return {name: _named(value, world) if isinstance(value, str) else value for name, value in json.items()}


async def test_a_genuine_grant_is_ignored_at_the_gateway(
    stack: StackUnderTest, phone: Phone, world: World
) -> None:
    """Grants are internal: a leaked grant gives no access, and adds no rights to a code."""
    asked = await phone.ask(
        "POST",
        f"{stack.service_url('galleries')}/internal/grants/key",
        json={"access_key": world.home.access_key},
        headers=stack.running.introduction,
    )
    grant = asked.ok()["grant"]
    stack.secrets.add(grant)
    for name in ("X-Kappi-Grant", "x-kappi-grant"):
        alone = await phone.ask("GET", f"/v1/media/{world.names['item']}", headers={name: grant})
        alone.problem(401, "credentials_missing")
    foreign = {"X-Gallery-Code": world.names["foreign_code"], "X-Kappi-Grant": grant}
    mixed = await phone.ask("GET", f"/v1/media/{world.names['item']}", headers=foreign)
    mixed.problem(404, "media_not_found")
    # At the service's own port the grant is valid, until a bit of it changes.
    media_url = f"{stack.service_url('media')}/v1/media/{world.names['item']}"
    introduced = {**stack.running.introduction, "X-Kappi-Grant": grant}
    assert (await phone.ask("GET", media_url, headers=introduced)).status == 200
    tampered = grant[:-6] + ("AAAAAA" if not grant.endswith("AAAAAA") else "BBBBBB")
    refused = await phone.ask("GET", media_url, headers={**introduced, "X-Kappi-Grant": tampered})
    refused.problem(401, "grant_invalid")
