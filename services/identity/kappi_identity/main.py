"""Wiring of the identity service; `python -m kappi_identity.main` runs it."""

from __future__ import annotations

import msgspec
from kappi_chassis.auth import JwksSource
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.backbone import Backbone
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import App
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.runtime import Service
from kappi_chassis.settings import PlatformSettings

from kappi_identity.api.access import Access
from kappi_identity.api.accounts import AccountApi
from kappi_identity.api.admin import AdminApi
from kappi_identity.api.forms import on_oauth_failure
from kappi_identity.api.me import MeApi
from kappi_identity.api.moderation import ModerationApi
from kappi_identity.api.oauth import OAuthApi
from kappi_identity.bootstrap import Assembly, Dependencies
from kappi_identity.errors import OAuthFailure
from kappi_identity.panel.app import WithPanel, panel_app
from kappi_identity.panel.login import PanelLogin
from kappi_identity.settings import IdentitySettings
from kappi_identity.tokens import derived_secret
from kappi_identity.web.page import mount_reset_page

NAME = "identity"


def build_app(deps: Dependencies, settings: IdentitySettings, assembly: Assembly | None = None) -> App:
    """The service's HTTP side."""
    parts = assembly or Assembly(deps, settings)

    async def published() -> bytes:
        return msgspec.json.encode(await parts.keyring.published())

    verifier = AccountVerifier(JwksSource(published), clock=deps.clock)
    access = Access(verifier=verifier, accounts=parts.accounts, clock=deps.clock)
    idempotency_secret = settings.idempotency_secret.get_secret_value().encode()
    app = create_app(title="Identity", description="Accounts, sessions, tokens and tiers.")
    app.add_exception_handler(OAuthFailure, on_oauth_failure)
    accounts = AccountApi(
        sign_up=parts.sign_up(), reset=parts.password_reset(), idempotency_secret=idempotency_secret
    )
    oauth = OAuthApi(
        login=parts.login(), refresh_tokens=parts.refresh_tokens(), keyring=parts.keyring, policy=parts.policy
    )
    me = MeApi(access=access, profile=parts.profile(), sessions=parts.sessions, clock=deps.clock)
    admin = AdminApi(
        access=access, tiers=parts.tiers, accounts=parts.accounts, idempotency_secret=idempotency_secret
    )
    moderation = ModerationApi(
        access=access,
        moderation=parts.moderation,
        takedowns=parts.takedowns,
        idempotency_secret=idempotency_secret,
    )
    for api in (accounts, oauth, me, admin, moderation):
        app.include_router(api.router())
    mount_reset_page(app)
    with_panel = WithPanel(app, panel=_panel(deps, settings, parts))
    return Edge(with_panel, max_in_flight=settings.max_in_flight)


def _panel(deps: Dependencies, settings: IdentitySettings, parts: Assembly) -> App:
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


def build(platform: PlatformSettings, settings: IdentitySettings) -> Service:
    """The whole service; nothing connects before it runs."""
    backbone = Backbone(NAME, platform, settings)
    deps = Dependencies(database=backbone.database, outbox=backbone.outbox)
    parts = Assembly(deps, settings)
    service = backbone.service
    service.closes(parts.passwords)
    backbone.serves(build_app(deps, settings, parts))
    if "worker" in settings.roles:
        background_jobs = parts.background_jobs()
        service.runs("announce-tiers", background_jobs.announce_tiers)
        service.runs("signing-keys", background_jobs.move_keys)
        service.runs("leftovers", background_jobs.remove_expired_rows)
        service.runs("reset-mailer", parts.reset_mailer().run)
    return service


def main() -> None:
    """Read the settings and run until told to stop."""
    platform = PlatformSettings()
    settings = IdentitySettings()  # type: ignore[call-arg]  # required fields come from the environment
    configure_logging(service=NAME, level=platform.log_level, renderer=platform.log_format)
    build(platform, settings).main()


if __name__ == "__main__":
    main()
