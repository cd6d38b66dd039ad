"""The table of what clients saw during each fault, for docs/reliability.md."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.chaos.faults import FAULTS, Window
from tests.chaos.load import Sample

_HEAD = "| fault | times | requests | answered | p50 ms | p99 ms | longest s |\n|---|---|---|---|---|---|---|"
_WITHOUT = "none"


def table(samples: Sequence[Sample], windows: Sequence[Window]) -> str:
    """Returns a Markdown table. answered: share of the attempts that were answered, and not with 5xx."""
    during: dict[str, list[Sample]] = {_WITHOUT: [], **{name: [] for name in FAULTS}}
    for sample in samples:
        found = next((each for each in windows if each.starts_s <= sample.at_s <= each.ends_s), None)
        during[_WITHOUT if found is None else found.fault].append(sample)
    times = [sum(window.fault == name for window in windows) for name in during]
    rows = [_row(name, count, found) for (name, found), count in zip(during.items(), times, strict=True)]
    return "\n".join([_HEAD, *rows])


def _row(name: str, times: int, samples: Sequence[Sample]) -> str:
    answered = [sample for sample in samples if not sample.failed]
    elapsed = sorted(sample.elapsed_ms for sample in samples) or [math.nan]
    share = len(answered) / len(samples) if samples else math.nan
    p50, p99 = (elapsed[math.ceil(part * len(elapsed)) - 1] for part in (0.5, 0.99))
    return (
        f"| {name} | {times or ''} | {len(samples):,} | {share:.2%} | {p50:.0f} | {p99:,.0f} "
        f"| {elapsed[-1] / 1000:.1f} |"
    )
