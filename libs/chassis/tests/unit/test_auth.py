from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import msgspec
import pytest
from kappi_chassis.auth import (
    GrantInvalid,
    GrantVerifier,
    JwksSource,
    SigningKey,
    TokenVerifier,
    jwks_document,
)
from kappi_chassis.auth.grants import seal_grant
from kappi_chassis.auth.verifier import KeysUnavailable, TokenInvalid
from kappi_contracts.grants import GRANT_AUDIENCE, GRANT_ISSUER, Grant, PublicGallery


def grant() -> Grant:
    gallery_id = uuid4()
    return Grant(
        gallery_id=gallery_id,
        right="contribute",
        tier="anonymous",
        gallery=PublicGallery(
            id=gallery_id,
            code="abcd",
            url=None,
            title="Zürich ✈ 東京",
            visibility="shared",
            password_protected=False,
            expires_at=None,
            created_at=datetime.now(UTC),
            version=3,
        ),
    )


class Issuer:
    """A key set that can be rotated and made unavailable, and that counts its fetches."""

    def __init__(self) -> None:
        self.keys = [SigningKey.generate()]
        self.fetches = 0
        self.down = False

    async def fetch(self) -> bytes:
        self.fetches += 1
        if self.down:
            raise OSError("unreachable")
        return msgspec.json.encode(jwks_document(*self.keys))


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def verifier(issuer: Issuer, now: list[float]) -> GrantVerifier:
    source = JwksSource(issuer.fetch, monotonic=lambda: now[0])
    tokens = TokenVerifier(source, issuer=GRANT_ISSUER, audience=GRANT_AUDIENCE)
    return GrantVerifier(tokens, clock=lambda: datetime.now(UTC))


async def test_a_sealed_grant_opens_unchanged(issuer: Issuer, verifier: GrantVerifier) -> None:
    sealed = grant()
    token = seal_grant(issuer.keys[0], sealed, now=datetime.now(UTC))
    assert await verifier.open(token) == sealed
    assert await verifier.open(token) == sealed
    assert issuer.fetches == 1


def test_rights_include_the_lesser_ones() -> None:
    assert grant().allows("view")
    assert grant().allows("contribute")
    assert not grant().allows("manage")


def _forged_with_none(issuer: Issuer) -> str:
    claims = {"iss": GRANT_ISSUER, "aud": GRANT_AUDIENCE, "exp": 2**40, "iat": 0}
    return jwt.encode(claims, "", algorithm="none", headers={"kid": issuer.keys[0].kid})


def _forged_with_hmac(issuer: Issuer) -> str:
    """The classic confusion: the public key as an HMAC secret."""
    claims = {"iss": GRANT_ISSUER, "aud": GRANT_AUDIENCE, "exp": 2**40, "iat": 0}
    secret = issuer.keys[0].public_jwk()["x"].encode()
    return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": issuer.keys[0].kid})


def _expired(issuer: Issuer) -> str:
    return seal_grant(issuer.keys[0], grant(), now=datetime.now(UTC) - timedelta(minutes=5))


def _unknown_key(_: Issuer) -> str:
    return seal_grant(SigningKey.generate(), grant(), now=datetime.now(UTC))


def _tampered(issuer: Issuer) -> str:
    header, body, signature = seal_grant(issuer.keys[0], grant(), now=datetime.now(UTC)).split(".")
    return ".".join((header, body[:-4] + ("AAAA" if body[-4:] != "AAAA" else "BBBB"), signature))


def _wrong_audience(issuer: Issuer) -> str:
    return issuer.keys[0].sign({"iss": GRANT_ISSUER, "aud": "other", "exp": 2**40, "iat": 0})


def _wrong_issuer(issuer: Issuer) -> str:
    return issuer.keys[0].sign({"iss": "other", "aud": GRANT_AUDIENCE, "exp": 2**40, "iat": 0})


def _without_expiry(issuer: Issuer) -> str:
    return issuer.keys[0].sign({"iss": GRANT_ISSUER, "aud": GRANT_AUDIENCE, "iat": 0})


def _without_grant(issuer: Issuer) -> str:
    return issuer.keys[0].sign({"iss": GRANT_ISSUER, "aud": GRANT_AUDIENCE, "exp": 2**40, "iat": 0})


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # the forger's key
@pytest.mark.parametrize(
    "forge",
    [
        lambda _: "",
        lambda _: "a.b.c",
        _forged_with_none,
        _forged_with_hmac,
        _expired,
        _unknown_key,
        _tampered,
        _wrong_audience,
        _wrong_issuer,
        _without_expiry,
        _without_grant,
    ],
)
async def test_a_token_not_signed_by_galleries_is_refused(
    forge: Callable[[Issuer], str], issuer: Issuer, verifier: GrantVerifier
) -> None:
    with pytest.raises(GrantInvalid):
        await verifier.open(forge(issuer))


async def test_a_cached_grant_still_expires(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [datetime.now(UTC)]
    tokens = TokenVerifier(JwksSource(issuer.fetch), issuer=GRANT_ISSUER, audience=GRANT_AUDIENCE)
    verifier = GrantVerifier(tokens, clock=lambda: clock[0])
    token = seal_grant(issuer.keys[0], grant(), now=clock[0] - timedelta(seconds=70))
    with pytest.raises(GrantInvalid):
        await verifier.open(token)
    await verifier.open(seal_grant(issuer.keys[0], grant(), now=clock[0], lifetime=timedelta(0)))  # leeway
    fresh = seal_grant(issuer.keys[0], grant(), now=clock[0], lifetime=timedelta(seconds=60))
    await verifier.open(fresh)

    async def expired(*_: Any) -> Any:
        raise TokenInvalid("it has expired")

    monkeypatch.setattr(TokenVerifier, "verify", expired)
    await verifier.open(fresh)  # seen before
    clock[0] += timedelta(seconds=61)
    with pytest.raises(GrantInvalid):
        await verifier.open(fresh)


async def test_a_rotated_key_is_fetched_once_and_unknown_keys_cause_few_fetches(
    issuer: Issuer, verifier: GrantVerifier, now: list[float]
) -> None:
    await verifier.open(seal_grant(issuer.keys[0], grant(), now=datetime.now(UTC)))
    issuer.keys.append(SigningKey.generate())
    now[0] += 6
    await verifier.open(seal_grant(issuer.keys[1], grant(), now=datetime.now(UTC)))
    assert issuer.fetches == 2
    for _ in range(5):
        with pytest.raises(GrantInvalid):
            await verifier.open(_unknown_key(issuer))
    assert issuer.fetches == 2


async def test_known_keys_stay_valid_while_the_issuer_is_down(
    issuer: Issuer, verifier: GrantVerifier, now: list[float]
) -> None:
    await verifier.open(seal_grant(issuer.keys[0], grant(), now=datetime.now(UTC)))
    issuer.down = True
    now[0] += 10_000
    await verifier.open(seal_grant(issuer.keys[0], grant(), now=datetime.now(UTC)))


async def test_a_known_key_never_waits_for_the_issuer(issuer: Issuer, now: list[float]) -> None:
    """Old keys are refetched once in the background."""
    slow = asyncio.Event()

    async def fetch() -> bytes:
        document = await issuer.fetch()
        if issuer.fetches > 1:
            await slow.wait()
        return document

    source = JwksSource(fetch, monotonic=lambda: now[0])
    kid = issuer.keys[0].kid
    assert await source.key(kid) is not None
    now[0] += 10_000
    async with asyncio.timeout(1):
        for _ in range(3):
            assert await source.key(kid) is not None
            await asyncio.sleep(0)
    assert issuer.fetches == 2
    issuer.keys = [SigningKey.generate()]
    slow.set()


async def test_requests_before_the_first_keys_share_one_fetch(issuer: Issuer) -> None:
    arrived = asyncio.Event()

    async def fetch() -> bytes:
        await arrived.wait()
        return await issuer.fetch()

    issuer.down = True
    source = JwksSource(fetch)
    waiting = [asyncio.create_task(source.key("k")) for _ in range(20)]
    await asyncio.sleep(0)
    arrived.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, KeysUnavailable) for outcome in outcomes)
    assert issuer.fetches == 1


async def test_keys_of_other_kinds_are_skipped(issuer: Issuer) -> None:
    alien: list[Any] = [
        {"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB", "alg": "RS256"},
        {"kty": "OKP", "crv": "X25519", "kid": "x", "x": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "broken", "x": "!"},
        {"kty": "OKP", "crv": "Ed25519", "x": issuer.keys[0].public_jwk()["x"]},
        {},
    ]
    ours = issuer.keys[0]

    async def fetch() -> bytes:
        return msgspec.json.encode({"keys": [*alien, ours.public_jwk()], "extra": 1})

    source = JwksSource(fetch)
    assert await source.key(ours.kid) is not None
    assert await source.key("rsa") is None


@pytest.mark.parametrize("document", [b"", b"[]", b'{"keys": 1}', b'{"keys": [1]}', b'{"keys": []}', b"\xff"])
async def test_an_invalid_key_set_is_unavailable_keys(document: bytes) -> None:
    async def fetch() -> bytes:
        return document

    with pytest.raises(KeysUnavailable):
        await JwksSource(fetch).key("k")


async def test_before_the_first_keys_requests_get_503(issuer: Issuer, verifier: GrantVerifier) -> None:
    issuer.down = True
    token = seal_grant(issuer.keys[0], grant(), now=datetime.now(UTC))
    with pytest.raises(KeysUnavailable):
        await verifier.open(token)
    issuer.down = False
    await verifier.open(token)


def test_a_key_can_be_written_and_read_as_pem() -> None:
    key = SigningKey.generate()
    assert SigningKey.from_pem(key.to_pem()).kid == key.kid
    with pytest.raises(ValueError, match=r"."):
        SigningKey.from_pem("not a key")
