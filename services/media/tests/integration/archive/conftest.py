"""Archives of galleries in every available kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from kappi_chassis.db import Database
from kappi_chassis.storage import ObjectStore
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_archives, build_copies
from kappi_media.settings import MediaSettings
from kappi_media.use_cases.archive import Archives
from kappi_media.use_cases.renditions import MakeRendition
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.archives import WINDOW, Shelf
from kappi_testkit.media.harness import Gallery
from kappi_testkit.servers.local_store import ServedLocalStore
from kappi_testkit.servers.s3 import S3Server


@pytest.fixture(params=["local", "s3"])
async def any_store(
    request: pytest.FixtureRequest, served_store: ServedLocalStore
) -> AsyncIterator[FaultyStore]:
    """Returns every available kind of store."""
    if request.param == "local":
        yield FaultyStore(served_store.store)
        return
    server: S3Server = request.getfixturevalue("s3_server")
    store = server.store(server.create_bucket())
    yield FaultyStore(store)
    await store.close()


@pytest.fixture
async def make_app(
    deps: Dependencies, make_settings: Callable[..., MediaSettings], make_rendition: MakeRendition
) -> AsyncIterator[Callable[..., Any]]:
    """`make_app(store, archives_at_once=…)` returns the service with archives from that store."""
    made: list[Archives] = []
    copies = build_copies(deps)

    def make(store: ObjectStore, **changed: Any) -> Any:
        settings = make_settings(**{"archive_window_bytes": WINDOW, **changed})
        made.append(build_archives(deps, settings, copies, store=store))
        return build_app(deps, settings, make_rendition, archives=made[-1], copies=copies)

    yield make
    for archives in made:
        await archives.close()
    await copies.close()


@pytest.fixture
async def shelf(database: Database, any_store: FaultyStore, gallery: Gallery) -> Shelf:
    return Shelf(database, any_store, gallery)


@pytest.fixture
async def local_shelf(database: Database, store: FaultyStore, gallery: Gallery) -> Shelf:
    return Shelf(database, store, gallery)
