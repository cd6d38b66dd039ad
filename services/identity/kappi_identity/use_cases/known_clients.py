"""Clients that logged in to an account before, identified by their address or by a token of their device.

The guesses of all unknown clients share one count. A known client has its own count, so that guessing does
not lock the owner out. Source: OWASP, Slow Down Online Guessing Attacks with Device Cookies.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.http.client_address import address_subject
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity.domain.accounts import Account
from kappi_identity.domain.email_address import normal_form
from kappi_identity.domain.tokens import derived_secret
from kappi_identity.repository.accounts import Credentials
from kappi_identity.repository.known_addresses import KnownAddressRows

DEVICE_PREFIX = "kappi_dt_"
_DEVICE_BYTES = 16
_ISSUED = struct.Struct(">Q")
_MAC_BYTES = 24  # of 32; this is long enough, and the token needs no padding
_TOKEN_BYTES = _DEVICE_BYTES + _ISSUED.size + _MAC_BYTES


class KnownClients:
    """Stores and recognises known clients. lifetime: how long a client is known after a login.
    most_addresses: the limit per account.
    """

    def __init__(self, *, secret: bytes, lifetime: timedelta, most_addresses: int, clock: Clock) -> None:
        self._of_addresses = derived_secret(secret, "known addresses")
        self._of_devices = derived_secret(secret, "device tokens")
        self._lifetime = lifetime
        self._most_addresses = most_addresses
        self._clock = clock

    @property
    def since(self) -> datetime:
        """A client is known only if it logged in after this instant."""
        return self._clock() - self._lifetime

    def address_hash(self, email_normalised: str, address: str) -> bytes:
        """Returns the stored form of an address.

        It reveals neither the address nor the accounts that share it.
        """
        named = f"{email_normalised}\n{address_subject(address)}".encode(errors="replace")
        return hmac.digest(self._of_addresses, named, "sha256")

    async def remember(self, connection: AsyncConnection, account: Account, *, address: str) -> None:
        """Store the address from which the account, which is locked, was proven to be used."""
        assert account.email is not None
        await KnownAddressRows(connection).remember(
            account.id,
            self.address_hash(normal_form(account.email), address),
            now=self._clock(),
            most=self._most_addresses,
        )

    async def remember_only(self, connection: AsyncConnection, account: Account, *, address: str) -> None:
        """As `remember`; every other address and every device becomes unknown."""
        await KnownAddressRows(connection).forget_all(account.id)
        await self.remember(connection, account, address=address)

    def device_token(self, account_id: UUID, password_hash: str, *, device: bytes | None) -> str:
        """Returns a token that the device presents at its next login. device: from `device_of`, None for a
        new one.

        The token is not stored, and it becomes void with the password, so that tokens cannot be collected for
        later use.
        """
        issued = _ISSUED.pack(int(self._clock().timestamp()))
        named = (device or secrets.token_bytes(_DEVICE_BYTES)) + issued
        mac = self._mac(named, account_id=account_id, password_hash=password_hash)
        return DEVICE_PREFIX + base64.urlsafe_b64encode(named + mac).decode()

    def device_of(self, token: str | None, credentials: Credentials) -> bytes | None:
        """Returns the device in the token; None for a token that is not this account's, or is too old."""
        try:
            raw = base64.b64decode((token or "").removeprefix(DEVICE_PREFIX), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        if len(raw) != _TOKEN_BYTES:
            return None
        named, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        expected = self._mac(
            named, account_id=credentials.account.id, password_hash=credentials.password_hash
        )
        if not hmac.compare_digest(mac, expected):
            return None
        issued = datetime.fromtimestamp(_ISSUED.unpack(named[_DEVICE_BYTES:])[0], UTC)
        return named[:_DEVICE_BYTES] if issued > self.since else None

    def _mac(self, named: bytes, *, account_id: UUID, password_hash: str) -> bytes:
        about = named + account_id.bytes + password_hash.encode()
        return hmac.digest(self._of_devices, about, "sha256")[:_MAC_BYTES]
