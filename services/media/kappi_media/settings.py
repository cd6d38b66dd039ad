"""Settings of the media service: `KAPPI_MEDIA_…`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from kappi_chassis.settings import DatabaseSettings
from pydantic import AfterValidator, AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kappi_media.domain.media import ReservationBudget, ReservationBudgets
from kappi_media.scanning import ClamdAddress


def _clamd_address(text: str) -> str:
    ClamdAddress.parse(text)
    return text


class MediaSettings(DatabaseSettings):
    """What the media service can be told."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPI_MEDIA_", frozen=True, extra="ignore", populate_by_name=True
    )

    port: int = 8003
    ops_port: int = 9003
    grant_jwks_url: str = Field(description="Where the galleries service publishes the keys of its grants")
    account_jwks_url: str = Field(
        default="http://127.0.0.1:8001/.well-known/jwks.json",
        description="Where the identity service publishes the keys of its access tokens",
    )
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        validation_alias=AliasChoices("KAPPI_MEDIA_PUBLIC_URL", "KAPPI_PUBLIC_URL"),
        description="Where people reach the gateway; expiring links begin with it",
    )
    upload_url_lifetime: timedelta = Field(
        default=timedelta(minutes=15),
        description="Of a signed upload; a fresh one may be asked for. Shorter than the janitor's first "
        "RESWEEP_AFTER and KAPPI_LOCAL_STORE_REFUSES_DELETED_FOR",
    )
    upload_lifetime: timedelta = Field(
        default=timedelta(hours=24), description="After it an upload that was not completed is abandoned"
    )
    multipart_threshold_bytes: int = Field(
        default=16 << 20, ge=1, description="Files larger than this are uploaded in parts"
    )
    multipart_upload_lifetime: timedelta = Field(
        default=timedelta(days=7),
        description="After it an upload in parts that was not completed is abandoned",
    )
    promised_files_per_address: int = Field(
        default=4_000,
        ge=1,
        description="Uploads to anonymous galleries that one client address may have promised and not "
        "completed: strangers must not fill the store, or the database, with what never becomes an item",
    )
    promised_bytes_per_address: int = Field(default=128 << 30, ge=1, description="Bytes of them, as declared")
    promised_files_per_gallery: int = Field(
        default=2_000, ge=1, description="The same of one anonymous gallery, from whatever addresses"
    )
    promised_bytes_per_gallery: int = Field(
        default=64 << 30,
        ge=1,
        description="Bytes of them, as declared: room for the 30 GB of a holiday, declared twice",
    )
    download_lifetime: timedelta = Field(
        default=timedelta(minutes=10), description="What every signed download has left, at least"
    )
    url_bucket: timedelta = Field(
        default=timedelta(minutes=5),
        description="Signed downloads are the same within it, so that answers can be cached",
    )
    statistics: bool = Field(
        default=True, description="Whether views, previews and downloads are counted, and logged"
    )
    statistics_interval: timedelta = Field(
        default=timedelta(seconds=5),
        gt=timedelta(0),
        description="Between two writings down of what was counted; a process that is killed loses that much",
    )
    statistics_keys: int = Field(
        default=20_000, ge=1, description="Galleries, items, kinds and traits counted in memory at once"
    )
    statistics_step: int = Field(
        default=5, ge=1, description="A count of the access log is told rounded up to a multiple of this"
    )
    access_log_retention: timedelta = Field(
        default=timedelta(days=90), gt=timedelta(0), description="Of the access log's lines"
    )
    view_cache_bytes: int = Field(default=32 << 20, ge=0, description="Gallery pages kept, compressed")
    store_events_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Opens `POST /internal/store-events` to the object store's notifications",
    )
    store_events_topic: str | None = Field(
        default=None,
        min_length=1,
        description="Kafka topic the object store writes its notifications to; gets the topic prefix",
    )
    small_upload_bytes: int = Field(
        default=10 << 20, ge=1, description="Of a file posted through the API; larger ones go to the store"
    )
    small_uploads_at_once: int = Field(
        default=32, ge=1, description="Posted files received at once; with S3 each takes up to 5 MiB"
    )
    post_picture_bytes: int = Field(
        default=100 << 20, ge=1, description="Of the picture of a post; its author's tier may allow less"
    )
    post_pictures_at_once: int = Field(
        default=16, ge=1, description="Pictures of posts received at once; with S3 each takes up to 5 MiB"
    )
    fill_from_tags: bool = Field(
        default=True, description="Whether an item that is still in work is shown as its original's tags say"
    )
    tags_patience: timedelta = Field(
        default=timedelta(milliseconds=20), description="How long a reader waits for a look at tags"
    )
    tags_retry_after: timedelta = Field(
        default=timedelta(minutes=1),
        description="When tags that told nothing are looked at again; a page that is cached looks at none",
    )
    write_tags: bool = Field(
        default=False,
        description="Whether the worker writes an item's facts on its original as tags: two calls an item",
    )
    max_rendition_requests: int = Field(
        default=1_000,
        ge=1,
        description="Requests for renditions at once, beside max_in_flight: many may wait for one to be made",
    )
    archives_at_once: int = Field(default=32, ge=1, description="ZIPs of galleries being sent at once")
    archive_window_bytes: int = Field(
        default=8 << 20, ge=1 << 16, description="Of originals in memory for each ZIP being sent"
    )
    clamd_address: Annotated[str, AfterValidator(_clamd_address)] | None = Field(
        default=None,
        description="Of ClamAV's clamd, `tcp://host:port` or a socket's path; originals are scanned, and "
        "kept back until they are",
    )
    clamd_patience: timedelta = Field(
        default=timedelta(seconds=120), description="Longest silence of clamd; then the scan is tried again"
    )
    clamd_max_bytes: int = Field(
        default=100 << 20, ge=1, description="clamd's StreamMaxLength: larger originals are not sent there"
    )
    clamd_oversize: Literal["pass", "reject"] = Field(
        default="pass", description="What becomes of originals larger than clamd takes"
    )
    clamd_scans: int = Field(default=2, ge=1, description="Originals scanned at once, per worker")
    max_picture_pixels: int = Field(
        default=256_000_000, ge=1, description="Width times height; larger pictures are rejected"
    )
    max_video_pixels: int = Field(
        default=8192 * 8192, ge=1, description="Width times height; larger videos are rejected"
    )
    max_frames: int = Field(default=10_000, ge=1, description="Of an animated picture; more are rejected")
    max_duration: timedelta = Field(
        default=timedelta(hours=24), description="Of a video or an animation; longer ones are rejected"
    )
    worker_concurrency: int = Field(
        default=3,
        ge=1,
        description="Items a worker is busy with at once, and a spare one for a gallery and a client none of "
        "whose is worked on",
    )
    decoder_processes: int = Field(
        default=2,
        ge=1,
        description="Originals decoded at once, and a spare one for a gallery and a client that have none",
    )
    anonymous_decoder_budget: timedelta = Field(
        default=timedelta(minutes=1),
        gt=timedelta(0),
        description="For which an anonymous gallery, and a client of such, may hold decoders within the "
        "window; beyond it their work waits for that of all others, and leaves a decoder free. Protects "
        "others' pictures from files made to take long. Each process counts by itself",
    )
    anonymous_decoder_window: timedelta = Field(
        default=timedelta(minutes=10),
        gt=timedelta(0),
        description="In which that budget comes back, evenly",
    )
    renditions_waiting: int = Field(
        default=256, ge=1, description="Different renditions that are being made or waited for in a process"
    )
    renditions_waiting_of_one: int = Field(
        default=32,
        ge=1,
        description="Of these, those of one account or anonymous gallery, and those that one client asked "
        "for; more are told to come back, so that one cannot fill the queue of all",
    )
    decoder_memory_bytes: int = Field(
        default=2 << 30, ge=512 << 20, description="Address space of each; what needs more is rejected"
    )

    @property
    def promise_budgets(self) -> ReservationBudgets:
        """Returns the budgets of reservations for anonymous galleries."""
        return ReservationBudgets(
            address=ReservationBudget(self.promised_files_per_address, self.promised_bytes_per_address),
            gallery=ReservationBudget(self.promised_files_per_gallery, self.promised_bytes_per_gallery),
        )

    @property
    def hears_store(self) -> bool:
        """Returns whether the object store sends notifications."""
        return self.store_events_token is not None or self.store_events_topic is not None
