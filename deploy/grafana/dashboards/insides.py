"""The dashboards about what happens inside: events, stores, the janitor, logins."""

from __future__ import annotations

from dashboards.panels import Page, Panel, Row, quantile, rate, times

_POOL_USE = (
    "max by (kappi_service, pool)"
    " (kappi_database_pool_used_connections / kappi_database_pool_size_connections)"
)

EVENTS = Page(
    "kappi-events",
    "Kappi / Events",
    "From a commit to its effect in other services: outboxes, consumers, dead letters.",
    [
        Row(
            "Outboxes",
            [
                Panel(
                    "Not sent",
                    "Events that wait for the broker.",
                    "short",
                    [("sum by (kappi_service) (kappi_outbox_pending_events)", "{{kappi_service}}")],
                ),
                Panel(
                    "Oldest not sent",
                    "More than a minute raises KappiEventsStay.",
                    "s",
                    [("max by (kappi_service) (kappi_outbox_oldest_pending_seconds)", "{{kappi_service}}")],
                ),
                Panel(
                    "Commit to acknowledgement", "", "s", times("kappi_outbox_lag_seconds", "kappi_service")
                ),
                Panel("Sent", "", "eps", [(rate("kappi_outbox_sent_events_total", "topic"), "{{topic}}")]),
                Panel(
                    "Failures of relays",
                    "Batches that are sent again, and events that no broker takes.",
                    "eps",
                    [
                        (rate("kappi_outbox_failures_total", "kappi_service"), "{{kappi_service}}"),
                        (rate("kappi_outbox_parked_events_total", "topic"), "parked: {{topic}}"),
                    ],
                ),
            ],
        ),
        Row(
            "Consumers",
            [
                Panel(
                    "Oldest not handled",
                    "By group and topic. It grows while one record is retried.",
                    "s",
                    [
                        (
                            "max by (group, topic) (kappi_consumer_oldest_unhandled_seconds)",
                            "{{group}} {{topic}}",
                        )
                    ],
                ),
                Panel(
                    "Behind",
                    "Records after the last one that was handled.",
                    "short",
                    [
                        (
                            "sum by (kappi_service, topic) (kappi_consumer_lag_records)",
                            "{{kappi_service}} {{topic}}",
                        )
                    ],
                ),
                Panel(
                    "Handled",
                    "`duplicate` is normal after a restart.",
                    "eps",
                    [
                        (
                            rate("kappi_consumer_records_total", "kappi_service", "fate"),
                            "{{kappi_service}} {{fate}}",
                        )
                    ],
                ),
                Panel(
                    "Time of a record",
                    "Retries included.",
                    "s",
                    times("kappi_consumer_record_seconds", "topic"),
                ),
                Panel(
                    "Retries",
                    "Records that are tried again, and batches that failed and are handled one by one.",
                    "eps",
                    [
                        (rate("kappi_consumer_retries_total", "topic"), "{{topic}}"),
                        (rate("kappi_consumer_batch_failures_total", "topic"), "batches: {{topic}}"),
                    ],
                ),
                Panel(
                    "Without an answer of the broker",
                    "More than a minute raises KappiConsumerDisconnected.",
                    "s",
                    [("max by (group) (kappi_consumer_silent_seconds)", "{{group}}")],
                ),
                Panel(
                    "Feeds of the gateways",
                    "1: connected.",
                    "short",
                    [("min(kappi_gateway_feed_connected)", "feed")],
                ),
            ],
        ),
        Row(
            "Dead letters",
            [
                Panel(
                    "Waiting",
                    "kappi dlq list shows them.",
                    "short",
                    [("max by (topic) (kappi_dead_letters_waiting_records)", "{{topic}}")],
                ),
                Panel(
                    "Oldest", "", "s", [("max by (topic) (kappi_dead_letters_oldest_seconds)", "{{topic}}")]
                ),
            ],
        ),
    ],
)

STORES = Page(
    "kappi-stores",
    "Kappi / Stores and databases",
    "Calls of the object store, pools of the databases, and disks.",
    [
        Row(
            "Object store",
            [
                Panel(
                    "Calls",
                    "",
                    "ops",
                    [(rate("kappi_store_call_seconds_count", "operation"), "{{operation}}")],
                ),
                Panel(
                    "p99 of a call",
                    "",
                    "s",
                    [(quantile(0.99, "kappi_store_call_seconds", "operation"), "{{operation}}")],
                ),
                Panel(
                    "Failed calls",
                    "",
                    "ops",
                    [
                        (
                            rate("kappi_store_failed_calls_total", "operation", "failure"),
                            "{{operation}} {{failure}}",
                        )
                    ],
                ),
                Panel(
                    "Free space",
                    "Of the embedded store. Below the reserve it refuses uploads.",
                    "bytes",
                    [("min(kappi_store_free_bytes)", "free"), ("max(kappi_store_reserve_bytes)", "reserve")],
                ),
            ],
        ),
        Row(
            "Databases",
            [
                Panel(
                    "Connections in use",
                    "Of each pool's size.",
                    "percentunit",
                    [
                        (
                            _POOL_USE,
                            "{{kappi_service}} {{pool}}",
                        )
                    ],
                ),
                Panel(
                    "p99 of the wait for a connection",
                    "",
                    "s",
                    [
                        (
                            quantile(0.99, "kappi_database_pool_wait_seconds", "kappi_service"),
                            "{{kappi_service}}",
                        )
                    ],
                ),
                Panel(
                    "Differences",
                    "Found by the last comparison with the store and with other services, and not repaired.",
                    "short",
                    [
                        (
                            "max by (kappi_service, kind) (kappi_reconcile_differences)",
                            "{{kappi_service}} {{kind}}",
                        )
                    ],
                ),
            ],
        ),
    ],
)

JANITOR = Page(
    "kappi-janitor",
    "Kappi / Janitor",
    "What expires, and what is purged from the object store.",
    [
        Row(
            "Ticks and purges",
            [
                Panel(
                    "Ticks, 3 hours",
                    "",
                    "short",
                    [("sum(increase(kappi_janitor_ticks_emitted_total[3h]))", "ticks")],
                    is_number=True,
                ),
                Panel(
                    "Overdue",
                    "Up to 10,000 are counted.",
                    "short",
                    [("max by (kind) (kappi_janitor_overdue_dates)", "{{kind}}")],
                ),
                Panel(
                    "Overdue since",
                    "",
                    "s",
                    [("max by (kind) (kappi_janitor_oldest_overdue_seconds)", "{{kind}}")],
                ),
                Panel(
                    "Claimed",
                    "Galleries and links that were due.",
                    "eps",
                    [
                        (rate("kappi_janitor_claimed_galleries_total"), "galleries"),
                        (rate("kappi_janitor_claimed_links_total"), "links"),
                    ],
                ),
                Panel(
                    "Sweeps of prefixes",
                    "",
                    "eps",
                    [(rate("kappi_janitor_purge_sweeps_total", "outcome"), "{{outcome}}")],
                ),
                Panel("Time of a sweep", "", "s", times("kappi_janitor_purge_sweep_seconds")),
                Panel("Purged objects", "", "eps", [(rate("kappi_janitor_purged_objects_total"), "objects")]),
                Panel("Purges that fail", "", "short", [("max(kappi_janitor_failing_purges)", "failing")]),
            ],
        ),
        Row(
            "Galleries",
            [
                Panel(
                    "Created",
                    "",
                    "eps",
                    [(rate("kappi_galleries_created_galleries_total", "kind"), "{{kind}}")],
                ),
                Panel(
                    "Deleted",
                    "",
                    "eps",
                    [(rate("kappi_galleries_deleted_galleries_total", "reason"), "{{reason}}")],
                ),
            ],
        ),
    ],
)

LOGINS = Page(
    "kappi-logins",
    "Kappi / Logins",
    "Accounts, logins, what the limits refuse, and webhooks.",
    [
        Row(
            "Logins",
            [
                Panel(
                    "Logins",
                    "Many that are refused or throttled: guesses.",
                    "eps",
                    [(rate("kappi_identity_logins_total", "outcome"), "{{outcome}}")],
                ),
                Panel(
                    "Refreshes",
                    "`theft`: a token that was used twice.",
                    "eps",
                    [(rate("kappi_identity_refreshes_total", "outcome"), "{{outcome}}")],
                ),
                Panel(
                    "Time of a password",
                    "Waiting included.",
                    "s",
                    times("kappi_password_seconds", "kappi_service"),
                ),
                Panel(
                    "Passwords in hand",
                    "",
                    "short",
                    [("sum by (kappi_service) (kappi_in_hand_passwords)", "{{kappi_service}}")],
                ),
                Panel(
                    "Passwords refused",
                    "",
                    "eps",
                    [(rate("kappi_refused_passwords_total", "limit"), "{{limit}}")],
                ),
                Panel(
                    "New accounts", "", "eps", [(rate("kappi_identity_created_accounts_total"), "accounts")]
                ),
                Panel(
                    "Mails to reset a password",
                    "",
                    "eps",
                    [(rate("kappi_identity_reset_mails_total", "outcome"), "{{outcome}}")],
                ),
            ],
        ),
        Row(
            "Webhooks",
            [
                Panel(
                    "Calls",
                    "`refused`: an answer other than 2xx.",
                    "eps",
                    [(rate("kappi_identity_webhook_calls_total", "outcome"), "{{outcome}}")],
                ),
                Panel("Time of a call", "", "s", times("kappi_identity_webhook_call_seconds")),
                Panel(
                    "Due for",
                    "The first delivery that is due and is not being made.",
                    "s",
                    [("max(kappi_identity_oldest_due_delivery_seconds)", "waits")],
                ),
            ],
        ),
    ],
)
