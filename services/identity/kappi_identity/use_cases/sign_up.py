"""Creating accounts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.fair_queue import Shares
from kappi_chassis.http.client_address import address_subject
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once, answered_before
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.passwords import Passwords
from kappi_contracts.events import AccountCreated

from kappi_identity import metrics
from kappi_identity.domain.accounts import Account, AccountId, Role
from kappi_identity.domain.email_address import EmailAddress
from kappi_identity.errors import EmailTaken, SignUpClosed
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.tiers import TierRows

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """The data of a sign-up. password: in its normal form, and checked."""

    email: EmailAddress
    password: str
    display_name: str | None = None


class SignUp:
    """Creates accounts. The database alone keeps addresses unique: none is looked up before it is taken."""

    def __init__(
        self, *, outbox: Outbox, passwords: Passwords, tier: str, clock: Clock, new_id: NewId
    ) -> None:
        """tier: the tier of new accounts."""
        self._outbox = outbox
        self._tier = tier
        self._passwords = passwords
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, new: NewAccount, *, address: str, role: Role = "user") -> Account:
        """Create an account. address: the caller's, under which the password waits to be hashed.

        Raises EmailTaken, PasswordsBusy, SignUpClosed.
        """
        password_hash = await self._hash(new, address)
        async with self._outbox.begin() as unit:
            return await self._create_within(unit, new, password_hash=password_hash, role=role)

    async def idempotently(
        self,
        new: NewAccount,
        call: IdempotentCall | None,
        *,
        address: str,
        render: Callable[[Account], StoredAnswer],
    ) -> StoredAnswer:
        """As calling it, once per Idempotency-Key. Returns the rendered account, or the answer stored before.

        Also raises IdempotencyKeyReused.
        """
        known = await answered_before(self._outbox, call)
        if known is not None:
            return known
        password_hash = await self._hash(new, address)

        async def act(unit: UnitOfWork) -> StoredAnswer:
            return render(await self._create_within(unit, new, password_hash=password_hash, role="user"))

        return await answer_once(self._outbox, call, act)

    async def _hash(self, new: NewAccount, address: str) -> str:
        return await self._passwords.hash(new.password, shares=Shares(address=address_subject(address)))

    async def _create_within(
        self, unit: UnitOfWork, new: NewAccount, *, password_hash: str, role: Role
    ) -> Account:
        tier = await TierRows(unit.connection).hold(self._tier)
        if tier is None or tier.deleted_at is not None:
            _log.error("sign_up.no_tier", tier=self._tier)
            raise SignUpClosed("The tier of new accounts does not exist.", retry_after_s=60)
        account = Account(
            id=AccountId(self._new_id()),
            email=new.email.shown,
            display_name=new.display_name,
            role=role,
            tier=tier.name,
            version=1,
            created_at=self._clock(),
            deleted_at=None,
        )
        rows = AccountRows(unit.connection)
        if not await rows.insert(account, email=new.email, password_hash=password_hash):
            raise EmailTaken("Log in, or ask for a new password.")
        await unit.publish(
            AccountCreated(account_id=account.id, tier=account.tier, created_at=account.created_at),
            sequence=account.version,
        )
        metrics.ACCOUNTS_CREATED.inc()
        return account
