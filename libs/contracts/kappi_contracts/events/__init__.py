"""One frozen model per event version. A released version may only gain optional fields (ADR-0004)."""

from kappi_contracts.events.accounts import (
    AccountCreated,
    AccountDeleted,
    AccountSuspensionChanged,
    AccountTierChanged,
    GalleryTakedownChanged,
    TierChanged,
)
from kappi_contracts.events.base import Event
from kappi_contracts.events.galleries import (
    ContributorRemoved,
    GalleryCreated,
    GalleryDeleted,
    GalleryUpdated,
)
from kappi_contracts.events.janitor import (
    GalleryExpired,
    JanitorTick,
    LinkExpired,
    ObjectsPurged,
    PostPurged,
)
from kappi_contracts.events.media import (
    ItemCount,
    ItemsReordered,
    KindCount,
    LinkCreated,
    MediaAccessed,
    MediaDeleted,
    MediaMoved,
    MediaReady,
    MediaRejected,
    ObjectsUnused,
    TraitCount,
    UploadCompleted,
)
from kappi_contracts.events.posts import CommentAdded, CommentDeleted, PostCreated, PostDeleted
from kappi_contracts.events.snapshots import AccountSnapshotTaken, GallerySnapshotTaken, MediaSnapshotTaken

__all__ = [
    "AccountCreated",
    "AccountDeleted",
    "AccountSnapshotTaken",
    "AccountSuspensionChanged",
    "AccountTierChanged",
    "CommentAdded",
    "CommentDeleted",
    "ContributorRemoved",
    "Event",
    "GalleryCreated",
    "GalleryDeleted",
    "GalleryExpired",
    "GallerySnapshotTaken",
    "GalleryTakedownChanged",
    "GalleryUpdated",
    "ItemCount",
    "ItemsReordered",
    "JanitorTick",
    "KindCount",
    "LinkCreated",
    "LinkExpired",
    "MediaAccessed",
    "MediaDeleted",
    "MediaMoved",
    "MediaReady",
    "MediaRejected",
    "MediaSnapshotTaken",
    "ObjectsPurged",
    "ObjectsUnused",
    "PostCreated",
    "PostDeleted",
    "PostPurged",
    "TierChanged",
    "TraitCount",
    "UploadCompleted",
]
