"""The choice of the store from the environment: S3 if it is named, else a folder."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from kappi_chassis.storage.aws_credentials import RenewedCredentials
from kappi_chassis.storage.contract import ObjectStore, UrlSigner
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_signing import LocalUrlSigner
from kappi_chassis.storage.local_space import LocalSpace
from kappi_chassis.storage.s3 import S3ObjectStore
from kappi_chassis.storage.s3_client import S3Address
from kappi_chassis.storage.s3_signing import Addressing, S3UrlSigner
from kappi_chassis.storage.sigv4 import Credentials
from kappi_chassis.storage.traced import traced


class StorageNotConfigured(Exception):
    """The settings name no store, or only half of one; the message says what to set."""


class StorageSettings(BaseSettings):
    """`KAPPI_S3_*` for an S3, `KAPPI_LOCAL_STORE_*` for a folder on this machine."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPI_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    s3_endpoint: str | None = None
    """None with a bucket set means AWS itself."""
    s3_public_endpoint: str | None = None
    """The address of the store for clients, if it is not `s3_endpoint`; signed URLs contain it."""
    s3_bucket: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key: SecretStr | None = None
    """Without keys: AWS's default chain (instance role, web identity of a pod, profile, `AWS_*`), renewed."""
    s3_secret_key: SecretStr | None = None
    s3_session_token: SecretStr | None = None
    s3_addressing: Addressing = Addressing.PATH

    local_store_dir: Path | None = None
    local_store_url: str | None = None
    """Base URL by which clients reach the folder's server, with a final slash."""
    local_store_secret: SecretStr | None = None
    local_store_reserve_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Free space of the folder's file system that uploads leave to the database, logs and "
        "other programs. Uploads that would need it are refused with 507. The default is a quarter of the "
        "file system, at most 2 GiB",
    )
    local_store_refuses_deleted_for: timedelta = Field(
        default=timedelta(hours=1),
        gt=timedelta(0),
        description="Least time for which the folder refuses signed uploads of a deleted object. It must "
        "be longer than the lifetime of a signed upload, so that no object comes back",
    )

    store_threads: int = 16
    """Concurrent blocking calls per process."""

    @property
    def uses_s3(self) -> bool:
        """Whether an endpoint or a bucket is named; S3 then wins over the folder."""
        return bool(self.s3_endpoint or self.s3_bucket)


def build_store(settings: StorageSettings) -> ObjectStore:
    """Returns the configured store. Opens no connection. Raises StorageNotConfigured."""
    if settings.uses_s3:
        address, credentials = s3_place(settings)
        return traced(S3ObjectStore(address, credentials=credentials, threads=settings.store_threads))
    return traced(build_local_store(settings))


def build_local_store(settings: StorageSettings) -> LocalObjectStore:
    """Returns the store on a folder. Opens no connection. Raises StorageNotConfigured."""
    folder = _local_dir(settings)
    return LocalObjectStore(
        folder,
        threads=settings.store_threads,
        refuses_deleted_for=settings.local_store_refuses_deleted_for,
        space=LocalSpace(folder, reserve_bytes=settings.local_store_reserve_bytes),
    )


def build_signer(settings: StorageSettings) -> UrlSigner:
    """Returns the signer for the same store. Raises StorageNotConfigured."""
    if settings.uses_s3:
        aws = f"https://s3.{settings.s3_region}.amazonaws.com"
        return S3UrlSigner(
            endpoint=settings.s3_public_endpoint or settings.s3_endpoint or aws,
            region=settings.s3_region,
            bucket=_bucket(settings),
            credentials=_credentials(settings) or RenewedCredentials(),
            addressing=settings.s3_addressing,
        )
    _local_dir(settings)
    if not settings.local_store_url:
        raise StorageNotConfigured("Set KAPPI_LOCAL_STORE_URL, e.g. http://localhost:8000/store/")
    if settings.local_store_secret is None:
        raise StorageNotConfigured("Set KAPPI_LOCAL_STORE_SECRET: the local store signs its URLs with it")
    secret = settings.local_store_secret.get_secret_value().encode()
    return LocalUrlSigner(base_url=settings.local_store_url, secret=secret)


def s3_place(settings: StorageSettings) -> tuple[S3Address, Credentials | None]:
    """Returns the bucket's address and credentials. Raises StorageNotConfigured."""
    address = S3Address(
        bucket=_bucket(settings),
        region=settings.s3_region,
        endpoint=settings.s3_endpoint or None,
        addressing=settings.s3_addressing,
    )
    return address, _credentials(settings)


def _bucket(settings: StorageSettings) -> str:
    if not settings.s3_bucket:
        raise StorageNotConfigured("Set KAPPI_S3_BUCKET: KAPPI_S3_ENDPOINT alone does not say which bucket")
    return settings.s3_bucket


def _credentials(settings: StorageSettings) -> Credentials | None:
    """Returns the credentials; None if boto3's default chain must find some."""
    access_key, secret_key = settings.s3_access_key, settings.s3_secret_key
    token = settings.s3_session_token
    if access_key is None and secret_key is None and token is None:
        return None
    if access_key is None or secret_key is None:
        raise StorageNotConfigured(
            "Set KAPPI_S3_ACCESS_KEY and KAPPI_S3_SECRET_KEY for the S3 store, or neither: "
            "then AWS's own ways are tried (environment, profile, web identity, instance role)"
        )
    return Credentials(
        access_key=access_key.get_secret_value(),
        secret_key=secret_key.get_secret_value(),
        session_token=token.get_secret_value() if token is not None else None,
    )


def _local_dir(settings: StorageSettings) -> Path:
    if settings.local_store_dir is None:
        raise StorageNotConfigured(
            "No object store is configured: set KAPPI_S3_ENDPOINT and KAPPI_S3_BUCKET for an S3, "
            "or KAPPI_LOCAL_STORE_DIR for a folder"
        )
    return settings.local_store_dir
