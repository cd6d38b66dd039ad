"""A hostile client sends cheap requests with expensive answers, or opens connections without requests."""

from __future__ import annotations

import resource
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.attacks import LARGE, bursts, half_open, head
from tests.e2e.bystander import ATTACKER, assert_unharmed, bystander
from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest

MEASURED_S = 4.0
HALF_OPEN, OPENING_S = 6_000, 3.0
MOST_GROWTH_BYTES = 60 << 20


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    """Returns the default limits."""
    return {
        "KAPPI_GATEWAY_CONNECTIONS_PER_ADDRESS": "512",
        "KAPPI_GATEWAY_REQUESTS_PER_ADDRESS": "64",
        "KAPPI_GATEWAY_SLOW_PER_ADDRESS": "32",
    }


def _memory(stack: StackUnderTest) -> int:
    """Returns the memory of the gateway in bytes."""
    status = Path(f"/proc/{stack.running.note.services['gateway'].pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


@pytest.mark.real_servers
@pytest.mark.parametrize("reads", [True, False])
async def test_a_burst_of_requests_does_not_harm_others(own_stack: StackUnderTest, reads: bool) -> None:
    async with bystander(own_stack) as other:
        before = await other.for_a_while(MEASURED_S)
        memory = _memory(own_stack)
        during = await other.beside(bursts(own_stack, reads=reads), MEASURED_S)
        grown = _memory(own_stack) - memory
    assert_unharmed(before, during)
    assert grown < MOST_GROWTH_BYTES


async def test_bursts_behind_an_unread_download_do_not_harm_others(own_stack: StackUnderTest) -> None:
    async with (
        bystander(own_stack) as other,
        Phone(own_stack.base_url, secrets=own_stack.secrets, address=ATTACKER) as hostile,
    ):
        gallery = await hostile.create_gallery()
        await hostile.upload(gallery, LARGE)
        (item,) = await hostile.until_ready(gallery, 1)
        url = item["original"]["url"]
        own_stack.secrets.add(url.rpartition("=")[2])
        before = await other.for_a_while(MEASURED_S)
        memory = _memory(own_stack)
        during = await other.beside(bursts(own_stack, head("GET", url), reads=False), MEASURED_S)
        grown = _memory(own_stack) - memory
    assert_unharmed(before, during)
    assert grown < MOST_GROWTH_BYTES


@pytest.mark.real_servers
async def test_silent_connections_do_not_harm_others(own_stack: StackUnderTest) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(HALF_OPEN, most - 500)
    before_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held: list[socket.socket] = []

    try:
        async with bystander(own_stack) as other:
            before = await other.for_a_while(MEASURED_S)
            during = await other.beside(half_open(own_stack, count, held), MEASURED_S, after_s=OPENING_S)
            metrics = (await other.phone.ask("GET", own_stack.ops_url("gateway") + "/metrics")).body.decode()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before_limit)
    assert_unharmed(before, during)
    assert len(held) > 512
    kept = float(metrics.partition("\nkappi_http_open_connections ")[2].split()[0])
    assert kept < 512 + 20, "connections of its own address, and few of others"
