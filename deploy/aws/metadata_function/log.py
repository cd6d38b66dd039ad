"""Writes JSON log lines. They never contain a token or an object's content."""

from __future__ import annotations

import json
import sys


def log(event: str, **fields: str | int | None) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()
