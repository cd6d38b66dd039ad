"""`kappi get`: downloads the originals of a gallery."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from kappi_client import ApiError, Client, DownloadResult, LoggedOut, NotACode, Unreachable
from kappi_client.addresses import parse_code

from kappi_embedded.commands.passwords import NoPassword, read_password
from kappi_embedded.commands.terminal import DownloadBars, err, fail, failed, out, plural, shown
from kappi_embedded.stack import NotRunning, find_url

_PROMPT = "Password of the gallery: "


def get(
    wanted: str, folder: Path | None, *, url: str | None, password: str | None, environ: Mapping[str, str]
) -> int:
    """Returns the exit status: 1 when a file is missing.

    wanted: a code, a gallery's link, or the id of one of the account's galleries. password: of the gallery,
    if it has one, as `read_password` takes it.
    """
    try:
        linked_url, code = parse_code(wanted)
        base_url = find_url(environ, url or linked_url)
        target = folder or Path(code)
        given = read_password(password, prompt=_PROMPT) if password is not None else None
        result = asyncio.run(_get(Client(base_url, environ=environ), code, target, given))
    except (NotRunning, NotACode, NoPassword, LoggedOut, ApiError, Unreachable) as error:
        return failed(error)
    except OSError as error:
        return fail(f"cannot write to {error.filename or target}: {error.strerror or error}")
    return _report(result, target)


async def _get(client: Client, code: str, folder: Path, password: str | None) -> DownloadResult:
    with DownloadBars() as bars:
        try:
            return await client.download(code, folder, password=password, progress=bars)
        except ApiError as error:
            if error.code != "gallery_password_required" or not sys.stdin.isatty():
                raise
        asked = read_password("-", prompt=_PROMPT)
        return await client.download(code, folder, password=asked, progress=bars)


def _report(result: DownloadResult, folder: Path) -> int:
    here = len(result.kept)
    already = f", {here} {'was' if here == 1 else 'were'} here already" if here else ""
    out.print(f"{plural(len(result.saved), 'file')} saved in {shown(folder)}, sizes verified{already}.")
    if result.unready:
        err.print(f"{plural(len(result.unready), 'item')} cannot be downloaded yet: call again later.")
    if result.withheld:
        err.print(
            f"{plural(len(result.withheld), 'item')} cannot be downloaded: the tier of its account "
            "has no originals. An administrator can give it another."
        )
    if result.failed:
        err.print(f"[red]{plural(len(result.failed), 'file')} failed[/red]: call again to go on.")
    return 1 if result.failed or result.unready or result.withheld else 0
