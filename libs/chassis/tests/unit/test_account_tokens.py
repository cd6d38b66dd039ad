from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import msgspec
import pytest
from kappi_chassis.auth import JwksSource, SigningKey, jwks_document
from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing, AccountVerifier, bearer_token
from kappi_contracts.accounts import ACCESS_AUDIENCE, ACCESS_ISSUER

KEY = SigningKey.generate()
ACCOUNT, SESSION = uuid4(), uuid4()


class Keys:
    def __init__(self) -> None:
        self.fetches = 0

    async def fetch(self) -> bytes:
        self.fetches += 1
        return msgspec.json.encode(jwks_document(KEY))


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def now() -> list[datetime]:
    return [datetime.now(UTC)]


@pytest.fixture
def verifier(keys: Keys, now: list[datetime]) -> AccountVerifier:
    return AccountVerifier(JwksSource(keys.fetch), clock=lambda: now[0])


def claims(**changed: Any) -> dict[str, Any]:
    issued = int(time.time())
    return {
        "iss": ACCESS_ISSUER,
        "aud": ACCESS_AUDIENCE,
        "sub": str(ACCOUNT),
        "sid": str(SESSION),
        "role": "user",
        "tier": "Basic",
        "iat": issued,
        "exp": issued + 600,
        "jti": "one",
        **changed,
    }


async def test_claims_are_read_and_a_repeated_token_is_cached(
    verifier: AccountVerifier, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = KEY.sign(claims(role="admin", tier="Enterprise"))
    read = await verifier.open(token)

    monkeypatch.setattr(jwt, "decode", lambda *_args, **_named: pytest.fail("verified again"))
    assert await verifier.open(token) is read
    assert (read.account_id, read.session_id) == (ACCOUNT, SESSION)
    assert (read.role, read.tier, read.token_id) == ("admin", "Enterprise", "one")
    assert keys.fetches == 1


async def test_a_cached_token_expires_to_the_second(verifier: AccountVerifier, now: list[datetime]) -> None:
    token = KEY.sign(claims())
    read = await verifier.open(token)

    now[0] = datetime.fromtimestamp(read.expires_at, UTC) - timedelta(microseconds=1)
    assert await verifier.open(token) == read
    now[0] += timedelta(microseconds=1)
    with pytest.raises(AccessTokenInvalid):
        await verifier.open(token)


def _unsigned(header: dict[str, Any]) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(claims())}."


_FORGERIES: dict[str, Callable[[], str]] = {
    "another issuer": lambda: KEY.sign(claims(iss="kappi-galleries")),
    "another audience": lambda: KEY.sign(claims(aud="kappi-grant")),
    "expired": lambda: KEY.sign(claims(exp=int(time.time()) - 60)),
    "no expiry": lambda: KEY.sign({name: value for name, value in claims().items() if name != "exp"}),
    "no session": lambda: KEY.sign({name: value for name, value in claims().items() if name != "sid"}),
    "an unknown role": lambda: KEY.sign(claims(role="root")),
    "another key": lambda: SigningKey.generate().sign(claims()),
    "alg none": lambda: _unsigned({"alg": "none", "kid": KEY.kid, "typ": "JWT"}),
    "hmac with the public key": lambda: jwt.encode(
        claims(), KEY.public_jwk()["x"], algorithm="HS256", headers={"kid": KEY.kid}
    ),
    "tampered": lambda: KEY.sign(claims())[:-4] + "AAAA",
    "no token": lambda: "nonsense",
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("forge", _FORGERIES.values(), ids=_FORGERIES)
async def test_all_forgeries_get_the_same_answer(verifier: AccountVerifier, forge: Callable[[], str]) -> None:
    with pytest.raises(AccessTokenInvalid) as refused:
        await verifier.open(forge())
    assert (refused.value.status, refused.value.code) == (401, "access_token_invalid")
    assert refused.value.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


async def test_the_token_cache_is_bounded(verifier: AccountVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kappi_chassis.auth.accounts.CACHED_TOKENS", 2)
    first, *others = (KEY.sign(claims(jti=str(number))) for number in range(3))
    await verifier.open(first)
    for token in others:
        await verifier.open(token)

    monkeypatch.setattr(jwt, "decode", _refuse)
    await verifier.open(others[-1])
    with pytest.raises(AccessTokenInvalid):
        await verifier.open(first)


def _refuse(*_: Any, **__: Any) -> None:
    raise jwt.InvalidTokenError


@pytest.mark.parametrize("header", ["Bearer abc", "bearer  abc ", "BEARER abc"])
def test_the_scheme_is_read_in_any_case(header: str) -> None:
    assert bearer_token(header) == "abc"


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "abc"])
def test_without_a_bearer_token_credentials_are_missing(header: str | None) -> None:
    with pytest.raises(AccessTokenMissing) as refused:
        bearer_token(header)
    assert refused.value.code == "credentials_missing"


def test_an_empty_bearer_token_is_invalid() -> None:
    with pytest.raises(AccessTokenInvalid):
        bearer_token("Bearer ")
