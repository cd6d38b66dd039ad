"""Operators' commands that need the database's address and the key secret, but not the running service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords

from kappi_identity.domain.accounts import Account
from kappi_identity.domain.key_schedule import KeyPolicy
from kappi_identity.domain.tokens import KeySeal
from kappi_identity.settings import IdentitySettings
from kappi_identity.use_cases.admins import Admins
from kappi_identity.use_cases.keys import RETIRE_GRACE, KeyRotation
from kappi_identity.use_cases.sign_up import SignUp

_POOL_SIZE = 2
T = TypeVar("T")


async def create_admin(database_url: str, *, email: str, password: str) -> Account:
    """Create an administrator with this address and password; an existing account of the address becomes one.

    The relay of a running service publishes the queued event. Raises TextRefused.
    """
    async with _opened(database_url) as database:
        outbox = Outbox(database)
        passwords = Passwords(
            time_cost=_default("password_time_cost", int),
            memory_kib=_default("password_memory_kib", int),
            longest_queue=1,
            share=1,
        )
        sign_up = SignUp(
            outbox=outbox,
            passwords=passwords,
            tier=_default("sign_up_tier", str),
            clock=utc_now,
            new_id=new_id,
        )
        try:
            return await Admins(outbox=outbox, sign_up=sign_up, passwords=passwords).create(email, password)
        finally:
            await passwords.close()


async def rotate_keys(database_url: str, *, key_secret: str) -> str:
    """Publish the next signing key and return its id; it takes over automatically after the overlap.

    key_secret: the service's KAPPI_IDENTITY_KEY_SECRET.
    """
    async with _rotation(database_url, key_secret) as rotation:
        return await rotation.rotate()


async def rotate_keys_now(
    database_url: str, *, key_secret: str, token_lifetime: timedelta | None = None
) -> str:
    """Replace the signing key within seconds and return the new key's id. See `KeyRotation.rotate_now`.

    token_lifetime: the service's KAPPI_IDENTITY_ACCESS_TOKEN_LIFETIME, where it is not the default.
    """
    async with _rotation(database_url, key_secret, token_lifetime=token_lifetime) as rotation:
        return await rotation.rotate_now()


@asynccontextmanager
async def _rotation(
    database_url: str, key_secret: str, *, token_lifetime: timedelta | None = None
) -> AsyncIterator[KeyRotation]:
    policy = KeyPolicy(
        publish_ahead=_default("key_publish_ahead", timedelta),
        retire_for=(token_lifetime or _default("access_token_lifetime", timedelta)) + RETIRE_GRACE,
        rotate_every=_default("key_rotate_every", timedelta),
    )
    async with _opened(database_url) as database:
        yield KeyRotation(database=database, seal=KeySeal(key_secret.encode()), policy=policy, clock=utc_now)


@asynccontextmanager
async def _opened(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=_POOL_SIZE)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


def _default(name: str, kind: type[T]) -> T:
    """Returns the default of a setting of the service."""
    value = IdentitySettings.model_fields[name].default
    assert isinstance(value, kind)
    return value
