"""The `Idempotency-Key` header."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, Request
from kappi_chassis.idempotency import (
    MAX_LENGTH,
    MIN_LENGTH,
    MIN_SECRET_LENGTH,
    SECRET_KEY,
    IdempotentCall,
    SecretIdempotentCall,
)

_REPEATED = (
    "chosen per thing wanted: a retry with the same key and body gets the first answer again{} and does "
    "nothing new. Kept for a day"
)


def _header(description: str, *, shortest: int) -> Any:
    # This only documents the lengths. The call itself checks them, with a code of its own.
    lengths = {"minLength": shortest, "maxLength": MAX_LENGTH}
    return Header(description=description, json_schema_extra=lengths)


IdempotencyKey = Annotated[
    str | None,
    _header(
        f"A random text of {MIN_LENGTH} to {MAX_LENGTH} characters, best a UUID, {_REPEATED.format('')}",
        shortest=MIN_LENGTH,
    ),
]
SecretIdempotencyKey = Annotated[
    str | None,
    _header(
        f"{SECRET_KEY}; {_REPEATED.format(', access key included,')}",
        shortest=MIN_SECRET_LENGTH,
    ),
]
"""The key of a call whose answer holds an access key."""


class IdempotentCalls:
    """Reads idempotent calls. secret: any value, the same in every replica; stored answers are encrypted with
    it.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def read(
        self, request: Request, key: str | None, *, scope: str, caller: str
    ) -> IdempotentCall | None:
        """Returns the call under which the answer is stored; None without a key. caller: differs between
        credentials.

        Raises IdempotencyKeyInvalid.
        """
        call_of = self.fingerprinted(key, scope=scope, caller=caller)
        return None if call_of is None else call_of(await request.body())

    async def read_secret(
        self, request: Request, key: str | None, *, scope: str, caller: str
    ) -> IdempotentCall | None:
        """As `read`, for an answer that holds a secret: the key must be one that cannot be guessed."""
        if key is None:
            return None
        return SecretIdempotentCall(
            secret=self._secret, key=key, scope=_scope(scope, caller), body=await request.body()
        )

    def fingerprinted(
        self, key: str | None, *, scope: str, caller: str
    ) -> Callable[[bytes], IdempotentCall] | None:
        """As `read`, for a body that is not held in memory: takes its fingerprint later, once that is known.

        The returned function raises IdempotencyKeyInvalid.
        """
        if key is None:
            return None
        return lambda fingerprint: IdempotentCall(
            secret=self._secret, key=key, scope=_scope(scope, caller), body=fingerprint
        )


def _scope(scope: str, caller: str) -> str:
    return f"{scope} {caller}".rstrip()
