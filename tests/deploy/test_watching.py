"""Alerts and autoscaling use metrics, topics and groups that exist, and alerts link runbooks that exist."""

from __future__ import annotations

import importlib
import re

import pytest
from kappi_contracts.topics import BY_NAME
from kappi_embedded.backlog import consumer_groups
from prometheus_client import REGISTRY

from tests.deploy.composition import ROOT
from tests.deploy.documents import documents, read_document
from tests.deploy.known_settings import SERVICES
from tests.deploy.kustomized import K8S, build, selects

_RULES = read_document(K8S / "components/prometheus/rules.yaml")["spec"]["groups"]
_RECORDED = {rule["record"] for group in _RULES for rule in group["rules"] if "record" in rule}
_ALERTS = {rule["alert"]: rule for group in _RULES for rule in group["rules"] if "alert" in rule}
_EXPRESSIONS = [rule["expr"] for group in _RULES for rule in group["rules"]]


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Returns the names of all samples that Kappi's processes can export."""
    importlib.import_module("kappi_chassis.observability.metrics")
    for service in SERVICES:
        importlib.import_module(f"kappi_{service}.metrics")
    names = set()
    for family in REGISTRY.collect():
        endings = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_count", "_sum"),
        }.get(family.type, ("",))
        names |= {family.name + ending for ending in endings}
    return names


@pytest.mark.parametrize("expression", _EXPRESSIONS)
def test_rules_use_exported_metrics(expression: str, exported: set[str]) -> None:
    asked = set(re.findall(r"\bkappi[a-z0-9_:]*", re.sub(r'job="[^"]*"', "", expression)))
    assert asked or "up{" in expression  # a metric of Prometheus
    assert asked <= exported | _RECORDED


def test_a_missing_deployment_causes_an_alert() -> None:
    overlay = build("production")
    [monitor] = overlay.of_kind("PodMonitor").values()
    metadata = monitor["metadata"]
    asked = _ALERTS["KappiIsAway"]["expr"]
    assert set(re.findall(r'job="([^"]*)"', asked)) == {f"{metadata['namespace']}/{metadata['name']}"}
    missed = re.findall(
        r'absent\(up{.*, app_kubernetes_io_name="(.*)", app_kubernetes_io_component="(.*)"}\)', asked
    )
    watched = [pod for pod in overlay.services() if selects(monitor["spec"]["selector"], pod.labels)]
    assert watched == overlay.services()
    assert sorted(missed) == sorted((pod.service, pod.component) for pod in watched)


def test_a_counter_that_disappeared_counts_as_unchanged() -> None:
    for alert in _ALERTS.values():
        if re.search(r"== 0$", alert["expr"]) and "increase(" in alert["expr"]:
            assert "or vector(0)" in alert["expr"]


@pytest.mark.parametrize("alert", _ALERTS)
def test_an_alert_links_a_runbook(alert: str) -> None:
    page, anchor = _ALERTS[alert]["annotations"]["runbook"].split("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_autoscaling_uses_the_lag_of_existing_groups() -> None:
    groups = consumer_groups()
    for each in documents((K8S / "components/keda/scaled-objects.yaml").read_text()):
        if each["kind"] != "ScaledObject":
            continue
        [trigger] = each["spec"]["triggers"]
        asked = trigger["metadata"]
        assert asked["topic"] in groups[asked["consumerGroup"]]
        assert each["spec"]["maxReplicaCount"] <= BY_NAME[asked["topic"]].partitions
