"""The galleries service without a network: its app is called as ASGI, and its events are handed over as
records.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.auth import JwksSource, SigningKey
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.bus import Processor
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords
from kappi_chassis.problems import Problem
from kappi_galleries.bootstrap import Dependencies, build_app, build_handlers
from kappi_galleries.consumers import GROUP
from kappi_galleries.errors import PicturesUnavailable, TierWithholds
from kappi_galleries.media_client import MediaRefused
from kappi_galleries.settings import GalleriesSettings
from kappi_testkit.asgi import Answer, AsgiClient
from kappi_testkit.auth import access_token, key_set
from kappi_testkit.clock import Clock
from kappi_testkit.events import RecordingDeadLetters, RecordMaker, outbox_events
from kappi_testkit.servers.databases import DatabaseMaker

PUBLIC_URL = "https://kappi.example"


class Http(AsgiClient):
    """Calls the galleries service. key: the gallery's access key."""

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> Answer:
        named = {} if key is None else {"x-gallery-key": key}
        return await super().__call__(method, path, headers={**(headers or {}), **named}, **content)


@dataclass(frozen=True, slots=True)
class Account:
    """An account as this service sees it: by the tokens it sends."""

    clock: Clock
    key: SigningKey
    id: UUID = field(default_factory=uuid4)
    name: str | None = "Ada"
    role: str = "user"

    @property
    def token(self) -> str:
        return self.token_with()

    def token_with(self, *, key: SigningKey | None = None, **changed: Any) -> str:
        """Returns a token signed by another key, or with other claims."""
        lasting = int(max(time.time(), self.clock.now.timestamp())) + 600
        claims = {"role": self.role, "name": self.name, "tier": "Premium", "exp": lasting, **changed}
        return access_token(key or self.key, self.id, claims)


class KeptPictures:
    """`Pictures` in memory. refusal: raised instead of storing a picture, once it has arrived whole."""

    def __init__(self) -> None:
        self.kept: dict[UUID, bytes] = {}
        self.items: dict[UUID, UUID] = {}
        self.refusal: Problem | None = None
        self.before: Callable[[], Awaitable[None]] | None = None

    async def store(
        self, post_id: UUID, _account_id: UUID, content: AsyncIterator[bytes], *, at_most_bytes: int | None
    ) -> None:
        assert at_most_bytes is None or at_most_bytes > 0
        picture = b"".join([piece async for piece in content])
        await self._settle()
        self.kept[post_id] = picture

    async def use_item(self, post_id: UUID, _account_id: UUID, media_id: UUID) -> None:
        await self._settle()
        self.items[post_id] = media_id

    async def _settle(self) -> None:
        if self.before is not None:
            await self.before()
        if isinstance(self.refusal, PicturesUnavailable):
            raise self.refusal
        if self.refusal is not None:
            raise MediaRefused(self.refusal)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def grant_key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="session")
def identity_key() -> SigningKey:
    """Returns the key with which the identity service signs access tokens."""
    return SigningKey.generate()


@pytest.fixture
def make_account(clock: Clock, identity_key: SigningKey) -> Callable[..., Account]:
    """Returns `make_account(name=…, role="admin")`."""
    return lambda **named: Account(clock, identity_key, **named)


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account()


@pytest.fixture
def other(make_account: Callable[..., Account]) -> Account:
    return make_account()


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    """Returns a hasher with the cheapest parameters of argon2id."""
    passwords = Passwords(time_cost=1, memory_kib=8, longest_queue=64, share=64)
    yield passwords
    await passwords.close()


@pytest.fixture
def url(make_database: DatabaseMaker) -> str:
    return make_database.migrated("galleries")


@pytest.fixture
def make_settings(url: str, grant_key: SigningKey) -> Callable[..., GalleriesSettings]:
    def make(**changed: Any) -> GalleriesSettings:
        values: dict[str, Any] = {
            "database_url": url,
            "idempotency_secret": "0123456789abcdef",
            "grant_key": grant_key.to_pem(),
            "public_url": PUBLIC_URL,
            **changed,
        }
        return GalleriesSettings(**values)

    return make


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.start()
    yield database
    await database.close()


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


@pytest.fixture
def pictures() -> KeptPictures:
    return KeptPictures()


class Room:
    """`ClaimRoom` in memory. refusal: raised instead of reserving. withholds: the account's tier withholds
    something. before: called first.
    """

    def __init__(self) -> None:
        self.reserved: list[tuple[UUID, UUID]] = []
        self.withholds = False
        self.refusal: Problem | None = None
        self.before: Callable[[], Awaitable[object]] | None = None

    async def reserve(self, gallery_id: UUID, account_id: UUID, *, accept_tier: bool) -> None:
        if self.before is not None:
            await self.before()
        if self.refusal is not None:
            raise self.refusal
        if self.withholds and not accept_tier:
            raise TierWithholds("With the tier Basic its viewers would lose the originals.")
        self.reserved.append((gallery_id, account_id))


@pytest.fixture
def room() -> Room:
    return Room()


class Ready:
    """`ReadyItems` in memory. refusals: by item. version: of all items. after: called when it is known."""

    def __init__(self) -> None:
        self.refusals: dict[UUID, Problem] = {}
        self.version = 1
        self.after: Callable[[], Awaitable[object]] | None = None

    async def version_of_ready(self, gallery_id: UUID, media_id: UUID) -> int:
        if (refusal := self.refusals.get(media_id)) is not None:
            raise refusal
        version = self.version
        if self.after is not None:
            await self.after()
        return version


@pytest.fixture
def ready() -> Ready:
    return Ready()


@pytest.fixture
def deps(
    database: Database,
    outbox: Outbox,
    clock: Clock,
    passwords: Passwords,
    identity_key: SigningKey,
    pictures: KeptPictures,
    room: Room,
    ready: Ready,
) -> Dependencies:
    return Dependencies(
        database=database,
        outbox=outbox,
        accounts=AccountVerifier(JwksSource(key_set(identity_key)), clock=clock),
        passwords=passwords,
        pictures=pictures,
        claim_room=room,
        ready_items=ready,
        clock=clock,
    )


@pytest.fixture
def make_http(deps: Dependencies, make_settings: Callable[..., GalleriesSettings]) -> Callable[..., Http]:
    """Returns `make_http(code_alphabet="ab", …)`: the app under other settings."""
    return lambda **changed: Http(build_app(deps, make_settings(**changed)))


@pytest.fixture
def http_on(deps: Dependencies, make_settings: Callable[..., GalleriesSettings]) -> Callable[..., Http]:
    """Returns `http_on(passwords=…)`: the app with other dependencies."""
    return lambda **changed: Http(build_app(replace(deps, **changed), make_settings()))


@pytest.fixture
def http(make_http: Callable[..., Http]) -> Http:
    return make_http()


@pytest.fixture
def dead_letters() -> RecordingDeadLetters:
    return RecordingDeadLetters()


@pytest.fixture
def processor(
    deps: Dependencies, dead_letters: RecordingDeadLetters, make_settings: Callable[..., GalleriesSettings]
) -> Processor:
    return Processor(
        group=GROUP,
        handlers=build_handlers(deps, make_settings()),
        dead_letters=dead_letters,
        clock=deps.clock,
    )


@pytest.fixture
def record(clock: Clock) -> RecordMaker:
    """Returns `record(event, sequence=…, id=…)`: a record as the broker delivers it."""

    return RecordMaker(clock)


@pytest.fixture
def published(database: Database) -> Callable[[], Any]:
    """Returns `await published()`: the outbox, oldest first, as (topic, sequence, data)."""

    return lambda: outbox_events(database)
