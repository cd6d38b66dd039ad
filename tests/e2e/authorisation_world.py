"""The world of the authorisation matrix: galleries of every kind with contents, and tokens."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from kappi_chassis.auth import SigningKey
from kappi_embedded.data_dir import DataDir
from kappi_identity.domain.tokens import KeySeal
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e import evidence
from tests.e2e.accounts import OwnGallery, Person, log_in, make_admin, move_to_tier, sign_up
from tests.e2e.authorisation import UNLINKED, WEBHOOK, Caller, Kind, Operation
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

PICTURE = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))
PASSWORD = "correct-horse-battery"
_WISHES: Mapping[Kind, Mapping[str, str]] = {
    Kind.SHARED: {},
    Kind.PROTECTED: {"password": PASSWORD},
    Kind.PRIVATE: {"visibility": "private"},
}


@dataclass(frozen=True, slots=True)
class World:
    """names: the parts that paths, headers and bodies may name, by the kind of gallery."""

    owner: Person
    admin: Person
    galleries: Mapping[Kind, Gallery]
    names: Mapping[Kind, Mapping[str, str]]

    def named(self, kind: Kind, caller: Caller) -> dict[str, str]:
        """Returns the names for one request. New things are new each time; the caller NOBODY has no code."""
        fresh = {
            "new_email": f"new-{secrets.token_hex(8)}@example.com",
            "new_tier": f"Tier {secrets.token_hex(4)}",
        }
        unknown = {"code": "zzzzzzzz"} if caller is Caller.NOBODY else {}
        return {**self.names[kind], **fresh, **unknown}


async def build(stack: StackUnderTest, phone: Phone) -> World:
    stack.secrets.add(PASSWORD)
    owner, other = await sign_up(stack, phone, "owner"), await sign_up(stack, phone, "other")
    admin = await make_admin(stack, phone)
    await move_to_tier(phone, admin, owner, "Enterprise")
    foreign = await phone.create_gallery(contributions="open")
    stranger = await _new_contributor(stack, phone, foreign)
    everywhere = {
        "password": PASSWORD,
        "other": other.id,
        "foreign_key": foreign.access_key,
        "foreign_contributor_key": stranger["contributor_key"],
        "owner_token": owner.access_token,
        "other_token": other.access_token,
        "admin_token": admin.access_token,
        "session": _session_of(owner),
        "tier": await _new_tier(phone, admin),
        **await _bad_tokens(stack, owner),
    }
    stack.secrets.update(everywhere[name] for name in everywhere if name.endswith("_token"))
    webhook = await _new_webhook(stack, phone, owner)
    made = {kind: await _new_gallery(stack, phone, owner, kind) for kind in Kind}
    galleries = {kind: gallery for kind, (gallery, _) in made.items()}
    names: dict[Kind, dict[str, str]] = {}
    for kind, (gallery, parts) in made.items():
        names[kind] = {**everywhere, **UNLINKED, **parts, **await _new_item(phone, gallery)}
    for kind in Kind:
        await _until_viewable(phone, galleries[kind], names[kind]["item"])
        if kind is not Kind.ANONYMOUS:
            names[kind] |= await _new_link(stack, phone, galleries[kind], names[kind]["item"])
    webhook |= await _first_delivery(phone, owner, webhook["webhook"])
    post = await _new_post(phone, owner, names[Kind.SHARED]["item"])
    for kind in Kind:
        names[kind] |= {**webhook, **post, **await _new_comment(phone, owner, post["post"])}
    return World(owner, admin, galleries, names)


async def things_to_delete(
    stack: StackUnderTest,
    phone: Phone,
    world: World,
    operation: Operation,
    *,
    kind: Kind,
    caller: Caller,
) -> Mapping[str, str]:
    """Returns names of the things that the operation may delete, created for this one request."""
    gallery = world.galleries[kind]
    match operation.spends:
        case "gallery" | "contributor":
            return (await _new_gallery(stack, phone, world.owner, kind))[1]
        case "item":
            return await _new_item(phone, gallery)
        case "upload":
            return {"upload": (await phone.sign(gallery, [PICTURE]))[0]["id"]}
        case "link":
            return await _new_link(stack, phone, gallery, world.names[kind]["item"])
        case "tier":
            return {"tier": await _new_tier(phone, world.admin)}
        case "session":
            return {
                "session": _session_of(await log_in(stack, phone, world.owner.email, world.owner.password))
            }
        case "webhook":
            return await _new_webhook(stack, phone, world.owner)
        case "post":
            return await _new_post(phone, world.owner, world.names[Kind.SHARED]["item"])
        case "comment":
            return await _new_comment(phone, world.owner, world.names[kind]["post"])
        case "account":
            made = make_admin(stack, phone) if caller is Caller.ADMIN else sign_up(stack, phone, "gone")
            token = (await made).access_token
            return dict.fromkeys(("owner_token", "other_token", "admin_token"), token)
        case _:
            return {}


async def _new_gallery(
    stack: StackUnderTest, phone: Phone, owner: Person, kind: Kind
) -> tuple[Gallery, dict[str, str]]:
    """Creates an anonymous gallery and claims it if needed, so each kind has, or had, a key, a code and a
    contributor. Returns it with its parts.
    """
    made = await phone.create_gallery(contributions="open")
    parts = {
        "gallery": made.id,
        "code": made.code,
        "key": made.access_key,
        **await _new_contributor(stack, phone, made),
    }
    if kind is Kind.ANONYMOUS:
        return made, parts
    path = f"/v1/galleries/{made.id}"
    (await phone.ask("POST", f"{path}/claim", headers={**owner.key, **made.key})).ok()
    if _WISHES[kind]:
        (await phone.ask("PATCH", path, json=_WISHES[kind], headers=owner.key)).ok()
    return OwnGallery(made.id, made.code, made.access_key, made.url, owner), parts


async def _new_contributor(stack: StackUnderTest, phone: Phone, gallery: Gallery) -> dict[str, str]:
    added = (await phone.ask("POST", f"/v1/g/{gallery.code}/contributors", json={"name": "Grace"})).ok(201)
    stack.secrets.add(added["contributor_key"])
    return {"contributor": added["id"], "contributor_key": added["contributor_key"]}


async def _new_item(phone: Phone, gallery: Gallery) -> dict[str, str]:
    (upload,) = await phone.sign(gallery, [PICTURE])
    return {"item": await phone.deliver(gallery, upload, PICTURE), "upload": upload["id"]}


async def _new_link(stack: StackUnderTest, phone: Phone, gallery: Gallery, item: str) -> dict[str, str]:
    answer = await phone.ask("POST", f"/v1/media/{item}/links", json={"valid_for": 3000}, headers=gallery.key)
    link = answer.ok(201)
    token = link["link"].rpartition("/")[2]
    stack.secrets.add(token)
    return {"link": link["id"], "link_token": token}


async def _new_post(phone: Phone, owner: Person, item: str) -> dict[str, str]:
    answer = await phone.ask("POST", "/v1/posts", json={"media_id": item}, headers=owner.key)
    return {"post": answer.ok(201)["id"]}


async def _new_comment(phone: Phone, owner: Person, post: str) -> dict[str, str]:
    path = f"/v1/posts/{post}/comments"
    answer = await phone.ask("POST", path, json={"text": "Mine"}, headers=owner.key)
    return {"comment": answer.ok(201)["id"]}


async def _new_tier(phone: Phone, admin: Person) -> str:
    rules: dict[str, Any] = {
        "name": f"Tier {secrets.token_hex(4)}",
        "rendition_sizes": [200],
        "original_access": True,
        "expiring_links": False,
        "max_file_bytes": 1000,
        "quota_bytes": 1000,
    }
    answer = await phone.ask("POST", "/v1/admin/tiers", json=rules, headers=admin.key)
    return str(answer.ok(201)["name"])


async def _new_webhook(stack: StackUnderTest, phone: Phone, owner: Person) -> dict[str, str]:
    made = (await phone.ask("POST", "/v1/webhooks", json=WEBHOOK, headers=owner.key)).ok(201)
    stack.secrets.add(made["secret"])
    return {"webhook": made["id"]}


async def _first_delivery(phone: Phone, owner: Person, webhook: str) -> dict[str, str]:
    """Waits until an event was told to the webhook."""

    async def told() -> str:
        answer = await phone.ask("GET", f"/v1/webhooks/{webhook}/deliveries", headers=owner.key)
        items = answer.ok()["items"]
        assert items
        return str(items[0]["id"])

    return {"delivery": await eventually(told, 60)}


async def _until_viewable(phone: Phone, gallery: Gallery, item: str) -> None:
    """Waits until the item is ready, and media has received the owner's tier."""

    async def viewable() -> None:
        for path, status in (("renditions/400", 302), ("download", 200)):
            assert (
                await phone.ask("GET", f"/v1/media/{item}/{path}", headers=gallery.key)
            ).status == status, path

    await eventually(viewable, 60)


async def _bad_tokens(stack: StackUnderTest, owner: Person) -> dict[str, str]:
    """Returns the owner's token with administrator claims, with one fault each.

    The forged one names the genuine key; the expired one has a genuine signature.
    """
    true_key = await _signing_key(stack)
    claims = {**_claims_of(owner), "role": "admin"}
    past = {"iat": int(time.time()) - 900, "exp": int(time.time()) - 300}
    mallory = SigningKey.generate()
    mallory.kid = true_key.kid
    return {
        "expired_token": true_key.sign({**claims, **past}),
        "forged_token": mallory.sign(claims),
        "unsigned_token": jwt.encode(claims, "", algorithm="none", headers={"kid": true_key.kid}),
        "malformed_token": owner.access_token.rpartition(".")[0],
    }


async def _signing_key(stack: StackUnderTest) -> SigningKey:
    """Returns the current signing key of identity."""
    async with evidence.database(stack, "identity") as connection:
        row = await connection.fetchrow("SELECT kid, sealed_private FROM signing_keys WHERE state = 'active'")
    seal = KeySeal(DataDir(stack.running.data_dir).identity_key_secret().encode())
    return seal.open(row["sealed_private"], kid=row["kid"])


def _session_of(person: Person) -> str:
    return str(_claims_of(person)["sid"])


def _claims_of(person: Person) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(person.access_token, options={"verify_signature": False})
    return claims
