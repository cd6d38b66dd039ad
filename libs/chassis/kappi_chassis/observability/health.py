"""Liveness, readiness and metrics: a small ASGI app on a port of its own, never behind the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kappi_chassis.observability.declared import Exposition
from kappi_chassis.observability.logs import get_logger

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Check = Callable[[], Awaitable[None]]

CHECK_TIMEOUT_S = 2.0
_log = get_logger(__name__)


class Health:
    """The readiness of this process: its dependencies answer and it is not draining."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._advisory: set[str] = set()
        self._failing: set[str] = set()
        self._draining = False

    def add(self, name: str, check: Check) -> None:
        """Adds a dependency. check: returns if it answers, raises otherwise."""
        self._checks[name] = check

    def watch(self, name: str, check: Check) -> None:
        """Adds a dependency that is only reported: requests work without it, so readiness ignores it."""
        self._checks[name] = check
        self._advisory.add(name)

    def drain(self) -> None:
        """Makes the process not ready; accepted requests are finished."""
        self._draining = True

    async def report(self) -> tuple[bool, dict[str, str]]:
        """Returns readiness, and the outcome per dependency."""
        outcomes = await asyncio.gather(*(self._run(name, check) for name, check in self._checks.items()))
        states = dict(zip(self._checks, outcomes, strict=True))
        if self._draining:
            states["process"] = "draining"
        ready = all(state == "ok" for name, state in states.items() if name not in self._advisory)
        return ready, states

    async def _run(self, name: str, check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await check()
        except Exception as error:  # noqa: BLE001 - whatever a dependency throws means "not ready"
            # Logged once per outage, because probes come every few seconds.
            if name not in self._failing:
                self._failing.add(name)
                _log.warning(
                    "health.not_ready", dependency=name, error=str(error), error_type=type(error).__name__
                )
            return "unavailable"
        if name in self._failing:
            self._failing.discard(name)
            _log.info("health.ready_again", dependency=name)
        return "ok"


def ops_app(health: Health, exposition: Exposition) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Returns the app of `/healthz`, `/readyz`, `/metrics`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, content_type, body = 404, "text/plain", b"not found\n"
        if scope["path"] == "/healthz":
            status, body = 200, b"alive\n"
        elif scope["path"] == "/readyz":
            ready, states = await health.report()
            status, content_type = (200 if ready else 503), "application/json"
            body = msgspec.json.encode({"ready": ready, "checks": states})
        elif scope["path"] == "/metrics":
            status, content_type, body = 200, CONTENT_TYPE_LATEST, generate_latest(exposition)
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
