"""Exchanges a client's credential for a grant (ADR-0003) and counts wrong guesses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes
from uuid import UUID

import msgspec
from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.problems import Unauthenticated
from kappi_contracts.accounts import Role

from kappi_gateway import metrics
from kappi_gateway.auth.grant_cache import GrantCache, Granted, GrantKey, KeptGrant, SecretDigests
from kappi_gateway.auth.grant_client import GrantClient
from kappi_gateway.auth.owner_grants import GALLERIES, OWNER, OwnerGrants, bearer
from kappi_gateway.errors import (
    ContributorKeyWrong,
    CredentialsMissing,
    GalleryKeyMissing,
    GalleryNotFound,
    GrantRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from kappi_gateway.http.headers import (
    AUTHORIZATION,
    CONTRIBUTOR_KEY,
    GALLERY_CODE,
    GALLERY_KEY,
    GALLERY_PASSWORD,
    first,
    text,
)
from kappi_gateway.http.request import Request
from kappi_gateway.limits.address_key import limit_key
from kappi_gateway.limits.guesses import GuessLimit
from kappi_gateway.routes import Credential, Limit, Route

# Looking up a metric's child costs more than counting; these are counted with every request.
_VIEWS_CACHED = metrics.GRANTS.labels("view", "cached")
_KEYS_CACHED = metrics.GRANTS.labels("key", "cached")
_CONTRIBUTORS_CACHED = metrics.GRANTS.labels("contributor", "cached")

MOVE = "move"
_BY_ACCOUNT = frozenset({Limit.CREATION, Limit.POST, Limit.COMMENT, Limit.WEBHOOK})


class _Named(msgspec.Struct):
    action: str = ""
    gallery_id: UUID | None = None


_named = msgspec.json.Decoder(_Named)
_SIGNATURE = b"signature="
_CODE = re.compile(r"[a-z0-9]{1,64}")


@lru_cache(maxsize=4096)
def normal_code(raw: bytes) -> str | None:
    """Returns a short code in its normal form: trimmed, lower-case. None for text that cannot be a code.

    raw: percent-encoded, as in a path.
    """
    try:
        code = unquote_to_bytes(raw).decode().strip().lower()
    except UnicodeDecodeError:
        return None
    return code if _CODE.fullmatch(code) else None


def _password(request: Request) -> str | None:
    raw = first(request.headers, GALLERY_PASSWORD)
    return None if raw is None else text(raw)


@dataclass(frozen=True, slots=True)
class ExistingCode:
    """A code that opens a gallery. code: in its normal form. grant: None if it needs a password, too."""

    code: str
    grant: KeptGrant | None

    @property
    def is_protected(self) -> bool:
        return self.grant is None


class Credentials:
    """Obtains grants for requests.

    owner_grants: None without accounts; the gateway then ignores `Authorization`.
    """

    def __init__(
        self,
        grant_client: GrantClient,
        *,
        cache: GrantCache,
        guesses: GuessLimit,
        digests: SecretDigests,
        owner_grants: OwnerGrants | None,
    ) -> None:
        self._grant_client = grant_client
        self._cache = cache
        self._guesses = guesses
        self._digests = digests
        self._owner_grants = owner_grants

    async def obtain(self, route: Route, request: Request) -> Granted | None:
        """Returns the grant that a route needs, None if it needs none.

        Raises GalleryKeyMissing, CredentialsMissing, AccessTokenInvalid, GalleryNotFound and the other "not
        found" errors, TooManyGuesses, GrantRefused, UpstreamUnavailable, UpstreamTimeout, KeysUnavailable.
        """
        rule = route.credential
        if rule is Credential.CODE_IN_PATH:
            granted = await self.of_viewer(request)
            if route.shows_items and granted.grant.hides_items:
                return await self._of_insider(granted, request)
            return granted
        if rule in {Credential.NONE, Credential.ACCOUNT}:
            return None
        if route.takes_signature and _SIGNATURE in request.scope["query_string"]:
            return None
        access_key = first(request.headers, GALLERY_KEY)
        contributor_key = None if rule is Credential.MANAGER else first(request.headers, CONTRIBUTOR_KEY)
        shown = first(request.headers, GALLERY_CODE) if rule is Credential.VIEWER else None
        if (access_key or contributor_key or shown) and self._owner_grants is not None:
            # A token that is sent must be valid, whatever else is sent, as in galleries and identity.
            await self._owner_grants.account_of(request.headers)
        if access_key:
            return await self._by_key(text(access_key))
        if contributor_key:
            return await self._by_contributor_key(text(contributor_key))
        if shown:
            return await self._by_code(shown, request.address, password=_password(request))
        token = None if self._owner_grants is None else bearer(request.headers)
        if token is not None and self._owner_grants is not None:
            return await self._owner_grants.obtain(
                token, collection=route.collection, thing_id=request.parameters[0].decode("ascii")
            )
        if rule is Credential.MANAGER:
            raise GalleryKeyMissing("Send the access key in X-Gallery-Key, or the owner's access token.")
        if rule is Credential.UPLOADER:
            raise GalleryKeyMissing("Send X-Gallery-Key, X-Contributor-Key, or the owner's access token.")
        raise CredentialsMissing("Send X-Gallery-Key, X-Gallery-Code, or the owner's access token.")

    async def has_token(self, request: Request) -> bool:
        """Whether a valid access token was sent. Raises AccessTokenInvalid, KeysUnavailable."""
        return (
            self._owner_grants is not None
            and await self._owner_grants.account_of(request.headers) is not None
        )

    async def of_named_gallery(self, request: Request, body: bytes) -> Granted | None:
        """Returns a grant to manage the gallery that the body names as the target of a move.

        None if the body asks for no move or no token is sent. Other faults of the body are left to its
        service. Raises as `obtain` does.
        """
        token = None if self._owner_grants is None else bearer(request.headers)
        try:
            named = _named.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        if token is None or named.gallery_id is None or named.action != MOVE or self._owner_grants is None:
            return None
        return await self._owner_grants.obtain(token, collection=GALLERIES, thing_id=str(named.gallery_id))

    async def after_a_move(self, route: Route, request: Request, granted: Granted) -> Granted | None:
        """Returns a grant of the gallery that now holds an item that was not found; None if it did not move.

        Raises as `obtain` does.
        """
        if granted.key.kind != OWNER or self._owner_grants is None:
            return None
        if not self._owner_grants.forget_place(
            collection=route.collection, thing_id=request.parameters[0].decode("ascii")
        ):
            return None
        found = await self.obtain(route, request)
        return None if found is None or found.grant.gallery_id == granted.grant.gallery_id else found

    async def manages(self, gallery_id: UUID, request: Request) -> bool:
        """Whether the request has a credential that manages the gallery, beside the one that it was granted
        for. A wrong one is ignored. Raises UpstreamUnavailable, UpstreamTimeout, KeysUnavailable.
        """
        return await self._of_manager(gallery_id, request) is not None

    async def _of_manager(self, gallery_id: UUID, request: Request) -> Granted | None:
        """As `manages`; returns the grant."""
        access_key = first(request.headers, GALLERY_KEY)
        try:
            if access_key:
                granted = await self._by_key(text(access_key))
                return granted if granted.grant.gallery_id == gallery_id else None
            token = None if self._owner_grants is None else bearer(request.headers)
            if token is None or self._owner_grants is None:
                return None
            return await self._owner_grants.obtain(token, collection=GALLERIES, thing_id=str(gallery_id))
        except (AccessTokenInvalid, GalleryNotFound, GrantRefused):
            return None

    async def _of_insider(self, viewer: Granted, request: Request) -> Granted:
        """Returns the grant of a manager or a contributor of a gallery whose viewers see no items, if the
        request has such a credential, too; else the viewer's.

        Raises ContributorKeyWrong, GrantRefused (a contributor key that is void), UpstreamUnavailable,
        UpstreamTimeout, KeysUnavailable.
        """
        gallery_id = viewer.grant.gallery_id
        manager = await self._of_manager(gallery_id, request)
        if manager is not None:
            return manager
        contributor_key = first(request.headers, CONTRIBUTOR_KEY)
        if not contributor_key:
            return viewer
        granted = await self._by_contributor_key(text(contributor_key))
        if granted.grant.gallery_id != gallery_id:
            raise ContributorKeyWrong
        return granted

    async def role_of(self, request: Request) -> Role | None:
        """Returns the role in a valid token; None without one. It never refuses and hardly ever waits."""
        if self._owner_grants is None or first(request.headers, AUTHORIZATION) is None:
            return None
        return await self._owner_grants.role_of(request.headers)

    def drop(self, granted: Granted) -> None:
        """Drops a grant that the service did not accept."""
        self._cache.drop(granted.key, granted.grant)

    def drop_gallery(self, gallery_id: UUID) -> None:
        """Drops all grants of a gallery that has changed."""
        self._cache.drop_gallery(gallery_id)

    async def limited_subject(self, limit: Limit, request: Request) -> str:
        """Returns the key by which a limit counts this request.

        That is the account of a valid token for limits on things that accounts make, else the address. Raises
        AccessTokenInvalid, KeysUnavailable.
        """
        if limit in _BY_ACCOUNT and self._owner_grants is not None:
            account_id = await self._owner_grants.account_of(request.headers)
            if account_id is not None:
                return f"account {account_id}"
        return limit_key(request.address)

    async def of_viewer(self, request: Request) -> Granted:
        """Returns a grant to view for the code in the path, and for the password if one is sent.

        Raises GalleryNotFound, TooManyGuesses, GrantRefused, UpstreamUnavailable, UpstreamTimeout.
        """
        return await self._by_code(request.parameters[0], request.address, password=_password(request))

    async def existing_code(self, request: Request) -> ExistingCode:
        """Returns the code in the path if it opens a gallery, with a password or without.

        Raises GalleryNotFound, TooManyGuesses, UpstreamUnavailable, UpstreamTimeout.
        """
        try:
            granted = await self._by_code(request.parameters[0], request.address, password=None)
            return ExistingCode(granted.key.code, granted.grant)
        except GrantRefused as refused:
            code = normal_code(request.parameters[0])
            if refused.status != Unauthenticated.status or code is None:
                raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1) from refused
            return ExistingCode(code, None)

    async def _by_code(self, raw_code: bytes, address: str, *, password: str | None) -> Granted:
        code = normal_code(raw_code)
        self._guesses.check(address, code)
        if code is None:
            self._guesses.spend(address)
            raise GalleryNotFound
        key = GrantKey("view", code, b"" if password is None else self._digests(password))
        kept = self._cache.find(key)
        if kept is not None:
            _VIEWS_CACHED.inc()
            self._guesses.found(address, code)
            return Granted(key, kept, cached=True)
        question = {"code": code}
        if password is not None:
            # Only galleries can count password tries per gallery and client over all replicas.
            question |= {"password": password, "client": limit_key(address)}
        return Granted(key, await self._look_up(address, key, question), cached=False)

    async def _look_up(self, address: str, key: GrantKey, question: dict[str, str]) -> KeptGrant:
        """Asks galleries for the grant of a code and counts wrong guesses.

        The request that asks pays a guess first and gets it back if the code exists, so that many guesses at
        once cannot all pass the check. A request that joins a running lookup, or found the code before, pays
        only if the code does not exist.
        """
        pays = not self._cache.is_being_asked(key) and not self._guesses.has_found(address, key.code)
        if pays:
            self._guesses.spend(address)
        try:
            grant = await self._cache.obtain(key, lambda: self._grant_client.ask("view", question))
        except GrantRefused as refused:
            if refused.status == GalleryNotFound.status:
                if not pays:
                    self._guesses.spend(address)
                self._guesses.missed(address, key.code)
                raise GalleryNotFound from refused
            if pays:
                # The code was right; galleries counts wrong passwords.
                self._guesses.refund(address)
            if refused.status == Unauthenticated.status:
                self._guesses.found(address, key.code)
            raise
        except (UpstreamUnavailable, UpstreamTimeout):
            if pays:
                self._guesses.refund(address)
            raise
        if pays:
            self._guesses.refund(address)
        self._guesses.found(address, key.code)
        return grant

    async def _by_key(self, access_key: str) -> Granted:
        key = GrantKey("key", "", self._digests(access_key))
        kept = self._cache.find(key)
        if kept is not None:
            _KEYS_CACHED.inc()
            return Granted(key, kept, cached=True)
        grant = await self._cache.obtain(
            key, lambda: self._grant_client.ask("key", {"access_key": access_key})
        )
        return Granted(key, grant, cached=False)

    async def _by_contributor_key(self, contributor_key: str) -> Granted:
        key = GrantKey("contributor", "", self._digests(contributor_key))
        kept = self._cache.find(key)
        if kept is not None:
            _CONTRIBUTORS_CACHED.inc()
            return Granted(key, kept, cached=True)
        question = {"contributor_key": contributor_key}
        grant = await self._cache.obtain(key, lambda: self._grant_client.ask("contributor", question))
        return Granted(key, grant, cached=False)
