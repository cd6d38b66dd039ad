"""Galleries as the commands use them: make one, ask after one, list what is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from kappi_embedded.client.api import Api, ApiError

_PAGE = 500
# Expired, deleted, claimed by an account, or managed with another key by now.
_LOST = {401, 403, 404, 410}


@dataclass(frozen=True, slots=True)
class Gallery:
    """A gallery and the key that manages it."""

    id: str
    code: str
    url: str
    access_key: str


async def create_gallery(
    api: Api, *, title: str | None, expires_in_s: int | None, idempotency_key: str
) -> Gallery:
    """The same key makes the same gallery. Raises ApiError, Unreachable."""
    wanted = {"title": title, "expires_in": expires_in_s}
    created = await api.call(
        "POST",
        "/v1/galleries",
        json={name: value for name, value in wanted.items() if value is not None},
        headers={"Idempotency-Key": idempotency_key},
    )
    return Gallery(created["id"], created["code"], created["url"], created["access_key"])


async def still_managed(api: Api, gallery: Gallery) -> bool:
    """Whether the gallery is there and the key opens it. Raises ApiError, Unreachable."""
    try:
        await api.call("GET", f"/v1/galleries/{gallery.id}", headers={"X-Gallery-Key": gallery.access_key})
    except ApiError as error:
        if error.status in _LOST:
            return False
        raise
    return True


async def gallery_items(api: Api, code: str) -> AsyncIterator[dict[str, Any]]:
    """All items of a gallery, over all its pages. Raises ApiError, Unreachable."""
    params = {"limit": str(_PAGE)}
    while True:
        page = await api.call("GET", f"/v1/g/{code}", params=params)
        for item in page["items"]:
            yield item
        if page["next_cursor"] is None:
            return
        params["cursor"] = page["next_cursor"]
