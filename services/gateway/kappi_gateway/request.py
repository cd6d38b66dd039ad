"""One request on its way through: what the client sent, and where its answer goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kappi_chassis.http.edge import Receive, Scope, Send


@dataclass(slots=True)
class Request:
    """parameters: of the path, raw, in the order of the template. address: whose request it is."""

    scope: Scope
    receive: Receive
    send: Send
    parameters: list[bytes]
    headers: list[tuple[bytes, bytes]]
    method: str
    address: str


Endpoint = Callable[[Request], Awaitable[None]]
