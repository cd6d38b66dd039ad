"""Calls the receivers of webhooks, at public addresses alone."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from kappi_identity.domain.webhook_targets import TargetRefused, TargetRules
from kappi_identity.domain.webhooks import CallError, CallResult
from kappi_identity.errors import InvalidWebhookUrl

USER_AGENT: Final = "Kappi-Webhooks"
LOOK_UP_TIMEOUT_S: Final = 5.0
_NO_ADDRESS: Final = "Its host has no public address."
_READ_AHEAD_BYTES: Final = 4_096


class AddressRefused(OSError):
    """A host has no address that may be called."""


class Receivers(Protocol):
    """Reaches the receivers of webhooks."""

    async def check(self, url: str) -> None:
        """Raises InvalidWebhookUrl for a URL that no webhook may have."""
        ...

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> CallResult:
        """Returns what came of a call. A failure is a result, too."""
        ...


class HttpReceivers:
    """Reaches receivers over HTTP. timeout: of a whole call. at_once: calls, to size the pool of look-ups.

    A host is resolved for each call, and the connection is made to an address that was checked: the check
    is repeated where the socket is created, after which no name is resolved. So a name that changes its
    address between two look-ups gains nothing. Redirects are not followed, proxies of the environment are
    not used, and no more of an answer is read than its head.
    """

    def __init__(self, rules: TargetRules, *, timeout: timedelta, at_once: int) -> None:
        self._rules = rules
        self._timeout_s = timeout.total_seconds()
        # Of its own, because a name server that does not answer holds a thread for longer than the call.
        self._executor = ThreadPoolExecutor(max_workers=2 * at_once, thread_name_prefix="webhook-names")
        self._tls = ssl.create_default_context()

    async def check(self, url: str) -> None:
        """Raises InvalidWebhookUrl."""
        try:
            host = self._rules.check(url)
        except TargetRefused as refused:
            raise InvalidWebhookUrl(str(refused)) from refused
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
                await self.look_up(host, 0, socket.AF_UNSPEC)
        except (OSError, TimeoutError, UnicodeError) as error:
            # One answer for a name that does not exist and one that is not public.
            raise InvalidWebhookUrl(_NO_ADDRESS) from error

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> CallResult:
        """Returns what came of a call."""
        try:
            self._rules.check(url)  # the rules may have changed
            return CallResult(status=await self._post(url, body, headers))
        except (TargetRefused, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return CallResult(error=_meaning(error))

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        connector = aiohttp.TCPConnector(
            resolver=_CheckedNames(self),
            use_dns_cache=False,
            force_close=True,
            ssl=self._tls,
            socket_factory=self._socket,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=_READ_AHEAD_BYTES,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            ) as session,
            session.post(
                URL(url, encoded=True),
                data=body,
                headers={**headers, "user-agent": USER_AGENT, "accept-encoding": "identity"},
                allow_redirects=False,
            ) as response,
        ):
            return response.status

    async def look_up(self, host: str, port: int, family: int) -> list[ResolveResult]:
        """Returns the addresses of a host that may be called. Raises OSError."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._executor,
            lambda: socket.getaddrinfo(
                host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            ),
        )
        allowed = [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in found
            if self._rules.allows_address(str(address[0]))
        ]
        if not allowed:
            raise AddressRefused("no public address")
        return allowed

    def _socket(self, info: Any) -> socket.socket:
        """Returns a socket for an address. info: as of `getaddrinfo`. Raises AddressRefused."""
        family, kind, protocol, _, address = info
        if not self._rules.allows_address(str(address[0])):
            raise AddressRefused("not a public address")
        return socket.socket(family=family, type=kind, proto=protocol)


class _CheckedNames(AbstractResolver):
    def __init__(self, receivers: HttpReceivers) -> None:
        self._receivers = receivers

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return await self._receivers.look_up(host, port, family)

    async def close(self) -> None:
        """Nothing is open."""


def _meaning(error: BaseException) -> CallError:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, AddressRefused | TargetRefused):
        return "address_refused"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefused):
        return "address_refused"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls_failed"
    return "connection_failed"
