"""Answers held in memory: compressed once, revalidated by ETag."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

from kappi_gateway.http.headers import first
from kappi_gateway.http.request import Request

Headers = tuple[tuple[bytes, bytes], ...]

GZIP_FROM_BYTES = 512
GZIP_LEVEL = 9


@dataclass(frozen=True, slots=True)
class Page:
    """A prepared answer.

    headers: all but Content-Length and Content-Encoding. gzipped: None if compression is not worth it.
    """

    body: bytes
    gzipped: bytes | None
    etag: bytes
    headers: Headers

    @classmethod
    def of(
        cls, body: bytes, *, content_type: str, etag: str, cache: str = "no-cache", extra: Headers = ()
    ) -> Page:
        """Builds a page.

        etag: unquoted, changes with the content. cache: its Cache-Control. extra: further headers.
        """
        weak = f'W/"{etag}"'.encode()  # weak: one tag for the plain and the compressed form
        headers = (
            (b"content-type", content_type.encode()),
            (b"cache-control", cache.encode()),
            (b"vary", b"accept-encoding"),
            (b"etag", weak),
            *extra,
        )
        gzipped = gzip.compress(body, GZIP_LEVEL, mtime=0) if len(body) >= GZIP_FROM_BYTES else None
        return cls(body=body, gzipped=gzipped, etag=weak, headers=headers)


async def send_page(request: Request, page: Page, *, status: int = 200) -> None:
    """Answers with the page, or with 304 if the client has it. status: other than 200 for an error page."""
    known = first(request.headers, b"if-none-match")
    if (
        status == 200
        and known is not None
        and (known == b"*" or page.etag in (tag.strip() for tag in known.split(b",")))
    ):
        await request.send({"type": "http.response.start", "status": 304, "headers": list(page.headers)})
        await request.send({"type": "http.response.body", "body": b""})
        return
    body, headers = page.body, list(page.headers)
    if page.gzipped is not None and _takes_gzip(first(request.headers, b"accept-encoding")):
        body = page.gzipped
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", str(len(body)).encode()))
    await request.send({"type": "http.response.start", "status": status, "headers": headers})
    await request.send({"type": "http.response.body", "body": body})


def _takes_gzip(accept_encoding: bytes | None) -> bool:
    for offer in (accept_encoding or b"").lower().split(b","):
        coding, _, weight = offer.replace(b" ", b"").partition(b";q=")
        if coding == b"gzip":
            return weight.rstrip(b"0") not in (b"0.", b"") if weight else True
    return False
