"""The metrics of the janitor, as one closed list."""

from __future__ import annotations

from kappi_chassis.observability.declared import MetricGroup

WORKER = MetricGroup()
"""Exported in the role `worker`."""

TICKS_EMITTED = WORKER.counter(
    "kappi_janitor_ticks_emitted_total", "Ticks of the timer that this replica emitted"
)
GALLERIES_CLAIMED = WORKER.counter(
    "kappi_janitor_claimed_galleries_total", "GalleryExpired events published: galleries found due"
)
LINKS_CLAIMED = WORKER.counter(
    "kappi_janitor_claimed_links_total", "LinkExpired events published: expiring links found due"
)
DUE_DATES = WORKER.counter(
    "kappi_janitor_due_date_events_total",
    "Gallery events weighed for the due dates",
    outcome=("recorded", "outdated"),
)
DUE_LINKS = WORKER.counter(
    "kappi_janitor_due_link_events_total",
    "Link events weighed for the due dates",
    outcome=("recorded", "outdated"),
)
PURGE_SWEEPS = WORKER.counter(
    "kappi_janitor_purge_sweeps_total",
    "Attempts to empty a prefix",
    outcome=("clean", "failed", "superseded"),
)
PURGED_OBJECTS = WORKER.counter("kappi_janitor_purged_objects_total", "Objects removed, all versions counted")
PURGE_SECONDS = WORKER.histogram(
    "kappi_janitor_purge_sweep_seconds",
    "Time one sweep of a prefix took",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
OVERDUE = WORKER.gauge(
    "kappi_janitor_overdue_dates",
    "What is due and not done, counted up to 10,000: purges, galleries to expire, links to expire",
    kind=("purge", "gallery", "link"),
)
OVERDUE_SECONDS = WORKER.gauge(
    "kappi_janitor_oldest_overdue_seconds",
    "Time since the first of it was due; 0 if nothing is due",
    kind=("purge", "gallery", "link"),
)
PURGE_FAILING = WORKER.gauge("kappi_janitor_failing_purges", "Purges whose last attempt failed")
