"""`expires_in`, which accompanies `expires_at` for clients with a wrong clock."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import msgspec

UNCHANGED_S = 10


@lru_cache(maxsize=256)  # the same for every upload of an answer
def seconds_left(expires_at: datetime, *, now: datetime) -> int:
    """Returns the whole seconds until `expires_at`; 0 after it."""
    return max(0, int((expires_at - now).total_seconds()))


def with_seconds_left(document: bytes, *, now: datetime) -> bytes:
    """Returns a JSON object that was encoded earlier, its `expires_in` as of now, for a repeated answer.

    Within `UNCHANGED_S` it stays unchanged: a request repeated at once gets the very same answer.
    """
    answer = msgspec.json.decode(document)
    if not isinstance(answer, dict) or answer.get("expires_in") is None:
        return document
    left_s = seconds_left(datetime.fromisoformat(answer["expires_at"]), now=now)
    if answer["expires_in"] - left_s <= UNCHANGED_S:
        return document
    return msgspec.json.encode(answer | {"expires_in": left_s})
