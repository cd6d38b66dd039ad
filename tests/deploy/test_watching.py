"""Alerts and autoscaling use metrics, topics and groups that exist; each alert has a runbook and tests."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from kappi_chassis.observability.declared import MetricGroup
from kappi_contracts.topics import BY_NAME
from kappi_embedded.backlog import consumer_groups
from kappi_gateway.routes import ROUTES
from kappi_testkit.programs import require_program

from tests.deploy.composition import ROOT
from tests.deploy.documents import documents, read_document
from tests.deploy.known_settings import SERVICES
from tests.deploy.kustomized import K8S, build, selects

RULES_FILE = ROOT / "deploy/prometheus/rules.yaml"
RESOURCE_FILE = K8S / "components/prometheus/rules.yaml"
RUNBOOKS = ROOT / "docs/runbooks"
TESTS = sorted((ROOT / "tests/deploy/alerts").glob("*.yaml"))
_HEADER = """\
# Written from deploy/prometheus/rules.yaml by `make pages`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: kappi
  labels: { release: kube-prometheus-stack }
spec:
"""
_RULES = [rule for group in read_document(RULES_FILE)["groups"] for rule in group["rules"]]
_RECORDED = {rule["record"] for rule in _RULES if "record" in rule}
_ALERTS = {rule["alert"]: rule for rule in _RULES if "alert" in rule}
_OF_OTHERS = re.compile(r"\b(up|kubelet_volume_stats_[a-z_]+)\{")
"""Metrics of Prometheus itself and of Kubernetes."""


def declared(*modules: str) -> Iterator[str]:
    """Returns the names of all samples of the metrics that are declared in modules."""
    for module in map(importlib.import_module, modules):
        for group in vars(module).values():
            if isinstance(group, MetricGroup):
                for family in chain.from_iterable(metric.describe() for metric in group.collectors()):
                    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
                    yield from (family.name + ending for ending in endings.get(family.type, ("",)))


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Returns the names of all samples that Kappi's processes can export."""
    return set(
        declared("kappi_chassis.observability.metrics", *(f"kappi_{service}.metrics" for service in SERVICES))
    )


def metrics_in(expression: str) -> set[str]:
    without_labels = re.sub(r"\{[^{}]*(?:\[[{}]\][^{}]*)*\}|by \([^)]*\)|\"[^\"]*\"", "", expression)
    return set(re.findall(r"\bkappi[a-z0-9_:]*", without_labels))


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_use_declared_metrics(rule: dict[str, Any], exported: set[str]) -> None:
    asked = metrics_in(rule["expr"])
    assert asked or _OF_OTHERS.search(rule["expr"])
    assert asked <= exported | _RECORDED


def test_a_metric_that_is_not_declared_would_be_found() -> None:
    query = (
        'sum by (kappi_service) (rate(kappi_gone_total{kappi_service="media", route!~"/[{]id[}]"}[5m])) > 1'
    )
    assert metrics_in(query) == {"kappi_gone_total"}


def test_the_operator_s_resource_is_written_from_the_rules() -> None:
    lines = RULES_FILE.read_text().splitlines(keepends=True)
    current = _HEADER + "".join(f"  {line}" if line.strip() else line for line in lines)
    if os.environ.get("KAPPI_TEST_REFRESH_RULES"):
        RESOURCE_FILE.write_text(current)
    assert RESOURCE_FILE.read_text() == current, "run it once with KAPPI_TEST_REFRESH_RULES=1"


def test_prometheus_accepts_the_rules() -> None:
    done = subprocess.run(
        [require_program("promtool"), "check", "rules", RULES_FILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    done = subprocess.run(
        [require_program("promtool"), "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("outcome", ["firing", "silent"])
def test_every_alert_is_tested(outcome: str) -> None:
    tested = {
        check["alertname"]
        for path in TESTS
        for test in read_document(path)["tests"]
        for check in test["alert_rule_test"]
        if bool(check["exp_alerts"]) is (outcome == "firing")
    }
    assert tested == set(_ALERTS)


@pytest.mark.parametrize("alert", _ALERTS)
def test_an_alert_has_a_severity_a_summary_and_a_runbook(alert: str) -> None:
    rule = _ALERTS[alert]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{alert}.md"
    page = (RUNBOOKS / f"{alert}.md").read_text()
    assert re.findall(r"^#+ (.+)$", page, re.MULTILINE) == [alert, "Symptom", "Check", "Mend"]
    assert f"Severity: {rule['labels']['severity']}." in page


def test_every_runbook_is_of_an_alert() -> None:
    # `restore` is for an operator who has lost a database, which raises several alerts.
    assert {page.stem for page in RUNBOOKS.glob("*.md")} - {"README", "restore"} == set(_ALERTS)


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_names_metrics_that_exist(page: Path, exported: set[str]) -> None:
    named = set(re.findall(r"\bkappi_[a-z0-9_]+|\bkappi:[a-z0-9_:]+", page.read_text()))
    histograms = {name.removesuffix("_bucket") for name in exported if name.endswith("_bucket")}
    assert named <= exported | histograms | _RECORDED | {"kappi_service"}


def test_routes_without_the_promise_of_50_ms_exist() -> None:
    [excluded] = {found for rule in _RULES for found in re.findall(r'route!~"([^"]*)"', rule["expr"])}
    named = {route.replace("[{]", "{").replace("[}]", "}") for route in excluded.split("|")}
    assert named - {"identity pages", "/store/{key}"} <= {route.template for route in ROUTES}


def test_a_missing_process_causes_an_alert() -> None:
    overlay = build("production")
    monitor = overlay.of_kind("PodMonitor")["kappi"]
    watched = [pod for pod in overlay.services() if selects(monitor["spec"]["selector"], pod.labels)]
    assert watched == overlay.services()
    asked = re.findall(
        r'absent\(kappi_process_role{kappi_service="(.*)", role="(.*)"}\)', _ALERTS["KappiIsAway"]["expr"]
    )
    running = {
        (pod.service, role)
        for pod in watched
        for role in overlay.environment(pod.container)
        .get(f"KAPPI_{pod.service.upper()}_ROLES", "api")
        .split(",")
    }
    assert set(asked) == running


def test_prometheus_finds_monitors_and_rules() -> None:
    overlay = build("production")
    found = [*overlay.of_kind("PodMonitor").values(), *overlay.of_kind("PrometheusRule").values()]
    assert {each["metadata"]["name"] for each in found} == {"kappi", "databases", "kafka-exporter"}
    assert all(each["metadata"]["labels"]["release"] == "kube-prometheus-stack" for each in found)
    [endpoint] = overlay.of_kind("PodMonitor")["kappi"]["spec"]["podMetricsEndpoints"]
    assert [each["targetLabel"] for each in endpoint["relabelings"]] == ["kappi_service", "kappi_role"]


def test_a_counter_that_disappeared_counts_as_unchanged() -> None:
    for alert in _ALERTS.values():
        if re.search(r"== 0$", alert["expr"]) and "increase(" in alert["expr"]:
            assert "or vector(0)" in alert["expr"]


def test_autoscaling_uses_the_lag_of_existing_groups() -> None:
    groups = consumer_groups()
    for each in documents((K8S / "components/keda/scaled-objects.yaml").read_text()):
        if each["kind"] != "ScaledObject":
            continue
        [trigger] = each["spec"]["triggers"]
        asked = trigger["metadata"]
        assert asked["topic"] in groups[asked["consumerGroup"]]
        assert each["spec"]["maxReplicaCount"] <= BY_NAME[asked["topic"]].partitions
