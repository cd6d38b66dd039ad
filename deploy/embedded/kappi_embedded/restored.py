"""Prepares databases that went back in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import kappi_galleries.models
import kappi_identity.models
import kappi_janitor.models
import kappi_media.models
from kappi_chassis.db.restored import leap
from sqlalchemy import Column

_VERSIONS: Final[Mapping[str, Sequence[Column[Any]]]] = {
    "identity": kappi_identity.models.VERSIONS,
    "galleries": kappi_galleries.models.VERSIONS,
    "media": kappi_media.models.VERSIONS,
    "janitor": kappi_janitor.models.VERSIONS,
}


async def prepare_restored(databases: Mapping[str, str]) -> None:
    """Has the databases give out sequences that no service has seen. databases: URLs by service.

    Raises OSError, PostgresError.
    """
    for service, url in databases.items():
        numbers = kappi_media.models.NUMBERS if service == "media" else ()
        await leap(url, versions=_VERSIONS[service], numbers=numbers)
