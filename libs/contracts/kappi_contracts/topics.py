"""The topic registry: owner, key, partitions, retention and consumers of each topic (ADR-0004)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from kappi_contracts import events
from kappi_contracts.events.base import Event

DLQ_SUFFIX = ".dlq"
DLQ_RETENTION = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `versions` lists every model that may appear on it, oldest first."""

    owner: str
    consumers: tuple[str, ...]
    versions: tuple[type[Event], ...]
    partitions: int = 12
    retention: timedelta = timedelta(days=7)

    @property
    def name(self) -> str:
        return self.versions[0].topic_name()

    @property
    def key(self) -> str:
        return self.versions[-1].aggregate

    @property
    def description(self) -> str:
        return (self.versions[-1].__doc__ or "").strip()


TOPICS: tuple[Topic, ...] = (
    Topic(owner="identity", consumers=("media",), versions=(events.AccountCreated,)),
    Topic(owner="identity", consumers=("media",), versions=(events.AccountTierChanged,)),
    Topic(owner="identity", consumers=("galleries", "media", "gateway"), versions=(events.AccountDeleted,)),
    Topic(owner="identity", consumers=("galleries",), versions=(events.AccountSuspensionChanged,)),
    Topic(owner="identity", consumers=("galleries",), versions=(events.GalleryTakedownChanged,)),
    Topic(owner="identity", consumers=("media",), versions=(events.TierChanged,)),
    Topic(owner="galleries", consumers=("janitor",), versions=(events.GalleryCreated,)),
    Topic(owner="galleries", consumers=("media", "janitor", "gateway"), versions=(events.GalleryUpdated,)),
    Topic(
        owner="galleries",
        consumers=("identity", "media", "janitor", "gateway"),
        versions=(events.GalleryDeleted,),
    ),
    Topic(owner="galleries", consumers=("media", "gateway"), versions=(events.ContributorRemoved,)),
    Topic(owner="galleries", consumers=(), versions=(events.PostCreated,)),
    Topic(owner="galleries", consumers=("galleries", "media", "janitor"), versions=(events.PostDeleted,)),
    Topic(owner="galleries", consumers=("identity",), versions=(events.CommentAdded,)),
    Topic(owner="galleries", consumers=(), versions=(events.CommentDeleted,)),
    Topic(owner="media", consumers=("media",), versions=(events.UploadCompleted,)),
    Topic(owner="media", consumers=("identity", "galleries", "gateway"), versions=(events.MediaReady,)),
    Topic(owner="media", consumers=("janitor", "gateway"), versions=(events.MediaRejected,)),
    Topic(
        owner="media",
        consumers=("identity", "galleries", "janitor", "gateway"),
        versions=(events.MediaDeleted,),
    ),
    Topic(owner="media", consumers=("galleries", "gateway"), versions=(events.MediaMoved,)),
    Topic(owner="media", consumers=("gateway",), versions=(events.ItemsReordered,)),
    Topic(owner="media", consumers=("janitor",), versions=(events.ObjectsUnused,)),
    Topic(owner="media", consumers=("janitor",), versions=(events.LinkCreated,)),
    Topic(owner="media", consumers=("galleries",), versions=(events.MediaAccessed,)),
    Topic(
        owner="janitor",
        consumers=("galleries", "janitor", "media"),
        versions=(events.JanitorTick,),
        partitions=1,
    ),
    Topic(owner="janitor", consumers=("galleries",), versions=(events.GalleryExpired,)),
    Topic(owner="janitor", consumers=("media",), versions=(events.LinkExpired,)),
    Topic(owner="janitor", consumers=(), versions=(events.ObjectsPurged,), retention=timedelta(days=30)),
    Topic(owner="janitor", consumers=(), versions=(events.PostPurged,), retention=timedelta(days=30)),
    Topic(owner="identity", consumers=(), versions=(events.AccountSnapshotTaken,)),
    Topic(owner="galleries", consumers=(), versions=(events.GallerySnapshotTaken,)),
    Topic(owner="media", consumers=(), versions=(events.MediaSnapshotTaken,)),
)

BY_NAME = {topic.name: topic for topic in TOPICS}
BY_CE_TYPE: dict[str, type[Event]] = {
    version.ce_type(): version for topic in TOPICS for version in topic.versions
}


def consumed_by(service: str) -> Iterator[Topic]:
    """Returns the topics that `service` reads, in registry order."""
    return (topic for topic in TOPICS if service in topic.consumers)


def owned_by(service: str) -> Iterator[Topic]:
    """Returns the topics that `service` alone may publish to."""
    return (topic for topic in TOPICS if topic.owner == service)
