"""`kappi keys rotate`: replaces the keys that sign access tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import asyncpg
from kappi_chassis.observability.logs import configure_logging
from kappi_identity.commands import rotate_keys, rotate_keys_now
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from kappi_embedded.commands.terminal import fail, out
from kappi_embedded.data_dir import DataDir
from kappi_embedded.plan import data_dir_from
from kappi_embedded.stack import NotRunning, find_database, running_note

_SECRET, _LIFETIME = "KAPPI_IDENTITY_KEY_SECRET", "KAPPI_IDENTITY_ACCESS_TOKEN_LIFETIME"


def rotate(environ: Mapping[str, str]) -> int:
    """Publishes the next key; it takes over automatically, and all logins stay valid.

    Returns the exit status.
    """
    return _rotated(environ, at_once=False)


def rotate_now(environ: Mapping[str, str]) -> int:
    """Signs with a new key at once, where the old key must not sign any more. Returns the exit status."""
    return _rotated(environ, at_once=True)


def _rotated(environ: Mapping[str, str], *, at_once: bool) -> int:
    configure_logging(service="kappi", level="WARNING", renderer="console")
    try:
        url, secret = find_database(environ, "identity"), _key_secret(environ)
        if at_once:
            rotation = rotate_keys_now(url, key_secret=secret, token_lifetime=_token_lifetime(environ))
        else:
            rotation = rotate_keys(url, key_secret=secret)
        kid = asyncio.run(rotation)
    except NotRunning as error:
        return fail(str(error))
    except ValidationError:
        return fail(f"{_LIFETIME} is no duration: give one such as PT10M")
    except (OSError, TimeoutError, asyncpg.PostgresError, SQLAlchemyError) as error:
        return fail(f"identity's database does not answer: {type(error).__name__}")
    when = "signs from here on" if at_once else "is published, and signs once everybody has it"
    out.print(f"Key {kid} {when}. Tokens of the others stay good until they expire.")
    return 0


def _key_secret(environ: Mapping[str, str]) -> str:
    """Returns the service's key secret. Raises NotRunning where it is not known."""
    if given := environ.get(_SECRET):
        return given
    if running_note(environ) is not None:
        return DataDir(data_dir_from(environ)).identity_key_secret()
    raise NotRunning(f"set {_SECRET} to what the identity service has: new keys are sealed under it")


def _token_lifetime(environ: Mapping[str, str]) -> timedelta | None:
    """Returns the lifetime; None for the service's default. Raises ValidationError."""
    given = environ.get(_LIFETIME)
    return TypeAdapter(timedelta).validate_python(given) if given else None
