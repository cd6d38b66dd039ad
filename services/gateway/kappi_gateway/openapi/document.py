"""An OpenAPI document as decoded JSON."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

SCHEMA_PREFIX = "#/components/schemas/"
"""Prefix of a reference to a schema."""
