"""The periodic jobs: removing rows that cannot be used any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from kappi_identity.background_jobs import THROTTLE_MEMORY, repeat
from kappi_identity.repository.expired_rows import remove_expired_rows
from kappi_identity.use_cases.tiers import AnnounceTiers
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually


async def _counts(database: Any) -> dict[str, int]:
    tables = ("sessions", "refresh_tokens", "password_resets", "known_addresses", "throttle")
    return {table: await database.hot.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def test_only_what_is_over_is_forgotten(
    http: Any, sign_up: Any, log_in: Any, refresh: Any, reset_mailer: Any, database: Any, clock: Any
) -> None:
    idle = timedelta(days=30)

    async def tidy() -> None:
        await remove_expired_rows(
            database,
            now=clock.now,
            session_idle=idle,
            client_known_for=idle,
            throttle_memory=THROTTLE_MEMORY,
            deliveries_kept_for=idle,
        )

    ada = await sign_up()
    await log_in("nobody@example.com")
    assert (await http("POST", "/v1/password-resets", body={"email": ada.email})).status == 202
    await reset_mailer.work_off_one()
    await tidy()
    before = await _counts(database)
    assert all(before.values())

    clock.pass_by(idle / 2)
    kept = (await refresh(ada.refresh_token)).json["refresh_token"]
    clock.pass_by(idle / 2 + timedelta(seconds=1))
    await tidy()
    # The session continues; its first token is so old that only a thief could still use it.
    assert await _counts(database) == {
        "sessions": 1,
        "refresh_tokens": 1,
        "password_resets": 0,
        "known_addresses": 0,
        "throttle": 0,
    }
    assert (await refresh(kept)).status == 200

    clock.pass_by(idle + timedelta(seconds=1))
    await tidy()
    assert sum((await _counts(database)).values()) == 0


async def test_tiers_are_announced_when_the_database_is_back(deps: Any, published: Any) -> None:
    announce = AnnounceTiers(outbox=deps.outbox, clock=deps.clock)
    failures = iter([OSError(), OSError()])

    async def troubled() -> int:
        for failure in failures:
            raise failure
        return await announce()

    async def announced() -> None:
        assert len(await published()) == 5

    async with Background() as background:
        background.start(repeat("tiers.announce", troubled, every_s=0.01))
        await eventually(announced)
