"""Builds the use cases for HTTP and for operators' commands."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from kappi_chassis.auth import JwksSource
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.dependencies import ServiceDependencies
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import App
from kappi_chassis.http.idempotency import IdempotentCalls
from kappi_chassis.passwords import Passwords

from kappi_identity.api.access import Access
from kappi_identity.api.accounts import AccountApi
from kappi_identity.api.admin import AdminApi
from kappi_identity.api.forms import on_oauth_failure
from kappi_identity.api.me import MeApi
from kappi_identity.api.moderation import ModerationApi
from kappi_identity.api.oauth import OAuthApi
from kappi_identity.background_jobs import BackgroundJobs
from kappi_identity.domain.accounts import SessionPolicy
from kappi_identity.domain.key_schedule import KeyPolicy
from kappi_identity.domain.tokens import AccessTokens, KeySeal, derived_secret
from kappi_identity.errors import OAuthFailure
from kappi_identity.mailer import MailTransport, mail_transport, reset_mail_maker
from kappi_identity.panel.app import WithPanel, panel_app
from kappi_identity.panel.login import PanelLogin
from kappi_identity.repository.accounts import AccountQueries
from kappi_identity.repository.keys import KeyQueries
from kappi_identity.repository.resets import ResetQueries
from kappi_identity.repository.takedowns import TakedownQueries
from kappi_identity.repository.throttle import ThrottleQueries
from kappi_identity.repository.tiers import TierQueries
from kappi_identity.settings import IdentitySettings
from kappi_identity.use_cases.keys import RETIRE_GRACE, Keyring, KeyRotation
from kappi_identity.use_cases.known_clients import KnownClients
from kappi_identity.use_cases.login import Login, LoginLimits, PasswordCheck
from kappi_identity.use_cases.moderation import Moderation
from kappi_identity.use_cases.password_reset import PasswordReset, ResetLimits, ResetMailer
from kappi_identity.use_cases.profile import Profile
from kappi_identity.use_cases.refresh_tokens import RefreshTokens
from kappi_identity.use_cases.sessions import Sessions
from kappi_identity.use_cases.sign_up import SignUp
from kappi_identity.use_cases.throttle import Limit, Throttle
from kappi_identity.use_cases.tiers import Tiers
from kappi_identity.web.page import mount_reset_page


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies(ServiceDependencies):
    mail: MailTransport | None = None


class UseCases:
    """The use cases of the service.

    Nothing connects here; the thread for passwords starts with the first password.
    """

    def __init__(self, deps: Dependencies, settings: IdentitySettings) -> None:
        self._deps = deps
        self._settings = settings
        secret = settings.key_secret.get_secret_value().encode()
        clock, database = deps.clock, deps.database
        self.accounts = AccountQueries(database)
        self.passwords = Passwords(
            time_cost=settings.password_time_cost,
            memory_kib=settings.password_memory_kib,
            longest_queue=settings.password_queue,
            share=settings.password_share,
        )
        self.throttle = Throttle(ThrottleQueries(database), secret=secret, clock=clock)
        self.policy = SessionPolicy(
            idle=settings.session_idle,
            longest=settings.session_longest,
            retry_grace=settings.refresh_retry_grace,
        )
        seal, keys = KeySeal(secret), KeyQueries(database)
        self.rotation = KeyRotation(database=database, seal=seal, policy=key_policy(settings), clock=clock)
        self.keyring = Keyring(queries=keys, rotation=self.rotation, seal=seal)
        self.access_tokens = AccessTokens(
            lifetime=settings.access_token_lifetime, clock=clock, new_id=deps.new_id
        )
        self.tiers = Tiers(
            outbox=deps.outbox,
            queries=TierQueries(database),
            sign_up_tier=settings.sign_up_tier,
            clock=clock,
        )
        self.moderation = Moderation(outbox=deps.outbox, clock=clock, new_id=deps.new_id)
        self.takedowns = TakedownQueries(database)
        self.sessions = Sessions(database=database, clock=clock)
        self._resets = ResetQueries(database)
        self._known = KnownClients(
            secret=secret,
            lifetime=settings.login_known_for,
            most_addresses=settings.login_known_addresses,
            clock=clock,
        )
        self._check = PasswordCheck(
            accounts=self.accounts,
            known=self._known,
            passwords=self.passwords,
            throttle=self.throttle,
            limits=_login_limits(settings),
        )

    @property
    def panel_policy(self) -> SessionPolicy:
        """The policy of panel sessions, which have a fixed length and are never refreshed."""
        lasting = self._settings.panel_session
        return SessionPolicy(idle=lasting, longest=lasting, retry_grace=self.policy.retry_grace)

    def sign_up(self) -> SignUp:
        deps = self._deps
        return SignUp(
            outbox=deps.outbox,
            passwords=self.passwords,
            tier=self._settings.sign_up_tier,
            clock=deps.clock,
            new_id=deps.new_id,
        )

    def login(self) -> Login:
        deps = self._deps
        return Login(
            outbox=deps.outbox,
            check=self._check,
            known=self._known,
            passwords=self.passwords,
            keyring=self.keyring,
            access_tokens=self.access_tokens,
            clock=deps.clock,
            new_id=deps.new_id,
        )

    def refresh_tokens(self) -> RefreshTokens:
        return RefreshTokens(
            outbox=self._deps.outbox,
            keyring=self.keyring,
            access_tokens=self.access_tokens,
            policy=self.policy,
            clock=self._deps.clock,
        )

    def profile(self) -> Profile:
        deps = self._deps
        return Profile(
            outbox=deps.outbox,
            check=self._check,
            known=self._known,
            passwords=self.passwords,
            recent_login=self._settings.recent_login,
            clock=deps.clock,
        )

    def password_reset(self) -> PasswordReset:
        deps = self._deps
        return PasswordReset(
            outbox=deps.outbox,
            queries=self._resets,
            accounts=self.accounts,
            known=self._known,
            passwords=self.passwords,
            throttle=self.throttle,
            limits=_reset_limits(self._settings),
            clock=deps.clock,
            new_id=deps.new_id,
        )

    def reset_mailer(self) -> ResetMailer:
        deps, settings = self._deps, self._settings
        return ResetMailer(
            database=deps.database,
            queries=self._resets,
            transport=deps.mail or mail_transport(settings, new_id=deps.new_id),
            make_mail=reset_mail_maker(settings, clock=deps.clock),
            token_lifetime=settings.reset_lifetime,
            clock=deps.clock,
        )

    def background_jobs(self) -> BackgroundJobs:
        return BackgroundJobs(
            database=self._deps.database,
            tiers=self.tiers,
            rotation=self.rotation,
            session_idle=self._settings.session_idle,
            client_known_for=self._settings.login_known_for,
            clock=self._deps.clock,
        )


def key_policy(settings: IdentitySettings) -> KeyPolicy:
    return KeyPolicy(
        publish_ahead=settings.key_publish_ahead,
        retire_for=settings.access_token_lifetime + RETIRE_GRACE,
        rotate_every=settings.key_rotate_every,
    )


def _login_limits(settings: IdentitySettings) -> LoginLimits:
    return LoginLimits(
        per_client=Limit(
            name="login client",
            burst=settings.login_burst_per_client,
            refill=settings.login_refill_per_client,
        ),
        per_account=Limit(
            name="login account",
            burst=settings.login_burst_per_account,
            refill=settings.login_refill_per_account,
        ),
        per_address=Limit(
            name="login address",
            burst=settings.login_burst_per_address,
            refill=settings.login_refill_per_address,
        ),
    )


def _reset_limits(settings: IdentitySettings) -> ResetLimits:
    return ResetLimits(
        per_account=Limit(
            name="reset account",
            burst=settings.reset_burst_per_account,
            refill=settings.reset_refill_per_account,
        ),
        per_address=Limit(
            name="reset address",
            burst=settings.reset_burst_per_address,
            refill=settings.reset_refill_per_address,
        ),
    )


def build_app(deps: Dependencies, settings: IdentitySettings, use_cases: UseCases | None = None) -> App:
    """Returns the application that serves the HTTP endpoints."""
    parts = use_cases or UseCases(deps, settings)

    async def published() -> bytes:
        return msgspec.json.encode(await parts.keyring.published())

    verifier = AccountVerifier(JwksSource(published), clock=deps.clock)
    access = Access(verifier=verifier, accounts=parts.accounts, clock=deps.clock)
    calls = IdempotentCalls(settings.idempotency_secret.get_secret_value().encode())
    app = create_app(title="Identity", description="Accounts, sessions, tokens and tiers.")
    app.add_exception_handler(OAuthFailure, on_oauth_failure)
    accounts = AccountApi(sign_up=parts.sign_up(), reset=parts.password_reset(), calls=calls)
    oauth = OAuthApi(
        login=parts.login(), refresh_tokens=parts.refresh_tokens(), keyring=parts.keyring, policy=parts.policy
    )
    me = MeApi(access=access, profile=parts.profile(), sessions=parts.sessions, clock=deps.clock)
    admin = AdminApi(access=access, tiers=parts.tiers, accounts=parts.accounts, calls=calls)
    moderation = ModerationApi(
        access=access,
        moderation=parts.moderation,
        takedowns=parts.takedowns,
        calls=calls,
    )
    for api in (accounts, oauth, me, admin, moderation):
        app.include_router(api.router())
    mount_reset_page(app)
    with_panel = WithPanel(app, panel=_panel(deps, settings, parts))
    return Edge(with_panel, max_in_flight=settings.max_in_flight)


def _panel(deps: Dependencies, settings: IdentitySettings, parts: UseCases) -> App:
    secret = settings.key_secret.get_secret_value().encode()
    login = PanelLogin(
        login=parts.login(),
        sessions=parts.sessions,
        accounts=parts.accounts,
        policy=parts.panel_policy,
        device_known_for=settings.login_known_for,
        secret=derived_secret(secret, "panel sessions"),
        clock=deps.clock,
    )
    return panel_app(
        login=login,
        tiers=parts.tiers,
        accounts=parts.accounts,
        moderation=parts.moderation,
        takedowns=parts.takedowns,
        cookie_secret=derived_secret(secret, "panel forms").hex(),
        public_url=settings.public_url,
    )
