from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from kappi_chassis.clock import new_id
from kappi_media.domain.media import AccountId
from kappi_media.domain.tiers import SEEDED, TierRules, seeded
from kappi_media.repository.tiers import GoverningRow, TierQueries
from kappi_media.use_cases import governing_tier
from kappi_media.use_cases.governing_tier import FRESH, GoverningTier

STUDIO = TierRules(
    name="Studio",
    rendition_sizes=(123, 777),
    original_access=True,
    expiring_links=True,
    max_file_bytes=1,
    quota_bytes=None,
)


def with_sizes(*sizes: int) -> TierRules:
    return replace(STUDIO, rendition_sizes=sizes)


@pytest.mark.parametrize(
    ("sizes", "shared"),
    [((200, 400), (200, 400, 2048)), ((), (400, 2048)), ((123, 3000), (123, 400, 2048, 3000))],
)
def test_viewers_of_a_shared_gallery_have_a_grid_and_a_screen(
    sizes: tuple[int, ...], shared: tuple[int, ...]
) -> None:
    rules = with_sizes(*sizes)
    assert rules.of_shared == replace(rules, rendition_sizes=shared)


def test_tiers_that_show_the_same_have_one_mark() -> None:
    assert with_sizes(200, 400).mark == with_sizes(400, 200).mark
    assert with_sizes(200, 400).mark != with_sizes(200).mark
    assert with_sizes(200).mark != replace(with_sizes(200), original_access=False).mark
    assert with_sizes(200).mark == replace(with_sizes(200), expiring_links=False, quota_bytes=7).mark


def test_a_name_nobody_told_of_falls_back() -> None:
    assert seeded("pREMIUM") is SEEDED["premium"]
    assert seeded("Studio") is SEEDED["traveller"]


class Answers(TierQueries):
    """Answers in place of the database."""

    def __init__(self) -> None:
        self.reads = 0
        self.rules: TierRules | None = STUDIO

    async def governing(self, account_id: AccountId | None, *, otherwise: str) -> GoverningRow:
        self.reads += 1
        await asyncio.sleep(0)
        return GoverningRow(otherwise, self.rules)


class Time:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_a_tier_is_read_once_a_while_however_many_ask() -> None:
    answers, time = Answers(), Time()
    tier, owner = GoverningTier(answers, clock=time), AccountId(new_id())
    assert set(await asyncio.gather(*(tier(owner) for _ in range(50)))) == {STUDIO}
    assert answers.reads == 1
    time.now += FRESH - timedelta(milliseconds=1)
    assert await tier(owner) is STUDIO
    assert answers.reads == 1
    time.now += timedelta(milliseconds=1)
    answers.rules = with_sizes(5)
    assert (await tier(owner)).rendition_sizes == (5,)
    time.now -= timedelta(days=1)
    answers.rules = STUDIO
    assert await tier(owner) is STUDIO


async def test_until_the_news_arrives_the_seeded_rules_hold() -> None:
    answers = Answers()
    answers.rules = None
    tier = GoverningTier(answers, clock=Time())
    assert await tier(None) is SEEDED["anonymous"]
    assert await tier(AccountId(new_id())) is SEEDED["traveller"]


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(governing_tier, "KEPT_OWNERS", 3)
    answers = Answers()
    tier, owners = GoverningTier(answers, clock=Time()), [AccountId(new_id()) for _ in range(4)]
    for owner in owners:
        await tier(owner)
    await tier(owners[3])
    assert answers.reads == 4
    await tier(owners[0])
    assert answers.reads == 5
