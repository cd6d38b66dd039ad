"""`kappi share`: a gallery from files, gone on with where an earlier call of the same stopped."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kappi_chassis.clock import utc_now

from kappi_embedded.client.api import Api, ApiError, Unreachable
from kappi_embedded.client.files import Found, find_files
from kappi_embedded.client.galleries import Gallery, create_gallery, still_managed
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
from kappi_embedded.client.meter import Meter, size
from kappi_embedded.client.pace import Connection
from kappi_embedded.client.sharing import Outcome, Sharing
from kappi_embedded.commands.terminal import SharingBars, err, fail, out, plural, shown
from kappi_embedded.stack import NotRunning, find_url

_WAIT_S = 600.0
_INTERRUPTED = 130  # as a shell says it of a program that Ctrl-C ended
_AGAIN = "Call the same command again to go on."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to share and how.

    connection: how good the line is; None finds out. wait: until every item is ready. afresh: whatever an
    earlier call left. as_json: for scripts.
    """

    paths: Sequence[Path]
    title: str | None
    expires_in_s: int | None
    connection: Connection | None = None
    wait: bool
    afresh: bool = False
    as_json: bool


def share(wish: Wish, *, url: str | None, environ: Mapping[str, str]) -> int:
    """Returns the exit status: 1 when any file was refused or is not ready, 130 after Ctrl-C."""
    try:
        base_url = find_url(environ, url)
        found = find_files(wish.paths)
    except NotRunning as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}")
    if not found.files:
        return fail("there is no photo or video among these files")
    if found.skipped:
        err.print(
            f"Leaving out {plural(len(found.skipped), 'file')} that are neither photo nor video by name."
        )
    identity = Identity(
        base_url, tuple(str(path.resolve()) for path in wish.paths), wish.title, wish.expires_in_s
    )
    folder = journals_folder(environ)
    try:
        with ExitStack() as held:
            journal = _open_journal(held, folder, identity, afresh=wish.afresh)
            return asyncio.run(_share(wish, found, base_url, journal))
    except SharedAlready as error:
        return fail(str(error))
    except JournalUnwritable as error:
        return fail(f"cannot write to {folder}: {error}")
    except OSError as error:
        return fail(f"cannot write to {folder}: {error.strerror or error}")
    except KeyboardInterrupt:
        err.print(f"Stopped. {_AGAIN}")
        return _INTERRUPTED


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


async def _share(wish: Wish, found: Found, base_url: str, journal: Journal) -> int:
    size_bytes = sum(file.size_bytes for file in found.files)
    gallery: Gallery | None = None
    outcome = Outcome()
    bars = SharingBars(files=len(found.files), size_bytes=size_bytes)
    processed = True
    try:
        async with Api(base_url) as api:
            gallery = await _gallery(api, wish, journal)
            api.patience_s = PATIENCE_S  # somebody is there: when they are away, it is the link
            with bars:
                sharing = Sharing(api, gallery, bars, journal=journal, connection=wish.connection)
                outcome = sharing.outcome
                await sharing.share(found.files)
                if wish.wait:
                    processed = await sharing.wait_until_processed(timeout_s=_WAIT_S)
    except (ApiError, Unreachable) as error:
        status = fail(str(error))
        if gallery is not None:
            err.print(_AGAIN)
    else:
        status = 0 if processed and not outcome.rejected else 1
        journal.forget()
    finally:
        # Whatever happened: the key is shown once, and without it the gallery cannot even be deleted.
        if gallery is not None:
            _print(wish, gallery, outcome, bars.meter)
    if not processed:
        err.print("Some items are still being processed: they will appear in the gallery.")
    return status


async def _gallery(api: Api, wish: Wish, journal: Journal) -> Gallery:
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
        title=wish.title,
        expires_in_s=wish.expires_in_s,
        idempotency_key=journal.note.creation_key,
    )
    journal.note.gallery = asdict(gallery)
    journal.save()
    return gallery


def _print(wish: Wish, gallery: Gallery, outcome: Outcome, meter: Meter) -> None:
    if wish.as_json:
        out.print(json.dumps(_document(gallery, outcome, meter), indent=2), markup=False)
        return
    out.print(f"""
Link        [bold]{gallery.url}[/bold]
Code        {gallery.code}
Access key  {gallery.access_key}   (keep it: it alone can change or delete the gallery)
Gallery     {gallery.id}
""")
    ready = sum(shared.status == "ready" for shared in outcome.shared)
    before = f" ({size(meter.resumed_bytes)} were there before)" if meter.resumed_bytes else ""
    out.print(
        f"{plural(len(outcome.shared), 'item')}, {ready} ready, {len(outcome.rejected)} refused{before}."
    )
    for file, reason in outcome.rejected:
        out.print(f"  [red]refused[/red] {shown(file.path)}: {reason}")


def _document(gallery: Gallery, outcome: Outcome, meter: Meter) -> dict[str, Any]:
    return {
        "id": gallery.id,
        "code": gallery.code,
        "url": gallery.url,
        "access_key": gallery.access_key,
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
