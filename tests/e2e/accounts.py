"""People with accounts, as seen by their app."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kappi_testkit.eventually import eventually
from kappi_testkit.stack import call_kappi

from tests.e2e.phone import Answer, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Person:
    """A person who is logged in."""

    id: str
    email: str
    password: str
    access_token: str
    refresh_token: str

    @property
    def key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


@dataclass(frozen=True, slots=True)
class OwnGallery(Gallery):
    """An account's gallery; its key is the owner's token. code and url: empty while it is private."""

    owner: Person

    @property
    def key(self) -> dict[str, str]:
        return self.owner.key


async def sign_up(stack: StackUnderTest, phone: Phone, name: str, **more: Any) -> Person:
    """Creates an account with its own address, and logs in."""
    email = f"{name}-{secrets.token_hex(4)}@example.com"
    password = secrets.token_urlsafe(12)
    stack.secrets.add(password)
    created = await phone.insist(
        "POST",
        "/v1/accounts",
        json={"email": email, "password": password, **more},
        headers={"Idempotency-Key": secrets.token_hex(16)},
    )
    account = created.ok(201)
    assert (account["email"], account["tier"], account["role"]) == (email, "Traveller", "user")
    return await log_in(stack, phone, email, password)


async def make_admin(stack: StackUnderTest, phone: Phone) -> Person:
    """Creates an administrator, as an operator does."""
    email = f"root-{secrets.token_hex(4)}@example.com"
    password = secrets.token_urlsafe(12)
    stack.secrets.add(password)
    made = call_kappi(
        "admin", "create", email, "--password-stdin", env=stack.running.env, typed=f"{password}\n"
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return await log_in(stack, phone, email, password)


async def log_in(stack: StackUnderTest, phone: Phone, email: str, password: str) -> Person:
    answer = await ask_for_tokens(phone, grant_type="password", username=email, password=password)
    tokens = answer.ok()
    assert tokens["token_type"] == "Bearer"
    stack.secrets.update(tokens[name] for name in ("access_token", "refresh_token", "device_token"))
    me = await phone.ask("GET", "/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    return Person(me.ok()["id"], email, password, tokens["access_token"], tokens["refresh_token"])


async def ask_for_tokens(phone: Phone, **form: str) -> Answer:
    return await phone.insist("POST", "/v1/oauth/token", body=urlencode(form).encode(), headers=_FORM)


async def move_to_tier(phone: Phone, admin: Person, person: Person, tier: str) -> None:
    answer = await phone.ask(
        "PUT", f"/v1/admin/accounts/{person.id}/tier", json={"tier": tier}, headers=admin.key
    )
    assert answer.ok()["tier"] == tier


async def create_gallery(phone: Phone, owner: Person, **fields: Any) -> OwnGallery:
    answer = await phone.insist("POST", "/v1/galleries", json=fields, headers=owner.key)
    gallery = answer.ok(201)
    assert "access_key" not in gallery
    assert gallery["expires_at"] is None
    return OwnGallery(gallery["id"], gallery["code"] or "", "", gallery["url"] or "", owner)


async def until_media_ready(phone: Phone, owner: Person, media_id: str) -> dict[str, Any]:
    """Returns the item once it is ready, as its owner sees it in a private or shared gallery."""

    async def ready() -> dict[str, Any]:
        answer = await phone.ask("GET", f"/v1/media/{media_id}", headers=owner.key)
        item: dict[str, Any] = answer.ok()
        assert item["status"] == "ready"
        return item

    return await eventually(ready, 60)
