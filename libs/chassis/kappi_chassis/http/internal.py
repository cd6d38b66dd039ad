"""Calls between the services of a deployment: each carries the deployment's secret, and others are refused.

The services trust the gateway's statements about a client, for example its address, and its limits. So their
ports accept only callers with the secret, on every path, not only `/internal/…` (ADR-0032).
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Collection

from kappi_chassis.http.edge import REQUEST_ID, App, Receive, Scope, Send, send_problem
from kappi_chassis.observability import context, metrics
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.problems import Unauthenticated
from kappi_chassis.settings import PlatformSettings, SecretMissing, ServiceSettings, is_loopback

HEADER = "x-kappi-internal"
CHALLENGE = "Kappi-Internal"
"""The scheme in `WWW-Authenticate` of a refusal, by which the gateway sees that it is itself refused."""
TELL_EVERY_S = 10.0

_HEADER = HEADER.encode()
_log = get_logger(__name__)


class CallerUnknown(Unauthenticated):
    code, title = "caller_unknown", "Only services of this deployment may call here"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "Call the gateway instead: it passes your call on.",
            headers={"WWW-Authenticate": CHALLENGE, REQUEST_ID.decode(): request_id},
        )


def internal_headers(platform: PlatformSettings) -> dict[str, str]:
    """Returns the headers that a service sends with each call to another service."""
    if not platform.internal_secret:
        return {}
    return {HEADER: platform.internal_secret[0].get_secret_value()}


def only_internal(
    app: App, platform: PlatformSettings, settings: ServiceSettings, *, but: Collection[bytes] = ()
) -> App:
    """Returns the app behind a check of the caller's secret.

    but: raw paths that need no secret, because they require a credential of their own. Raises SecretMissing
    for a service that other machines can reach and that has no secret to check.
    """
    accepted = [secret.get_secret_value().encode() for secret in platform.internal_secret]
    if accepted:
        return _OnlyInternal(app, accepted, but=frozenset(but))
    if "api" in settings.roles and not is_loopback(settings.host):
        raise SecretMissing("KAPPI_INTERNAL_SECRET: any long random text, the same for every service")
    _log.warning("internal.open", reason="KAPPI_INTERNAL_SECRET is not set: any local process may call")
    return app


class _OnlyInternal:
    def __init__(self, app: App, accepted: list[bytes], *, but: frozenset[bytes]) -> None:
        self._app = app
        self._accepted = accepted
        self._but = but
        self._refused = 0
        self._told_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not (
            self._is_internal(scope["headers"]) or scope.get("raw_path") in self._but
        ):
            await self._refuse(scope, send)
            return
        await self._app(scope, receive, send)

    def _is_internal(self, headers: list[tuple[bytes, bytes]]) -> bool:
        for name, value in headers:
            if name == _HEADER:
                return any(hmac.compare_digest(value, secret) for secret in self._accepted)
        return False

    async def _refuse(self, scope: Scope, send: Send) -> None:
        request_id = context.accept_request_id(None)
        context.request_id.set(request_id)
        metrics.HTTP_CALLERS_REFUSED.inc()
        self._refused += 1
        # One log line for many refusals, because their number depends on the caller.
        if time.monotonic() - self._told_at > TELL_EVERY_S:
            self._told_at = time.monotonic()
            _log.warning("internal.refused", refused=self._refused, peer=(scope.get("client") or ("",))[0])
            self._refused = 0
        await send_problem(send, CallerUnknown(request_id))
