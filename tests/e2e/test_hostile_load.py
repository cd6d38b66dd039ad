"""All attacks at the same time: the growth of the processes, and the service for another client.

KAPPI_TEST_HOSTILE_S sets the duration (45 s); growth is clearest after ten minutes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from kappi_testkit.media.metadata_bombs import png_with_chunks
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.media.slow_tiff import slow_tiff

from tests.e2e import attacks
from tests.e2e.bystander import bystander
from tests.e2e.phone import File
from tests.e2e.stacks import StackUnderTest

LASTS_S = float(os.environ.get("KAPPI_TEST_HOSTILE_S", "45"))
SETTLING_S = 20.0
MOST_GROWTH_BYTES, MOST_MORE_DESCRIPTORS = 64 << 20, 24
SLOW_P99_MS = 5_000.0
HALF_OPEN, CRAWLING = 2_000, 300
FILES = (
    File("a.tif", "image/tiff", slow_tiff()),
    File("a.png", "image/png", png_with_chunks(encode(quadrants(60, 40), "PNG"), b"zTXt", [bytes(90)] * 400)),
)
_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(int(LASTS_S) + 400)]


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    """Returns the default limits: the generous ones of tests would admit the attacks."""
    return {
        "KAPPI_GATEWAY_CONNECTIONS_PER_ADDRESS": "512",
        "KAPPI_GATEWAY_REQUESTS_PER_ADDRESS": "64",
        "KAPPI_GATEWAY_RENDITION_REQUESTS_PER_ADDRESS": "250",
        "KAPPI_GATEWAY_TRANSFERS_PER_ADDRESS": "64",
        "KAPPI_GATEWAY_ARCHIVES_PER_ADDRESS": "8",
        "KAPPI_GALLERIES_PASSWORD_SHARE": "8",
        "KAPPI_IDENTITY_PASSWORD_SHARE": "8",
    }


async def test_mixed_attacks_leave_no_growth(own_stack: StackUnderTest) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    async with bystander(own_stack) as other:
        before = await other.for_a_while(3)
        attack = attacks.all_at_once(
            partial(attacks.bursts, own_stack),
            partial(attacks.half_open, own_stack, HALF_OPEN),
            partial(attacks.crawling, own_stack, CRAWLING),
            partial(attacks.leaving, own_stack),
            partial(attacks.nonsense, own_stack),
            partial(attacks.promising, own_stack),
            partial(attacks.flooding, own_stack, *FILES),
        )
        attacking = asyncio.create_task(attack)
        # Caches and pools fill at first: later growth would continue without end.
        early = await other.for_a_while(LASTS_S / 3)
        memory, descriptors = _memory(own_stack), _descriptors(own_stack)
        late = await other.for_a_while(2 * LASTS_S / 3)
        assert not attacking.done(), attacking
        attacking.cancel()
        await asyncio.wait([attacking])
        await asyncio.sleep(SETTLING_S)
        memory_at_end, descriptors_at_end = _memory(own_stack), _descriptors(own_stack)
        after = await other.for_a_while(3)
    for name in memory:
        _log.info(
            "%s: %d -> %d MB, %d -> %d descriptors",
            name,
            memory[name] >> 20,
            memory_at_end[name] >> 20,
            descriptors[name],
            descriptors_at_end[name],
        )
    _log.info("before: %s\nearly: %s\nlate: %s\nafter: %s", before, early, late, after)
    for served in (before, early, late, after):
        assert not served.failures, str(served)
    assert late.p99_ms < SLOW_P99_MS, str(late)
    for name in memory:
        assert memory_at_end[name] - memory[name] < MOST_GROWTH_BYTES, name
        assert descriptors_at_end[name] - descriptors[name] < MOST_MORE_DESCRIPTORS, name


def _memory(stack: StackUnderTest) -> dict[str, int]:
    """Returns the resident memory of each process in bytes."""
    pages = {name: Path(f"/proc/{pid}/statm").read_text().split()[1] for name, pid in _pids(stack).items()}
    return {name: int(count) * resource.getpagesize() for name, count in pages.items()}


def _descriptors(stack: StackUnderTest) -> dict[str, int]:
    return {name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in _pids(stack).items()}


def _pids(stack: StackUnderTest) -> dict[str, int]:
    note = stack.running.note
    return {"supervisor": note.pid, **{name: service.pid for name, service in note.services.items()}}
