"""`python -m kappi_contracts check FILE [--event NAME]` checks a consumer's schema against the events."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kappi_contracts.compatibility import unreadable
from kappi_contracts.events.base import Event
from kappi_contracts.schemas import json_schema
from kappi_contracts.topics import BY_NAME

_FITS, _DOES_NOT_FIT, _UNUSABLE = 0, 1, 2


class Unusable(ValueError):
    """The file is no JSON Schema, or it is not clear of which event; the message says which."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status. 0: the schema fits; 1: it does not, and each reason is a line; 2: the file or
    the event cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="python -m kappi_contracts", description="Contracts of Kappi's events."
    )
    commands = parser.add_subparsers(required=True)
    check = commands.add_parser(
        "check", help="Check that a consumer's JSON Schema accepts everything that Kappi sends."
    )
    check.add_argument("file", type=Path, help="JSON Schema of the event's data, as the consumer reads it")
    check.add_argument("--event", help="MediaReady or MediaReady.v1; default: the schema's `title`")
    given = parser.parse_args(arguments)
    try:
        schema = _read(given.file)
        event = _event_named(given.event or schema.get("title"))
        reasons = _reasons(event, schema)
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return _UNUSABLE
    for reason in reasons:
        sys.stdout.write(f"{event.document_name()}: {reason}\n")
    if not reasons:
        sys.stdout.write(f"{event.document_name()}: fits\n")
    return _DOES_NOT_FIT if reasons else _FITS


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Unusable(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise Unusable(f"{path}: a JSON Schema is an object")
    return found


def _reasons(event: type[Event], schema: dict[str, Any]) -> list[str]:
    try:
        return unreadable(written=json_schema(event), read=schema)
    except (RecursionError, TypeError, AttributeError) as error:
        raise Unusable(f"this is no JSON Schema that can be compared: {error}") from error


def _event_named(name: object) -> type[Event]:
    """Returns the named version; without a version the newest."""
    topic, _, version = str(name or "").partition(".v")
    if topic not in BY_NAME:
        known = ", ".join(sorted(BY_NAME))
        raise Unusable(f"name the event with --event: there is no {name!r}; there are: {known}")
    versions = BY_NAME[topic].versions
    if not version:
        return versions[-1]
    for each in versions:
        if str(each.version) == version:
            return each
    raise Unusable(f"{topic} has no version {version}")


if __name__ == "__main__":
    sys.exit(main())
