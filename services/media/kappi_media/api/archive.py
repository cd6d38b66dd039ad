"""Serves a gallery as one ZIP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from fastapi import FastAPI, Request
from kappi_chassis.http.app import hot_route
from kappi_chassis.http.edge import LASTS, Receive, Scope, Send
from kappi_chassis.storage.disposition import attachment
from kappi_contracts.grants import (
    ACCESS_HEADER,
    COUNTED_HEADER,
    PublicGallery,
    counted_access,
    recorded_access,
)
from starlette.responses import Response

from kappi_media import metrics
from kappi_media.api import archive_operations
from kappi_media.api.access import GrantGate, is_counted, shown_only_of
from kappi_media.archive.conditions import Outcome, outcome
from kappi_media.archive.continuations import Continuations
from kappi_media.archive.layout import ArchiveLayout
from kappi_media.archive.streaming import ArchiveStream
from kappi_media.domain.media import GalleryId
from kappi_media.errors import ArchiveChanged, ArchiveRangeUnsatisfiable, GalleryNotFound
from kappi_media.statistics.recorder import AccessRecorder
from kappi_media.use_cases.archive import Archives
from kappi_media.use_cases.governing_tier import GoverningTier


class ArchiveApi:
    def __init__(
        self,
        gate: GrantGate,
        *,
        tier: GoverningTier,
        archives: Archives,
        recorder: AccessRecorder,
        continuations: Continuations,
    ) -> None:
        self._continuations = continuations
        self._gate = gate
        self._tier = tier
        self._archives = archives
        self._recorder = recorder

    def register(self, app: FastAPI) -> None:
        hot_route(app, "/v1/g/{code}/archive", self.archive, method="GET", openapi=archive_operations.ARCHIVE)

    async def archive(self, request: Request) -> Response:
        grant = await self._gate.open(request, "view")
        if grant.gallery.code != request.path_params["code"].strip().lower():
            raise GalleryNotFound
        rules = await self._tier.of(grant)
        lay_out = (
            self._archives.lay_out_location_free if grant.gallery.location_free else self._archives.lay_out
        )
        layout = await lay_out(GalleryId(grant.gallery_id), rules=rules, only_of=shown_only_of(grant))
        etag, counted = layout.etag, is_counted(grant) and request.method == "GET"
        continued = None
        if counted:
            continued = self._continuations.shown(request.headers, etag=etag, gallery_id=grant.gallery_id)
        asked = outcome(request.method, request.headers, etag=continued or etag, size_bytes=layout.size_bytes)
        headers = _headers(grant.gallery, layout, asked, etag=continued or etag)
        if counted and asked.has_body and not (continued and asked.first > 0):
            headers["ETag"] = f'"{self._continuations.tag(etag, gallery_id=grant.gallery_id)}"'
            headers[COUNTED_HEADER] = counted_access("downloads", grant.gallery_id)
            if asked.first == 0:
                headers[ACCESS_HEADER] = recorded_access("archive", grant.gallery_id)
        if not asked.has_body:
            return _without_body(asked, headers)
        if request.method == "HEAD":
            return Response(status_code=asked.status, headers=headers)
        begun = (
            partial(self._recorder, "archive", request, gallery_id=grant.gallery_id)
            if asked.first == 0 and not counted
            else _unnoted
        )
        return StreamedArchive(self._archives, layout, asked, headers, begun=begun)


class StreamedArchive(Response):
    """Sends an archive while the client is connected. It cuts the connection when the archive cannot be
    completed.
    """

    def __init__(
        self,
        archives: Archives,
        layout: ArchiveLayout,
        asked: Outcome,
        headers: dict[str, str],
        *,
        begun: Callable[[], None],
    ) -> None:
        """Builds the answer. begun: called once the archive has a slot."""
        super().__init__(status_code=asked.status, headers=headers)
        self._archives = archives
        self._layout = layout
        self._asked = asked
        self._begun = begun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the archive. Raises ArchiveBusy before the answer begins; later, the error that prevents its
        completion.
        """
        scope[LASTS] = True
        with self._archives.slot():
            self._begun()
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            stream = self._archives.stream(self._layout, self._asked)
            sending = asyncio.create_task(_send(stream, send), name="archive")
            leaving = asyncio.create_task(_departure(receive), name="archive-departure")
            ended = "cut"
            try:
                await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
                    ended = "whole" if self._asked.status == 200 else "part"
                else:
                    ended = "left"
            finally:
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.gather(sending, leaving, return_exceptions=True)
                metrics.ARCHIVES.labels(ended).inc()


async def _send(stream: ArchiveStream, send: Send) -> None:
    async def write(body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})

    await stream.send_to(write)
    await send({"type": "http.response.body", "body": b""})


def _unnoted() -> None:
    """Does nothing: a continued archive was recorded when it began, a counted one is recorded later."""


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _headers(gallery: PublicGallery, layout: ArchiveLayout, asked: Outcome, *, etag: str) -> dict[str, str]:
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "ETag": f'"{etag}"',
    }
    if asked.has_body:
        headers["Content-Type"] = "application/zip"
        headers["Content-Disposition"] = attachment(f"{gallery.title or f'kappi {gallery.code}'}.zip")
        headers["Content-Length"] = str(asked.length)
    if asked.status == 206:
        headers["Content-Range"] = f"bytes {asked.first}-{asked.last}/{layout.size_bytes}"
    elif asked.status == 416:
        headers["Content-Range"] = f"bytes */{layout.size_bytes}"
    return headers


def _without_body(asked: Outcome, headers: dict[str, str]) -> Response:
    if asked.status == 304:
        return Response(status_code=304, headers=headers)
    if asked.status == 412:
        raise ArchiveChanged("Begin anew, without If-Match.", headers=headers)
    raise ArchiveRangeUnsatisfiable("The range contains nothing of the archive.", headers=headers)
