"""The `Idempotency-Key` header."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Header, Request
from kappi_chassis.idempotency import IdempotentCall

IdempotencyKey = Annotated[
    str | None,
    Header(
        description="A random text of 8 to 255 characters, best a UUID, chosen per thing wanted: a retry "
        "with the same key and body gets the first answer again, access key included, and does nothing new. "
        "Kept for a day",
    ),
]


class IdempotentCalls:
    """secret: any, the same in every replica; hides stored answers."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def read(
        self, request: Request, key: str | None, *, scope: str, caller: str
    ) -> IdempotentCall | None:
        """The call to keep the answer of; None without a key. caller: what tells credentials apart.

        Raises IdempotencyKeyInvalid.
        """
        call_of = self.fingerprinted(key, scope=scope, caller=caller)
        return None if call_of is None else call_of(await request.body())

    def fingerprinted(
        self, key: str | None, *, scope: str, caller: str
    ) -> Callable[[bytes], IdempotentCall] | None:
        """As `read`, for a body that is not kept: by what tells it from another one, once that is known.

        Raises IdempotencyKeyInvalid when it is called.
        """
        if key is None:
            return None
        return lambda fingerprint: IdempotentCall(
            secret=self._secret, key=key, scope=f"{scope} {caller}".rstrip(), body=fingerprint
        )
