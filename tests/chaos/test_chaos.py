"""Nothing that was acknowledged is lost, and nothing happens twice, whatever fails while clients go on.

KAPPI_CHAOS_S sets the time of the faults; each comes once per round. KAPPI_CHAOS_SEED repeats their order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from pathlib import Path

import pytest
from kappi_testkit.plugin import server_plan

from tests.chaos.checker import Checker
from tests.chaos.faults import cause_faults
from tests.chaos.load import Load
from tests.chaos.receiver import receiving
from tests.chaos.report import table
from tests.chaos.system import running_system
from tests.e2e.disks import MIB, mounted

LASTS_S = float(os.environ.get("KAPPI_CHAOS_S", "60"))
_DISK_BYTES = 768 * MIB
_BEFORE_S = 10.0
_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(int(LASTS_S) + 1_500)]


async def test_nothing_acknowledged_is_lost(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    plan = server_plan(pytestconfig)
    if plan.kafka != "java" or plan.s3 != "binary":
        pytest.skip("no Kafka and S3 server that a test may kill (make real-servers)")
    seed = int(os.environ.get("KAPPI_CHAOS_SEED", random.randrange(10**6)))
    _log.info("KAPPI_CHAOS_SEED=%d", seed)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # of the tick's own connections
    with mounted(tmp_path / "disk", size_bytes=_DISK_BYTES) as is_mounted:
        if not is_mounted:
            pytest.skip("no disk of its own for the store, which a fault fills")
        async with running_system(tmp_path, disk=tmp_path / "disk") as system, receiving() as receiver:
            load = Load(system.base_url, system.events, receiver=receiver)
            await load.prepare()
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run())
                await asyncio.sleep(_BEFORE_S)
                windows = await cause_faults(system, random.Random(seed), seconds=LASTS_S)
                load.over.set()
            for window in windows:
                _log.info("%s %s", window.fault, window.detail)
            _log.info("What clients saw:\n%s", table(load.samples, windows))
            report = await Checker(system, load.ledger, receiver).check()
            _log.info("Checked: %s", dict(report.checked))
            assert not report.wrong, "\n".join(report.wrong[:40])
