"""Galleries as the commands use them: make one, ask after one, list what is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from kappi_embedded.client.api import Api, ApiError

_PAGE = 500
# Expired, deleted, claimed by an account, or managed with another key by now.
_LOST = {401, 403, 404, 410}


@dataclass(frozen=True, slots=True)
class Gallery:
    """A gallery. code, url: None while it is private. access_key: None where an account owns it."""

    id: str
    code: str | None
    url: str | None
    access_key: str | None

    @property
    def credentials(self) -> Mapping[str, str]:
        """Headers that manage it; the owner's token is in every call of `Api`."""
        return {"X-Gallery-Key": self.access_key} if self.access_key is not None else {}


async def create_gallery(api: Api, request: Mapping[str, Any], *, idempotency_key: str) -> Gallery:
    """fields: those of the call. The same key makes the same gallery. Raises ApiError, Unreachable."""
    created = await api.call(
        "POST",
        "/v1/galleries",
        json={name: value for name, value in request.items() if value is not None},
        headers={"Idempotency-Key": idempotency_key},
    )
    return Gallery(created["id"], created["code"], created["url"], created.get("access_key"))


async def delete_gallery(api: Api, gallery: Gallery) -> None:
    """Raises ApiError, Unreachable."""
    await api.call("DELETE", f"/v1/galleries/{gallery.id}", headers=gallery.credentials)


async def still_managed(api: Api, gallery: Gallery) -> bool:
    """Whether the gallery is there and the credentials open it. Raises ApiError, Unreachable."""
    try:
        await api.call("GET", f"/v1/galleries/{gallery.id}", headers=gallery.credentials)
    except ApiError as error:
        if error.status in _LOST:
            return False
        raise
    return True


def viewed_items(api: Api, code: str, *, headers: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
    """All items of a gallery as a viewer sees them. Raises ApiError, Unreachable."""
    return _items(api, f"/v1/g/{code}", {}, headers)


def owned_items(api: Api, gallery_id: str) -> AsyncIterator[dict[str, Any]]:
    """All items of one of the account's galleries. Raises ApiError, Unreachable."""
    return _items(api, "/v1/media", {"gallery_id": gallery_id}, {})


async def _items(
    api: Api, path: str, params: Mapping[str, str], headers: Mapping[str, str]
) -> AsyncIterator[dict[str, Any]]:
    asked = {**params, "limit": str(_PAGE)}
    while True:
        page = await api.call("GET", path, params=asked, headers=headers)
        for item in page["items"]:
            yield item
        if page["next_cursor"] is None:
            return
        asked["cursor"] = page["next_cursor"]
