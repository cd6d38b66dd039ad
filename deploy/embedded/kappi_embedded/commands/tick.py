"""`kappi tick`: has the janitor process what is due, now or as of a later time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime

import asyncpg
from aiokafka.errors import KafkaError
from kappi_chassis.clock import utc_now
from kappi_chassis.observability.context import continue_trace
from kappi_galleries.commands import ending_galleries

from kappi_embedded.backlog import BacklogReader
from kappi_embedded.commands.terminal import err, fail, out, plural
from kappi_embedded.stack import NotRunning, Stack, find_stack
from kappi_embedded.ticking import Ticker, TickReport, send_tick
from kappi_embedded.time_args import BadMoment, parse_moment

_LISTED = 20
Confirm = Callable[[str], bool]
"""Whether the operator agrees to the question."""


def tick(at: str | None, *, timeout_s: float, confirm: Confirm, environ: Mapping[str, str]) -> int:
    """Sends a tick and follows it.

    at: RFC 3339 or `+31d`; None: now. confirm: `asked` or `agreed`, called before galleries are deleted
    early. Returns the exit status: 1 when the effects did not settle in time.
    """

    async def follow(stack: Stack, moment: datetime) -> int:
        report = await _tick(stack, moment, timeout_s)
        _print(report)
        return 0 if report.settled else 1

    return _at(at, follow, confirm=confirm, environ=environ)


def tick_unwatched(at: str | None, *, confirm: Confirm, environ: Mapping[str, str]) -> int:
    """As `tick`, without waiting for the effects: the exit status states that the broker has the tick."""

    async def send(stack: Stack, moment: datetime) -> int:
        await send_tick(stack.connection, moment, trace=continue_trace(None))
        out.print(f"Tick at {_text(moment)} sent.")
        return 0

    return _at(at, send, confirm=confirm, environ=environ)


def agreed(_: str) -> bool:
    """Agrees without a question, for scripts."""
    return True


def asked(question: str) -> bool:
    """Asks on the terminal. Raises NotConfirmed where there is none."""
    if not sys.stdin.isatty():
        raise NotConfirmed("add --yes to have them deleted")
    err.print(f"{question} [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


class NotConfirmed(RuntimeError):
    """The tick was not sent; the message states what to do."""


_Act = Callable[[Stack, datetime], Coroutine[None, None, int]]


def _at(at: str | None, act: _Act, *, confirm: Confirm, environ: Mapping[str, str]) -> int:
    try:
        now = utc_now()
        moment = parse_moment(at, now=now) if at is not None else now
        stack = find_stack(environ)
        if moment > now and confirm is not agreed:
            _confirm_early_ends(stack, now, moment, confirm)
        return asyncio.run(act(stack, moment))
    except (NotRunning, NotConfirmed, BadMoment) as error:
        return fail(str(error))
    except (KafkaError, asyncpg.PostgresError, OSError, TimeoutError) as error:
        return fail(f"the broker or a database does not answer ({error}): look with `kappi doctor`")


def _confirm_early_ends(stack: Stack, now: datetime, moment: datetime, confirm: Confirm) -> None:
    """Lists the galleries that would be deleted early, and asks. Raises NotConfirmed."""
    url = stack.databases.get("galleries")
    if url is None:
        raise NotConfirmed(
            "which galleries would go is not known here: set KAPPI_GALLERIES_DATABASE_URL, or add --yes"
        )
    ending = asyncio.run(ending_galleries(url, after=now, until=moment, limit=_LISTED))
    if not ending.count:
        return
    whose = "its" if ending.count == 1 else "their"
    err.print(f"{plural(ending.count, 'gallery')} would be deleted before {whose} time:")
    for gallery in ending.first:
        title = f" {gallery.title}" if gallery.title else ""
        items = plural(gallery.item_count, "item")
        err.print(
            f"  {gallery.code}{title}: {items}, until {_text(gallery.expires_at or moment)}", markup=False
        )
    if ending.count > len(ending.first):
        err.print(f"  and {ending.count - len(ending.first)} more")
    if not confirm("Delete them now? It cannot be undone."):
        raise NotConfirmed("nothing was done")


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
