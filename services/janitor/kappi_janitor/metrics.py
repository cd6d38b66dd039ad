"""The metrics of the janitor, as one closed list."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

TICKS_EMITTED = Counter("kappi_janitor_ticks_emitted_total", "Ticks of the timer that this replica emitted")
GALLERIES_CLAIMED = Counter(
    "kappi_janitor_claimed_galleries_total", "GalleryExpired events published: galleries found due"
)
LINKS_CLAIMED = Counter(
    "kappi_janitor_claimed_links_total", "LinkExpired events published: expiring links found due"
)
DUE_DATES = Counter(
    "kappi_janitor_due_date_events_total",
    "Gallery events weighed for the due dates",
    ("outcome",),  # recorded, outdated
)
DUE_LINKS = Counter(
    "kappi_janitor_due_link_events_total",
    "Link events weighed for the due dates",
    ("outcome",),  # recorded, outdated
)
PURGE_SWEEPS = Counter(
    "kappi_janitor_purge_sweeps_total",
    "Attempts to empty a prefix",
    ("outcome",),  # clean, failed, superseded
)
PURGED_OBJECTS = Counter("kappi_janitor_purged_objects_total", "Objects removed, all versions counted")
PURGE_SECONDS = Histogram(
    "kappi_janitor_purge_sweep_seconds",
    "Time one sweep of a prefix took",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
PURGES_OVERDUE = Gauge("kappi_janitor_overdue_purges", "Purges due and not done, as of the last tick")
PURGE_FAILING = Gauge("kappi_janitor_failing_purges", "Purges whose last attempt failed, as of the last tick")
