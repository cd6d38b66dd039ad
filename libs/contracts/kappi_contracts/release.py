"""The contracts as last released, and what may not change since.

They are in `released/`: a schema for each version of an event, and `topics.json` with key, partitions and
retention. `python -m kappi_contracts.release` moves them on. Source: ADR-0004, ADR-0061.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kappi_contracts.compatibility import breaking_changes
from kappi_contracts.schemas import Document, json_schema, rendered
from kappi_contracts.topics import TOPICS

HOME = Path(__file__).resolve().parent.parent
RELEASED = HOME / "released"
_TOPICS = "topics.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """All contracts at one time. topics: by name. schemas: by topic and version, as `MediaReady.v1`."""

    topics: Mapping[str, Document]
    schemas: Mapping[str, Document]


def current() -> Contracts:
    """Returns the contracts of the models."""
    return Contracts(
        topics={
            topic.name: {
                "key": topic.key,
                "partitions": topic.partitions,
                "retention_s": int(topic.retention.total_seconds()),
            }
            for topic in TOPICS
        },
        schemas={
            version.document_name(): json_schema(version) for topic in TOPICS for version in topic.versions
        },
    )


def released(folder: Path = RELEASED) -> Contracts:
    """Returns the contracts of the last release."""
    return Contracts(
        topics=json.loads((folder / _TOPICS).read_text())["topics"],
        schemas={
            path.stem: json.loads(path.read_text())
            for path in sorted(folder.glob("*.json"))
            if path.name != _TOPICS
        },
    )


def broken(old: Contracts, new: Contracts) -> list[str]:
    """Returns what a consumer of `old` cannot rely on any more in `new`, one sentence each.

    The number of partitions never changes: with another number, events of one key go to another partition,
    and consumers get them out of order. A version may be removed once a release has called it deprecated.
    """
    found = []
    for name, topic in old.topics.items():
        now = new.topics.get(name)
        if now is None:
            if not _retired(old, name):
                found.append(f"{name}: the topic was removed")
            continue
        found += _changed_topic(name, topic, now)
    for name, schema in old.schemas.items():
        if name in new.schemas:
            found += [f"{name}: {reason}" for reason in breaking_changes(schema, new.schemas[name])]
        elif not schema.get("deprecated"):
            found.append(f"{name}: removed, but no release called it deprecated")
    return found


def _retired(old: Contracts, topic: str) -> bool:
    versions = [schema for name, schema in old.schemas.items() if name.rpartition(".v")[0] == topic]
    return all(schema.get("deprecated") for schema in versions)


def _changed_topic(name: str, old: Document, new: Document) -> list[str]:
    found = []
    if new["key"] != old["key"]:
        found.append(f"{name}: the key {old['key']} became {new['key']}")
    if new["partitions"] != old["partitions"]:
        found.append(
            f"{name}: {old['partitions']} partitions became {new['partitions']}; their number never changes"
        )
    if new["retention_s"] < old["retention_s"]:
        found.append(f"{name}: the retention of {old['retention_s']} s became {new['retention_s']} s")
    return found


def move_on(folder: Path, *, release: str, to: Contracts) -> None:
    """Writes the contracts as those of a release. release: its version."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        path.unlink()
    for name, schema in to.schemas.items():
        (folder / f"{name}.json").write_text(rendered(schema))
    (folder / _TOPICS).write_text(rendered({"release": release, "topics": dict(to.topics)}))


def main(folder: Path = RELEASED) -> int:
    """Moves the released contracts on to the current ones, unless they break. Returns the exit status."""
    now = current()
    if reasons := broken(released(folder), now):
        sys.stderr.write(told(reasons))
        return 1
    project: dict[str, Any] = tomllib.loads((HOME.parents[1] / "pyproject.toml").read_text())["project"]
    move_on(folder, release=project["version"], to=now)
    sys.stdout.write(f"{folder} has the contracts of {project['version']} now.\n")
    return 0


def told(reasons: list[str]) -> str:
    """Returns the text that tells a developer what breaks."""
    lines = "\n  ".join(reasons)
    return f"These contracts break those of the last release; make a new version or a new topic:\n  {lines}\n"


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
