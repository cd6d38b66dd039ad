"""The operators' commands, which need only the database's address."""

from __future__ import annotations

from typing import Any

import pytest
from kappi_identity import commands
from kappi_identity.domain.accounts import TextRefused

PASSWORD, NEW = "correct horse battery staple", "a different kettle of fish"


async def test_there_is_no_administrator_until_one_is_made(
    url: str, http: Any, log_in: Any, database: Any, published: Any
) -> None:
    assert await database.hot.fetchval("SELECT count(*) FROM accounts") == 0
    account = await commands.create_admin(url, email="Root@example.com", password=PASSWORD)

    assert (account.role, account.email) == ("admin", "Root@example.com")
    token = (await log_in("root@example.com")).json["access_token"]
    assert (await http("GET", "/v1/admin/tiers", token=token)).status == 200
    assert [topic for topic, _, _ in await published()] == ["AccountCreated"]


async def test_an_account_becomes_an_administrator_with_the_new_password(
    url: str, http: Any, sign_up: Any, log_in: Any, refresh: Any, published: Any
) -> None:
    ada = await sign_up()
    promoted = await commands.create_admin(url, email="ADA@example.com", password=NEW)

    assert (str(promoted.id), promoted.role) == (ada.id, "admin")
    assert (await refresh(ada.refresh_token)).code == "invalid_grant"
    assert (await log_in(ada.email)).code == "invalid_grant"
    token = (await log_in(ada.email, password=NEW)).json["access_token"]
    assert (await http("GET", "/v1/me", token=token)).json["role"] == "admin"
    assert len(await published()) == 1


@pytest.mark.parametrize(("email", "password"), [("nobody", PASSWORD), ("a@example.com", "short")])
async def test_a_bad_address_or_password_is_refused(
    url: str, database: Any, email: str, password: str
) -> None:
    with pytest.raises(TextRefused):
        await commands.create_admin(url, email=email, password=password)
    assert await database.hot.fetchval("SELECT count(*) FROM accounts") == 0
