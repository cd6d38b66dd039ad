"""The shipped rules of Prometheus in compressed time, so that a test sees within minutes what takes hours."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml  # type: ignore[import-untyped]  # publishes no types

SHORTEST_RANGE_S = 5
"""A range needs some samples; a scrape comes each second."""
YOUNGEST_S = 10
"""The smallest limit of an age: ages of a system at rest reach some seconds."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RANGE = re.compile(r"(\[|\boffset )(\d+[smhd])\b")
_AGE = re.compile(r"(_seconds(?:\{[^}]*\})?\) > )(\d+)\b")
_VOLUME = re.compile(r"( \* )(\d+)( >= )")


def compressed(rules: str, *, factor: float) -> str:
    """Returns the rules in time that passes so many times faster.

    It divides `for`, ranges and offsets, limits of ages from a minute on, and the seconds by which the rules
    of burn rates multiply. All else is as in the file. Groups are evaluated as often as Prometheus' settings
    say.
    """
    document: dict[str, Any] = yaml.safe_load(rules)
    for group in document["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = _expression(rule["expr"], factor)
            if "for" in rule:
                rule["for"] = f"{round(seconds(rule['for']) / factor)}s"
    return json.dumps(document)


def seconds(duration: str) -> int:
    """Returns a duration of Prometheus, of one unit."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def _expression(expression: str, factor: float) -> str:
    def of_range(found: re.Match[str]) -> str:
        return f"{found[1]}{max(SHORTEST_RANGE_S, round(seconds(found[2]) / factor))}s"

    def of_age(found: re.Match[str]) -> str:
        age_s = int(found[2])
        return found[1] + str(max(YOUNGEST_S, round(age_s / factor)) if age_s >= 60 else age_s)

    def of_volume(found: re.Match[str]) -> str:
        return f"{found[1]}{round(int(found[2]) / factor)}{found[3]}"

    return _VOLUME.sub(of_volume, _AGE.sub(of_age, _RANGE.sub(of_range, expression)))
