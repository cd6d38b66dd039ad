"""Builds the admin panel."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from jinja2 import DictLoader
from kappi_chassis.http.app import meaning_of
from kappi_chassis.http.edge import App, FailureGuard, Receive, Scope, Send
from starlette.applications import Starlette
from starlette_admin import BaseAdmin

from kappi_identity.panel.guard import PanelGuard
from kappi_identity.panel.login import PATH, PanelLogin
from kappi_identity.panel.views import View

_NAME = "admin"
# Leaves out the font that the library's theme loads from a third party's server.
_TEMPLATES = {"base.html": '{% extends "@theme/base.html" %}{% block fonts %}{% endblock %}'}


def panel_app(views: Iterable[View], *, login: PanelLogin, cookie_secret: str, public_url: str) -> App:
    """Returns the application that serves `PATH`. cookie_secret: signs the library's own cookies (CSRF,
    messages).
    """
    # The library's log would contain login names and the content of forms.
    logging.getLogger("starlette_admin").setLevel(logging.CRITICAL)
    panel = BaseAdmin(
        title="Kappi",
        base_url=PATH,
        route_name=_NAME,
        auth_provider=login,
        secret_key=cookie_secret,
        timezone_config=None,
        additional_loaders=[DictLoader(_TEMPLATES)],
    )
    for view in views:
        panel.add_view(view)
    site = Starlette()
    panel.mount_to(site)
    # The middleware must be inside the library's catch-all, which would answer 500 first.
    panel.app.add_middleware(FailureGuard, meaning=meaning_of)
    return PanelGuard(site, public_url=public_url)


class WithPanel:
    """An application with the panel beside it, because the panel's links need a router of their own at the
    root.
    """

    def __init__(self, app: App, *, panel: App) -> None:
        self._app = app
        self._panel = panel

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path == PATH or path.startswith(f"{PATH}/"):
            scope["kappi.route"] = PATH
            await self._panel(scope, receive, send)
        else:
            await self._app(scope, receive, send)
