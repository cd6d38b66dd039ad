"""Signing keys: published before and after they sign, rotated by any replica, sealed in the database."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import jwt
import msgspec
import pytest
from kappi_chassis.auth import JwksSource
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.auth.verifier import FRESH_S
from kappi_identity import commands
from kappi_identity.bootstrap import build_keys
from kappi_identity.domain.tokens import KeySeal, KeySecretWrong
from kappi_identity.repository.keys import KeyQueries
from kappi_identity.use_cases.keyring import CACHE_S, Keyring
from kappi_identity.use_cases.rotate_keys import AdvanceKeys, ReplaceKey

JWKS = "/.well-known/jwks.json"
AHEAD = timedelta(minutes=10)


async def _kids(http: Any) -> list[str]:
    answer = await http("GET", JWKS)
    assert answer.status == 200
    return [key["kid"] for key in answer.json["keys"]]


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.fixture
def new_token(make_http: Any, log_in: Any) -> Any:
    """Returns `await new_token()`: an access token of a replica that has no cached key."""

    async def new_token() -> str:
        return str((await log_in("ada@example.com", http=make_http())).json["access_token"])

    return new_token


async def test_the_key_set_is_public_and_holds_no_private_key(http: Any) -> None:
    answer = await http("GET", JWKS)

    (key,) = answer.json["keys"]
    assert set(key) == {"kid", "kty", "crv", "x", "alg", "use"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    assert answer.headers["cache-control"] == "public, max-age=60"


async def test_many_replicas_that_start_at_once_make_one_key(make_http: Any) -> None:
    found = await asyncio.gather(*(_kids(make_http()) for _ in range(8)))
    assert len({tuple(kids) for kids in found}) == 1


async def test_a_rotation_logs_nobody_out(
    http: Any, rotate_keys: Any, advance_keys: Any, sign_up: Any, refresh: Any, new_token: Any, clock: Any
) -> None:
    ada = await sign_up()
    (old,) = await _kids(http)
    new = await rotate_keys()

    # Published but not in use: a verifier with a recently cached set would not have it.
    assert await _kids(http) == [old, new]
    assert _kid(await new_token()) == old
    assert await rotate_keys() == new
    clock.pass_by(AHEAD - timedelta(seconds=1))
    await advance_keys()
    assert _kid(await new_token()) == old

    clock.pass_by(timedelta(seconds=1))
    await advance_keys()
    assert _kid(await new_token()) == new
    assert await _kids(http) == [new, old]
    assert (await http("GET", "/v1/me", token=ada.access_token)).status == 200
    assert (await refresh(ada.refresh_token)).status == 200


async def test_a_key_stays_published_until_its_last_token_expired(
    make_settings: Any, deps: Any, make_http: Any, clock: Any
) -> None:
    lifetime = timedelta(minutes=10)
    settings, http = make_settings(access_token_lifetime=lifetime), make_http(access_token_lifetime=lifetime)
    replace_key = build_keys(ReplaceKey, deps, settings)
    advance_keys = build_keys(AdvanceKeys, deps, settings)
    (old,) = await _kids(http)
    new = await replace_key()

    clock.pass_by(lifetime)
    await advance_keys()
    assert await _kids(http) == [new, old]
    clock.pass_by(timedelta(minutes=1))
    await advance_keys()
    assert await _kids(http) == [new]


async def test_a_key_of_age_is_replaced_by_itself(advance_keys: Any, http: Any, clock: Any) -> None:
    (old,) = await _kids(http)
    clock.pass_by(timedelta(days=89))
    await advance_keys()
    assert await _kids(http) == [old]
    clock.pass_by(timedelta(days=1))
    await advance_keys()
    await advance_keys()
    assert len(await _kids(http)) == 2
    clock.pass_by(AHEAD)
    await advance_keys()
    (new, _) = await _kids(http)
    assert new != old


async def test_replicas_that_move_keys_at_once_move_them_once(
    make_settings: Any, deps: Any, database: Any, http: Any, clock: Any
) -> None:
    await _kids(http)
    clock.pass_by(timedelta(days=90))
    replicas = [build_keys(AdvanceKeys, deps, make_settings()) for _ in range(6)]
    await asyncio.gather(*(advance_keys() for advance_keys in replicas))
    clock.pass_by(AHEAD)
    await asyncio.gather(*(advance_keys() for advance_keys in replicas))
    rows = await database.hot.fetch("SELECT state FROM signing_keys ORDER BY state")
    assert [row["state"] for row in rows] == ["active", "retiring"]


async def test_a_verifier_with_a_cached_set_never_meets_a_key_it_lacks(
    http: Any, rotate_keys: Any, advance_keys: Any, sign_up: Any, new_token: Any, clock: Any
) -> None:
    async def fetch() -> bytes:
        return msgspec.json.encode((await http("GET", JWKS)).json)

    monotonic = [0.0]
    verifier = AccountVerifier(JwksSource(fetch, monotonic=lambda: monotonic[0]), clock=clock)
    await verifier.open((await sign_up()).access_token)
    await rotate_keys()
    # The worst case: it fetched just before, and uses its cached set as long as it may.
    monotonic[0] += FRESH_S
    clock.pass_by(timedelta(seconds=FRESH_S))
    await advance_keys()
    await verifier.open(await new_token())
    monotonic[0] += 1
    clock.pass_by(AHEAD - timedelta(seconds=FRESH_S))
    await advance_keys()
    await verifier.open(await new_token())


async def test_operators_rotate_with_the_databases_address_alone(
    url: str, http: Any, make_settings: Any, sign_up: Any, new_token: Any
) -> None:
    ada = await sign_up()
    (old,) = await _kids(http)
    secret = make_settings().key_secret.get_secret_value()
    upcoming = await commands.rotate_keys(url, key_secret=secret)
    assert await _kids(http) == [old, upcoming]

    new = await commands.rotate_keys_now(url, key_secret=secret, token_lifetime=timedelta(hours=13))
    assert await _kids(http) == [new, old]
    assert _kid(await new_token()) == new
    assert (await http("GET", "/v1/me", token=ada.access_token)).status == 200


async def test_the_first_rotation_of_an_empty_database_makes_a_key_that_signs(
    rotate_keys: Any, keyring: Any
) -> None:
    kid = await rotate_keys()
    assert (await keyring.active()).kid == kid


async def test_a_private_key_is_sealed_in_the_database(keyring: Any, database: Any) -> None:
    key = await keyring.active()
    pem = "".join(key.to_pem().splitlines()[1:-1])
    (row,) = await database.hot.fetch("SELECT * FROM signing_keys")
    assert pem not in str(row)
    assert b"PRIVATE" not in row["sealed_private"]
    with pytest.raises(KeySecretWrong):
        KeySeal(b"another secret, long enough").open(row["sealed_private"], kid=row["kid"])
    with pytest.raises(KeySecretWrong):
        KeySeal(b"fedcba9876543210").open(row["sealed_private"], kid="another")


async def test_a_replica_signs_with_the_new_key_after_a_moment(
    database: Any, advance_keys: Any, replace_key: Any
) -> None:
    now = [0.0]
    seal = KeySeal(b"fedcba9876543210")
    keyring = Keyring(KeyQueries(database), advance_keys=advance_keys, seal=seal, monotonic=lambda: now[0])
    old = await keyring.active()
    new = await replace_key()
    assert (await keyring.active()).kid == old.kid
    now[0] += CACHE_S + 0.1
    assert (await keyring.active()).kid == new
