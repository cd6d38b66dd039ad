"""Tokens that clients present: access tokens, refresh tokens and password-reset tokens."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from kappi_chassis.auth import SigningKey
from kappi_chassis.clock import Clock, NewId
from kappi_contracts.accounts import ACCESS_AUDIENCE, ACCESS_ISSUER

from kappi_identity.domain.accounts import Account, SessionId

REFRESH_PREFIX = "kappi_rt_"
RESET_PREFIX = "kappi_pw_"
SECRET_BYTES = 32
_NONCE_BYTES = 12


def new_refresh_token() -> str:
    """Returns 256 random bits behind a prefix that secret scanners can look for."""
    return REFRESH_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def new_reset_token() -> str:
    """Returns 256 random bits behind a prefix that secret scanners can look for."""
    return RESET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def token_hash(token: str) -> bytes:
    """Returns the hash that is stored of a token.

    A plain SHA-256 suffices: 256 random bits cannot be searched.
    """
    return hashlib.sha256(token.encode(errors="replace")).digest()


def derived_secret(secret: bytes, purpose: str) -> bytes:
    """Returns a key of 32 bytes for one purpose; it reveals neither the secret nor the other keys."""
    return hmac.digest(secret, f"kappi identity: {purpose}".encode(), "sha256")


class KeySecretWrong(Exception):
    """The stored signing keys were sealed under another KAPPI_IDENTITY_KEY_SECRET."""


class KeySeal:
    """Encrypts private keys for the database (AES-256-GCM), so that a copy of the database cannot sign."""

    def __init__(self, secret: bytes) -> None:
        self._box = AESGCM(derived_secret(secret, "signing keys"))

    def seal(self, key: SigningKey) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._box.encrypt(nonce, key.to_pem().encode(), key.kid.encode())

    def open(self, sealed: bytes, *, kid: str) -> SigningKey:
        """Returns the decrypted key. Raises KeySecretWrong."""
        try:
            pem = self._box.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], kid.encode())
        except InvalidTag as error:
            raise KeySecretWrong("set the KAPPI_IDENTITY_KEY_SECRET the keys were made under") from error
        return SigningKey.from_pem(pem.decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """The answer to a login or a refresh. expires_in: seconds for which the access token is valid.

    device_token: only after a login; the device presents it at its next login.
    """

    access_token: str
    expires_in: int
    refresh_token: str
    device_token: str | None = None


class AccessTokens:
    """Seals the access tokens that `AccountClaims` reads."""

    def __init__(self, *, lifetime: timedelta, clock: Clock, new_id: NewId) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._new_id = new_id

    @property
    def expires_in(self) -> int:
        return int(self._lifetime.total_seconds())

    def seal(self, key: SigningKey, account: Account, *, session_id: SessionId) -> str:
        issued = int(self._clock().timestamp())
        return key.sign(
            {
                "iss": ACCESS_ISSUER,
                "aud": ACCESS_AUDIENCE,
                "sub": str(account.id),
                "sid": str(session_id),
                "role": account.role,
                "tier": account.tier,
                "iat": issued,
                "exp": issued + self.expires_in,
                "jti": self._new_id().hex,
                "name": account.display_name,
            }
        )
