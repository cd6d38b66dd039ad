"""Every alert fires by its real cause on a running system, and is silent before it.

Time in the rules passes sixty times faster; see `compressed`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from kappi_chassis.disk import disk_space
from kappi_chassis.embedded.ports import LOOPBACK
from kappi_testkit.eventually import eventually
from kappi_testkit.plugin import server_plan

from tests.chaos.alert_causes import EXCEPTIONS, FIRST, FULL_DISK, IN_TURN, LONG, causes
from tests.chaos.alert_scene import Cause, Scene
from tests.chaos.alert_watch import AlertWatch, shipped_alerts
from tests.chaos.load import Load
from tests.chaos.quick_rules import compressed
from tests.chaos.receiver import receiving
from tests.chaos.system import System, running_system
from tests.deploy.composition import ROOT
from tests.e2e.disks import MIB, SmallDisk, small_disk
from tests.e2e.phone import Phone
from tests.e2e.prometheus import RULES, prometheus
from tests.e2e.stacks import running_stack

FACTOR = 60
QUIET_S = 60
_SEEN_S, _QUIET_WITHIN_S = 30.0, 120.0
_SETTINGS = {
    # As each hour, in compressed time.
    "KAPPI_JANITOR_TICK_INTERVAL": "PT1M",
    "KAPPI_MEDIA_STATISTICS_INTERVAL": "PT1S",
    # With each tick, so that a test need not wait for the next day.
    "KAPPI_GALLERIES_RECONCILE_EVERY": "PT5S",
    # So that few receivers take all places.
    "KAPPI_IDENTITY_WEBHOOK_CALLS": "1",
    # The clients that exceed it run on this machine, too.
    "KAPPI_GATEWAY_MAX_IN_FLIGHT": "32",
}
_log = logging.getLogger(__name__)


def test_every_alert_has_a_cause_or_is_an_exception() -> None:
    assert causes().keys() & EXCEPTIONS.keys() == set()
    assert causes().keys() | EXCEPTIONS.keys() == shipped_alerts().keys()


def test_the_causes_are_listed_in_the_docs() -> None:
    page = (ROOT / "docs/reliability.md").read_text()
    rows = re.findall(r"^\| (Kappi\w+) \| (.+?) \| (\d{4}-\d\d-\d\d|-) \|$", page, re.MULTILINE)
    assert {alert: cause for alert, cause, _ in rows} == {**causes(), **EXCEPTIONS}
    assert {alert for alert, _, date in rows if date == "-"} == EXCEPTIONS.keys()


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_alerts_fire_by_their_causes(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    plan = server_plan(pytestconfig)
    if plan.kafka != "java" or plan.s3 != "binary":
        pytest.skip("no Kafka and S3 server that a test may kill (make real-servers)")
    disk = tmp_path / "disk"
    disk.mkdir()
    rules = compressed(RULES.read_text(), factor=FACTOR)
    async with (
        running_system(tmp_path, disk=disk, settings=_SETTINGS) as system,
        receiving() as receiver,
        aiohttp.ClientSession() as session,
        Phone(system.base_url) as phone,
    ):
        load = Load(system.base_url, system.events, receiver=receiver)
        await load.prepare()
        gallery = await phone.create_gallery(title="Watched", expires_in=3600)
        scene = Scene(system, load, phone, gallery)
        await phone.upload(gallery, scene.picture())
        with prometheus(tmp_path, _targets(system), rules=rules) as url:
            watch = AlertWatch(session, url)
            await _until_quiet(system, watch)
            async with asyncio.TaskGroup() as group:
                group.create_task(load.browse())
                try:
                    await _see_all(scene, watch)
                finally:
                    load.over.set()


async def _until_quiet(system: System, watch: AlertWatch) -> None:
    """Returns after a time without any alert that is as long as most of them take to fire."""
    await eventually(lambda: watch.until_seen(len(system.replicas)), _SEEN_S)
    await asyncio.sleep(QUIET_S)
    # A start on a busy machine may cause some.
    await eventually(lambda: watch.nothing_fired(QUIET_S), _QUIET_WITHIN_S)


async def _see_all(scene: Scene, watch: AlertWatch) -> None:
    for together in FIRST:
        await _see_together(scene, watch, together)
    async with asyncio.TaskGroup() as group:
        group.create_task(_see_together(scene, watch, LONG))
        for together in IN_TURN:
            await _see_together(scene, watch, together)


async def _see_together(scene: Scene, watch: AlertWatch, causes: Sequence[Cause]) -> None:
    async with asyncio.TaskGroup() as group:
        for cause in causes:
            group.create_task(_see(scene, watch, cause))


async def _see(scene: Scene, watch: AlertWatch, cause: Cause) -> None:
    """Begins a cause, and waits until its alerts fire."""
    for alert, labels in cause.alerts.items():
        await eventually(partial(watch.is_silent, alert, labels), _SEEN_S)
    began = time.monotonic()

    async def fires(alert: str) -> None:
        await eventually(lambda: watch.fires(alert, cause.alerts[alert]), cause.seen_within_s)
        _log.info("%s fires after %.0f s: %s", alert, time.monotonic() - began, cause.what)

    async with cause.begin(scene):
        done = await asyncio.gather(*(fires(alert) for alert in cause.alerts), return_exceptions=True)
    failed = [each for each in done if isinstance(each, BaseException)]
    if failed:
        raise ExceptionGroup(cause.what, [each for each in failed if isinstance(each, Exception)])


def _targets(system: System) -> dict[str, list[str]]:
    targets: dict[str, list[str]] = {}
    for replica in system.replicas:
        targets.setdefault(replica.service, []).append(f"{LOOPBACK}:{replica.ops_port}")
    return targets


@pytest.mark.e2e
@pytest.mark.slow
async def test_a_filling_disk_is_told(tmp_path: Path) -> None:
    [alert] = FULL_DISK
    rules = compressed(RULES.read_text(), factor=FACTOR)
    with (
        small_disk(tmp_path / "disk", size_bytes=400 * MIB) as disk,
        running_stack("embedded", disk.folder, settings=disk.settings) as stack,
    ):
        services = stack.running.note.services
        targets = {name: [f"{LOOPBACK}:{service.ops_port}"] for name, service in services.items()}
        with prometheus(tmp_path, targets, rules=rules) as url:
            async with aiohttp.ClientSession() as session:
                watch = AlertWatch(session, url)
                await eventually(lambda: watch.until_seen(len(services)), _SEEN_S)
                await watch.is_silent(alert, {})
                filler = _fill_to_the_reserve(disk)
                await eventually(lambda: watch.fires(alert, {}), _SEEN_S)
                filler.unlink()
                await eventually(lambda: watch.is_silent(alert, {}), _SEEN_S)


def _fill_to_the_reserve(disk: SmallDisk) -> Path:
    space = disk_space(disk.folder)
    given = disk.settings.get("KAPPI_LOCAL_STORE_RESERVE_BYTES")
    reserve_bytes = space.default_reserve_bytes if given is None else int(given)
    filler = disk.folder / "filler"
    filler.write_bytes(bytes(space.free_bytes - reserve_bytes))
    return filler
