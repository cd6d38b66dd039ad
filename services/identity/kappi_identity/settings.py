"""Settings of the identity service: `KAPPI_IDENTITY_…`."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from kappi_chassis.settings import PasswordSettings, words
from kappi_contracts.tiers import DEFAULT_TIER
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

MIN_PUBLISH_AHEAD = timedelta(seconds=300)
"""The time for which verifiers cache a key set (`kappi_chassis.auth.verifier.FRESH_S`)."""


class IdentitySettings(PasswordSettings):
    """The settings of the identity service."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPI_IDENTITY_", frozen=True, extra="ignore", populate_by_name=True
    )

    port: int = 8001
    ops_port: int = 9001
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        validation_alias=AliasChoices("KAPPI_IDENTITY_PUBLIC_URL", "KAPPI_PUBLIC_URL"),
        description="Public address of the gateway",
    )
    key_secret: SecretStr = Field(
        min_length=16,
        description="Any long random text, the same in every replica; seals the signing keys and the secrets "
        "of webhooks in the database",
    )

    sign_up_tier: str = Field(
        default=DEFAULT_TIER,
        min_length=1,
        description="Tier of new accounts. Without a tier of this name, no account can be created",
    )

    access_token_lifetime: timedelta = Field(default=timedelta(minutes=10), gt=timedelta(0))
    session_idle: timedelta = Field(
        default=timedelta(days=30), description="Time without a refresh after which a login ends"
    )
    session_longest: timedelta = Field(
        default=timedelta(days=365),
        description="Time after which a login ends, however often it is refreshed",
    )
    refresh_retry_grace: timedelta = Field(
        default=timedelta(seconds=10),
        description="Time in which a refresh may be repeated because its answer was lost",
    )
    recent_login: timedelta = Field(
        default=timedelta(minutes=5),
        ge=timedelta(0),
        description="Time after a login in which the account may be deleted without its password; limits "
        "what a stolen token can do",
    )
    panel_session: timedelta = Field(
        default=timedelta(hours=8), description="Duration of a login to the admin panel"
    )

    key_publish_ahead: timedelta = Field(
        default=timedelta(minutes=10),
        ge=MIN_PUBLISH_AHEAD,
        description="Time for which a new signing key is published before it signs",
    )
    key_rotate_every: timedelta = Field(
        default=timedelta(days=90), description="Age at which a signing key is replaced automatically"
    )

    login_burst_per_account: int = Field(
        default=10,
        ge=1,
        description="Wrong passwords at once for an account, of all unknown clients together; limits "
        "guessing from many addresses",
    )
    login_refill_per_account: timedelta = Field(
        default=timedelta(minutes=1),
        gt=timedelta(0),
        description="Time after which unknown clients may send one more",
    )
    login_burst_per_client: int = Field(
        default=10,
        ge=1,
        description="Wrong passwords at once for an account, of one address or device that logged in before; "
        "guesses of other clients do not lock it out",
    )
    login_refill_per_client: timedelta = Field(
        default=timedelta(minutes=1), gt=timedelta(0), description="Time after which it may send one more"
    )
    login_known_for: timedelta = Field(
        default=timedelta(days=90),
        gt=timedelta(0),
        description="Time after a login for which its address and its device are known to the account",
    )
    login_known_addresses: int = Field(
        default=20, ge=1, description="Newest addresses that are stored of one account, as keyed hashes"
    )
    login_burst_per_address: int = Field(
        default=50,
        ge=1,
        description="Wrong passwords at once from an address, for all accounts that do not know it",
    )
    login_refill_per_address: timedelta = Field(
        default=timedelta(seconds=10), gt=timedelta(0), description="Time after which it may send one more"
    )
    reset_burst_per_account: int = Field(default=3, ge=1)
    reset_refill_per_account: timedelta = timedelta(minutes=20)
    reset_burst_per_address: int = Field(default=10, ge=1)
    reset_refill_per_address: timedelta = timedelta(minutes=2)
    reset_lifetime: timedelta = Field(
        default=timedelta(minutes=30), description="Validity of a mailed token for a new password"
    )

    webhooks_per_account: int = Field(default=10, ge=0, description="Most webhooks of one account")
    webhook_deliveries_kept: int = Field(
        default=5_000,
        ge=1,
        description="Newest deliveries that are kept of one webhook; older ones are removed, pending ones "
        "too, so that many events at once cannot fill the database",
    )
    webhook_deliveries_kept_for: timedelta = Field(
        default=timedelta(days=7),
        gt=timedelta(0),
        description="Age from which deliveries of webhooks are removed",
    )
    webhook_calls: int = Field(
        default=32, ge=1, description="Most webhooks that a worker calls at once, each with one delivery"
    )
    webhook_timeout: timedelta = Field(
        default=timedelta(seconds=15),
        gt=timedelta(0),
        description="Longest duration of one call of a webhook",
    )
    webhook_retry_for: timedelta = Field(
        default=timedelta(days=1),
        gt=timedelta(0),
        description="Time for which a failed delivery is retried. A webhook that fails for so long without a "
        "success is disabled",
    )
    webhook_plain_http: bool = Field(
        default=False, description="Whether webhooks may have `http` URLs, for use at home and for tests"
    )
    webhook_ports: Annotated[frozenset[int], NoDecode, BeforeValidator(words)] = Field(
        default=frozenset({443}),
        description="Ports that webhooks may have, separated by commas; empty for any port",
    )
    webhook_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(words)] = (
        Field(
            default=(),
            description="Networks that webhooks may call although they are not public, separated by commas, "
            "such as `192.168.7.0/24`. Any account can then send requests into them",
        )
    )

    mail_dir: Path | None = Field(
        default=None, description="Folder into which mails are written as .eml files instead of being sent"
    )
    mail_from: str = "Kappi <no-reply@kappi.invalid>"
    smtp_host: str | None = None
    smtp_port: int = 587
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_timeout: timedelta = timedelta(seconds=20)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.reset_refill_per_account > self.reset_lifetime:
            # Otherwise mails that other clients request could leave the owner without a valid token.
            raise ValueError("a mailed token must be good until the next one may be asked for")
        if (self.mail_dir is None) == (self.smtp_host is None):
            raise ValueError("set one of KAPPI_IDENTITY_SMTP_HOST and KAPPI_IDENTITY_MAIL_DIR")
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("an SMTP user name needs a password, and a password a user name")
        if self.smtp_username is not None and self.smtp_security == "none":
            raise ValueError("an SMTP password is not sent without encryption")
        return self
