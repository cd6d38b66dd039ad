"""Settings of the janitor: `KAPPI_JANITOR_…`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from kappi_chassis.settings import ReconcileSettings, words
from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict


class JanitorSettings(ReconcileSettings):
    """The settings of the janitor. Durations are ISO 8601: `PT1H`."""

    model_config = SettingsConfigDict(env_prefix="KAPPI_JANITOR_", frozen=True, extra="ignore")

    port: int = Field(default=8004, description="Not used: the janitor has no HTTP interface of its own")
    ops_port: int = 9004
    idempotency_secret: SecretStr = Field(
        default=SecretStr(""), description="Not used: the janitor takes no requests"
    )

    galleries_url: str = Field(
        default="http://127.0.0.1:8002",
        description="The galleries service, with which deadlines of galleries are compared",
    )
    media_url: str = Field(
        default="http://127.0.0.1:8003",
        description="The media service, with which deadlines of links are compared",
    )

    tick_interval: timedelta = Field(
        default=timedelta(hours=1), gt=timedelta(0), description="Interval of the ticks"
    )
    sweep_page: int = Field(default=500, ge=1, description="Galleries or links claimed per transaction")

    purge_concurrency: int = Field(default=4, ge=1, description="Prefixes purged at once by this process")
    purge_poll: timedelta = Field(
        default=timedelta(seconds=2),
        description="Interval at which purges are looked for that another replica or a crash left",
    )
    purge_lease: timedelta = Field(
        default=timedelta(seconds=30),
        description="Time without progress after which another replica continues a purge",
    )
    purge_longest_pause: timedelta = Field(
        default=timedelta(minutes=5), description="Longest pause between attempts at a store that fails"
    )
    resweep_after: Annotated[tuple[timedelta, ...], NoDecode, BeforeValidator(words)] = Field(
        default=(timedelta(minutes=20), timedelta(days=1)),
        description="Times after a deletion at which its prefix is swept again: after the longest lifetime "
        "of a signed upload URL, and after the slowest upload that began within it",
    )

    purge_retention: timedelta = Field(
        default=timedelta(days=30), description="Time for which finished purges are kept"
    )
    tombstone_retention: timedelta = Field(
        default=timedelta(days=90),
        description="Time for which deleted galleries and expired links are kept; longer than any event can "
        "be late or replayed",
    )
