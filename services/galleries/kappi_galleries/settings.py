"""Settings of the galleries service: `KAPPI_GALLERIES_…`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self

from kappi_chassis.settings import DatabaseSettings
from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from kappi_galleries.domain.credentials import ALPHABET


class GalleriesSettings(DatabaseSettings):
    """The settings of the galleries service."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPI_GALLERIES_", frozen=True, extra="ignore", populate_by_name=True
    )

    port: int = 8002
    ops_port: int = 9002
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        validation_alias=AliasChoices("KAPPI_GALLERIES_PUBLIC_URL", "KAPPI_PUBLIC_URL"),
        description="Where people reach the gateway; the links handed out begin with it",
    )
    grant_key: SecretStr | None = Field(
        default=None, description="Ed25519 private key that seals grants, PKCS#8 PEM"
    )
    grant_key_file: Path | None = Field(default=None, description="The same, as a file")
    account_jwks_url: str = Field(
        default="http://127.0.0.1:8001/.well-known/jwks.json",
        description="Where the identity service publishes the keys of its access tokens",
    )
    media_url: str = Field(
        default="http://127.0.0.1:8003",
        description="The media service, which stores the pictures of posts and reserves room for claims",
    )
    post_uploads_at_once: int = Field(
        default=32, ge=1, description="Pictures of posts received at once; more are answered 503 `overloaded`"
    )
    post_draft_lifetime: timedelta = Field(
        default=timedelta(hours=24),
        ge=timedelta(hours=1),
        description="After it a post whose picture never came whole is swept",
    )
    anonymous_lifetime: timedelta = Field(
        default=timedelta(days=30), description="Life of an anonymous gallery that asks for none"
    )
    anonymous_lifetime_cap: timedelta = Field(
        default=timedelta(days=30), description="The longest life that may be asked for, from now"
    )
    code_alphabet: str = Field(default=ALPHABET, min_length=1)
    code_length: int = Field(default=4, ge=1, le=16, description="Characters of a code's first attempt")
    password_time_cost: int = Field(default=2, ge=1, description="argon2id passes")
    password_memory_kib: int = Field(default=19_456, ge=8, description="argon2id memory, KiB")
    password_queue: int = Field(
        default=64, ge=1, description="Passwords waiting to be checked at most; more are answered 503 `busy`"
    )
    password_share: int = Field(
        default=8,
        ge=1,
        description="Of them, for one address or account; addresses are served in turn, so that one that "
        "sends many delays the others by one password each",
    )
    unlock_burst: int = Field(
        default=10, ge=1, description="Wrong passwords a client may send to a gallery at once"
    )
    unlock_refill: timedelta = Field(
        default=timedelta(minutes=1),
        gt=timedelta(0),
        description="After how long it may send one more",
    )

    statistics_retention: timedelta = Field(
        default=timedelta(days=730), gt=timedelta(0), description="Of daily counters of accesses"
    )
    statistics_step: int = Field(
        default=5,
        ge=1,
        description="Language, role and app of a gallery's viewers are told in steps of this many a day",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.grant_key is None) == (self.grant_key_file is None):
            raise ValueError("set one of KAPPI_GALLERIES_GRANT_KEY and KAPPI_GALLERIES_GRANT_KEY_FILE")
        if self.anonymous_lifetime > self.anonymous_lifetime_cap:
            raise ValueError("the default lifetime is longer than its cap")
        if self.code_alphabet != self.code_alphabet.lower():
            raise ValueError("codes are looked up in lower case, so their alphabet must be lower case")
        return self

    def grant_key_pem(self) -> str:
        """Returns the signing key's text. Raises OSError when its file cannot be read."""
        if self.grant_key is not None:
            return self.grant_key.get_secret_value()
        assert self.grant_key_file is not None
        return self.grant_key_file.read_text()
