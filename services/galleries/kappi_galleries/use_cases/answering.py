"""One transaction, one answer, the same one for a request that is repeated under its `Idempotency-Key`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kappi_chassis.idempotency import IdempotentCall, StoredAnswer
from kappi_chassis.outbox import Outbox, UnitOfWork


async def answer_once(
    outbox: Outbox, call: IdempotentCall | None, act: Callable[[UnitOfWork], Awaitable[StoredAnswer]]
) -> StoredAnswer:
    """Keep what `act` answers in its own transaction, or return what was kept before without acting.

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
    """What was kept for a repeated request, looked up before anything costly is done for it.

    None without a key, and for one that is not known: `answer_once` decides then. Raises
    IdempotencyKeyReused.
    """
    if call is None:
        return None
    async with outbox.begin() as unit:
        return await call.repeated(unit.connection)
