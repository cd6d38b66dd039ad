"""Galleries: create, look up, arrange, delete, and list their items."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kappi_client.api import Api
from kappi_client.errors import ApiError

Sorting = Literal["added", "taken", "filename"]
"""An order of a gallery's items: as they were added, by time of capture, or by name."""
_PAGE = 500
_MOST_MOVED = 1_000
# Expired, deleted, claimed by an account, or managed with another key.
_LOST = {401, 403, 404, 410}


@dataclass(frozen=True, slots=True)
class Gallery:
    """A gallery. code, url: None while it is private. access_key: None where an account owns it.
    contributor_key: only for a contributor of the gallery, in place of the access key.

    The keys are secrets. The server shows each of them once.
    """

    id: str
    code: str | None
    url: str | None
    access_key: str | None = field(repr=False)
    contributor_key: str | None = field(default=None, repr=False)

    @property
    def credentials(self) -> Mapping[str, str]:
        """Headers that manage the gallery, or add to it. An owner's token is in every call of `Api`."""
        if self.contributor_key is not None:
            return {"X-Contributor-Key": self.contributor_key}
        return {"X-Gallery-Key": self.access_key} if self.access_key is not None else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGallery:
    """A gallery to create.

    expires_in_s: only without an account; None for the server's default. private, password: only with an
    account. password: for viewers.
    """

    title: str | None = None
    expires_in_s: int | None = None
    private: bool = False
    password: str | None = field(default=None, repr=False)


async def create_gallery(api: Api, wanted: NewGallery, *, idempotency_key: str) -> Gallery:
    """Creates a gallery. The same key creates the same gallery. Raises ApiError, Unreachable."""
    fields = {
        "title": wanted.title,
        "expires_in": wanted.expires_in_s,
        "visibility": "private" if wanted.private else None,
        "password": wanted.password,
    }
    created = await api.call(
        "POST",
        "/v1/galleries",
        json={name: value for name, value in fields.items() if value is not None},
        headers={"Idempotency-Key": idempotency_key},
    )
    return Gallery(created["id"], created["code"], created["url"], created.get("access_key"))


async def join_gallery(api: Api, code: str, *, name: str | None, password: str | None) -> Gallery:
    """Returns a gallery as its new contributor. Raises ApiError, Unreachable."""
    headers = {"Idempotency-Key": secrets.token_hex(16)}
    if password is not None:
        headers["X-Gallery-Password"] = password
    added = await api.call("POST", f"/v1/g/{code}/contributors", json={"name": name}, headers=headers)
    return Gallery(added["gallery_id"], code, None, None, added["contributor_key"])


async def delete_gallery(api: Api, gallery: Gallery) -> None:
    """Raises ApiError, Unreachable."""
    await api.call("DELETE", f"/v1/galleries/{gallery.id}", headers=gallery.credentials)


async def reorder_items(
    api: Api, gallery: Gallery, media_ids: Sequence[str], *, before: str | None, idempotency_key: str
) -> list[str]:
    """Returns the items that were moved. The server takes 1,000 at once. Raises ApiError, Unreachable."""
    moved: list[str] = []
    for start in range(0, len(media_ids), _MOST_MOVED):
        answer = await api.call(
            "POST",
            f"/v1/galleries/{gallery.id}/order",
            json={"ids": list(media_ids[start : start + _MOST_MOVED]), "before": before},
            headers={**gallery.credentials, "Idempotency-Key": f"{idempotency_key}-{start}"},
        )
        moved += answer["moved"]
    return moved


async def sort_items(api: Api, gallery: Gallery, by: Sorting, *, idempotency_key: str) -> None:
    """Raises ApiError, Unreachable."""
    await api.call(
        "POST",
        f"/v1/galleries/{gallery.id}/order",
        json={"sort": by},
        headers={**gallery.credentials, "Idempotency-Key": idempotency_key},
    )


async def name_cover(api: Api, gallery: Gallery, media_id: str | None) -> None:
    """Raises ApiError, Unreachable."""
    await api.call(
        "PATCH",
        f"/v1/galleries/{gallery.id}",
        json={"cover_media_id": media_id},
        headers=gallery.credentials,
    )


async def still_managed(api: Api, gallery: Gallery) -> bool:
    """Whether the gallery exists and its credentials are valid. Raises ApiError, Unreachable."""
    try:
        await api.call("GET", f"/v1/galleries/{gallery.id}", headers=gallery.credentials)
    except ApiError as error:
        if error.status in _LOST:
            return False
        raise
    return True


def viewed_items(api: Api, code: str, *, headers: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
    """Yields all items of a gallery as a viewer sees them. Raises ApiError, Unreachable."""
    return _items(api, f"/v1/g/{code}", {}, headers)


def owned_items(api: Api, gallery_id: str) -> AsyncIterator[dict[str, Any]]:
    """Yields all items of one of the account's galleries. Raises ApiError, Unreachable."""
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
