"""The size of this service's pages."""

from __future__ import annotations

from typing import Annotated, Final

from kappi_chassis.pagination import PageSize

DEFAULT_LIMIT: Final = 100
PAGE_SIZE: Final = PageSize(500)

Limit = Annotated[int, PAGE_SIZE.query, PAGE_SIZE.clamp]
"""Rows per page."""
