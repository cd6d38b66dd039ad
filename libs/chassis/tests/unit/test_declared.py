"""Declared metrics: known label sets exist from the start; a process shows the groups of its parts alone."""

from __future__ import annotations

import pytest
from kappi_chassis.observability.declared import Exposition, MetricGroup
from prometheus_client import REGISTRY, generate_latest


@pytest.fixture
def group() -> MetricGroup:
    return MetricGroup()


@pytest.fixture(autouse=True)
def unregistered(group: MetricGroup) -> object:
    yield
    for metric in group.collectors():
        REGISTRY.unregister(metric)


def shown(exposition: Exposition) -> list[str]:
    return [
        line for line in generate_latest(exposition).decode().splitlines() if line.startswith("kappi_test")
    ]


def test_known_label_sets_begin_at_zero(group: MetricGroup) -> None:
    group.counter("kappi_test_things_total", "Things", outcome=("done", "refused"))
    exposition = Exposition()
    exposition.add(group)
    assert shown(exposition) == [
        'kappi_test_things_total{outcome="done"} 0.0',
        'kappi_test_things_total{outcome="refused"} 0.0',
    ]


def test_a_process_names_the_values_that_it_knows(group: MetricGroup) -> None:
    group.counter("kappi_test_records_total", "Records", topic=None, fate=("done", "dead_lettered"))
    exposition = Exposition()
    exposition.add(group, topic=["TierChanged"])
    exposition.add(group, topic=["LinkExpired"])
    assert shown(exposition) == [
        'kappi_test_records_total{fate="done",topic="TierChanged"} 0.0',
        'kappi_test_records_total{fate="dead_lettered",topic="TierChanged"} 0.0',
        'kappi_test_records_total{fate="done",topic="LinkExpired"} 0.0',
        'kappi_test_records_total{fate="dead_lettered",topic="LinkExpired"} 0.0',
    ]


def test_open_labels_and_gauges_get_no_series(group: MetricGroup) -> None:
    group.counter("kappi_test_requests_total", "Requests", route=None)
    group.gauge("kappi_test_connected", "1 while it is connected", service=("a", "b"))
    exposition = Exposition()
    exposition.add(group)
    assert shown(exposition) == []


def test_other_groups_and_times_of_creation_are_not_shown(group: MetricGroup) -> None:
    group.histogram("kappi_test_wait_seconds", "Waiting", buckets=(1.0,))
    assert shown(Exposition()) == []
    exposition = Exposition()
    exposition.add(group)
    assert {line.split("{")[0].split(" ")[0] for line in shown(exposition)} == {
        "kappi_test_wait_seconds_bucket",
        "kappi_test_wait_seconds_count",
        "kappi_test_wait_seconds_sum",
    }
