"""Answers that lead to a signed URL."""

from __future__ import annotations

from starlette.responses import Response

from kappi_media.domain.upload_plan import SignedUrl


def redirect_to(signed: SignedUrl, **headers: str) -> Response:
    return Response(
        status_code=302, headers={"Location": signed.url, "Cache-Control": "private, no-store", **headers}
    )
