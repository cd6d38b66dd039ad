"""The client of one deployment."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kappi_client.addresses import base_url, is_gallery_id, parse_code
from kappi_client.api import Api
from kappi_client.concurrency import Connection
from kappi_client.download import Download, DownloadResult
from kappi_client.errors import LoggedOut
from kappi_client.files import find_files
from kappi_client.galleries import (
    Gallery,
    NewGallery,
    Sorting,
    create_gallery,
    delete_gallery,
    join_gallery,
    name_cover,
    owned_items,
    reorder_items,
    sort_items,
    viewed_items,
)
from kappi_client.journal import Identity, Journal, Journals, Note, journals_folder
from kappi_client.logins import Login, Logins, logins_folder
from kappi_client.progress import DownloadProgress, UploadProgress
from kappi_client.upload import Upload, UploadResult


class Client:
    """Uploads to one deployment of Kappi and downloads from it.

    url: for example `https://kappi.example`. environ: the environment that names the folders of log-ins and
    journals, which the `kappi` command uses, too: XDG_CONFIG_HOME, XDG_STATE_HOME, KAPPI_DATA_DIR, HOME.
    journal: whether unfinished uploads are noted on disk. Without a journal an interrupted upload begins
    anew.

    Raises BadAddress. Each method raises ApiError for an error answer, Unreachable when there is no answer,
    LoggedOut when the account's log-in has ended, and OSError for local files. A client holds no connections
    between calls, and its methods may run at the same time.
    """

    def __init__(self, url: str, *, environ: Mapping[str, str] = os.environ, journal: bool = True) -> None:
        self.url = base_url(url)
        self._logins = Logins(logins_folder(environ), clock=time.time)
        self._journals = Journals(journals_folder(environ)) if journal else None

    @property
    def account(self) -> Login | None:
        """The log-in at this deployment, or None."""
        return self._logins.find(self.url)

    async def login(self, email: str, password: str) -> Login:
        """Logs in. All later calls are the account's, also those of other processes. No password is kept."""
        return await self._logins.log_in(self.url, email, password)

    async def logout(self) -> Login | None:
        """Ends the log-in here and on the server. Returns it, or None where there was none."""
        return await self._logins.log_out(self.url)

    async def create_gallery(self, wanted: NewGallery) -> Gallery:
        """Creates a gallery: of the account, or without an owner and with an access key. Keep the result."""
        async with self._api() as api:
            return await create_gallery(api, wanted, idempotency_key=secrets.token_hex(16))

    async def reorder(
        self, gallery: Gallery, media_ids: Sequence[str], *, before: str | None = None
    ) -> list[str]:
        """Moves items, in this order, before another item of their gallery, or at its end.

        Returns those that were moved: items that are not in the gallery any more are left out.
        """
        async with self._api(gallery) as api:
            return await reorder_items(
                api, gallery, media_ids, before=before, idempotency_key=secrets.token_hex(16)
            )

    async def sort(self, gallery: Gallery, by: Sorting) -> None:
        """Sorts the items of a gallery once. Items that are added later come last."""
        async with self._api(gallery) as api:
            await sort_items(api, gallery, by, idempotency_key=secrets.token_hex(16))

    async def name_cover(self, gallery: Gallery, media_id: str | None) -> None:
        """Names the item that stands for the gallery in previews of its link; None for its first one."""
        async with self._api(gallery) as api:
            await name_cover(api, gallery, media_id)

    async def join(self, gallery: str, *, name: str | None = None, password: str | None = None) -> Gallery:
        """Becomes a contributor of a gallery whose manager takes contributions. Keep the result: with it,
        `upload` adds to the gallery.

        gallery: a code or a link. name: shown beside the items. Raises NotACode.
        """
        linked_url, code = parse_code(gallery)
        async with Api(linked_url or self.url) as api:
            return await join_gallery(api, code, name=name, password=password)

    async def delete_gallery(self, gallery: Gallery) -> None:
        """Deletes a gallery with everything in it."""
        async with self._api(gallery) as api:
            await delete_gallery(api, gallery)

    async def upload(
        self,
        *paths: str | os.PathLike[str],
        gallery: Gallery | NewGallery,
        connection: Connection | None = None,
        wait_s: float = 600.0,
        progress: UploadProgress | None = None,
    ) -> UploadResult:
        """Uploads files, and photos and videos in folders, and waits until the server has processed them.

        The same call continues an upload that was interrupted: bytes that the store has are not sent again,
        and a NewGallery is created once. connection: `slow`, `normal` or `fast`; None adapts to the
        network. wait_s: seconds; 0 does not wait. What the server refuses is in the result. Where no file
        is a photo or video, no gallery is created.

        Raises UploadRunning while another process does the same, and JournalUnwritable.
        """
        given = [Path(path) for path in paths]
        found = await asyncio.to_thread(find_files, given)
        if not found.files:
            known = gallery if isinstance(gallery, Gallery) else None
            return UploadResult(known, skipped=found.skipped + found.alone, processed=True)
        with self._journal(given, gallery) as journal:
            async with self._api(gallery) as api:
                upload = Upload(
                    api,
                    found.files,
                    gallery=gallery,
                    journal=journal,
                    progress=progress or UploadProgress(),
                    connection=connection,
                )
                upload.result.skipped = found.skipped + found.alone
                return await upload.run(wait_s=wait_s)

    async def download(
        self,
        gallery: Gallery | str,
        folder: str | os.PathLike[str],
        *,
        password: str | None = None,
        progress: DownloadProgress | None = None,
    ) -> DownloadResult:
        """Downloads all originals of a gallery into a folder, and verifies sizes and SHA-256.

        The same call continues a download that was interrupted, and leaves complete files as they are.
        gallery: a Gallery, a code, a link, also of another deployment, or the id of one of the account's
        galleries. password: of the gallery. Raises NotACode.
        """
        shown = {} if password is None else {"X-Gallery-Password": password}
        if isinstance(gallery, str):
            linked_url, code = parse_code(gallery)
        else:
            linked_url, code = None, gallery.code or gallery.id
        owned = is_gallery_id(code)
        if owned and self.account is None:
            raise LoggedOut("only the account that has the gallery gets it by its id: `kappi login` first")
        async with self._api() if owned else Api(linked_url or self.url) as api:
            if owned:
                headers: Mapping[str, str] = {}
                items = [item async for item in owned_items(api, code)]
                if not items:
                    await api.call("GET", f"/v1/galleries/{code}")  # raises where there is none
            else:
                headers = {"X-Gallery-Code": code, **shown}
                items = [item async for item in viewed_items(api, code, headers=shown)]
            return await Download(api, headers, Path(folder), progress or DownloadProgress()).get(items)

    def _api(self, gallery: Gallery | NewGallery | None = None) -> Api:
        """Returns the API with the account's token, if there is one and the gallery has no key."""
        has_key = isinstance(gallery, Gallery) and bool(gallery.credentials)
        if has_key or self.account is None:
            return Api(self.url)
        return Api(self.url, authorization=lambda: self._logins.authorization(self.url))

    @contextmanager
    def _journal(self, paths: list[Path], gallery: Gallery | NewGallery) -> Iterator[Journal]:
        if self._journals is None:
            yield Journal(None, Note.new())
            return
        account = self.account
        identity = Identity.of(
            self.url, paths, gallery, account=account.email if account is not None else None
        )
        with self._journals.open(identity) as journal:
            yield journal
