"""`kappi reconcile`: has the services compare their rows with the store and with each other."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import asyncpg
from aiokafka.errors import KafkaError
from kappi_chassis.reconcile.runs import Run, read_runs, request_check, request_repair
from rich.table import Table

from kappi_embedded.backlog import BacklogReader
from kappi_embedded.commands.terminal import err, fail, out, plural
from kappi_embedded.stack import NotRunning, Stack, find_stack

PASSES: Final = 5
"""Repairs of one service are differences for another: a lost item is still counted, for example."""
SETTLE_S: Final = 30.0
_WITHOUT_CHECKS: Final = {"identity"}
_POLL_S: Final = 0.5
_REMOVING: Final = {
    "original_missing": "an item whose original is missing is deleted",
    "picture_missing": "a post whose picture is missing is deleted",
    "post_without_picture": "a post whose picture is missing is deleted",
    "folder_unnamed": "objects that no item names are removed",
    "object_unnamed": "objects that no row names are removed",
    "picture_unnamed": "objects that no post names are removed",
    "picture_without_post": "pictures of posts that do not exist are removed",
    "gallery_unknown": "what media holds of galleries that do not exist is removed",
    "gallery_deleted_there": "galleries whose items are deleted are deleted",
    "gallery_deleted_here": "items of deleted galleries are deleted",
}
Confirm = Callable[[str], bool]
"""Whether the operator agrees to the question."""


class NotDone(RuntimeError):
    """The comparison did not end, or was not wanted; the message states what to do."""


def reconcile(
    *, repair: bool, as_json: bool, timeout_s: float, confirm: Confirm, environ: Mapping[str, str]
) -> int:
    """Runs all checks, then the repairs if they are wanted. Returns the exit status: 1 while differences are
    left.
    """
    try:
        runs = asyncio.run(
            _reconcile(find_stack(environ), repair=repair, timeout_s=timeout_s, confirm=confirm)
        )
    except (NotRunning, NotDone) as error:
        return fail(str(error))
    except (KafkaError, asyncpg.PostgresError, OSError, TimeoutError) as error:
        return fail(f"the broker or a database does not answer ({error}): look with `kappi doctor`")
    if as_json:
        out.print_json(json.dumps({"checks": [_as_json(run) for run in runs]}))
    else:
        _print(runs, repaired=repair)
    return 1 if any(found > mended for run in runs for found, mended in run.found.values()) else 0


async def _reconcile(stack: Stack, *, repair: bool, timeout_s: float, confirm: Confirm) -> list[Run]:
    urls = [url for service, url in stack.databases.items() if service not in _WITHOUT_CHECKS]
    deadline = time.monotonic() + timeout_s
    runs = await _run(urls, request_check, deadline)
    if not repair or not any(run.found for run in runs):
        return runs
    _agree(runs, confirm)
    passes: list[list[Run]] = []
    for _ in range(PASSES):
        passes.append(await _run(urls, request_repair, deadline))
        if not any(mended for run in passes[-1] for _, mended in run.found.values()):
            break
        async with BacklogReader(stack.connection, stack.databases) as reader:
            await reader.settle(timeout_s=min(SETTLE_S, deadline - time.monotonic()))
    return _summed(passes)


def _summed(passes: Sequence[Sequence[Run]]) -> list[Run]:
    """Returns the last pass with the repairs of all passes."""
    summed = []
    for last in passes[-1]:
        found = {kind: [seen - mended, 0] for kind, (seen, mended) in last.found.items()}
        for run in (run for each in passes for run in each if run.name == last.name):
            for kind, (_, mended) in run.found.items():
                counts = found.setdefault(kind, [0, 0])
                found[kind] = [counts[0] + mended, counts[1] + mended]
        summed.append(last._replace(found=found))
    return summed


async def _run(urls: Sequence[str], request: Any, deadline: float) -> list[Run]:
    """Returns the results of all checks. Raises NotDone."""
    for url in urls:
        await request(url)
    while True:
        runs = [run for url in urls for run in await read_runs(url)]
        waiting = [run for run in runs if not run.is_finished]
        if runs and not waiting:
            return runs
        if time.monotonic() > deadline:
            raise NotDone(_unfinished(waiting))
        await asyncio.sleep(_POLL_S)


def _unfinished(waiting: Sequence[Run]) -> str:
    if not waiting:
        return "no service has registered a check: is there a worker of galleries, media and janitor?"
    reasons = "; ".join(f"{run.name}: {run.last_error or f'{run.examined} compared'}" for run in waiting)
    return f"not finished yet ({reasons}). It goes on; the same command continues to wait for it"


def _agree(runs: Sequence[Run], confirm: Confirm) -> None:
    """Asks before anything is deleted. Raises NotDone."""
    removing = {
        _REMOVING[kind]: found for run in runs for kind, (found, _) in run.found.items() if kind in _REMOVING
    }
    if not removing:
        return
    _print(runs, repaired=False, console=err)
    for meaning, count in removing.items():
        err.print(f"  {count} times: {meaning}", markup=False)
    if not confirm("Repair it? It cannot be undone."):
        raise NotDone("nothing was repaired")


def agreed(_: str) -> bool:
    """Agrees without a question, for scripts."""
    return True


def asked(question: str) -> bool:
    """Asks on the terminal. Raises NotDone where there is none."""
    if not sys.stdin.isatty():
        raise NotDone("add --yes to have it repaired")
    err.print(f"{question} [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _print(runs: Sequence[Run], *, repaired: bool, console: Any = out) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("check", "compared", "difference", "found", *(["repaired"] if repaired else [])):
        table.add_column(heading, justify="right" if heading in {"compared", "found", "repaired"} else "left")
    for run in runs:
        rows = sorted(run.found.items()) or [("none", [0, 0])]
        for number, (kind, (found, mended)) in enumerate(rows):
            start = (run.name, str(run.examined)) if number == 0 else ("", "")
            table.add_row(*start, kind, str(found), *([str(mended)] if repaired else []))
    console.print(table)
    left = sum(found - mended for run in runs for found, mended in run.found.values())
    for run in runs:
        for each in run.examples:
            console.print(f"  {each['kind']} {each['subject']}", markup=False)
    console.print(f"{plural(left, 'difference')} left.")


def _as_json(run: Run) -> dict[str, Any]:
    assert run.finished_at is not None
    return {
        "check": run.name,
        "finished_at": run.finished_at.isoformat(),
        "compared": run.examined,
        "differences": {
            kind: {"found": found, "repaired": mended} for kind, (found, mended) in run.found.items()
        },
        "examples": list(run.examples),
    }
