"""One request on its way through the gateway, and the channel of its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kappi_chassis.http.edge import Receive, Scope, Send


@dataclass(slots=True)
class Request:
    """A client's request. parameters: of the path, raw, in the template's order. address: the client's."""

    scope: Scope
    receive: Receive
    send: Send
    parameters: list[bytes]
    headers: list[tuple[bytes, bytes]]
    method: str
    address: str


Endpoint = Callable[[Request], Awaitable[None]]
