"""`Idempotency-Key`: a retried POST gets the first answer again, and its effect happens once.

The key's row and the answer are written in the transaction of the effect, so a crash leaves all of it or
nothing. A stored answer may hold a secret that the database must never show (an access key), so it is
encrypted under a key derived from the client's Idempotency-Key, of which only a hash is stored. Source:
draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import MetaData, Row, Select, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_chassis.db.tables import idempotency_table
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.problems import Problem, Unprocessable

HEADER = "idempotency-key"
MIN_LENGTH, MIN_SECRET_LENGTH, MAX_LENGTH = 8, 20, 255
SECRET_KEY = (
    f"At least 128 random bits, such as a UUID or 32 random hexadecimal digits: {MIN_SECRET_LENGTH} to "
    f"{MAX_LENGTH} printable characters, not digits alone"
)
"""Requirements for an `Idempotency-Key` if the answer holds a secret."""
_NONCE_BYTES = 12
_table = idempotency_table(MetaData())


class IdempotencyKeyReused(Unprocessable):
    code, title = "idempotency_key_reused", "This Idempotency-Key was used for another request"


class IdempotencyKeyInvalid(Problem):
    status, code, title = 400, "idempotency_key_invalid", "The Idempotency-Key is not usable"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: bytes


class IdempotentCall:
    """One request with an Idempotency-Key.

    scope: what the key is unique within: method, path and the caller's credential. body: the raw request
    body; the same key with another body is refused. Raises IdempotencyKeyInvalid.
    """

    def __init__(self, *, secret: bytes, key: str, scope: str, body: bytes) -> None:
        self._check(key)
        seed = hmac.digest(secret, f"{scope}\n{key}".encode(), "sha256")
        self._key_hash = hashlib.sha256(b"lookup" + seed).digest()
        self._sealing_key = hashlib.sha256(b"seal" + seed).digest()
        # The hash is keyed, because a body may hold a password, which could be guessed from a plain hash.
        self._fingerprint = hmac.digest(seed, b"body" + body, "sha256")

    async def repeated(self, connection: AsyncConnection) -> StoredAnswer | None:
        """Returns the answer to repeat, or None if the key is unknown; `begin` then decides.

        It is for a call that costs much before the transaction of its effect. Raises IdempotencyKeyReused.
        """
        row = (await connection.execute(self._kept())).one_or_none()
        return None if row is None else self._open(row)

    async def begin(self, connection: AsyncConnection) -> StoredAnswer | None:
        """Returns the answer to repeat, or None: the caller then continues and calls `store` in this
        transaction.

        A concurrent request with the same key waits here until the first one committed or rolled back. Raises
        IdempotencyKeyReused.
        """
        claimed = await connection.execute(
            insert(_table)
            .values(key_hash=self._key_hash, fingerprint=self._fingerprint)
            .on_conflict_do_nothing()
        )
        if claimed.rowcount:
            return None
        return self._open((await connection.execute(self._kept())).one())

    async def is_known(self, connection: AsyncConnection) -> bool:
        """Whether the key was used before with any body, for a call whose body is not read yet."""
        found = await connection.execute(select(_table.c.status).where(_table.c.key_hash == self._key_hash))
        return found.first() is not None

    async def store(self, connection: AsyncConnection, answer: StoredAnswer) -> None:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        await connection.execute(
            update(_table)
            .where(_table.c.key_hash == self._key_hash)
            .values(
                status=answer.status,
                sealed_body=nonce + AESGCM(self._sealing_key).encrypt(nonce, answer.body, None),
            )
        )

    @staticmethod
    def _check(key: str) -> None:
        if not _is_plain(key, shortest=MIN_LENGTH):
            raise IdempotencyKeyInvalid(
                f"Send {MIN_LENGTH} to {MAX_LENGTH} printable characters, for example a UUID."
            )

    def _kept(self) -> Select[Any]:
        return select(_table.c.fingerprint, _table.c.status, _table.c.sealed_body).where(
            _table.c.key_hash == self._key_hash
        )

    def _open(self, row: Row[Any]) -> StoredAnswer:
        if not hmac.compare_digest(row.fingerprint, self._fingerprint):
            raise IdempotencyKeyReused(
                "Use a new key for a new request; repeat a request with the same body."
            )
        if row.sealed_body is None:
            raise RuntimeError("a call was claimed and committed without `store`")
        sealed: bytes = row.sealed_body
        nonce, box = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return StoredAnswer(row.status, AESGCM(self._sealing_key).decrypt(nonce, box, None))


class SecretIdempotentCall(IdempotentCall):
    """A call whose answer, or whose body, holds a secret.

    A repetition of key and body gets the same answer, so the key must not be one that other clients may
    choose.
    """

    @staticmethod
    def _check(key: str) -> None:
        if not _is_plain(key, shortest=MIN_SECRET_LENGTH) or key.isdigit():
            raise IdempotencyKeyInvalid(f"The answer is secret, so the key has to be, too. {SECRET_KEY}.")


async def answer_once(
    outbox: Outbox, call: IdempotentCall | None, act: Callable[[UnitOfWork], Awaitable[StoredAnswer]]
) -> StoredAnswer:
    """Stores the answer of `act` in its own transaction, or returns the answer stored before without acting.

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


def _is_plain(key: str, *, shortest: int) -> bool:
    return shortest <= len(key) <= MAX_LENGTH and key.isprintable()
