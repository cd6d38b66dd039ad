"""Checks the grant that the gateway passes on against the right that a call needs."""

from __future__ import annotations

import hmac
from functools import lru_cache
from uuid import UUID

from kappi_chassis.auth import GrantVerifier
from kappi_chassis.clock import Clock
from kappi_chassis.http.client_address import address_subject, client_address
from kappi_chassis.problems import Unauthenticated
from kappi_contracts.grants import GRANT_HEADER, Grant, Right
from starlette.requests import Request

from kappi_media.domain.contributions import NO_CONTRIBUTOR, Contributor, ContributorId
from kappi_media.domain.media import AccountId, AddressId
from kappi_media.domain.shares import Share, address_party
from kappi_media.errors import (
    ContributionsClosed,
    ContributorKeyWrong,
    GalleryKeyWrong,
    GalleryNotFound,
    RightMissing,
)

_NEEDED: dict[Right, str] = {
    "view": "This needs the gallery's code or its access key.",
    "contribute": "This needs the gallery's access key, or a contributor key: its code allows looking only.",
    "manage": "This needs the gallery's access key: its code allows looking only.",
}
_CACHED_ADDRESSES = 1024


def owner_of(grant: Grant) -> AccountId | None:
    """Returns the account whose tier governs the gallery; None for an anonymous one."""
    return AccountId(grant.owner_id) if grant.owner_id is not None else None


def contributor_of(grant: Grant) -> Contributor | None:
    """Returns the contributor that the grant was given for; None for others.

    Raises ContributionsClosed for a contributor of a gallery that takes no contributions any more.
    """
    if grant.contributor is None:
        return None
    if grant.gallery.contributions == "closed":
        raise ContributionsClosed
    return Contributor(
        ContributorId(grant.contributor.id),
        grant.contributor.name,
        grant.gallery.version,
        sees_own_only=grant.gallery.contributions == "drop",
    )


def shown_only_of(grant: Grant) -> ContributorId | None:
    """Returns the contributor whose items alone are shown to the bearer of the grant; None for all items."""
    if grant.gallery.contributions != "drop" or grant.allows("manage"):
        return None
    return NO_CONTRIBUTOR if grant.contributor is None else ContributorId(grant.contributor.id)


def is_uploader(grant: Grant, *, added_by: UUID | None) -> bool:
    """Whether the bearer of the grant counts as the uploader of an item. added_by: the item's contributor."""
    return grant.allows("contribute") and (grant.contributor is None or grant.contributor.id == added_by)


def is_told_no_places(grant: Grant) -> bool:
    """Whether the bearer of the grant gets copies without the place, in place of originals."""
    return grant.gallery.location_free and grant.right != "manage"


def is_counted(grant: Grant) -> bool:
    """Whether downloads of the grant's bearer count against a cap."""
    return grant.gallery.downloads_capped and not grant.allows("manage")


def party_of(grant: Grant) -> str:
    """Returns the name under which answers to repeated calls are stored.

    A grant lives for a minute, so the token cannot name the caller.
    """
    return grant.right if grant.contributor is None else f"{grant.right} {grant.contributor.id}"


class ClientAddresses:
    """Maps the client address that the gateway passes on to an id, without keeping the address."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hmac.digest(secret, b"client addresses", "sha256")
        self._cached = lru_cache(_CACHED_ADDRESSES)(self._id_of)

    def id_of(self, request: Request) -> AddressId:
        """Returns the id of the client. It is the same for all addresses that the limits count as one
        client.
        """
        return self._cached(client_address(request))

    def _id_of(self, address: str) -> AddressId:
        subject = address_subject(address)
        return AddressId(UUID(bytes=hmac.digest(self._secret, subject.encode(), "sha256")[:16]))


def share_of(grant: Grant, address_id: AddressId) -> Share:
    """Returns the share that work on the gallery's pictures counts for. address_id: of the client that
    requests it.
    """
    tenant = grant.owner_id or grant.gallery_id
    return Share(tenant, address_party(address_id), anonymous=grant.owner_id is None)


class GrantGate:
    """Opens grants. It calls no other service: a grant is a signed statement of the galleries service."""

    def __init__(self, verifier: GrantVerifier, *, clock: Clock) -> None:
        self._verifier = verifier
        self._clock = clock

    async def open(self, request: Request, needed: Right) -> Grant:
        """Returns the grant. Raises Unauthenticated, GrantInvalid, RightMissing, GalleryNotFound (it has
        expired).
        """
        token = request.headers.get(GRANT_HEADER)
        if not token:
            raise Unauthenticated(_NEEDED[needed])
        grant = await self._verifier.open(token)
        if not grant.allows(needed):
            raise RightMissing(_NEEDED[needed])
        expires_at = grant.gallery.expires_at
        if expires_at is not None and expires_at <= self._clock():
            # The janitor has not removed it yet, or the grant was issued just before.
            raise GalleryNotFound
        return grant

    async def open_for(self, request: Request, needed: Right, *, gallery_id: UUID) -> Grant:
        """As `open`, for a call that names its gallery. Raises GalleryKeyWrong, or ContributorKeyWrong, when
        the grant is for another gallery.
        """
        grant = await self.open(request, needed)
        if grant.gallery_id != gallery_id:
            raise GalleryKeyWrong if grant.contributor is None else ContributorKeyWrong
        return grant

    async def open_own(self, request: Request) -> Grant:
        """As `open`, for a change of an item by a manager, or by the contributor that added it. The caller
        checks that it did.
        """
        grant = await self.open(request, "contribute")
        if grant.contributor is None and not grant.allows("manage"):
            raise RightMissing(_NEEDED["manage"])
        return grant
