"""Settings of the media service: `KAPPI_MEDIA_…`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from kappi_chassis.settings import ReconcileSettings
from pydantic import AfterValidator, AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kappi_media.domain.contributions import ContributionLimits
from kappi_media.domain.media import ReservationBudget, ReservationBudgets
from kappi_media.domain.playback import PlaybackBounds
from kappi_media.scanning import ClamdAddress


def _clamd_address(text: str) -> str:
    ClamdAddress.parse(text)
    return text


class MediaSettings(ReconcileSettings):
    """The settings of the media service."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPI_MEDIA_", frozen=True, extra="ignore", populate_by_name=True
    )

    port: int = 8003
    ops_port: int = 9003
    grant_jwks_url: str = Field(description="URL of the galleries service's public keys for grants")
    account_jwks_url: str = Field(
        default="http://127.0.0.1:8001/.well-known/jwks.json",
        description="URL of the identity service's public keys for access tokens",
    )
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        validation_alias=AliasChoices("KAPPI_MEDIA_PUBLIC_URL", "KAPPI_PUBLIC_URL"),
        description="Public address of the gateway, with which expiring links begin",
    )
    galleries_url: str = Field(
        default="http://127.0.0.1:8002",
        description="The galleries service; it is asked whether it still names an object before its removal",
    )
    upload_url_lifetime: timedelta = Field(
        default=timedelta(minutes=15),
        description="Lifetime of a signed upload URL; a new one may be requested. Shorter than the "
        "janitor's first RESWEEP_AFTER and KAPPI_LOCAL_STORE_REFUSES_DELETED_FOR",
    )
    upload_lifetime: timedelta = Field(
        default=timedelta(hours=24),
        description="Time after which an upload that was not completed is abandoned",
    )
    multipart_threshold_bytes: int = Field(
        default=16 << 20, ge=1, description="Size above which files are uploaded in parts"
    )
    multipart_upload_lifetime: timedelta = Field(
        default=timedelta(days=7),
        description="Time after which an upload in parts that was not completed is abandoned",
    )
    promised_files_per_address: int = Field(
        default=4_000,
        ge=1,
        description="Uploads to anonymous galleries that one client address may have reserved and not "
        "completed; protects the store and the database from reservations that never become items",
    )
    promised_bytes_per_address: int = Field(
        default=128 << 30, ge=1, description="Bytes of these uploads, as declared"
    )
    promised_files_per_gallery: int = Field(
        default=2_000,
        ge=1,
        description="Uploads that one anonymous gallery may have reserved and not completed, from all "
        "addresses",
    )
    promised_bytes_per_gallery: int = Field(
        default=64 << 30,
        ge=1,
        description="Bytes of these uploads, as declared: room for the 30 GB of a holiday, declared twice",
    )
    contributed_files_per_contributor: int = Field(
        default=200,
        ge=1,
        description="Files that one contributor may have added to a gallery, pending uploads included; with "
        "the three limits below, a public code is no free storage; more are answered 409 "
        "`contribution_limit_exceeded`",
    )
    contributed_bytes_per_contributor: int = Field(default=10 << 30, ge=1, description="Bytes of these files")
    contributed_files_per_gallery: int = Field(
        default=5_000, ge=1, description="Files that all contributors of one gallery may have added to it"
    )
    contributed_bytes_per_gallery: int = Field(default=100 << 30, ge=1, description="Bytes of these files")
    contributed_pending_files_per_address: int = Field(
        default=1_000,
        ge=1,
        description="Uploads of contributors from one client address, in all galleries, that are reserved "
        "and not completed; with the limits below, a stranger with a public code cannot use up the quota "
        "of an account by reservations alone; more are answered 429 `too_much_promised`",
    )
    contributed_pending_bytes_per_address: int = Field(
        default=10 << 30, ge=1, description="Bytes of these uploads, as declared"
    )
    contributed_pending_files_per_gallery: int = Field(
        default=2_000,
        ge=1,
        description="Uploads of contributors to one gallery that are reserved and not completed",
    )
    contributed_pending_bytes_per_gallery: int = Field(
        default=20 << 30, ge=1, description="Bytes of these uploads, as declared"
    )
    contributed_pending_quota_percent: int = Field(
        default=25,
        ge=1,
        le=100,
        description="Part of the quota of a gallery's owner, in percent, that these bytes may take at most",
    )
    contributed_pending_lifetime: timedelta = Field(
        default=timedelta(hours=12),
        gt=timedelta(0),
        description="Time after which an upload of a contributor that was not completed is abandoned, if "
        "`KAPPI_MEDIA_UPLOAD_LIFETIME` or `…_MULTIPART_UPLOAD_LIFETIME` is not shorter; until then it counts "
        "for the owner's quota",
    )
    download_lifetime: timedelta = Field(
        default=timedelta(minutes=10),
        description="Least time that every signed download URL is valid when it is issued",
    )
    url_bucket: timedelta = Field(
        default=timedelta(minutes=5),
        description="Period within which signed download URLs are the same, so that answers can be cached",
    )
    statistics: bool = Field(
        default=True, description="Whether views, previews and downloads are counted and logged"
    )
    statistics_interval: timedelta = Field(
        default=timedelta(seconds=5),
        gt=timedelta(0),
        description="Time between two writes of the counts to the database; a process that is killed loses "
        "the counts of this time",
    )
    statistics_keys: int = Field(
        default=20_000,
        ge=1,
        description="Galleries, items, kinds and traits counted in memory at the same time",
    )
    statistics_step: int = Field(
        default=5, ge=1, description="Counts of the access log are rounded up to a multiple of this"
    )
    access_log_retention: timedelta = Field(
        default=timedelta(days=90), gt=timedelta(0), description="Retention of the access log's lines"
    )
    view_cache_bytes: int = Field(
        default=32 << 20, ge=0, description="Memory of cached gallery pages, compressed"
    )
    store_events_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Token that the object store sends with its notifications to `POST "
        "/internal/store-events`; without it the route is closed",
    )
    store_events_topic: str | None = Field(
        default=None,
        min_length=1,
        description="Kafka topic to which the object store writes its notifications; gets the topic prefix",
    )
    small_upload_bytes: int = Field(
        default=10 << 20,
        ge=1,
        description="Largest file that may be posted through the API; larger files are sent to the store",
    )
    small_uploads_at_once: int = Field(
        default=32,
        ge=1,
        description="Posted files received at the same time; with S3 each takes up to 5 MiB of memory",
    )
    post_picture_bytes: int = Field(
        default=100 << 20, ge=1, description="Largest picture of a post; its author's tier may allow less"
    )
    post_pictures_at_once: int = Field(
        default=16,
        ge=1,
        description="Pictures of posts received at the same time; with S3 each takes up to 5 MiB of memory",
    )
    fill_from_tags: bool = Field(
        default=True, description="Whether an item in processing shows the facts from its original's tags"
    )
    tags_patience: timedelta = Field(
        default=timedelta(milliseconds=20),
        description="Longest time that a read waits for the tags of an original",
    )
    tags_retry_after: timedelta = Field(
        default=timedelta(minutes=1),
        description="Time after which tags without facts are read again; a cached page reads no tags",
    )
    write_tags: bool = Field(
        default=False,
        description="Whether the worker writes an item's facts as tags on its original; costs two calls per "
        "item",
    )
    max_rendition_requests: int = Field(
        default=1_000,
        ge=1,
        description="Requests for renditions at the same time, in addition to max_in_flight, because many "
        "may wait for a rendition to be made",
    )
    sorted_items: int = Field(
        default=25_000,
        ge=1,
        description="Items of the largest gallery that can be sorted at once; keeps a sort within the time "
        "limit of a statement",
    )
    sorts_at_once: int = Field(
        default=2,
        ge=1,
        description="Galleries being sorted at the same time; each uses a database connection for some "
        "seconds per 25,000 items",
    )
    archives_at_once: int = Field(default=32, ge=1, description="ZIP archives being sent at the same time")
    archive_window_bytes: int = Field(
        default=8 << 20, ge=1 << 16, description="Bytes of originals in memory for each archive being sent"
    )
    clamd_address: Annotated[str, AfterValidator(_clamd_address)] | None = Field(
        default=None,
        description="Address of ClamAV's clamd, `tcp://host:port` or a socket's path; with it originals are "
        "scanned, and withheld until then",
    )
    clamd_patience: timedelta = Field(
        default=timedelta(seconds=120),
        description="Longest silence of clamd, after which the scan is retried",
    )
    clamd_max_bytes: int = Field(
        default=100 << 20, ge=1, description="clamd's StreamMaxLength: larger originals are not sent to it"
    )
    clamd_oversize: Literal["pass", "reject"] = Field(
        default="pass",
        description="Whether originals larger than clamd accepts are accepted unscanned or rejected",
    )
    clamd_scans: int = Field(default=2, ge=1, description="Originals scanned at the same time, per worker")
    max_picture_pixels: int = Field(
        default=256_000_000,
        ge=1,
        description="Largest width times height of a picture; larger pictures are rejected",
    )
    max_video_pixels: int = Field(
        default=8192 * 8192,
        ge=1,
        description="Largest width times height of a video; larger videos are rejected",
    )
    max_frames: int = Field(
        default=10_000,
        ge=1,
        description="Most frames of an animated picture; pictures with more are rejected",
    )
    max_duration: timedelta = Field(
        default=timedelta(hours=24),
        description="Longest duration of a video or an animation; longer ones are rejected",
    )
    worker_concurrency: int = Field(
        default=3,
        ge=1,
        description="Items that a worker processes at the same time; one more place is for a gallery and a "
        "client without an item in processing",
    )
    decoder_processes: int = Field(
        default=2,
        ge=1,
        description="Originals decoded at the same time; one more place is for a gallery and a client "
        "without a decoder",
    )
    anonymous_decoder_budget: timedelta = Field(
        default=timedelta(minutes=1),
        gt=timedelta(0),
        description="Decoder time that an anonymous gallery, and its client, may use within the window; "
        "above it their work waits for that of all others and leaves a decoder free. Protects other "
        "clients from files made to take long. Each process counts by itself",
    )
    anonymous_decoder_window: timedelta = Field(
        default=timedelta(minutes=10),
        gt=timedelta(0),
        description="Time in which that budget is restored, evenly",
    )
    renditions_waiting: int = Field(
        default=256,
        ge=1,
        description="Different renditions that a process makes or waits for at the same time",
    )
    renditions_waiting_of_one: int = Field(
        default=32,
        ge=1,
        description="Of these, the renditions of one account or anonymous gallery, and those requested by "
        "one client; further requests are answered 503, so that one client cannot fill the queue",
    )
    films_at_once: int = Field(
        default=1,
        ge=1,
        description="Films that a process of the role `worker` makes playable at the same time, each in a "
        "decoder of its own with one thread and the lowest priority",
    )
    films_waiting: int = Field(
        default=1_000,
        ge=1,
        description="Films that may wait to be made playable; further ones are answered 503",
    )
    films_waiting_of_one: int = Field(
        default=20,
        ge=1,
        description="Of these, the films of one account or anonymous gallery, and those requested by one "
        "client",
    )
    playback_minutes: int = Field(
        default=180, ge=0, le=720, description="The longest film that is made playable; 0 for none"
    )
    playback_minutes_by_tier: dict[str, int] = Field(
        default={"anonymous": 30},
        description="The longest film that is made playable for galleries of the named tiers, in minutes, in "
        "place of the value for all",
    )
    hls_above: timedelta = Field(
        default=timedelta(minutes=10),
        description="Length of a film above which it is made in two sizes, and played in segments as well",
    )
    decoder_memory_bytes: int = Field(
        default=2 << 30,
        ge=512 << 20,
        description="Address space of each decoder process; files that need more are rejected",
    )

    @property
    def promise_budgets(self) -> ReservationBudgets:
        """Returns the budgets of reservations for anonymous galleries."""
        return ReservationBudgets(
            address=ReservationBudget(self.promised_files_per_address, self.promised_bytes_per_address),
            gallery=ReservationBudget(self.promised_files_per_gallery, self.promised_bytes_per_gallery),
        )

    @property
    def contribution_limits(self) -> ContributionLimits:
        """Returns the limits of what contributors add."""
        return ContributionLimits(
            contributor=ReservationBudget(
                self.contributed_files_per_contributor, self.contributed_bytes_per_contributor
            ),
            gallery=ReservationBudget(self.contributed_files_per_gallery, self.contributed_bytes_per_gallery),
            pending=ReservationBudgets(
                address=ReservationBudget(
                    self.contributed_pending_files_per_address, self.contributed_pending_bytes_per_address
                ),
                gallery=ReservationBudget(
                    self.contributed_pending_files_per_gallery, self.contributed_pending_bytes_per_gallery
                ),
            ),
            pending_quota_percent=self.contributed_pending_quota_percent,
            pending_lifetime=self.contributed_pending_lifetime,
        )

    @property
    def playback_bounds(self) -> PlaybackBounds:
        """Returns the limits of making films playable."""
        return PlaybackBounds(
            minutes=self.playback_minutes,
            by_tier={name.lower(): minutes for name, minutes in self.playback_minutes_by_tier.items()},
            in_all=self.films_waiting,
            of_one=self.films_waiting_of_one,
            long_ms=self.hls_above // timedelta(milliseconds=1),
        )

    @property
    def longest_upload(self) -> timedelta:
        """The longest time from the reservation of an upload to its last byte."""
        return max(self.upload_lifetime, self.multipart_upload_lifetime)

    @property
    def hears_store(self) -> bool:
        """Returns whether the object store sends notifications."""
        return self.store_events_token is not None or self.store_events_topic is not None
