"""Entry point of the identity service: `python -m kappi_identity.main`."""

from __future__ import annotations

from kappi_chassis.backbone import Backbone
from kappi_chassis.observability.configure import configure_observability
from kappi_chassis.observability.metrics import PASSWORDS
from kappi_chassis.passwords import Passwords
from kappi_chassis.runtime import Service
from kappi_chassis.settings import PlatformSettings

from kappi_identity import metrics
from kappi_identity.bootstrap import Dependencies, build_app, build_background_jobs
from kappi_identity.bootstrap_webhooks import build_handlers
from kappi_identity.consumers import GROUP
from kappi_identity.settings import IdentitySettings

NAME = "identity"


def build(platform: PlatformSettings, settings: IdentitySettings) -> Service:
    """Returns the whole service; nothing connects before it runs."""
    backbone = Backbone(NAME, platform, settings)
    deps = Dependencies(database=backbone.database, outbox=backbone.outbox, passwords=Passwords.of(settings))
    backbone.service.closes(deps.passwords)
    _export(backbone.service)
    backbone.serves(build_app(deps, settings))
    backbone.consumes(build_handlers(deps, settings, wanted=deps.wanted), group=GROUP)
    if "worker" in settings.roles:
        for name, job in build_background_jobs(deps, settings).items():
            backbone.service.runs(name, job)
    return backbone.service


def _export(service: Service) -> None:
    service.exports(metrics.API, roles=["api"])
    service.exports(metrics.WORKER, roles=["worker"])
    service.exports(metrics.EITHER, roles=["api", "worker"])
    service.exports(PASSWORDS, roles=["api"])


def main() -> None:
    """Read the settings and run until the process is told to stop."""
    platform = PlatformSettings()
    settings = IdentitySettings()  # type: ignore[call-arg]  # required fields come from the environment
    configure_observability(NAME, platform)
    build(platform, settings).main()


if __name__ == "__main__":
    main()
