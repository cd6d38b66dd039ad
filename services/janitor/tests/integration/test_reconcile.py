"""Due dates are compared with those of their owners."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.reconcile import Check, Difference
from kappi_contracts.events import GalleryCreated, GalleryDeleted, LinkCreated, MediaDeleted
from kappi_contracts.reconciliation import GalleryDeadline, LinkDeadline
from kappi_janitor.bootstrap import build_checks
from kappi_testkit.peer import FakePeer

pytestmark = pytest.mark.integration

THEN = datetime(2026, 5, 1, tzinfo=UTC)
LATER = THEN + timedelta(days=9)


@pytest.fixture
def owners() -> FakePeer:
    """Returns galleries and media at once."""
    return FakePeer()


@pytest.fixture
def checks(janitor: Any, owners: Any) -> dict[str, Check]:
    return dict(build_checks(janitor.deps, galleries=owners, media=owners))


async def found(check: Check) -> list[str]:
    return [each.subject for each in (await check.page("")).differences]


async def mend(check: Check) -> list[bool]:
    page = await check.page("")
    return [await check.repair(each) for each in page.differences]


async def dates(janitor: Any) -> dict[UUID, datetime | None]:
    rows = await janitor.query("SELECT gallery_id, expires_at FROM due_galleries WHERE deleted_at IS NULL")
    return {row.gallery_id: row.expires_at for row in rows}


async def created(janitor: Any, *, expires_at: datetime | None, sequence: int = 1) -> UUID:
    gallery_id = uuid4()
    event = GalleryCreated(
        gallery_id=gallery_id, owner_id=None, visibility="shared", expires_at=expires_at, created_at=THEN
    )
    await janitor.hear(event, sequence=sequence)
    return gallery_id


def deadline(gallery_id: UUID, expires_at: datetime) -> GalleryDeadline:
    return GalleryDeadline(gallery_id=gallery_id, version=2, expires_at=expires_at)


async def test_deadlines_of_galleries_follow_their_owner(
    janitor: Any, owners: FakePeer, checks: dict[str, Check]
) -> None:
    same = await created(janitor, expires_at=LATER)
    # Of a version that galleries gave out before it was restored.
    other = await created(janitor, expires_at=LATER, sequence=99)
    unknown, missing = await created(janitor, expires_at=LATER), uuid4()
    owners.rows["deadlines"] = [
        deadline(same, LATER),
        deadline(other, THEN),
        deadline(missing, LATER),
    ]
    check = checks["janitor-galleries"]
    assert set(await found(check)) == {str(each) for each in (other, unknown, missing)}
    assert await mend(check) == [True] * 3
    assert await found(check) == []
    assert await dates(janitor) == {same: LATER, other: THEN, missing: LATER, unknown: None}


async def test_a_gallery_that_is_deleted_here_is_not_revived(
    janitor: Any, owners: FakePeer, checks: dict[str, Check]
) -> None:
    gallery_id = await created(janitor, expires_at=LATER)
    await janitor.hear(
        GalleryDeleted(gallery_id=gallery_id, owner_id=None, reason="requested", deleted_at=THEN), sequence=2
    )
    owners.rows["deadlines"] = [deadline(gallery_id, LATER)]
    assert await found(checks["janitor-galleries"]) == [str(gallery_id)]
    assert await mend(checks["janitor-galleries"]) == [False]
    assert await dates(janitor) == {}


async def test_deadlines_of_links_follow_their_owner(
    janitor: Any, owners: FakePeer, checks: dict[str, Check]
) -> None:
    unknown, missing, media_id = uuid4(), uuid4(), uuid4()
    link = LinkCreated(
        link_id=unknown, media_id=media_id, gallery_id=uuid4(), expires_at=LATER, created_at=THEN
    )
    await janitor.hear(link)
    owners.rows["links"] = [LinkDeadline(link_id=missing, media_id=media_id, expires_at=LATER)]
    check = checks["janitor-links"]
    assert set(await found(check)) == {str(unknown), str(missing)}
    assert await mend(check) == [True, True]
    assert await found(check) == []
    rows = await janitor.query("SELECT link_id FROM due_links WHERE claimed_at IS NULL")
    assert [row.link_id for row in rows] == [missing]


async def test_an_overdue_purge_is_tried_again(janitor: Any, checks: dict[str, Check]) -> None:
    await janitor.hear(
        MediaDeleted(media_id=uuid4(), gallery_id=uuid4(), reason="requested", deleted_at=THEN)
    )
    check = checks["janitor-purges"]
    assert await found(check) == []
    janitor.clock.pass_by(timedelta(hours=2))
    (prefix,) = await found(check)
    assert await check.repair(Difference(kind="purge_overdue", subject=prefix))
    assert await found(check) == []
    assert await janitor.work() == 1
