"""The `Idempotency-Key` header: its documentation, and the calls that are read from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

from fastapi import Header, Request

from kappi_chassis.idempotency import (
    HEADER,
    MAX_LENGTH,
    MIN_LENGTH,
    MIN_SECRET_LENGTH,
    SECRET_KEY,
    IdempotentCall,
    SecretIdempotentCall,
)

_REPEATED: Final = (
    "chosen per thing wanted: a retry with the same key and body gets the first answer again and does "
    "nothing new. Kept for a day"
)
_DESCRIPTION: Final = f"A random text of {MIN_LENGTH} to {MAX_LENGTH} characters, best a UUID, {_REPEATED}"
_SECRET_DESCRIPTION: Final = f"{SECRET_KEY}; {_REPEATED}"
# These only document the lengths. The call itself checks them, with a code of its own.
_LENGTHS: Final = {"minLength": MIN_LENGTH, "maxLength": MAX_LENGTH}
_SECRET_LENGTHS: Final = {**_LENGTHS, "minLength": MIN_SECRET_LENGTH}

IdempotencyKey: TypeAlias = Annotated[
    str | None, Header(description=_DESCRIPTION, json_schema_extra=dict(_LENGTHS))
]
SecretIdempotencyKey: TypeAlias = Annotated[
    str | None, Header(description=_SECRET_DESCRIPTION, json_schema_extra=dict(_SECRET_LENGTHS))
]
"""The key of a call whose answer or body holds a secret."""


def _parameter(description: str, lengths: dict[str, int]) -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **lengths},
    }


IDEMPOTENCY_KEY: Final = _parameter(_DESCRIPTION, _LENGTHS)
"""The OpenAPI parameter, for an operation that is documented by hand."""
SECRET_IDEMPOTENCY_KEY: Final = _parameter(_SECRET_DESCRIPTION, _SECRET_LENGTHS)


def idempotency_key(request: Request) -> str | None:
    """Returns the key of a request whose headers FastAPI does not read."""
    return request.headers.get(HEADER)


class IdempotentCalls:
    """Reads idempotent calls.

    secret: any value, the same in every replica; stored answers are encrypted with it. scope: the operation.
    caller: differs between credentials. Methods raise IdempotencyKeyInvalid.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def call(self, key: str, body: bytes, *, scope: str, caller: str = "") -> IdempotentCall:
        return IdempotentCall(secret=self._secret, key=key, scope=_scope(scope, caller), body=body)

    def secret_call(self, key: str, body: bytes, *, scope: str, caller: str = "") -> IdempotentCall:
        """Returns a call whose answer or body holds a secret: its key must be one that cannot be guessed."""
        return SecretIdempotentCall(secret=self._secret, key=key, scope=_scope(scope, caller), body=body)

    async def read(
        self, request: Request, key: str | None, *, scope: str, caller: str
    ) -> IdempotentCall | None:
        """Returns the call under which the answer is stored; None without a key."""
        return None if key is None else self.call(key, await request.body(), scope=scope, caller=caller)

    async def read_secret(
        self, request: Request, key: str | None, *, scope: str, caller: str
    ) -> IdempotentCall | None:
        """As `read`, for an answer or a body that holds a secret."""
        return (
            None if key is None else self.secret_call(key, await request.body(), scope=scope, caller=caller)
        )

    def fingerprinted(
        self, key: str | None, *, scope: str, caller: str
    ) -> Callable[[bytes], IdempotentCall] | None:
        """As `read`, for a body that is not held in memory: takes its fingerprint once that is known.

        The returned function raises IdempotencyKeyInvalid.
        """
        if key is None:
            return None
        return lambda fingerprint: self.call(key, fingerprint, scope=scope, caller=caller)


def _scope(scope: str, caller: str) -> str:
    return f"{scope} {caller}".rstrip()
