"""The compressed rules differ from the shipped ones in their times alone."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kappi_testkit.programs import require_program

from tests.chaos.quick_rules import compressed, seconds
from tests.deploy.documents import documents
from tests.e2e.prometheus import RULES


def _compressed(expression: str, **more: str) -> dict[str, Any]:
    rules = {"groups": [{"name": "one", "interval": "30s", "rules": [{"expr": expression, **more}]}]}
    [group] = json.loads(compressed(json.dumps(rules), factor=60))["groups"]
    assert "interval" not in group
    [rule] = group["rules"]
    return dict(rule)


@pytest.mark.parametrize(
    ("shipped", "expected"),
    [
        ("sum(rate(kappi_x_total[1h])) > 1", "sum(rate(kappi_x_total[60s])) > 1"),
        ("increase(kappi_x_total[2m])", "increase(kappi_x_total[5s])"),
        ("kappi_x_total offset 1h", "kappi_x_total offset 60s"),
        ("max by (a) (kappi_x_seconds) > 1800", "max by (a) (kappi_x_seconds) > 30"),
        ('max(kappi_x_seconds{kind=~"a|b"}) > 60', 'max(kappi_x_seconds{kind=~"a|b"}) > 10'),
        ("max(kappi_x_seconds) > 59", "max(kappi_x_seconds) > 59"),
        ("sum(kappi_lag_records) > 5000", "sum(kappi_lag_records) > 5000"),
        (
            "avg_over_time(kappi:x:rate5m[1h]) * 3600 >= 1000",
            "avg_over_time(kappi:x:rate5m[60s]) * 60 >= 1000",
        ),
        ("kappi:x:ratio1h > 14.4 * 0.001", "kappi:x:ratio1h > 14.4 * 0.001"),
    ],
)
def test_times_are_divided(shipped: str, expected: str) -> None:
    assert _compressed(shipped)["expr"] == expected


def test_the_time_until_an_alert_fires_is_divided() -> None:
    assert _compressed("x", alert="A", **{"for": "70m"})["for"] == "70s"


def test_nothing_but_times_changes() -> None:
    before = _rules_of(RULES.read_text())
    after = _rules_of(compressed(RULES.read_text(), factor=60))
    assert [_without_times(rule) for rule in after] == [_without_times(rule) for rule in before]
    assert after != before


def test_every_time_is_divided() -> None:
    for rule in _rules_of(compressed(RULES.read_text(), factor=1e9)):
        assert set(re.findall(r"\[(\w+)\]", rule["expr"])) <= {"5s"}
        assert seconds(rule.get("for", "0s")) == 0


def test_prometheus_accepts_them(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(compressed(RULES.read_text(), factor=60))
    done = subprocess.run(
        [require_program("promtool"), "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _rules_of(text: str) -> list[dict[str, Any]]:
    [document] = documents(text)
    return [rule for group in document["groups"] for rule in group["rules"]]


def _without_times(rule: dict[str, Any]) -> dict[str, Any]:
    expression = re.sub(r"(?<=\[)\w+(?=\])|(?<=offset )\w+|(?<=> )\d+|(?<= \* )\d+(?= >=)", "", rule["expr"])
    return {**rule, "expr": expression, "for": "for" in rule}
