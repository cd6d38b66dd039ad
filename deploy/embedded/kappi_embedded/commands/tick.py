"""`kappi tick`: have the janitor do what is due, now or as if it were later."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from aiokafka.errors import KafkaError
from kappi_chassis.clock import utc_now

from kappi_embedded.backlog import BacklogReader
from kappi_embedded.commands.terminal import err, fail, out, plural
from kappi_embedded.moments import BadMoment, parse_moment
from kappi_embedded.stack import NotRunning, Stack, find_stack
from kappi_embedded.ticking import Ticker, TickReport


def tick(at: str | None, *, timeout_s: float, environ: Mapping[str, str]) -> int:
    """at: RFC 3339 or `+31d`; None: now. Returns the exit status: 1 when it did not settle in time."""
    try:
        now = utc_now()
        moment = parse_moment(at, now=now) if at is not None else now
        stack = find_stack(environ)
        report = asyncio.run(_tick(stack, moment, timeout_s))
    except (NotRunning, BadMoment) as error:
        return fail(str(error))
    except (KafkaError, OSError, TimeoutError) as error:
        return fail(f"the broker or a database does not answer: {error}")
    _print(report)
    return 0 if report.settled else 1


async def _tick(stack: Stack, at: datetime, timeout_s: float) -> TickReport:
    async with BacklogReader(stack.connection, stack.databases) as reader:
        return await Ticker(stack.connection, reader).tick(at, timeout_s=timeout_s)


def _print(report: TickReport) -> None:
    out.print(f"Tick at {report.at.isoformat(timespec='seconds').replace('+00:00', 'Z')}:")
    events = report.events
    for count, noun, outcome in (
        (events["GalleryExpired"], "gallery", "found due"),
        (events["GalleryDeleted"], "gallery", "deleted"),
        (events["MediaDeleted"], "upload", "abandoned and removed"),
        (events["ObjectsPurged"], "purge", f"done, {plural(report.objects, 'object')} removed"),
    ):
        out.print(f"  {plural(count, noun)} {outcome}")
    if not report.settled:
        err.print("Not everything has settled yet: look at the services with `kappi doctor`.")
