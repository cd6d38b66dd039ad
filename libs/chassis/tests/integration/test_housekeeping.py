from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from kappi_chassis.db import Database
from kappi_chassis.db.housekeeping import Housekeeping
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import GalleryDeleted
from sqlalchemy import text


def housekeeping(url: str) -> Housekeeping:
    return Housekeeping(
        url,
        outbox_retention=timedelta(days=7),
        inbox_retention=timedelta(days=14),
        idempotency_retention=timedelta(days=1),
    )


async def test_only_old_and_sent_rows_are_deleted(url: str, database: Database, outbox: Outbox) -> None:
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
    await housekeeping(url).prune()
    async with database.transaction() as connection:
        left = (await connection.execute(text("SELECT id FROM outbox ORDER BY id"))).scalars().all()
    assert list(left) == [first + 1, first + 2, first + 3]


async def test_one_round_deletes_all_due_rows(url: str, database: Database) -> None:
    """One round deletes any number of due rows; otherwise the tables could grow for ever."""
    async with database.transaction() as connection:
        for statement in (
            (
                "INSERT INTO outbox (event_id, topic, type, key, sequence, payload, occurred_at, sent_at)"
                " SELECT gen_random_uuid(), 't', 't', 'k', n, '', now() - interval '9 days',"
                " now() - interval '9 days' FROM generate_series(1, 12000) n"
            ),
            (
                "INSERT INTO inbox (consumer, event_id, received_at)"
                " SELECT 'c', gen_random_uuid(), now() - interval '15 days' FROM generate_series(1, 12000) n"
            ),
            (
                "INSERT INTO idempotency (key_hash, fingerprint, created_at)"
                " SELECT int4send(n), '', now() - interval '2 days' FROM generate_series(1, 12000) n"
            ),
            "INSERT INTO idempotency (key_hash, fingerprint) VALUES ('fresh', '')",
        ):
            await connection.execute(text(statement))
    await housekeeping(url).prune()
    async with database.transaction() as connection:
        left = [
            (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
            for table in ("outbox", "inbox", "idempotency")
        ]
    assert left == [0, 0, 1]
