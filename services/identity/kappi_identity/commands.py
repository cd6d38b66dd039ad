"""Operators' commands that need the database's address and the key secret, but not the running service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords
from pydantic import SecretStr

from kappi_identity.bootstrap import Dependencies, build_keys, build_sign_up
from kappi_identity.domain.accounts import Account
from kappi_identity.settings import IdentitySettings
from kappi_identity.use_cases.create_admin import CreateAdmin
from kappi_identity.use_cases.rotate_keys import ReplaceKey, RotateKeys

_POOL_SIZE = 2


async def create_admin(database_url: str, *, email: str, password: str) -> Account:
    """Create an administrator with this address and password; an existing account of the address becomes one.

    The relay of a running service publishes the queued event. Raises TextRefused.
    """
    settings = _settings()
    async with _dependencies(database_url, settings) as deps:
        sign_up = build_sign_up(deps, settings)
        create = CreateAdmin(outbox=deps.outbox, sign_up=sign_up, passwords=deps.passwords)
        return await create(email, password)


async def rotate_keys(database_url: str, *, key_secret: str) -> str:
    """Publish the next signing key and return its id; it takes over automatically after the overlap.

    key_secret: the service's KAPPI_IDENTITY_KEY_SECRET.
    """
    settings = _settings(key_secret=SecretStr(key_secret))
    async with _dependencies(database_url, settings) as deps:
        return await build_keys(RotateKeys, deps, settings)()


async def rotate_keys_now(
    database_url: str, *, key_secret: str, token_lifetime: timedelta | None = None
) -> str:
    """Replace the signing key within seconds and return the new key's id. See `ReplaceKey`.

    token_lifetime: the service's KAPPI_IDENTITY_ACCESS_TOKEN_LIFETIME, where it is not the default.
    """
    changed = {} if token_lifetime is None else {"access_token_lifetime": token_lifetime}
    settings = _settings(key_secret=SecretStr(key_secret), **changed)
    async with _dependencies(database_url, settings) as deps:
        return await build_keys(ReplaceKey, deps, settings)()


def _settings(**values: Any) -> IdentitySettings:
    """Returns the defaults of the service's settings. The environment of the command is not read."""
    return IdentitySettings.model_construct(**values)


@asynccontextmanager
async def _dependencies(database_url: str, settings: IdentitySettings) -> AsyncIterator[Dependencies]:
    database, passwords = Database(database_url, pool_size=_POOL_SIZE), Passwords.of(settings)
    await database.start()
    try:
        yield Dependencies(database=database, outbox=Outbox(database), passwords=passwords)
    finally:
        await passwords.close()
        await database.close()
