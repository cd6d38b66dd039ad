"""Settings of the galleries service: `KAPPI_GALLERIES_…`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self

from kappi_chassis.settings import PasswordSettings, ReconcileSettings
from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from kappi_galleries.domain.credentials import ALPHABET


class GalleriesSettings(PasswordSettings, ReconcileSettings):
    """The settings of the galleries service."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPI_GALLERIES_", frozen=True, extra="ignore", populate_by_name=True
    )

    port: int = 8002
    ops_port: int = 9002
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        validation_alias=AliasChoices("KAPPI_GALLERIES_PUBLIC_URL", "KAPPI_PUBLIC_URL"),
        description="Public address of the gateway; the links of galleries begin with it",
    )
    grant_key: SecretStr | None = Field(
        default=None, description="Ed25519 private key that seals grants, PKCS#8 PEM"
    )
    grant_key_file: Path | None = Field(default=None, description="File that holds this key instead")
    account_jwks_url: str = Field(
        default="http://127.0.0.1:8001/.well-known/jwks.json",
        description="Address at which the identity service publishes the keys of its access tokens",
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
        description="Age at which a post whose picture was not stored completely is removed",
    )
    anonymous_lifetime: timedelta = Field(
        default=timedelta(days=30), description="Lifetime of an anonymous gallery whose creation names none"
    )
    anonymous_lifetime_cap: timedelta = Field(
        default=timedelta(days=30), description="Longest lifetime that a request may name, counted from now"
    )
    code_alphabet: str = Field(default=ALPHABET, min_length=1)
    code_length: int = Field(default=4, ge=1, le=16, description="Characters of a code's first attempt")
    code_changes_per_day: int = Field(
        default=24,
        ge=1,
        description="New codes that a gallery gets in place of its old ones: none is handed out twice, so "
        "each makes short codes rarer for all; more are answered 429 `too_many_codes`",
    )
    used_up_grace: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(0),
        description="Time for which the viewers of a gallery go on after its cap on views is reached: they "
        "turn its pages and download. Its first page is refused at once",
    )
    contributors_per_gallery: int = Field(
        default=1_000,
        ge=1,
        description="Contributors that one gallery may have; protects the database from keys that are asked "
        "for again and again; more are answered 409 `too_many_contributors`",
    )
    unlock_burst: int = Field(
        default=10, ge=1, description="Wrong passwords a client may send to a gallery at once"
    )
    unlock_refill: timedelta = Field(
        default=timedelta(minutes=1),
        gt=timedelta(0),
        description="Time after which a client may send one more wrong password",
    )

    statistics_retention: timedelta = Field(
        default=timedelta(days=730),
        gt=timedelta(0),
        description="Time for which daily counters of accesses are kept",
    )
    statistics_step: int = Field(
        default=5,
        ge=1,
        description="Step to which daily counts by language, role and app are rounded down for a gallery's "
        "manager, so that no single viewer is identified",
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
