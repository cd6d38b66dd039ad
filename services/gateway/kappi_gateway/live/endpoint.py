"""The endpoint of a gallery's live stream."""

from __future__ import annotations

from kappi_chassis.http.edge import LASTS, CutOff
from kappi_chassis.http.unknown_fields import refuse_unknown_parameters

from kappi_gateway.auth.credentials import Credentials
from kappi_gateway.auth.grant_cache import Granted
from kappi_gateway.errors import GalleryNotFound, GrantRefused
from kappi_gateway.http.client_disconnect import ClientDisconnect
from kappi_gateway.http.headers import LAST_EVENT_ID, first
from kappi_gateway.http.refusal import send_refusal
from kappi_gateway.http.request import Request
from kappi_gateway.limits.concurrency import ConcurrencyLimit
from kappi_gateway.live.stream import End, Stream
from kappi_gateway.live.streams import LiveStreams

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back until a buffer is full
]


class LiveEndpoint:
    """Checks the access as a view of the gallery does, then sends what the stream is told. A gallery that is
    used up can be viewed no more, so it opens no stream.

    places: of requests; the check takes one, the stream does not.
    """

    def __init__(self, streams: LiveStreams, *, credentials: Credentials, places: ConcurrencyLimit) -> None:
        self._streams = streams
        self._credentials = credentials
        self._places = places

    async def __call__(self, request: Request) -> None:
        """Raises Problem before the answer has begun."""
        refuse_unknown_parameters(request.scope["query_string"], known=())
        request.scope[LASTS] = True
        try:
            with self._places.held(request.address), ClientDisconnect(request.scope) as disconnect:
                disconnect.arm()
                granted = await self._granted(request)
        except GrantRefused as refused:
            await send_refusal(request, refused)
            return
        if granted.grant.used_up:
            raise GalleryNotFound
        if disconnect.happened:
            return
        if request.method == "HEAD":
            await request.send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await request.send({"type": "http.response.body", "body": b""})
            return
        stream = self._streams.open(
            granted.grant,
            code=granted.key.code,
            is_protected=bool(granted.key.digest),
            last_event_id=first(request.headers, LAST_EVENT_ID),
            cut=request.scope["kappi.cut"],
        )
        try:
            request.scope["kappi.when_lost"](lambda: stream.end(End.LEFT))
            await _send(request, stream)
        except CutOff:
            stream.end(End.SLOW)
            raise
        finally:
            self._streams.close(stream)

    async def _granted(self, request: Request) -> Granted:
        """Returns a grant that is not older than the last change of the gallery."""
        while True:
            seen = self._streams.changes_seen
            granted = await self._credentials.of_viewer(request)
            if not self._streams.access_changed(granted.grant.gallery_id, since=seen):
                return granted


async def _send(request: Request, stream: Stream) -> None:
    await request.send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    while (chunk := await stream.read()) is not None:
        await request.send({"type": "http.response.body", "body": chunk, "more_body": True})
    if stream.ended is not End.LEFT:
        await request.send({"type": "http.response.body", "body": b""})
