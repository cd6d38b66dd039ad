"""One line of the results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the results. per_second: counts only answers of the expected status."""

    scenario: str
    via: str
    load: str
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
