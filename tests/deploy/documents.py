"""Reads YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # publishes no types


def read_document(path: Path) -> Any:
    """Returns the document of a file with one document."""
    return yaml.safe_load(path.read_text())


def documents(text: str) -> list[Any]:
    """Returns all documents of a text except empty ones."""
    return [each for each in yaml.safe_load_all(text) if each]
