"""An OpenAPI document as decoded JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Document = dict[str, Any]

SCHEMA_PREFIX = "#/components/schemas/"
"""Prefix of a reference to a schema."""


def operations_of(paths: Mapping[str, Document]) -> Iterator[Document]:
    """Yields the operations of all paths and methods."""
    for methods in paths.values():
        yield from methods.values()
