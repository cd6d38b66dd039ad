"""Classification of database errors: temporary, or caused by data that can never be stored."""

from __future__ import annotations

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.TransactionRollbackError,  # serialization failures, deadlocks
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,  # shutdown, start-up, a statement cancelled
    asyncpg.PostgresSystemError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a fail-over that this connection does not follow yet
    asyncpg.InvalidAuthorizationSpecificationError,  # not caused by the statement
    asyncpg.InvalidCachedStatementError,  # a migration changed the schema
    asyncpg.InternalClientError,  # the connection was closed under a statement that had just begun
)
_UNSTORABLE = (
    asyncpg.CharacterNotInRepertoireError,  # U+0000 in a text
    asyncpg.UntranslatableCharacterError,  # U+0000 in a jsonb
    asyncpg.NumericValueOutOfRangeError,
)


def database_is_away(error: BaseException) -> bool:
    """Whether the same statement may succeed later: connections, pools, locks, capacity."""
    if isinstance(error, PoolTimeout):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = _driver_error(error)
    if isinstance(cause, asyncpg.InterfaceError):
        # The driver has one class for closed connections and for lasting misuse; only the message tells them
        # apart ("connection is closed", "pool is closing").
        return "clos" in str(cause)
    return isinstance(cause, _AWAY)


def data_is_unstorable(error: BaseException) -> bool:
    """Whether a value itself was refused: a NUL, a lone surrogate, a number too large for its column."""
    cause = _driver_error(error)
    # The exact class is the driver's own: it could not encode an argument.
    return isinstance(cause, _UNSTORABLE) or type(cause) is asyncpg.DataError


def _driver_error(error: BaseException) -> BaseException | None:
    if isinstance(error, DBAPIError):
        return error.orig.__cause__ if error.orig is not None else None
    return error
