"""Builds the service from its use cases, for HTTP and for background jobs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

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
from kappi_identity.api.webhooks import WebhookApi
from kappi_identity.background_jobs import (
    EXPIRED_ROWS_EVERY_S,
    KEYS_EVERY_S,
    THROTTLE_MEMORY,
    TIERS_EVERY_S,
    WantedJobs,
    repeat,
)
from kappi_identity.bootstrap_webhooks import build_webhook_api, build_webhook_jobs, http_receivers
from kappi_identity.domain.accounts import SessionPolicy
from kappi_identity.domain.key_schedule import KeyPolicy
from kappi_identity.domain.tokens import AccessTokens, KeySeal, derived_secret
from kappi_identity.errors import OAuthFailure
from kappi_identity.mailer import MailTransport, mail_transport, reset_mail_maker
from kappi_identity.panel.app import WithPanel, panel_app
from kappi_identity.panel.login import PanelLogin
from kappi_identity.panel.takedowns import TakedownsView
from kappi_identity.panel.views import AccountsView, TiersView
from kappi_identity.receivers import Receivers
from kappi_identity.repository.accounts import AccountQueries
from kappi_identity.repository.expired_rows import remove_expired_rows
from kappi_identity.repository.keys import KeyQueries
from kappi_identity.repository.resets import ResetQueries
from kappi_identity.repository.sessions import SessionQueries
from kappi_identity.repository.takedowns import TakedownQueries
from kappi_identity.repository.throttle import ThrottleQueries
from kappi_identity.repository.tiers import TierQueries
from kappi_identity.settings import IdentitySettings
from kappi_identity.use_cases.administration import Administration
from kappi_identity.use_cases.change_password import ChangePassword
from kappi_identity.use_cases.delete_account import DeleteAccount
from kappi_identity.use_cases.keyring import Keyring
from kappi_identity.use_cases.known_clients import KnownClients
from kappi_identity.use_cases.log_in import LogIn, OpenSession
from kappi_identity.use_cases.moderation import (
    LiftTakedown,
    ReinstateAccount,
    SuspendAccount,
    TakeGalleryDown,
)
from kappi_identity.use_cases.password_check import LoginLimits, PasswordCheck
from kappi_identity.use_cases.refresh_tokens import RefreshTokens
from kappi_identity.use_cases.reset_mailer import ResetMailer
from kappi_identity.use_cases.reset_password import RequestPasswordReset, ResetLimits, ResetPassword
from kappi_identity.use_cases.revoke_session import RevokeSession, RevokeToken
from kappi_identity.use_cases.rotate_keys import RETIRE_GRACE, AdvanceKeys, KeyUseCase
from kappi_identity.use_cases.sign_up import SignUp
from kappi_identity.use_cases.throttle import Limit, Throttle
from kappi_identity.use_cases.tiers import AnnounceTiers, ChangeTier, CreateTier, DeleteTier, SetTier
from kappi_identity.web.page import mount_reset_page

K = TypeVar("K", bound=KeyUseCase)
Job = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies(ServiceDependencies):
    """The dependencies of the use cases. passwords: closed by the caller. mail: None for the transport of the
    settings. receivers: of webhooks; None for those that the settings allow.
    """

    passwords: Passwords
    mail: MailTransport | None = None
    receivers: Receivers | None = None
    wanted: WantedJobs = field(default_factory=WantedJobs)


def build_app(deps: Dependencies, settings: IdentitySettings) -> App:
    """Returns the application that serves the HTTP endpoints."""
    keyring, accounts = build_keyring(deps, settings), AccountQueries(deps.database)

    async def published() -> bytes:
        return msgspec.json.encode(await keyring.published())

    access = Access(
        verifier=AccountVerifier(JwksSource(published), clock=deps.clock),
        accounts=accounts,
        clock=deps.clock,
    )
    calls = IdempotentCalls(settings.idempotency_secret.get_secret_value().encode())
    app = create_app(title="Identity", description="Accounts, sessions, tokens and tiers.")
    app.add_exception_handler(OAuthFailure, on_oauth_failure)
    app.include_router(_accounts(deps, settings, calls=calls).router())
    app.include_router(_oauth(deps, settings, keyring=keyring).router())
    app.include_router(_me(deps, settings, access=access).router())
    administration = _administration(deps, settings)
    app.include_router(
        AdminApi(
            administration,
            access=access,
            tiers=TierQueries(deps.database),
            accounts=accounts,
            calls=calls,
        ).router()
    )
    app.include_router(
        ModerationApi(
            administration, access=access, takedowns=TakedownQueries(deps.database), calls=calls
        ).router()
    )
    webhooks = _webhooks(deps, settings, access=access, calls=calls)
    app.include_router(webhooks.router())
    mount_reset_page(app)
    panel = _panel(deps, settings, administration)
    return Edge(WithPanel(app, panel=panel), max_in_flight=settings.max_in_flight)


def _webhooks(
    deps: Dependencies, settings: IdentitySettings, *, access: Access, calls: IdempotentCalls
) -> WebhookApi:
    receivers = deps.receivers or http_receivers(settings)
    return build_webhook_api(
        deps, settings, access=access, receivers=receivers, calls=calls, wanted=deps.wanted
    )


def build_background_jobs(deps: Dependencies, settings: IdentitySettings) -> Mapping[str, Job]:
    """Returns the jobs of a worker by name. Each runs until it is cancelled."""

    async def remove_expired() -> None:
        await remove_expired_rows(
            deps.database,
            now=deps.clock(),
            session_idle=settings.session_idle,
            client_known_for=settings.login_known_for,
            throttle_memory=THROTTLE_MEMORY,
            deliveries_kept_for=settings.webhook_deliveries_kept_for,
        )

    announce_tiers = AnnounceTiers(outbox=deps.outbox, clock=deps.clock)
    advance_keys = build_keys(AdvanceKeys, deps, settings)
    return {
        "announce-tiers": partial(repeat, "tiers.announce", announce_tiers, every_s=TIERS_EVERY_S),
        "signing-keys": partial(repeat, "signing_keys.move", advance_keys, every_s=KEYS_EVERY_S),
        "leftovers": partial(repeat, "leftovers.remove", remove_expired, every_s=EXPIRED_ROWS_EVERY_S),
        "reset-mailer": build_reset_mailer(deps, settings).run,
        **build_webhook_jobs(
            deps,
            settings,
            receivers=deps.receivers or http_receivers(settings),
            transport=deps.mail or mail_transport(settings, new_id=deps.new_id),
            wanted=deps.wanted,
        ),
    }


def build_keys(use_case: type[K], deps: Dependencies, settings: IdentitySettings) -> K:
    """Returns a use case of the signing keys."""
    policy = KeyPolicy(
        publish_ahead=settings.key_publish_ahead,
        retire_for=settings.access_token_lifetime + RETIRE_GRACE,
        rotate_every=settings.key_rotate_every,
    )
    return use_case(database=deps.database, seal=KeySeal(_secret(settings)), policy=policy, clock=deps.clock)


def build_keyring(deps: Dependencies, settings: IdentitySettings) -> Keyring:
    """Returns the signing key of a replica and the published keys."""
    return Keyring(
        KeyQueries(deps.database),
        advance_keys=build_keys(AdvanceKeys, deps, settings),
        seal=KeySeal(_secret(settings)),
    )


def build_sign_up(deps: Dependencies, settings: IdentitySettings) -> SignUp:
    """Returns the creation of accounts, which administrators are created with, too."""
    return SignUp(
        outbox=deps.outbox,
        passwords=deps.passwords,
        tier=settings.sign_up_tier,
        clock=deps.clock,
        new_id=deps.new_id,
    )


def build_open_session(deps: Dependencies, settings: IdentitySettings) -> OpenSession:
    """Returns the login, of the panel and of every other client."""
    return OpenSession(
        outbox=deps.outbox,
        check=_check(deps, settings),
        known=_known(deps, settings),
        clock=deps.clock,
        new_id=deps.new_id,
    )


def build_reset_mailer(deps: Dependencies, settings: IdentitySettings) -> ResetMailer:
    """Returns the mailer of the tokens for a new password."""
    return ResetMailer(
        ResetQueries(deps.database),
        database=deps.database,
        transport=deps.mail or mail_transport(settings, new_id=deps.new_id),
        make_mail=reset_mail_maker(settings, clock=deps.clock),
        token_lifetime=settings.reset_lifetime,
        wanted=deps.wanted.resets,
        clock=deps.clock,
    )


def _accounts(deps: Dependencies, settings: IdentitySettings, *, calls: IdempotentCalls) -> AccountApi:
    resets = ResetQueries(deps.database)
    return AccountApi(
        sign_up=build_sign_up(deps, settings),
        request_reset=RequestPasswordReset(
            resets,
            throttle=_throttle(deps, settings),
            limits=_reset_limits(settings),
            wanted=deps.wanted.resets,
            clock=deps.clock,
            new_id=deps.new_id,
        ),
        reset_password=ResetPassword(
            resets,
            accounts=AccountQueries(deps.database),
            outbox=deps.outbox,
            known=_known(deps, settings),
            passwords=deps.passwords,
            clock=deps.clock,
        ),
        calls=calls,
    )


def _oauth(deps: Dependencies, settings: IdentitySettings, *, keyring: Keyring) -> OAuthApi:
    policy = _policy(settings, idle=settings.session_idle, longest=settings.session_longest)
    access_tokens = AccessTokens(
        lifetime=settings.access_token_lifetime, clock=deps.clock, new_id=deps.new_id
    )
    return OAuthApi(
        log_in=LogIn(
            open_session=build_open_session(deps, settings),
            policy=policy,
            keyring=keyring,
            access_tokens=access_tokens,
        ),
        refresh_tokens=RefreshTokens(
            outbox=deps.outbox,
            keyring=keyring,
            access_tokens=access_tokens,
            policy=policy,
            clock=deps.clock,
        ),
        revoke_token=RevokeToken(deps.database, clock=deps.clock),
        keyring=keyring,
    )


def _me(deps: Dependencies, settings: IdentitySettings, *, access: Access) -> MeApi:
    check = _check(deps, settings)
    return MeApi(
        access=access,
        accounts=AccountQueries(deps.database),
        change_password=ChangePassword(
            outbox=deps.outbox,
            check=check,
            known=_known(deps, settings),
            passwords=deps.passwords,
            clock=deps.clock,
        ),
        delete_account=DeleteAccount(
            outbox=deps.outbox, check=check, recent_login=settings.recent_login, clock=deps.clock
        ),
        sessions=SessionQueries(deps.database),
        revoke_session=RevokeSession(deps.database, clock=deps.clock),
        clock=deps.clock,
    )


def _administration(deps: Dependencies, settings: IdentitySettings) -> Administration:
    return Administration(
        create_tier=CreateTier(outbox=deps.outbox, clock=deps.clock),
        change_tier=ChangeTier(outbox=deps.outbox, clock=deps.clock),
        delete_tier=DeleteTier(outbox=deps.outbox, sign_up_tier=settings.sign_up_tier, clock=deps.clock),
        set_tier=SetTier(outbox=deps.outbox, clock=deps.clock),
        suspend_account=SuspendAccount(outbox=deps.outbox, clock=deps.clock),
        reinstate_account=ReinstateAccount(outbox=deps.outbox, clock=deps.clock),
        take_gallery_down=TakeGalleryDown(outbox=deps.outbox, clock=deps.clock, new_id=deps.new_id),
        lift_takedown=LiftTakedown(outbox=deps.outbox, clock=deps.clock),
    )


def _panel(deps: Dependencies, settings: IdentitySettings, administration: Administration) -> App:
    accounts, tiers = AccountQueries(deps.database), TierQueries(deps.database)
    login = PanelLogin(
        open_session=build_open_session(deps, settings),
        revoke_session=RevokeSession(deps.database, clock=deps.clock),
        accounts=accounts,
        # Panel sessions have a fixed length and are never refreshed.
        policy=_policy(settings, idle=settings.panel_session, longest=settings.panel_session),
        device_known_for=settings.login_known_for,
        secret=derived_secret(_secret(settings), "panel sessions"),
        clock=deps.clock,
    )
    views = (
        TiersView(administration, tiers=tiers),
        AccountsView(administration, accounts=accounts, tiers=tiers),
        TakedownsView(administration, takedowns=TakedownQueries(deps.database)),
    )
    cookie_secret = derived_secret(_secret(settings), "panel forms").hex()
    return panel_app(views, login=login, cookie_secret=cookie_secret, public_url=settings.public_url)


def _check(deps: Dependencies, settings: IdentitySettings) -> PasswordCheck:
    return PasswordCheck(
        accounts=AccountQueries(deps.database),
        known=_known(deps, settings),
        passwords=deps.passwords,
        throttle=_throttle(deps, settings),
        limits=_login_limits(settings),
    )


def _known(deps: Dependencies, settings: IdentitySettings) -> KnownClients:
    return KnownClients(
        secret=_secret(settings),
        lifetime=settings.login_known_for,
        most_addresses=settings.login_known_addresses,
        clock=deps.clock,
    )


def _throttle(deps: Dependencies, settings: IdentitySettings) -> Throttle:
    return Throttle(ThrottleQueries(deps.database), secret=_secret(settings), clock=deps.clock)


def _secret(settings: IdentitySettings) -> bytes:
    return settings.key_secret.get_secret_value().encode()


def _policy(settings: IdentitySettings, *, idle: timedelta, longest: timedelta) -> SessionPolicy:
    return SessionPolicy(idle=idle, longest=longest, retry_grace=settings.refresh_retry_grace)


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
