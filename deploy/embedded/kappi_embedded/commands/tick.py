"""`kappi tick`: have the janitor do what is due, now or as if it were later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime

from aiokafka.errors import KafkaError
from kappi_chassis.clock import utc_now
from kappi_chassis.observability.context import continue_trace

from kappi_embedded.backlog import BacklogReader
from kappi_embedded.commands.terminal import err, fail, out, plural
from kappi_embedded.moments import BadMoment, parse_moment
from kappi_embedded.stack import NotRunning, Stack, find_stack
from kappi_embedded.ticking import Ticker, TickReport, send_tick


def tick(at: str | None, *, timeout_s: float, environ: Mapping[str, str]) -> int:
    """at: RFC 3339 or `+31d`; None: now. Returns the exit status: 1 when it did not settle in time."""

    async def follow(stack: Stack, moment: datetime) -> int:
        report = await _tick(stack, moment, timeout_s)
        _print(report)
        return 0 if report.settled else 1

    return _at(at, follow, environ=environ)


def tick_unwatched(at: str | None, *, environ: Mapping[str, str]) -> int:
    """As `tick`, but what comes of it is not waited for: the exit status says that the broker has it."""

    async def send(stack: Stack, moment: datetime) -> int:
        await send_tick(stack.connection, moment, trace=continue_trace(None))
        out.print(f"Tick at {_text(moment)} sent.")
        return 0

    return _at(at, send, environ=environ)


_Act = Callable[[Stack, datetime], Coroutine[None, None, int]]


def _at(at: str | None, act: _Act, *, environ: Mapping[str, str]) -> int:
    try:
        now = utc_now()
        moment = parse_moment(at, now=now) if at is not None else now
        return asyncio.run(act(find_stack(environ), moment))
    except (NotRunning, BadMoment) as error:
        return fail(str(error))
    except (KafkaError, OSError, TimeoutError) as error:
        return fail(f"the broker or a database does not answer: {error}")


async def _tick(stack: Stack, at: datetime, timeout_s: float) -> TickReport:
    async with BacklogReader(stack.connection, stack.databases) as reader:
        return await Ticker(stack.connection, reader).tick(at, timeout_s=timeout_s)


def _print(report: TickReport) -> None:
    out.print(f"Tick at {_text(report.at)}:")
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


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
