"""`kappi get`: everything in a gallery, in original quality."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from kappi_embedded.client.api import Api, ApiError, Unreachable
from kappi_embedded.client.galleries import gallery_items
from kappi_embedded.client.getting import Getting, NotACode, Outcome, parse_code
from kappi_embedded.commands.terminal import GettingBars, err, fail, out, plural, shown
from kappi_embedded.stack import NotRunning, find_url


def get(wanted: str, folder: Path | None, *, url: str | None, environ: Mapping[str, str]) -> int:
    """wanted: a code or a gallery's link. Returns the exit status: 1 when a file is missing."""
    try:
        linked_url, code = parse_code(wanted)
        base_url = find_url(environ, url or linked_url)
    except (NotRunning, NotACode) as error:
        return fail(str(error))
    target = folder or Path(code)
    try:
        outcome = asyncio.run(_get(base_url, code, target))
    except ApiError as error:
        return fail(f"{code}: {error}")
    except Unreachable as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"cannot write to {target}: {error.strerror or error}")
    return _report(outcome, target)


async def _get(base_url: str, code: str, folder: Path) -> Outcome:
    async with Api(base_url) as api:
        items = [item async for item in gallery_items(api, code)]
        with GettingBars() as bars:
            return await Getting(api, code, folder, bars).get(items)


def _report(outcome: Outcome, folder: Path) -> int:
    already = f", {len(outcome.kept)} were here already" if outcome.kept else ""
    out.print(f"{plural(len(outcome.saved), 'file')} saved in {shown(folder)}, sizes verified{already}.")
    if outcome.unready:
        err.print(f"{plural(len(outcome.unready), 'item')} cannot be downloaded yet: call again later.")
    if outcome.failed:
        err.print(f"[red]{plural(len(outcome.failed), 'file')} failed[/red]: call again to go on.")
    return 1 if outcome.failed or outcome.unready else 0
