"""The panels of the dashboards: what each shows, by which query, in which unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Unit = Literal["s", "reqps", "ops", "bytes", "Bps", "percentunit", "short", "eps"]

# A stack of its own has one of each; several deployments in one Prometheus are told apart by their namespace.
_ALL = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Panel:
    """queries: PromQL and the legend of its series. about: what a change means. is_number: only the newest
    value is shown.
    """

    title: str
    about: str
    unit: Unit
    queries: Sequence[tuple[str, str]]
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard. uid: its stable name in addresses and files."""

    uid: str
    title: str
    about: str
    rows: Sequence[Row]


def rate(metric: str, *by: str, matching: str = "") -> str:
    """Returns the rate of a counter, summed over the processes."""
    grouped = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouped} (rate({metric}{matching}{_ALL}))"


def quantile(share: float, metric: str, *by: str, matching: str = "") -> str:
    """Returns a quantile of a histogram, over all processes. metric: without `_bucket`."""
    grouped = ", ".join((*by, "le"))
    return f"histogram_quantile({share}, sum by ({grouped}) (rate({metric}_bucket{matching}{_ALL})))"


def times(metric: str, *by: str) -> Sequence[tuple[str, str]]:
    """Returns the queries of the median and the 99th percentile of a histogram."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return [
        (quantile(0.5, metric, *by), f"p50 {legend}".strip()),
        (quantile(0.99, metric, *by), f"p99 {legend}".strip()),
    ]
