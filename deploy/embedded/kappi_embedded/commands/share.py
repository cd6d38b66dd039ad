"""`kappi share`: a gallery from files, gone on with where an earlier call of the same stopped."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kappi_chassis.clock import utc_now
from kappi_mediameta.probing.probe import ACCEPTED
from rich.markup import escape

from kappi_embedded.client.api import Api, ApiError, Unreachable
from kappi_embedded.client.files import Found, find_files
from kappi_embedded.client.galleries import Gallery, create_gallery, delete_gallery, still_managed
from kappi_embedded.client.journal import (
    Identity,
    Journal,
    Journals,
    JournalUnwritable,
    Note,
    SharedAlready,
    journals_folder,
    read_note,
)
from kappi_embedded.client.link import PATIENCE_S
from kappi_embedded.client.logins import LoggedOut, Login, Logins, logins_folder
from kappi_embedded.client.meter import Meter, size
from kappi_embedded.client.pace import Connection
from kappi_embedded.client.share import Outcome, Share
from kappi_embedded.commands.passwords import NoPassword, read_password
from kappi_embedded.commands.terminal import ShareBars, err, fail, failed, out, plural, shown
from kappi_embedded.stack import NotRunning, find_phone_url, find_url

_WAIT_S = 600.0
_INTERRUPTED = 130  # as a shell says it of a program that Ctrl-C ended
_AGAIN = "Call the same command again to go on."


class LoginNeeded(RuntimeError):
    """What is wanted of the gallery does not fit who is logged in; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRequest:
    """What to share and how.

    private, password: of the gallery of an account; the password as `read_password` takes it.
    connection: how good the line is; None finds out. wait: until every item is ready. afresh: whatever an
    earlier call left. as_json: for scripts.
    """

    paths: Sequence[Path]
    title: str | None
    expires_in_s: int | None
    private: bool = False
    password: str | None = None
    connection: Connection | None = None
    wait: bool
    afresh: bool = False
    as_json: bool


@dataclass(frozen=True, slots=True)
class Links:
    """base_url: as this command calls the deployment. elsewhere: as others in the network do."""

    base_url: str
    elsewhere: str

    def seen_from_elsewhere(self, gallery: Gallery) -> Gallery:
        """A link is for others, and `localhost` names another machine there."""
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
        request = _checked(request, login)
        found = find_files(request.paths)
    except (NotRunning, NoPassword, LoginNeeded) as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}")
    account = login.email if login is not None else None
    if not found.files:
        return fail(f"there is no photo or video here: Kappi takes {ACCEPTED}")
    if found.skipped:
        err.print(f"Leaving out {plural(len(found.skipped), 'file')}: neither photo nor video.")
    identity = Identity(
        base_url,
        tuple(str(path.resolve()) for path in request.paths),
        request.title,
        request.expires_in_s,
        account=account,
        private=request.private,
    )
    folder = journals_folder(environ)
    try:
        with ExitStack() as held:
            journal = _open_journal(held, folder, identity, afresh=request.afresh)
            authorization = (lambda: logins.authorization(base_url)) if login is not None else None
            api = Api(base_url, authorization=authorization)
            links = Links(base_url, phone_url or base_url)
            return asyncio.run(_share(request, found, api, journal, account=account, links=links))
    except SharedAlready as error:
        return fail(str(error))
    except JournalUnwritable as error:
        return fail(f"cannot write to {folder}: {error}")
    except OSError as error:
        return fail(f"cannot write to {error.filename or 'the output'}: {error.strerror or error}")
    except KeyboardInterrupt:
        err.print(f"Stopped. {_AGAIN}")
        return _INTERRUPTED


def _checked(request: ShareRequest, login: Login | None) -> ShareRequest:
    """The request with its password read. Raises LoginNeeded, NoPassword."""
    if login is None and (request.private or request.password is not None):
        raise LoginNeeded("only the gallery of an account is private or has a password: `kappi login` first")
    if login is not None and request.expires_in_s is not None:
        raise LoginNeeded(
            f"galleries of {login.email} do not expire: leave out --expires-in, or `kappi logout` first"
        )
    if request.password is None:
        return request
    return replace(request, password=read_password(request.password, prompt="Password of the gallery: "))


def _open_journal(held: ExitStack, folder: Path, identity: Identity, *, afresh: bool) -> Journal:
    """Of an earlier call or new, and this process's alone. Raises SharedAlready."""
    try:
        path = held.enter_context(Journals(folder).held(identity))
        note = None if afresh else read_note(path)
    except OSError as error:
        err.print(
            f"[yellow]![/yellow] Cannot write to {shown(folder)} ({error.strerror}): "
            "if this is interrupted, it begins anew."
        )
        path, note = None, None
    return Journal(path, note or _new_note(), clock=time.monotonic)


def _new_note() -> Note:
    return Note(begun_at=utc_now().isoformat(timespec="seconds"), creation_key=secrets.token_hex(16))


async def _share(
    request: ShareRequest, found: Found, api: Api, journal: Journal, *, account: str | None, links: Links
) -> int:
    size_bytes = sum(file.size_bytes for file in found.files)
    gallery: Gallery | None = None
    outcome = Outcome()
    bars = ShareBars(files=len(found.files), size_bytes=size_bytes)
    processed = True
    try:
        async with api:
            earlier = journal.note.gallery
            gallery = await _gallery(api, request, journal)
            api.timeout_s = PATIENCE_S  # somebody is there: when they are away, it is the link
            with bars:
                sharing = Share(api, gallery, bars, journal=journal, connection=request.connection)
                outcome = sharing.outcome
                await sharing.share(found.files)
                if request.wait:
                    processed = await sharing.wait_until_processed(timeout_s=_WAIT_S)
            is_new = earlier is None or earlier["id"] != gallery.id
            if is_new and not outcome.shared:
                await delete_gallery(api, gallery)
                gallery = None
    except (ApiError, LoggedOut, Unreachable) as error:
        status = failed(error)
        if gallery is not None:
            err.print(_AGAIN)
    else:
        status = 0 if processed and not outcome.rejected else 1
        journal.forget()
    finally:
        # Whatever happened: the key is shown once, and without it the gallery cannot even be deleted.
        if gallery is not None or outcome.rejected:
            _print(
                request, gallery and links.seen_from_elsewhere(gallery), outcome, bars.meter, account=account
            )
    if not processed:
        err.print("Some items are still being processed: they will appear in the gallery.")
    return status


async def _gallery(api: Api, request: ShareRequest, journal: Journal) -> Gallery:
    """The one an earlier call made, while it is there; else a new one. Raises ApiError, Unreachable."""
    if journal.note.gallery is not None:
        gallery = Gallery(**journal.note.gallery)
        if await still_managed(api, gallery):
            err.print(f"Going on with what was begun at {journal.note.begun_at}.")
            return gallery
        err.print("The gallery of the earlier call is gone (expired, deleted or claimed): beginning anew.")
        journal.note = _new_note()
    journal.save()
    gallery = await create_gallery(
        api,
        {
            "title": request.title,
            "expires_in": request.expires_in_s,
            "visibility": "private" if request.private else None,
            "password": request.password,
        },
        idempotency_key=journal.note.creation_key,
    )
    journal.note.gallery = asdict(gallery)
    journal.save()
    return gallery


def _print(
    request: ShareRequest, gallery: Gallery | None, outcome: Outcome, meter: Meter, *, account: str | None
) -> None:
    if request.as_json:
        out.print(json.dumps(_document(gallery, outcome, meter), indent=2), markup=False)
        return
    if gallery is not None:
        out.print(f"\n{_facts(gallery, account)}\n")
    ready = sum(shared.status == "ready" for shared in outcome.shared)
    before = f" ({size(meter.resumed_bytes)} were there before)" if meter.resumed_bytes else ""
    out.print(
        f"{plural(len(outcome.shared), 'item')}, {ready} ready, {len(outcome.rejected)} refused{before}."
        + ("" if gallery is not None else " No gallery was made.")
    )
    for file, reason in outcome.rejected:
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


def _document(gallery: Gallery | None, outcome: Outcome, meter: Meter) -> dict[str, Any]:
    """For scripts. The gallery's members are null where none was made."""
    return {
        "id": gallery and gallery.id,
        "code": gallery and gallery.code,
        "url": gallery and gallery.url,
        "access_key": gallery and gallery.access_key,
        "stored_bytes": meter.stored_bytes,
        "resumed_bytes": meter.resumed_bytes,
        "items": [
            {
                "path": str(shared.file.path),
                "media_id": shared.media_id,
                "status": shared.status,
                "size": shared.file.size_bytes,
                "sha256": shared.sha256,
            }
            for shared in outcome.shared
        ],
        "rejected": [{"path": str(file.path), "reason": reason} for file, reason in outcome.rejected],
    }
