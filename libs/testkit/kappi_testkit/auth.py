"""Access tokens and key sets as the services publish them."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID, uuid4

import msgspec
from kappi_chassis.auth import SigningKey, jwks_document
from kappi_chassis.auth.verifier import Fetch
from kappi_contracts.accounts import ACCESS_AUDIENCE, ACCESS_ISSUER


def access_token(key: SigningKey, account_id: UUID, claims: dict[str, Any] | None = None) -> str:
    """Returns an access token as the identity service signs it. claims: replace or add to the usual ones."""
    now = int(time.time())
    usual = {
        "iss": ACCESS_ISSUER,
        "aud": ACCESS_AUDIENCE,
        "sub": str(account_id),
        "sid": str(uuid4()),
        "role": "user",
        "tier": "Basic",
        "iat": now,
        "exp": now + 900,
        "jti": str(uuid4()),
    }
    return key.sign({**usual, **(claims or {})})


def key_set(key: SigningKey) -> Fetch:
    """Returns a function that answers with the key set of a service."""

    async def fetch() -> bytes:
        return msgspec.json.encode(jwks_document(key))

    return fetch
