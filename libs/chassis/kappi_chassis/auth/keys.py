"""Ed25519 signing keys, and the JWKS that publishes them (RFC 7517, RFC 8037, RFC 7638)."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

ALGORITHM = "EdDSA"


class SigningKey:
    """An Ed25519 private key with its RFC 7638 thumbprint as `kid`."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
        canonical = json.dumps(self._members, sort_keys=True, separators=(",", ":"))
        self.kid = _base64url(hashlib.sha256(canonical.encode()).digest())

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: str) -> SigningKey:
        """pem: PKCS#8, unencrypted. Raises ValueError or TypeError if it is not an Ed25519 private key."""
        key = load_pem_private_key(pem.encode(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError(
                "the signing key must be an Ed25519 private key (openssl genpkey -algorithm ed25519)"
            )
        return cls(key)

    def to_pem(self) -> str:
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def sign(self, claims: dict[str, Any]) -> str:
        """Returns a compact JWS of the claims."""
        return jwt.encode(claims, self._private, algorithm=ALGORITHM, headers={"kid": self.kid})

    def public_jwk(self) -> dict[str, str]:
        return {**self._members, "kid": self.kid, "alg": ALGORITHM, "use": "sig"}


def jwks_document(*keys: SigningKey) -> dict[str, list[dict[str, str]]]:
    """Returns a JSON Web Key Set of the public halves."""
    return {"keys": [key.public_jwk() for key in keys]}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
