"""`kappi share`: a gallery from files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kappi_embedded.client.api import Api, ApiError, Unreachable
from kappi_embedded.client.files import Found, find_files
from kappi_embedded.client.sharing import Gallery, Outcome, Sharing, create_gallery
from kappi_embedded.commands.terminal import SharingBars, err, fail, out, plural, shown
from kappi_embedded.stack import NotRunning, find_url

_WAIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to share and how. wait: until every item is ready. as_json: for scripts."""

    paths: Sequence[Path]
    title: str | None
    expires_in_s: int | None
    wait: bool
    as_json: bool


def share(wish: Wish, *, url: str | None, environ: Mapping[str, str]) -> int:
    """Returns the exit status: 1 when any file was refused or is not ready."""
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
    return asyncio.run(_share(wish, found, base_url))


async def _share(wish: Wish, found: Found, base_url: str) -> int:
    size_bytes = sum(file.size_bytes for file in found.files)
    gallery: Gallery | None = None
    sharing: Sharing | None = None
    processed = True
    try:
        async with Api(base_url) as api:
            gallery = await create_gallery(api, title=wish.title, expires_in_s=wish.expires_in_s)
            with SharingBars(files=len(found.files), size_bytes=size_bytes) as bars:
                sharing = Sharing(api, gallery, bars)
                await sharing.share(found.files)
                if wish.wait:
                    processed = await sharing.wait_until_processed(timeout_s=_WAIT_S)
    except (ApiError, Unreachable) as error:
        status = fail(str(error))
    else:
        status = 0 if processed and not sharing.outcome.rejected else 1
    finally:
        # Whatever happened: the key is shown once, and without it the gallery cannot even be deleted.
        if gallery is not None:
            _print(wish, gallery, sharing.outcome if sharing is not None else Outcome())
    if not processed:
        err.print("Some items are still being processed: they will appear in the gallery.")
    return status


def _print(wish: Wish, gallery: Gallery, outcome: Outcome) -> None:
    if wish.as_json:
        out.print(json.dumps(_document(gallery, outcome), indent=2), markup=False)
        return
    out.print(f"""
Link        [bold]{gallery.url}[/bold]
Code        {gallery.code}
Access key  {gallery.access_key}   (keep it: it alone can change or delete the gallery)
Gallery     {gallery.id}
""")
    ready = sum(shared.status == "ready" for shared in outcome.shared)
    out.print(f"{plural(len(outcome.shared), 'item')}, {ready} ready, {len(outcome.rejected)} refused.")
    for file, reason in outcome.rejected:
        out.print(f"  [red]refused[/red] {shown(file.path)}: {reason}")


def _document(gallery: Gallery, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": gallery.id,
        "code": gallery.code,
        "url": gallery.url,
        "access_key": gallery.access_key,
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
