"""An ordinary client beside a hostile one: its answers before, during and after an attack.

The gateway distinguishes the two by address: the bystander is at 127.0.0.1, and the hostile client binds its
sockets to `ATTACKER`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

ATTACKER = "127.0.0.66"
PICTURE = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))
_PAUSE_S = 0.02
_TIMES_SLOWER = 3.0
# Other tests run at the same time on few processors. The effects of an attack are seconds or refusals.
_ALLOWANCE_MS = 2_000.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Served:
    """elapsed_ms: durations of the calls with the expected answer. failures: the other calls."""

    elapsed_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def p50_ms(self) -> float:
        return self._quantile(0.5)

    @property
    def p99_ms(self) -> float:
        return self._quantile(0.99)

    def _quantile(self, share: float) -> float:
        ordered = sorted(self.elapsed_ms)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else math.inf

    def __str__(self) -> str:
        return (
            f"{len(self.elapsed_ms)} calls, p50 {self.p50_ms:.0f} ms, p99 {self.p99_ms:.0f} ms, "
            f"{len(self.failures)} failed {self.failures[:3]}"
        )


class Bystander:
    """A phone with a gallery of one picture. Every call has its own connection, as a new client's has."""

    def __init__(self, phone: Phone, gallery: Gallery, original_url: str) -> None:
        self.phone = phone
        self.gallery = gallery
        self._original_url = original_url

    async def for_a_while(self, seconds: float, *others: Callable[[], Awaitable[object]]) -> Served:
        """Looks at the gallery, signs an upload and downloads the picture, in turn. others: further calls,
        each with its own assertions."""
        served = Served()
        calls = (self._look, self._sign, self._download, *others)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for call in calls:
                started = time.perf_counter()
                try:
                    await call()
                except (AssertionError, aiohttp.ClientError, OSError, TimeoutError) as failure:
                    served.failures.append(f"{call.__name__}: {failure!r}"[:300])
                else:
                    served.elapsed_ms.append((time.perf_counter() - started) * 1e3)
                await asyncio.sleep(_PAUSE_S)
        return served

    async def beside(
        self,
        attack: Coroutine[Any, Any, object],
        seconds: float,
        *others: Callable[[], Awaitable[object]],
        after_s: float = 0.5,
    ) -> Served:
        """Runs `for_a_while`, starting `after_s` after the attack. The attack is cancelled at the end if it
        still runs. An error of the attack fails the test."""
        attacking = asyncio.create_task(attack, name="attack")
        try:
            await asyncio.sleep(after_s)
            return await self.for_a_while(seconds, *others)
        finally:
            attacking.cancel()
            with suppress(asyncio.CancelledError):
                await attacking

    async def _look(self) -> None:
        answer = await self.phone.ask("GET", f"/v1/g/{self.gallery.code}")
        assert len(answer.ok()["items"]) >= 1

    async def _sign(self) -> None:
        answer = await self.phone.ask(
            "POST",
            f"/v1/galleries/{self.gallery.id}/uploads",
            json={"files": [PICTURE.declaration()]},
            headers=self.gallery.key,
        )
        upload = answer.ok(201)["uploads"][0]
        # The upload is aborted: the bystander may be measured for as long as a test likes.
        gone = await self.phone.ask("DELETE", f"/v1/uploads/{upload['id']}", headers=self.gallery.key)
        assert gone.status == 204, gone.body[:300]

    async def _download(self) -> None:
        answer = await self.phone.ask("GET", self._original_url)
        assert answer.status == 200, answer.body[:300]
        assert answer.body == PICTURE.body


@asynccontextmanager
async def bystander(stack: StackUnderTest, *, address: str = "127.0.0.1") -> AsyncIterator[Bystander]:
    """Returns a bystander whose picture is ready."""
    phone = Phone(stack.base_url, secrets=stack.secrets, address=address, keep_alive=False)
    async with phone:
        gallery = await phone.create_gallery()
        await phone.upload(gallery, PICTURE)
        (item,) = await phone.until_ready(gallery, 1)
        yield Bystander(phone, gallery, item["original"]["url"])


def assert_unharmed(before: Served, during: Served) -> None:
    """Asserts that every call succeeded, and that none took much longer than before."""
    _log.info("before: %s", before)
    _log.info("during: %s", during)
    assert not before.failures, before.failures[:5]
    assert not during.failures, (len(during.failures), during.failures[:5])
    assert during.p99_ms < _TIMES_SLOWER * before.p99_ms + _ALLOWANCE_MS, (str(before), str(during))
