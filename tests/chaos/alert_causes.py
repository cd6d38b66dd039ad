"""The real cause by which each alert is seen firing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.chaos import causes_in_databases, causes_in_events, causes_in_processes, causes_in_servers
from tests.chaos.alert_scene import Cause

EXCEPTIONS: Final[Mapping[str, str]] = {
    "KappiVolumeFills": "needs the kubelet of a cluster",
}
"""Alerts that no test here can see, with the reason."""

SLOW: Final[Sequence[Cause]] = (
    Cause(
        what="each packet to and from PostgreSQL takes 50 ms longer",
        alerts={"KappiLatencyBurnsFast": {}, "KappiLatencyBurnsSlowly": {}},
        begin=causes_in_servers.slow_database,
    ),
    Cause(
        what="receivers of webhooks that take 12 s to answer, more than workers call at once",
        alerts={"KappiWebhooksWait": {}},
        begin=causes_in_servers.slow_receivers,
    ),
)
SMALL: Final[Sequence[Cause]] = (
    Cause(
        what="a gallery changed by SQL",
        alerts={"KappiReconcileDiffers": {"kappi_service": "galleries", "kind": "gallery_differs"}},
        begin=causes_in_databases.gallery_changed,
    ),
    Cause(
        what="an event without a MAC, and a call without the secret",
        alerts={"KappiRefusesStrangers": {}},
        begin=causes_in_events.strangers,
    ),
    Cause(
        what="`max.message.bytes` of a topic lowered",
        alerts={"KappiEventsParked": {"kappi_service": "galleries", "topic": "GalleryUpdated"}},
        begin=causes_in_events.topic_takes_less,
    ),
    Cause(
        what="a number of comments changed by SQL",
        alerts={"KappiCommentCountsWrong": {}},
        begin=causes_in_databases.comment_count_changed,
    ),
    Cause(
        what="media's table of accesses renamed",
        alerts={"KappiLosesStatistics": {}},
        begin=causes_in_databases.access_log_renamed,
    ),
)
FIRST: Final = (SLOW, SMALL)
"""Causes that need a system whose other parts work, one group after the other."""
LONG: Final[Sequence[Cause]] = (
    Cause(
        what="a session that locks the janitor's table of ticks and rows of purges",
        alerts={
            "KappiDoesNotTick": {},
            "KappiPurgesOverdue": {},
            "KappiDueDatesOverdue": {"kind": "gallery"},
        },
        begin=causes_in_databases.janitor_held,
        seen_within_s=300,
    ),
    Cause(
        what="250 events that no consumer can read",
        alerts={
            "KappiBuriesEvents": {"kappi_service": "identity", "topic": "CommentAdded"},
            "KappiConsumerStopped": {"kappi_service": "identity", "group": "identity"},
            "KappiReadsNothing": {"kappi_service": "identity", "group": "identity"},
            "KappiDeadLettersWait": {"topic": "CommentAdded"},
        },
        begin=causes_in_events.unreadable_events,
        seen_within_s=150,
    ),
    Cause(
        what="a process that gets the processor in short turns (SIGSTOP, SIGCONT)",
        alerts={"KappiLoopDelayed": {"kappi_service": "identity"}},
        begin=causes_in_processes.short_of_processor,
    ),
)
"""Causes that disturb none of those in turn, and last as long."""
IN_TURN: Final[Sequence[Sequence[Cause]]] = (
    (
        Cause(
            what="both processes of media's API killed, while clients view galleries",
            alerts={
                "KappiIsAway": {"kappi_service": "media", "role": "api"},
                "KappiUpstreamAway": {"service": "media"},
                "KappiAvailabilityBurnsFast": {},
                "KappiAvailabilityBurnsSlowly": {},
            },
            begin=causes_in_processes.media_away,
        ),
        Cause(
            what="a worker of media on a kernel that refuses Landlock",
            alerts={"KappiDecodersConfinedInPart": {"layer": "landlock"}},
            begin=causes_in_processes.without_landlock,
        ),
    ),
    (
        Cause(
            what="the store killed, with an upload to process and a gallery to purge",
            alerts={
                "KappiStoreFails": {"kappi_service": "media"},
                "KappiUploadsWait": {},
                "KappiPurgesFail": {},
            },
            begin=causes_in_servers.store_away,
            seen_within_s=150,
        ),
    ),
    (
        Cause(
            what="a session that locks the table of galleries, and 90 clients",
            alerts={
                "KappiPoolExhausted": {"kappi_service": "galleries"},
                "KappiShedsLoad": {"kappi_service": "gateway"},
            },
            begin=causes_in_databases.table_locked,
        ),
        Cause(
            what="galleries' workers away while records are removed and 6,000 arrive, then a session that "
            "locks their inbox",
            alerts={
                "KappiLostRecords": {"kappi_service": "galleries", "topic": "MediaAccessed"},
                "KappiConsumersAreBehind": {"kappi_service": "galleries", "topic": "MediaAccessed"},
                "KappiPartitionStuck": {"group": "galleries", "topic": "MediaAccessed"},
            },
            begin=causes_in_events.far_behind,
        ),
    ),
    (
        Cause(
            what="the broker killed, then a gallery changed",
            alerts={
                "KappiEventsStay": {"kappi_service": "galleries"},
                "KappiConsumerDisconnected": {"kappi_service": "media", "group": "media"},
                "KappiFeedDisconnected": {},
            },
            begin=causes_in_servers.broker_away,
        ),
    ),
)
"""Causes one group after the other; those of a group at the same time."""
FULL_DISK: Final = {"KappiDiskFills": "the disk of an embedded stack filled up to its reserve"}


def causes() -> dict[str, str]:
    """Returns the cause of each alert that is seen, in the words of docs/reliability.md."""
    shown = [*LONG, *(cause for group in (*FIRST, *IN_TURN) for cause in group)]
    return {alert: cause.what for cause in shown for alert in cause.alerts} | FULL_DISK
