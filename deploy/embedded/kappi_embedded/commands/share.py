"""`kappi share`: creates a gallery from files, and continues an earlier call that was interrupted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kappi_client import (
    ApiError,
    Connection,
    Gallery,
    JournalUnwritable,
    LoggedOut,
    Login,
    Meter,
    NewGallery,
    Unreachable,
    UploadResult,
    UploadRunning,
)
from kappi_client.api import Api
from kappi_client.files import Found, find_files
from kappi_client.formats import ACCEPTED
from kappi_client.journal import Identity, Journal, Journals, Note, journals_folder
from kappi_client.logins import Logins, logins_folder
from kappi_client.progress import size
from kappi_client.upload import Upload
from rich.markup import escape

from kappi_embedded.commands.passwords import NoPassword, read_password
from kappi_embedded.commands.terminal import ShareBars, err, fail, failed, out, plural, shown
from kappi_embedded.stack import NotRunning, find_phone_url, find_url

_WAIT_S = 600.0
_INTERRUPTED = 130  # the status that a shell reports for a program that Ctrl-C ended
_AGAIN = "Call the same command again to go on."


class LoginNeeded(RuntimeError):
    """The options do not fit the log-in; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRequest:
    """The uploads of one call.

    gallery: to create; its password as `read_password` takes it. connection: speed of the network; None is
    normal, and slow after a cut. wait: until every item is ready. afresh: the uploads of an earlier call do
    not count. as_json: prints the result for scripts.
    """

    paths: Sequence[Path]
    gallery: NewGallery
    connection: Connection | None = None
    wait: bool
    afresh: bool = False
    as_json: bool


@dataclass(frozen=True, slots=True)
class Links:
    """base_url: the address that this command uses. elsewhere: the address for other machines."""

    base_url: str
    elsewhere: str

    def seen_from_elsewhere(self, gallery: Gallery) -> Gallery:
        """Returns the gallery with a link for other machines, where `localhost` would be wrong."""
        if gallery.url is None or not gallery.url.startswith(f"{self.base_url}/"):
            return gallery
        return replace(gallery, url=self.elsewhere + gallery.url.removeprefix(self.base_url))


def share(request: ShareRequest, *, url: str | None, environ: Mapping[str, str]) -> int:
    """Returns the exit status: 1 when any file was refused or is not ready, 130 after Ctrl-C."""
    logins = Logins(logins_folder(environ), clock=time.time)
    try:
        base_url = find_url(environ, url)
        phone_url = find_phone_url(environ, url)
        login = logins.find(base_url)
        request = replace(request, gallery=_checked(request.gallery, login))
        found = find_files(request.paths)
    except (NotRunning, NoPassword, LoginNeeded) as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}")
    account = login.email if login is not None else None
    for path in found.alone:
        err.print(f"Leaving out {shown(path)}: it belongs to no picture in its folder.")
    if not found.files:
        return fail(f"there is no photo or video here: Kappi takes {ACCEPTED}")
    if found.skipped:
        err.print(f"Leaving out {plural(len(found.skipped), 'file')}: neither photo nor video.")
    identity = Identity.of(base_url, request.paths, request.gallery, account=account)
    folder = journals_folder(environ)
    try:
        with ExitStack() as held:
            journal = _open_journal(held, folder, identity, afresh=request.afresh)
            authorization = (lambda: logins.authorization(base_url)) if login is not None else None
            api = Api(base_url, authorization=authorization)
            links = Links(base_url, phone_url or base_url)
            return asyncio.run(_share(request, found, api, journal, account=account, links=links))
    except UploadRunning as error:
        return fail(str(error))
    except JournalUnwritable as error:
        return fail(f"cannot write to {folder}: {error}")
    except OSError as error:
        return fail(f"cannot write to {error.filename or 'the output'}: {error.strerror or error}")
    except KeyboardInterrupt:
        err.print(f"Stopped. {_AGAIN}")
        return _INTERRUPTED


def _checked(wanted: NewGallery, login: Login | None) -> NewGallery:
    """Returns the gallery with its password read. Raises LoginNeeded, NoPassword."""
    if login is None and (wanted.private or wanted.password is not None):
        raise LoginNeeded("only the gallery of an account is private or has a password: `kappi login` first")
    if login is not None and wanted.expires_in_s is not None:
        raise LoginNeeded(
            f"galleries of {login.email} do not expire: leave out --expires-in, or `kappi logout` first"
        )
    if wanted.password is None:
        return wanted
    return replace(wanted, password=read_password(wanted.password, prompt="Password of the gallery: "))


def _open_journal(held: ExitStack, folder: Path, identity: Identity, *, afresh: bool) -> Journal:
    """Returns the journal, which this process holds alone. Raises UploadRunning."""
    try:
        return held.enter_context(Journals(folder).open(identity, anew=afresh))
    except JournalUnwritable as error:
        err.print(
            f"[yellow]![/yellow] Cannot write to {shown(folder)} ({error}): "
            "if this is interrupted, it begins anew."
        )
        return Journal(None, Note.new())


async def _share(
    request: ShareRequest, found: Found, api: Api, journal: Journal, *, account: str | None, links: Links
) -> int:
    size_bytes = sum(file.size_bytes for file in found.files)
    bars = ShareBars(files=len(found.files), size_bytes=size_bytes)
    upload = Upload(
        api,
        found.files,
        gallery=request.gallery,
        journal=journal,
        progress=bars,
        connection=request.connection,
    )
    result = upload.result
    late = False
    try:
        async with api:
            with bars:
                await upload.run(wait_s=_WAIT_S if request.wait else 0.0)
        late = request.wait and not result.processed
    except (ApiError, LoggedOut, Unreachable) as error:
        status = failed(error)
        if result.gallery is not None:
            err.print(_AGAIN)
    else:
        status = 1 if late or result.rejected else 0
    finally:
        # The key is shown once, and without it the gallery cannot even be deleted: so also after an error.
        if result.gallery is not None or result.rejected:
            shown_gallery = result.gallery and links.seen_from_elsewhere(result.gallery)
            _print(request, replace(result, gallery=shown_gallery), bars.meter, account=account)
    if late:
        err.print("Some items are still being processed: they will appear in the gallery.")
    return status


def _print(request: ShareRequest, result: UploadResult, meter: Meter, *, account: str | None) -> None:
    gallery = result.gallery
    if request.as_json:
        out.print(json.dumps(_document(result, meter), indent=2), markup=False)
        return
    if gallery is not None:
        out.print(f"\n{_facts(gallery, account)}\n")
    ready = sum(each.status == "ready" for each in result.uploaded)
    before = f" ({size(meter.resumed_bytes)} were there before)" if meter.resumed_bytes else ""
    out.print(
        f"{plural(len(result.uploaded), 'item')}, {ready} ready, {len(result.rejected)} refused{before}."
        + ("" if gallery is not None else " No gallery was made.")
    )
    for file, reason in result.rejected:
        out.print(f"  [red]refused[/red] {shown(file.path)}: {escape(reason)}")


def _facts(gallery: Gallery, account: str | None) -> str:
    lines = [
        f"Link        [bold]{gallery.url}[/bold]" if gallery.url else "",
        f"Code        {gallery.code}" if gallery.code else "",
        f"Access key  {gallery.access_key}   (keep it: it alone can change or delete the gallery)"
        if gallery.access_key
        else f"Account     {escape(account or '')}",
        f"Gallery     {gallery.id}"
        + ("" if gallery.code else f"   (private: `kappi get {gallery.id}` brings it back)"),
    ]
    return "\n".join(line for line in lines if line)


def _document(result: UploadResult, meter: Meter) -> dict[str, Any]:
    """Returns the result for scripts. The gallery's members are null where there is none."""
    gallery = result.gallery
    return {
        "id": gallery and gallery.id,
        "code": gallery and gallery.code,
        "url": gallery and gallery.url,
        "access_key": gallery and gallery.access_key,
        "stored_bytes": meter.stored_bytes,
        "resumed_bytes": meter.resumed_bytes,
        "items": [
            {
                "path": str(each.path),
                "media_id": each.media_id,
                "status": each.status,
                "size": each.file.size_bytes,
                "sha256": each.sha256,
            }
            for each in result.uploaded
        ],
        "rejected": [{"path": str(file.path), "reason": reason} for file, reason in result.rejected],
    }
