"""The dashboards about what clients see."""

from __future__ import annotations

from dashboards.panels import Page, Panel, Row, quantile, rate, times

PROMISES = Page(
    "kappi-promises",
    "Kappi / Promises",
    "99.9 % of requests are answered, and 99 % of the quick ones within 50 ms. Alerts watch the same series.",
    [
        Row(
            "The promises",
            [
                Panel(
                    "Answered, 24 hours",
                    "The share of requests without a fault of the service. Promise: 99.9 %.",
                    "percentunit",
                    [("1 - kappi:failed_requests:ratio1d", "answered")],
                    is_number=True,
                ),
                Panel(
                    "Within 50 ms, 24 hours",
                    "The share of requests without long work that were quick. Promise: 99 %.",
                    "percentunit",
                    [("1 - kappi:slow_requests:ratio1d", "quick")],
                    is_number=True,
                ),
                Panel(
                    "Budget used, 3 days",
                    "1 is all failures that three days may have.",
                    "percentunit",
                    [("kappi:failed_requests:ratio3d / 0.001", "failures")],
                    is_number=True,
                ),
                Panel(
                    "Failures",
                    "Short and long windows of the burn-rate alerts.",
                    "percentunit",
                    [
                        ("kappi:failed_requests:ratio5m", "5 minutes"),
                        ("kappi:failed_requests:ratio1h", "1 hour"),
                    ],
                ),
                Panel(
                    "Slower than 50 ms",
                    "Short and long windows of the burn-rate alerts.",
                    "percentunit",
                    [("kappi:slow_requests:ratio5m", "5 minutes"), ("kappi:slow_requests:ratio1h", "1 hour")],
                ),
            ],
        ),
        Row(
            "Requests",
            [
                Panel(
                    "Requests of the gateway",
                    "By template of the route.",
                    "reqps",
                    [('kappi:http_requests:rate5m{kappi_service="gateway"}', "{{route}}")],
                ),
                Panel(
                    "p99 of the gateway",
                    "By template of the route.",
                    "s",
                    [('kappi:http_request_seconds:p99_5m{kappi_service="gateway"}', "{{route}}")],
                ),
                Panel(
                    "p99 of the services behind it",
                    "What the gateway waits for.",
                    "s",
                    [(quantile(0.99, "kappi_http_request_seconds", "kappi_service"), "{{kappi_service}}")],
                ),
                Panel(
                    "In flight",
                    "Requests being answered. A limit sheds more of them.",
                    "short",
                    [("sum by (kappi_service) (kappi_http_in_flight_requests)", "{{kappi_service}}")],
                ),
                Panel(
                    "Refused",
                    "Shed because of too many in flight, and limited because of one address.",
                    "reqps",
                    [
                        (
                            rate("kappi_http_shed_requests_total", "kappi_service"),
                            "shed by {{kappi_service}}",
                        ),
                        (rate("kappi_gateway_limited_requests_total", "limit"), "limit {{limit}}"),
                    ],
                ),
                Panel(
                    "Event loop",
                    "p99 of the delay of timers: what blocks a process delays all its requests.",
                    "s",
                    [(quantile(0.99, "kappi_loop_delay_seconds", "kappi_service"), "{{kappi_service}}")],
                ),
            ],
        ),
        Row(
            "Processes",
            [
                Panel(
                    "Processes by role",
                    "A role without a process raises KappiIsAway.",
                    "short",
                    [("sum by (kappi_service, role) (kappi_process_role)", "{{kappi_service}} {{role}}")],
                ),
                Panel(
                    "Versions",
                    "More than one during a roll-out.",
                    "short",
                    [("count by (version, commit) (kappi_build_info)", "{{version}} {{commit}}")],
                ),
                Panel(
                    "Services that the gateway reaches",
                    "0: not reached.",
                    "short",
                    [("min by (service) (kappi_gateway_upstream_reachable)", "{{service}}")],
                ),
            ],
        ),
    ],
)

UPLOADS = Page(
    "kappi-uploads",
    "Kappi / Uploads",
    "From a signed upload to a picture that is ready.",
    [
        Row(
            "From signed to ready",
            [
                Panel(
                    "Time to ready",
                    "From the completion of an upload.",
                    "s",
                    times("kappi_media_ready_seconds"),
                ),
                Panel(
                    "Uploads",
                    "A lasting distance between the two: clients give up, or do not complete.",
                    "eps",
                    [
                        (rate("kappi_media_uploads_signed_total"), "signed"),
                        (rate("kappi_media_completions_total", "outcome"), "{{outcome}}"),
                    ],
                ),
                Panel(
                    "Bytes",
                    "Of completed uploads.",
                    "Bps",
                    [(rate("kappi_media_uploaded_bytes_total"), "uploaded")],
                ),
                Panel(
                    "Items processed",
                    "`rejected`: the file is not what it says, or is damaged.",
                    "eps",
                    [(rate("kappi_media_items_processed_total", "outcome"), "{{outcome}}")],
                ),
                Panel(
                    "Oldest upload that waits",
                    "For a decoder.",
                    "s",
                    [("max(kappi_media_oldest_upload_job_seconds)", "oldest")],
                ),
                Panel(
                    "Attempts repeated",
                    "By reason.",
                    "eps",
                    [(rate("kappi_media_upload_job_retries_total", "reason"), "{{reason}}")],
                ),
            ],
        ),
        Row(
            "Decoders",
            [
                Panel(
                    "Decoders",
                    "Held, and waited for.",
                    "short",
                    [
                        ("sum by (whose) (kappi_media_decoders_held)", "held by {{whose}}"),
                        ("sum by (whose) (kappi_media_decoders_waited_for)", "waited for by {{whose}}"),
                    ],
                ),
                Panel(
                    "Busy decoders",
                    "Average number that was held.",
                    "short",
                    [(rate("kappi_media_decoder_seconds_total", "whose"), "{{whose}}")],
                ),
                Panel("Wait for a decoder", "", "s", times("kappi_media_decoder_wait_seconds")),
                Panel(
                    "Processing",
                    "One item, with its renditions.",
                    "s",
                    times("kappi_media_processing_seconds", "kind"),
                ),
                Panel(
                    "Renditions",
                    "Made on request.",
                    "eps",
                    [(rate("kappi_media_renditions_total", "outcome"), "{{outcome}}")],
                ),
                Panel("Time of a rendition", "", "s", times("kappi_media_rendition_seconds", "kind")),
            ],
        ),
    ],
)
