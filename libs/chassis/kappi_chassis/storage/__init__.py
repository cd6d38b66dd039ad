"""Object storage with one contract: S3 for real deployments, a local folder for one machine."""

from kappi_chassis.storage.contract import (
    ContentBinding,
    DeleteReport,
    ListedObject,
    MultipartMissing,
    ObjectExistsAlready,
    ObjectHead,
    ObjectMissing,
    ObjectPage,
    ObjectStore,
    RangedRead,
    SignedRequest,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    StoredPart,
    UrlSigner,
)

__all__ = [
    "ContentBinding",
    "DeleteReport",
    "ListedObject",
    "MultipartMissing",
    "ObjectExistsAlready",
    "ObjectHead",
    "ObjectMissing",
    "ObjectPage",
    "ObjectStore",
    "RangedRead",
    "SignedRequest",
    "StorageFull",
    "StorageRefused",
    "StorageUnavailable",
    "StoredPart",
    "UrlSigner",
]
