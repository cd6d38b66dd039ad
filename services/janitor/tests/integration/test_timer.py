"""One tick an hour, over however many replicas."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from kappi_chassis.outbox import Outbox
from kappi_contracts.events import JanitorTick
from kappi_janitor.use_cases.emit_tick import EmitTick
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually

HOUR = timedelta(hours=1)


def timer(janitor: Any, *, every: timedelta = HOUR) -> EmitTick:
    return EmitTick(Outbox(janitor.deps.database), every=every, clock=janitor.clock)


async def test_replicas_emit_one_tick_per_turn_between_them(janitor: Any) -> None:
    replicas = [timer(janitor) for _ in range(4)]
    for hour in range(3):
        outcomes = await asyncio.gather(*(each() for each in replicas for _ in range(3)))
        assert outcomes.count(True) == 1, f"turn {hour}"
        janitor.clock.pass_by(HOUR)
    ticks = await janitor.published(JanitorTick)
    assert len(ticks) == 3
    first, *_, last = ticks
    assert last.event.at - first.event.at == 2 * HOUR
    assert [each.sequence - first.sequence for each in ticks] == [0, 1, 2]
    assert {each.event.origin for each in ticks} == {"timer"}


async def test_a_turn_that_began_while_no_replica_ran_is_made_up_for_at_once(janitor: Any) -> None:
    janitor.clock.pass_by(timedelta(minutes=45))
    assert await timer(janitor)()
    assert (await janitor.published(JanitorTick))[0].event.at == janitor.clock()


async def test_a_crash_between_the_turn_and_its_tick_loses_no_tick(janitor: Any) -> None:
    """Both are one transaction: without the commit another replica takes the turn."""

    class DiesBeforeCommit(Outbox):
        def row(self, event: Any, **_: Any) -> Any:
            raise asyncio.CancelledError

    broken = EmitTick(DiesBeforeCommit(janitor.deps.database), every=HOUR, clock=janitor.clock)
    try:
        await broken()
    except asyncio.CancelledError:
        assert await timer(janitor)()
    assert len(await janitor.published(JanitorTick)) == 1


async def test_two_running_timers_tick_once_per_turn(janitor: Any) -> None:
    async with Background() as running:
        for _ in range(2):
            running.start(timer(janitor, every=timedelta(milliseconds=20)).run())

        async def one() -> None:
            assert len(await janitor.published(JanitorTick)) == 1

        await eventually(one)
        janitor.clock.pass_by(timedelta(milliseconds=20))

        async def two() -> None:
            assert len(await janitor.published(JanitorTick)) == 2

        await eventually(two)
    (row,) = await janitor.query("SELECT count(*) FROM ticks")
    assert row[0] == 2
