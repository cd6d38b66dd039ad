"""One client sends what is cheap to send and dear to answer, or opens connections and says nothing."""

from __future__ import annotations

import asyncio

from tests.e2e.bystander import assert_unharmed, bystander
from tests.e2e.stacks import StackUnderTest


async def test_nothing(own_stack: StackUnderTest) -> None:
    async with bystander(own_stack) as other:
        before = await other.for_a_while(3)
        during = await other.beside(asyncio.sleep(100), 3)
    assert_unharmed(before, during)
