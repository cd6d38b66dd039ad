"""Ten thousand galleries created concurrently: the database guarantees unique codes."""

from __future__ import annotations

import asyncio
import re
from itertools import count

import pytest

from tests.e2e import evidence
from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest

GALLERIES, CLIENTS = 10_000, 16
_CODE = re.compile(r"[abcdefghkmnopqrstuwxyz23456789]{4,}")


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_ten_thousand_galleries_from_sixteen_clients_have_different_codes(
    own_stack: StackUnderTest,
) -> None:
    """The galleries service's own tests show the growth by one character with a tiny alphabet."""
    numbers = count()
    codes: list[str] = []
    keys: set[str] = set()

    async def client() -> None:
        async with Phone(own_stack.base_url) as phone:
            while next(numbers) < GALLERIES:
                gallery = (await phone.ask("POST", "/v1/galleries", json={})).ok(201)
                codes.append(gallery["code"])
                keys.add(gallery["access_key"])

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
    assert len(codes) == len(set(codes)) == len(keys) == GALLERIES
    assert [code for code in codes if not _CODE.fullmatch(code)] == []
    assert {len(code) for code in codes} <= {4, 5}, "a third collision in a row is one in tens of thousands"
    stored = await evidence.ask_database(own_stack, "galleries", "SELECT count(DISTINCT code) FROM galleries")
    assert stored == GALLERIES
    # 30^4 codes: some of ten thousand draws were taken, and each of those codes is longer.
    assert any(len(code) == 5 for code in codes)

    await own_stack.running.wait_idle(timeout_s=180)
    known = await evidence.ask_database(own_stack, "janitor", "SELECT count(*) FROM due_galleries")
    assert known == GALLERIES, "each has its deadline"
