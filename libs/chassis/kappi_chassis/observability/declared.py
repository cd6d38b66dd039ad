"""Declares metrics in groups, each with the values of its labels that are known (ADR-0059).

A process exports the groups of the parts that it runs, and no others. On export every known label set of a
counter or histogram gets its series at zero, because `increase()` does not see a counter that appears with
the value 1. A gauge gets its series when it is set: its zero would be a statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, TypeVar

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

disable_created_metrics()  # type: ignore[no-untyped-call]  # a further series for each label set, which no rule and no panel reads

M = TypeVar("M", bound=MetricWrapperBase)

Values = Sequence[str] | None
"""The values of a label. None: the process names them on export, or they are known only in use."""


class MetricGroup:
    """The metrics of one part of a process, such as a role, a consumer or a database pool."""

    def __init__(self) -> None:
        self._declared: list[tuple[MetricWrapperBase, Mapping[str, Values]]] = []

    def counter(self, name: str, documentation: str, /, **labels: Values) -> Counter:
        return self._add(Counter(name, documentation, tuple(labels)), labels)

    def gauge(self, name: str, documentation: str, /, **labels: Values) -> Gauge:
        return self._add(Gauge(name, documentation, tuple(labels)), labels)

    def histogram(
        self, name: str, documentation: str, /, *, buckets: Sequence[float], **labels: Values
    ) -> Histogram:
        return self._add(Histogram(name, documentation, tuple(labels), buckets=buckets), labels)

    def initialise(self, **known: Iterable[str]) -> None:
        """Creates the series of all label sets that are known.

        known: values of labels that were declared without. A metric with another such label gets no series.
        """
        named = {name: tuple(values) for name, values in known.items()}
        for metric, labels in self._declared:
            values = [named.get(name) if given is None else given for name, given in labels.items()]
            if labels and None not in values and not isinstance(metric, Gauge):
                for each in product(*(of_label or () for of_label in values)):
                    metric.labels(*each)

    def collectors(self) -> Iterator[MetricWrapperBase]:
        return (metric for metric, _ in self._declared)

    def _add(self, metric: M, labels: Mapping[str, Values]) -> M:
        self._declared.append((metric, labels))
        return metric


class Exposition:
    """The metrics that a process shows at `/metrics`: its groups, and those of Python and the process."""

    def __init__(self) -> None:
        self._groups: dict[MetricGroup, None] = {}

    def add(self, group: MetricGroup, **known: Iterable[str]) -> None:
        """Adds a group, once, with the series of its known label sets, as `MetricGroup.initialise`."""
        group.initialise(**known)
        self._groups[group] = None

    def collect(self) -> Iterator[Metric]:
        sources: list[Any] = [PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR]
        for group in self._groups:
            sources.extend(group.collectors())
        for source in sources:
            yield from source.collect()
