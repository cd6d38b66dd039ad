"""Causes of alerts: what an operator's session, or a release, does to a database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kappi_testkit.eventually import eventually

from tests.chaos.alert_scene import Scene

_CLIENTS, _PAUSE_S = 90, 1.0
_KNOWN_WITHIN_S = 60.0


@asynccontextmanager
async def table_locked(scene: Scene) -> AsyncIterator[None]:
    """A forgotten session locks the galleries, while more clients change one than a gateway takes."""
    async with scene.database("galleries") as connection, connection.transaction():
        await connection.execute("LOCK TABLE galleries")
        async with scene.repeated(scene.rename_gallery, clients=_CLIENTS, pause_s=_PAUSE_S):
            yield


@asynccontextmanager
async def janitor_held(scene: Scene) -> AsyncIterator[None]:
    """A forgotten session locks the table of ticks and the rows of purges. A gallery becomes due."""
    phone = scene.phone
    due = await phone.create_gallery(title="Due", expires_in=3600)
    deleted = await phone.create_gallery(title="Deleted")
    await phone.upload(deleted, scene.picture())
    (await phone.insist("DELETE", f"/v1/galleries/{deleted.id}", headers=deleted.key)).ok(204)
    async with scene.database("janitor") as connection, scene.database("janitor") as other:

        async def are_known() -> None:
            assert await other.fetchval("SELECT count(*) FROM purges WHERE gallery_id = $1", deleted.id)
            assert await other.fetchval("SELECT count(*) FROM due_galleries WHERE gallery_id = $1", due.id)

        await eventually(are_known, _KNOWN_WITHIN_S)
        async with connection.transaction():
            await connection.execute("LOCK TABLE ticks")
            # Each prefix is swept a second time, half a minute later.
            locked = await connection.fetch("SELECT FROM purges WHERE done_at IS NULL FOR UPDATE")
            assert locked
            # Without this the test would wait for the shortest lifetime of a gallery, an hour.
            change = "UPDATE due_galleries SET expires_at = now() WHERE gallery_id = $1"
            assert await other.execute(change, due.id) == "UPDATE 1"
            yield


@asynccontextmanager
async def comment_count_changed(scene: Scene) -> AsyncIterator[None]:
    """A number of comments is changed by hand."""
    async with scene.database("galleries") as connection:
        change = "UPDATE posts SET comment_count = comment_count + 1 WHERE id = $1"
        assert await connection.execute(change, scene.load.post_id) == "UPDATE 1"
    await scene.tick()
    yield


@asynccontextmanager
async def gallery_changed(scene: Scene) -> AsyncIterator[None]:
    """A gallery is changed by hand, so that media does not hear of it."""
    change = "UPDATE galleries SET location_free = NOT location_free WHERE id = $1"
    async with scene.database("galleries") as connection:
        assert await connection.execute(change, scene.gallery.id) == "UPDATE 1"
        await scene.tick()
        try:
            yield
        finally:
            await connection.execute(change, scene.gallery.id)


@asynccontextmanager
async def access_log_renamed(scene: Scene) -> AsyncIterator[None]:
    """A migration has taken the table of accesses away, while clients view galleries."""
    async with scene.database("media") as connection:
        await connection.execute("ALTER TABLE access_log RENAME TO access_log_renamed")
        try:
            yield
        finally:
            await connection.execute("ALTER TABLE access_log_renamed RENAME TO access_log")
