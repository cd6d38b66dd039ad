"""`python -m benchmarks.capacity [--write]`: computes what a load needs, from the costs in `capacity.toml`.

It prints the tables of docs/scale.md; `--write` writes them into the page, between their marks. Rates are of
the busiest hour. Needs grow in proportion to the load, so a limit is reached at one factor of it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kappi_contracts.topics import BY_NAME, TOPICS

COSTS: Final = Path(__file__).parent / "capacity.toml"
PAGE: Final = Path(__file__).parents[1] / "docs" / "scale.md"
FACTORS: Final = (1, 10, 100, 1_000)
MANY_GALLERIES: Final = 100e6
SERVICES: Final = ("gateway", "galleries", "media", "decoders", "janitor", "identity")
DATABASES: Final = ("galleries", "media", "janitor", "identity")
_DAY_S: Final = 86_400
_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_BUSY: Final = 0.5  # of a core, for a process that takes records in order
_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E")


@dataclass(frozen=True, slots=True)
class Need:
    """What a load needs: rates a second, busy cores, and what is kept.

    partition_cores: of the one process that would read the busiest topic. feed_cores: of each gateway, for
    reading all changes.
    """

    rates: Mapping[str, float]
    cores: Mapping[str, float]
    database_cores: Mapping[str, float]
    database_bytes: Mapping[str, float]
    galleries: float
    objects: float
    object_bytes: float
    events: float
    event_bytes: float
    partition_cores: float
    relay_cores: float
    feed_cores: float
    sent_bits: float
    received_bits: float


class Model:
    """Computes needs. file: the content of `capacity.toml`."""

    def __init__(self, file: Mapping[str, Any]) -> None:
        self._rates = file["load"]
        self._content = file["content"]
        self._costs = file["cost"]
        self._event = file["event"]
        self._published = file["published"]

    def need(self, factor: float, *, galleries: float | None = None) -> Need:
        """Returns the need of `factor` times the load. galleries: kept ones; None for those that result."""
        rates = {action: rate * factor for action, rate in self._rates.items()}
        events = self._events(rates)
        handled = [(topic, name) for topic, rate in events.items() for name in BY_NAME[topic].consumers]
        cores = {name: self._cores(rates, f"{name}_us") for name in SERVICES}
        databases = {name: self._cores(rates, f"{name}_database_us") for name in DATABASES}
        for topic, name in handled:
            if name != "gateway":
                cores[name] += events[topic] * self._event["consumer_us"] / 1e6
                databases[name] += events[topic] * self._event["database_us"] / 1e6
        relays = self._relays(events)
        kept = self._kept(rates["create"]) if galleries is None else galleries
        items = kept * rates["upload"] / rates["create"]
        size = self._content
        shown = rates["view"] * size["page_bytes"] + rates["picture"] * size["picture_bytes"]
        return Need(
            rates=rates,
            cores={name: used + relays.get(name, 0.0) for name, used in cores.items()},
            database_cores=databases,
            database_bytes={name: self._bytes(name, kept, items) for name in DATABASES},
            galleries=kept,
            objects=items * size["objects_per_item"],
            object_bytes=items * (size["original_bytes"] + size["rendition_bytes"]),
            events=sum(events.values()),
            event_bytes=sum(events.values()) * self._event["bytes"],
            partition_cores=max(events.values()) * self._event["consumer_us"] / 1e6,
            relay_cores=max(relays.values()),
            feed_cores=sum(events[topic] for topic, name in handled if name == "gateway")
            * self._event["feed_us"]
            / 1e6,
            sent_bits=8 * (shown + rates["download"] * size["original_bytes"]),
            received_bits=8 * rates["upload"] * size["original_bytes"],
        )

    def _events(self, rates: Mapping[str, float]) -> dict[str, float]:
        return {
            topic: sum(rates[action] * count for action, count in by_action.items())
            for topic, by_action in self._published.items()
        }

    def _relays(self, events: Mapping[str, float]) -> dict[str, float]:
        relays = dict.fromkeys(DATABASES, 0.0)
        for topic, rate in events.items():
            relays[BY_NAME[topic].owner] += rate * self._event["relay_us"] / 1e6
        return relays

    def _cores(self, rates: Mapping[str, float], part: str) -> float:
        return float(sum(rates[action] * costs.get(part, 0) / 1e6 for action, costs in self._costs.items()))

    def _kept(self, per_second: float) -> float:
        """Returns the galleries that exist at a time, once those of accounts are as old as they get."""
        owned: float = self._content["of_accounts"]
        days = (1 - owned) * self._content["days_anonymous"] + owned * self._content["days_of_accounts"]
        return float(per_second / self._content["peak_to_mean"] * _DAY_S * days)

    def _bytes(self, database: str, galleries: float, items: float) -> float:
        part = f"{database}_bytes"
        per_gallery, per_item = (float(self._costs[each].get(part, 0)) for each in ("create", "upload"))
        return galleries * per_gallery + items * per_item


def tables(file: Mapping[str, Any]) -> dict[str, str]:
    """Returns the generated parts of docs/scale.md, by their marks."""
    model = Model(file)
    needs = [model.need(factor) for factor in FACTORS]
    head = ["", *(f"{factor:,}{_TIMES}" for factor in FACTORS), f"1,000{_TIMES}, 100 million galleries"]
    return {
        "costs": _costs(file),
        "needs": _table(head, _needs([*needs, model.need(FACTORS[-1], galleries=MANY_GALLERIES)])),
        "limits": _limits(needs[0], file["limit"]),
    }


def page_with(page: str, parts: Mapping[str, str]) -> str:
    """Returns the page with its generated parts. Raises ValueError if a mark is missing."""
    for name, part in parts.items():
        found = re.findall(rf"<!-- {name} -->\n.*?<!-- /{name} -->", page, re.DOTALL)
        if len(found) != 1:
            raise ValueError(f"docs/scale.md has {len(found)} places for {name}")
        page = page.replace(found[0], f"<!-- {name} -->\n\n{part}\n<!-- /{name} -->")
    return page


def _of(field: str, name: str) -> Callable[[Need], float]:
    return lambda need: float(getattr(need, field)[name])


def _needs(needs: Sequence[Need]) -> Iterable[list[str]]:
    def row(label: str, of: Callable[[Need], float], unit: str = "") -> list[str]:
        return [label, *(f"{_number(of(need))}{unit}" for need in needs)]

    for action, label in _ACTIONS.items():
        yield row(f"{label} a second", _of("rates", action))
    for name in SERVICES:
        yield row(f"cores: {name}", _of("cores", name))
    for name in DATABASES:
        yield row(f"PostgreSQL, cores: {name}", _of("database_cores", name))
    for name in DATABASES[:3]:
        yield row(f"PostgreSQL, size: {name}", _of("database_bytes", name), "B")
    yield row("of each gateway, cores for the feed of changes", lambda need: need.feed_cores)
    yield row("Kafka: events a second", lambda need: need.events)
    yield row("Kafka: a second, one copy", lambda need: need.event_bytes, "B")
    yield row(
        "Kafka: partitions of the busiest topic",
        lambda need: max(TOPICS[0].partitions, need.partition_cores / _BUSY),
    )
    yield row("galleries kept", lambda need: need.galleries)
    yield row("objects in the store", lambda need: need.objects)
    yield row("bytes in the store", lambda need: need.object_bytes, "B")
    yield row("uploaded a second", lambda need: need.received_bits, "bit")
    yield row("downloaded a second", lambda need: need.sent_bits, "bit")


_ACTIONS: Final = {
    "create": "galleries created",
    "upload": "files uploaded",
    "view": "views",
    "comment": "comments",
    "list_posts": "lists of posts",
    "picture": "pictures shown",
    "download": "originals downloaded",
}


def _limits(one: Need, limits: Mapping[str, Any]) -> str:
    used = {
        "sent_bits": one.sent_bits,
        "feed_cores": one.feed_cores,
        "partition_cores": one.partition_cores,
        "relay_cores": one.relay_cores,
        "objects": one.objects,
        **{f"{name}_database_cores": cores for name, cores in one.database_cores.items()},
        **{f"{name}_database_bytes": size for name, size in one.database_bytes.items()},
    }
    reached = sorted((limit["amount"] / used[name], limit) for name, limit in limits.items())
    return _table(
        ["load", "what is full", "limit", "what is done then"],
        (
            [
                f"{_number(factor)}{_TIMES}",
                limit["what"],
                _number(limit["amount"]) + limit["unit"],
                limit["then"],
            ]
            for factor, limit in reached
        ),
    )


def _costs(file: Mapping[str, Any]) -> str:
    rows = []
    for action, costs in {**file["cost"], "event": file["event"]}.items():
        parts = [f"`{name}` {value:,}" for name, value in costs.items() if name != "source"]
        rows.append([f"`{action}`", ", ".join(parts) or "nothing", costs["source"]])
    return _table(["one", "costs", "source"], rows)


def _number(value: float) -> str:
    """Returns two significant digits, with a prefix for thousands."""
    step = 0
    while value >= 9_950 or (step and value >= 995):
        value, step = value / 1_000, step + 1
    digits = 0 if value >= 9.95 else 1 if value >= 0.995 else 2
    rounded = float(f"{value:.2g}") if value < 1_000 else round(value, -2)
    return f"{rounded:,.{digits}f}{_PREFIXES[step]}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" if _TIMES in cell else "---" for cell in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    parts = tables(tomllib.loads(COSTS.read_text()))
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page_with(PAGE.read_text(), parts))
    else:
        print("\n\n".join(parts.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
