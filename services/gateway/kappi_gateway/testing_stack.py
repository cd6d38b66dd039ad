"""For tests: a whole gateway between a client and services that do what the test says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kappi_gateway.grants import GrantCache
from kappi_gateway.testing import FakeService, RawAnswer, Seen, exchange, request
from kappi_gateway.upstream import Upstreams


class ManualTime:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(slots=True)
class Stack:
    """A gateway between a client and services that do what the test says."""

    port: int
    galleries: FakeService
    media: FakeService
    store: FakeService
    cache: GrantCache
    time: ManualTime
    upstreams: Upstreams

    async def ask(self, method: str, target: str, *lines: str, body: bytes = b"") -> RawAnswer:
        return await exchange(self.port, request(method, target, *lines, body=body))

    def grants_asked(self) -> list[Seen]:
        return [seen for seen in self.galleries.seen if seen.raw_path.startswith(b"/internal/grants/")]


StackFactory = Callable[..., Awaitable[Stack]]
