"""`kappi get`: everything in a gallery, in original quality."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from kappi_embedded.client.api import Api, ApiError, Authorization, Unreachable
from kappi_embedded.client.download import Download, NotACode, Outcome, is_gallery_id, parse_code
from kappi_embedded.client.galleries import owned_items, viewed_items
from kappi_embedded.client.logins import LoggedOut, Logins, logins_folder
from kappi_embedded.commands.passwords import NoPassword, read_password
from kappi_embedded.commands.terminal import DownloadBars, err, fail, failed, out, plural, shown
from kappi_embedded.stack import NotRunning, find_url


def get(
    wanted: str, folder: Path | None, *, url: str | None, password: str | None, environ: Mapping[str, str]
) -> int:
    """wanted: a code, a gallery's link, or the id of one of the account's galleries. password: of the
    gallery, if it has one. Returns the exit status: 1 when a file is missing."""
    try:
        linked_url, code = parse_code(wanted)
        base_url = find_url(environ, url or linked_url)
        target = folder or Path(code)
        outcome = asyncio.run(_get(base_url, code, target, given=password, environ=environ))
    except (NotRunning, NotACode, NoPassword, LoggedOut, ApiError, Unreachable) as error:
        return failed(error)
    except OSError as error:
        return fail(f"cannot write to {error.filename or target}: {error.strerror or error}")
    return _report(outcome, target)


async def _get(
    base_url: str, code: str, folder: Path, *, given: str | None, environ: Mapping[str, str]
) -> Outcome:
    password = read_password(given, prompt="Password of the gallery: ") if given is not None else None
    own = is_gallery_id(code)
    async with Api(base_url, authorization=_authorization(base_url, environ) if own else None) as api:
        if own:
            headers: dict[str, str] = {}
            items = [item async for item in owned_items(api, code)]
            if not items:
                await api.call("GET", f"/v1/galleries/{code}")  # says so where there is none
        else:
            headers = {"X-Gallery-Code": code, **_shown(password)}
            try:
                items = [item async for item in viewed_items(api, code, headers=_shown(password))]
            except ApiError as error:
                if error.code != "gallery_password_required" or not sys.stdin.isatty():
                    raise
                asked = _shown(read_password("-", prompt="Password of the gallery: "))
                items = [item async for item in viewed_items(api, code, headers=asked)]
                headers |= asked
        with DownloadBars() as bars:
            return await Download(api, headers, folder, bars).get(items)


def _authorization(base_url: str, environ: Mapping[str, str]) -> Authorization:
    """Raises LoggedOut, OSError."""
    logins = Logins(logins_folder(environ), clock=time.time)
    if logins.find(base_url) is None:
        raise LoggedOut("only the account that has the gallery gets it by its id: `kappi login` first")
    return lambda: logins.authorization(base_url)


def _shown(password: str | None) -> dict[str, str]:
    return {} if password is None else {"X-Gallery-Password": password}


def _report(outcome: Outcome, folder: Path) -> int:
    here = len(outcome.kept)
    already = f", {here} {'was' if here == 1 else 'were'} here already" if here else ""
    out.print(f"{plural(len(outcome.saved), 'file')} saved in {shown(folder)}, sizes verified{already}.")
    if outcome.unready:
        err.print(f"{plural(len(outcome.unready), 'item')} cannot be downloaded yet: call again later.")
    if outcome.withheld:
        err.print(
            f"{plural(len(outcome.withheld), 'item')} cannot be downloaded: the tier of its account "
            "has no originals. An administrator can give it another."
        )
    if outcome.failed:
        err.print(f"[red]{plural(len(outcome.failed), 'file')} failed[/red]: call again to go on.")
    return 1 if outcome.failed or outcome.unready or outcome.withheld else 0
