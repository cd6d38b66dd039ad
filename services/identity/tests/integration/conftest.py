"""The identity service without a network: its app is called as ASGI, and its mails stay in a list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from kappi_chassis.bus import Processor
from kappi_chassis.clock import utc_now
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords
from kappi_identity.bootstrap import (
    Dependencies,
    build_app,
    build_keyring,
    build_keys,
    build_reset_mailer,
    build_sign_up,
)
from kappi_identity.bootstrap_webhooks import build_handlers, build_notices, build_sender
from kappi_identity.consumers import GROUP
from kappi_identity.domain.webhooks import CallResult
from kappi_identity.errors import InvalidWebhookUrl
from kappi_identity.mailer import MailUndelivered
from kappi_identity.settings import IdentitySettings
from kappi_identity.use_cases.create_admin import CreateAdmin
from kappi_identity.use_cases.keyring import Keyring
from kappi_identity.use_cases.reset_mailer import ResetMailer
from kappi_identity.use_cases.rotate_keys import AdvanceKeys, ReplaceKey, RotateKeys
from kappi_identity.use_cases.send_deliveries import SendDeliveries
from kappi_identity.use_cases.webhook_notices import WebhookNotices
from kappi_testkit.asgi import Answer, AsgiClient
from kappi_testkit.clock import Clock
from kappi_testkit.events import RecordingDeadLetters, RecordMaker, outbox_events
from kappi_testkit.servers.databases import DatabaseMaker

PUBLIC_URL = "https://kappi.example"
PASSWORD = "correct horse battery staple"


@dataclass(slots=True)
class Mailbox:
    """Stores sent mails. broken: no mail can be delivered."""

    mails: list[EmailMessage] = field(default_factory=list)
    broken: bool = False

    async def send(self, message: EmailMessage) -> None:
        if self.broken:
            raise MailUndelivered("ConnectionRefusedError")
        self.mails.append(message)

    def token(self, number: int = -1) -> str:
        """Returns the token in a mail."""
        text: str = self.mails[number].get_content()
        return next(line for line in text.splitlines() if line.startswith("kappi_pw_"))


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a webhook."""

    url: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(slots=True)
class FakeReceivers:
    """Records calls of webhooks.

    answers: by URL; 200 for others. refused: URLs that no webhook may have. refused_deliveries: answered 500.
    """

    calls: list[Call] = field(default_factory=list)
    answers: dict[str, CallResult] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    refused_deliveries: set[str] = field(default_factory=set)

    async def check(self, url: str) -> None:
        if url in self.refused:
            raise InvalidWebhookUrl("Its host has no public address.")

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> CallResult:
        self.calls.append(Call(url, body, headers))
        if headers["webhook-id"] in self.refused_deliveries:
            return CallResult(status=500)
        return self.answers.get(url, CallResult(status=200))


class Http(AsgiClient):
    """Calls the identity service. address: the caller's, as the gateway reports it."""

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        address: str = "192.0.2.1",
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> Answer:
        named = {"x-forwarded-for": address, **(headers or {})}
        return await super().__call__(method, path, headers=named, **content)


@pytest.fixture
def clock() -> Clock:
    """Returns a clock that starts half a day ago: PyJWT refuses tokens of the future."""
    return Clock(utc_now() - timedelta(hours=12))


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def receivers() -> FakeReceivers:
    return FakeReceivers()


@pytest.fixture
def url(make_database: DatabaseMaker) -> str:
    return make_database.migrated("identity")


@pytest.fixture
def make_settings(url: str, tmp_path: Any) -> Callable[..., IdentitySettings]:
    def make(**changed: Any) -> IdentitySettings:
        values: dict[str, Any] = {
            "database_url": url,
            "idempotency_secret": "0123456789abcdef",
            "key_secret": "fedcba9876543210",
            "public_url": PUBLIC_URL,
            "mail_dir": tmp_path / "mails",
            "password_time_cost": 1,
            "password_memory_kib": 8,
            "password_share": 64,
            "access_token_lifetime": timedelta(hours=13),
            **changed,
        }
        return IdentitySettings(**values)

    return make


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.start()
    yield database
    await database.close()


@pytest.fixture
async def make_deps(
    database: Database,
    clock: Clock,
    mailbox: Mailbox,
    receivers: FakeReceivers,
    make_settings: Callable[..., IdentitySettings],
) -> AsyncIterator[Callable[..., Dependencies]]:
    """Returns `make_deps(password_time_cost=2, …)`: the dependencies under other settings."""
    made: list[Dependencies] = []

    def make(**changed: Any) -> Dependencies:
        passwords = Passwords.of(make_settings(**changed))
        made.append(
            Dependencies(
                database=database,
                outbox=Outbox(database),
                passwords=passwords,
                clock=clock,
                mail=mailbox,
                receivers=receivers,
            )
        )
        return made[-1]

    yield make
    for deps in made:
        await deps.passwords.close()


@pytest.fixture
def deps(make_deps: Callable[..., Dependencies]) -> Dependencies:
    return make_deps()


@pytest.fixture
def make_http(
    make_deps: Callable[..., Dependencies], make_settings: Callable[..., IdentitySettings]
) -> Callable[..., Http]:
    """Returns `make_http(login_burst_per_account=2, …)`: the app of another replica, under other settings."""
    return lambda **changed: Http(build_app(make_deps(**changed), make_settings(**changed)))


@pytest.fixture
def http(deps: Dependencies, make_settings: Callable[..., IdentitySettings]) -> Http:
    return Http(build_app(deps, make_settings()))


@pytest.fixture
def keyring(deps: Dependencies, make_settings: Callable[..., IdentitySettings]) -> Keyring:
    return build_keyring(deps, make_settings())


@pytest.fixture
def rotate_keys(deps: Dependencies, make_settings: Callable[..., IdentitySettings]) -> RotateKeys:
    return build_keys(RotateKeys, deps, make_settings())


@pytest.fixture
def replace_key(deps: Dependencies, make_settings: Callable[..., IdentitySettings]) -> ReplaceKey:
    return build_keys(ReplaceKey, deps, make_settings())


@pytest.fixture
def advance_keys(deps: Dependencies, make_settings: Callable[..., IdentitySettings]) -> AdvanceKeys:
    return build_keys(AdvanceKeys, deps, make_settings())


@pytest.fixture
def reset_mailer(deps: Dependencies, make_settings: Callable[..., IdentitySettings]) -> ResetMailer:
    return build_reset_mailer(deps, make_settings())


@pytest.fixture
def create_admin(deps: Dependencies, make_settings: Callable[..., IdentitySettings]) -> CreateAdmin:
    sign_up = build_sign_up(deps, make_settings())
    return CreateAdmin(outbox=deps.outbox, sign_up=sign_up, passwords=deps.passwords)


@dataclass(frozen=True, slots=True)
class Someone:
    """An account that is logged in."""

    id: str
    email: str
    access_token: str
    refresh_token: str


@pytest.fixture
def log_in(http: Http) -> Callable[..., Any]:
    """Returns `await log_in(email, password=…)`: the answer."""

    async def log_in(email: str, *, password: str = PASSWORD, http: Http = http, **named: Any) -> Answer:
        form = {"grant_type": "password", "username": email, "password": password}
        return await http("POST", "/v1/oauth/token", form=form, **named)

    return log_in


@pytest.fixture
def refresh(http: Http) -> Callable[[str], Any]:
    """Returns `await refresh(token)`: the answer."""

    async def refresh(token: str, *, http: Http = http) -> Answer:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return await http("POST", "/v1/oauth/token", form=form)

    return refresh


@pytest.fixture
def sign_up(http: Http, log_in: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `await sign_up(email)`: an account, logged in."""

    async def sign_up(email: str = "ada@example.com", *, password: str = PASSWORD) -> Someone:
        created = await http("POST", "/v1/accounts", body={"email": email, "password": password})
        assert created.status == 201, created.body
        tokens = (await log_in(email, password=password)).json
        return Someone(created.json["id"], email, tokens["access_token"], tokens["refresh_token"])

    return sign_up


@pytest.fixture
async def admin(create_admin: CreateAdmin, log_in: Callable[..., Any]) -> Someone:
    """Returns an administrator, logged in."""
    account = await create_admin("root@example.com", PASSWORD)
    tokens = (await log_in("root@example.com")).json
    return Someone(str(account.id), "root@example.com", tokens["access_token"], tokens["refresh_token"])


@pytest.fixture
def published(database: Database) -> Callable[[], Any]:
    """Returns `await published()`: the outbox, oldest first, as (topic, sequence, data)."""

    return lambda: outbox_events(database)


@pytest.fixture
def record(clock: Clock) -> RecordMaker:
    return RecordMaker(clock)


@pytest.fixture
def dead_letters() -> RecordingDeadLetters:
    return RecordingDeadLetters()


@pytest.fixture
def make_processor(
    deps: Dependencies, make_settings: Callable[..., IdentitySettings], dead_letters: RecordingDeadLetters
) -> Callable[..., Processor]:
    """Returns `make_processor(webhook_deliveries_kept=3, …)`: the consumer under other settings."""

    def make(**changed: Any) -> Processor:
        handlers = build_handlers(deps, make_settings(**changed), wanted=deps.wanted)
        return Processor(group=GROUP, handlers=handlers, dead_letters=dead_letters, clock=deps.clock)

    return make


@pytest.fixture
def processor(make_processor: Callable[..., Processor]) -> Processor:
    return make_processor()


@pytest.fixture
def sender(
    deps: Dependencies, make_settings: Callable[..., IdentitySettings], receivers: FakeReceivers
) -> SendDeliveries:
    """Returns the sender. It gives up while access tokens are valid: PyJWT reads the wall clock."""
    return build_sender(deps, make_settings(webhook_retry_for=timedelta(hours=10)), receivers=receivers)


@pytest.fixture
def notices(
    deps: Dependencies, make_settings: Callable[..., IdentitySettings], mailbox: Mailbox
) -> WebhookNotices:
    return build_notices(deps, make_settings(), transport=mailbox)


@pytest.fixture
def send_due(sender: SendDeliveries) -> Callable[[], Any]:
    """Returns `await send_due()`: all due deliveries are made. Returns how many."""

    async def send_due() -> int:
        made = 0
        while leased := await sender.take(10):
            for each in leased:
                await sender.work(each)
            made += len(leased)
        return made

    return send_due


@pytest.fixture
def hook(http: Http) -> Callable[..., Any]:
    """Returns `await hook(account, url=…, events=…)`: a new webhook, with its secret."""

    async def hook(
        account: Someone, url: str = "https://example.com/kappi", events: Any = ("media.ready",)
    ) -> Any:
        body = {"url": url, "events": list(events)}
        answer = await http("POST", "/v1/webhooks", body=body, token=account.access_token)
        assert answer.status == 201, answer.body
        return answer.json

    return hook
