"""`expires_in` beside `expires_at`: for clients whose clock is wrong."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import msgspec

UNCHANGED_S = 10


@lru_cache(maxsize=256)  # the same for every upload of an answer
def seconds_left(expires_at: datetime, *, now: datetime) -> int:
    """Whole seconds until then; 0 once it is over."""
    return max(0, int((expires_at - now).total_seconds()))


def with_seconds_left(document: bytes, *, now: datetime) -> bytes:
    """A JSON object that was encoded earlier, its `expires_in` as of now: a stored answer is given again.

    Within `UNCHANGED_S` it stays as it was: a request that is repeated at once gets the very same answer.
    """
    answer = msgspec.json.decode(document)
    if not isinstance(answer, dict) or answer.get("expires_in") is None:
        return document
    left_s = seconds_left(datetime.fromisoformat(answer["expires_at"]), now=now)
    if answer["expires_in"] - left_s <= UNCHANGED_S:
        return document
    return msgspec.json.encode(answer | {"expires_in": left_s})
