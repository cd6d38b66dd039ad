from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from kappi_chassis.db import Database
from kappi_chassis.db.housekeeping import Housekeeping
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import GalleryDeleted
from sqlalchemy import text


async def test_only_what_is_old_and_sent_is_forgotten(url: str, database: Database, outbox: Outbox) -> None:
    async with outbox.begin() as unit:
        for _ in range(4):
            event = GalleryDeleted(
                gallery_id=uuid4(), owner_id=None, reason="requested", deleted_at=datetime.now(UTC)
            )
            await unit.publish(event, sequence=1)
    async with database.transaction() as connection:
        first = (await connection.execute(text("SELECT min(id) FROM outbox"))).scalar_one()
        ages = {"old and sent": ("8 days", "2 hours"), "old, sent just now": ("8 days", "1 minute")}
        for offset, (occurred, sent) in enumerate(ages.values()):
            await connection.execute(
                text(
                    f"UPDATE outbox SET occurred_at = now() - interval '{occurred}', "
                    f"sent_at = now() - interval '{sent}' WHERE id = {first + offset}"
                )
            )
        await connection.execute(
            text(f"UPDATE outbox SET occurred_at = now() - interval '8 days' WHERE id = {first + 2}")
        )
    await Housekeeping(
        url,
        outbox_retention=timedelta(days=7),
        inbox_retention=timedelta(days=14),
        idempotency_retention=timedelta(days=1),
    ).prune()
    async with database.transaction() as connection:
        left = (await connection.execute(text("SELECT id FROM outbox ORDER BY id"))).scalars().all()
    assert list(left) == [first + 1, first + 2, first + 3]
