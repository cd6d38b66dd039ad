"""Runs a use case in one transaction and answers a request repeated under its `Idempotency-Key` with the
first answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kappi_chassis.idempotency import IdempotentCall, StoredAnswer
from kappi_chassis.outbox import Outbox, UnitOfWork


async def answer_once(
    outbox: Outbox, call: IdempotentCall | None, act: Callable[[UnitOfWork], Awaitable[StoredAnswer]]
) -> StoredAnswer:
    """Store the answer of `act` in its own transaction, or return the answer stored before without acting.

    call: None where the client sent no key. Raises what `act` does, and IdempotencyKeyReused.
    """
    async with outbox.begin() as unit:
        known = None if call is None else await call.begin(unit.connection)
        if known is not None:
            return known
        answer = await act(unit)
        if call is not None:
            await call.store(unit.connection, answer)
    return answer


async def answered_before(outbox: Outbox, call: IdempotentCall | None) -> StoredAnswer | None:
    """Returns the stored answer to a repeated request, so that costly work for it can be skipped.

    Returns None without a key or for an unknown key; `answer_once` decides then. Raises IdempotencyKeyReused.
    """
    if call is None:
        return None
    async with outbox.begin() as unit:
        return await call.repeated(unit.connection)
