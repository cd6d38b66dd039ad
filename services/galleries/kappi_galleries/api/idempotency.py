"""The `Idempotency-Key` header."""

from __future__ import annotations

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
        if key is None:
            return None
        return IdempotentCall(
            secret=self._secret,
            key=key,
            scope=f"{scope} {caller}".rstrip(),
            body=await request.body(),
        )
