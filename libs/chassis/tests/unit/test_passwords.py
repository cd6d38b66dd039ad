from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from kappi_chassis.fair_queue import Shares
from kappi_chassis.passwords import NICENESS, Passwords, PasswordsBusy
from kappi_testkit.eventually import eventually

CHEAP = {"time_cost": 1, "memory_kib": 8}
HERE = Shares(address="192.0.2.1")


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    passwords = Passwords(**CHEAP, longest_queue=8, share=8)
    yield passwords
    await passwords.close()


async def test_only_the_password_itself_matches(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse", shares=HERE)

    assert stored.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await passwords.matches("correct horse", stored=stored, shares=HERE)
    assert not await passwords.matches("correct horsf", stored=stored, shares=HERE)
    assert not await passwords.matches("", stored=stored, shares=HERE)
    assert stored != await passwords.hash("correct horse", shares=HERE)


@pytest.mark.parametrize("stored", [None, "", "no hash", "$argon2id$v=19$m=8,t=1,p=1$x$y"])
async def test_a_missing_or_invalid_hash_never_matches(passwords: Passwords, stored: str | None) -> None:
    assert not await passwords.matches("", stored=stored, shares=HERE)


async def test_an_unknown_account_takes_the_same_work(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(
        passwords, "_hasher", type("Spy", (), {"verify": lambda _, stored, __: checked.append(stored)})()
    )
    await passwords.matches("anything", stored=None, shares=HERE)
    (placeholder,) = checked
    assert placeholder.startswith("$argon2id$v=19$m=8,t=1,p=1$")


async def test_other_parameters_make_a_hash_outdated(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse", shares=HERE)
    assert not passwords.is_outdated(stored)

    stronger = Passwords(time_cost=2, memory_kib=8, longest_queue=1, share=1)
    assert stronger.is_outdated(stored)
    assert await stronger.matches("correct horse", stored=stored, shares=HERE)
    await stronger.close()


async def test_the_queue_is_bounded(passwords: Passwords) -> None:
    answers = await asyncio.gather(
        *(passwords.hash("correct horse", shares=HERE) for _ in range(20)), return_exceptions=True
    )

    refused = [answer for answer in answers if isinstance(answer, PasswordsBusy)]
    assert len(refused) == 12
    assert (refused[0].status, refused[0].code, refused[0].headers) == (503, "busy", {"Retry-After": "2"})
    assert isinstance(await passwords.hash("again", shares=HERE), str)


async def test_a_disconnected_client_frees_its_place(passwords: Passwords) -> None:
    leaving = [asyncio.create_task(passwords.hash("correct horse", shares=HERE)) for _ in range(8)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    for task in leaving:
        with suppress(asyncio.CancelledError):
            await task

    hashes = await asyncio.gather(*(passwords.hash("correct horse", shares=HERE) for _ in range(8)))
    assert len(hashes) == 8


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
async def test_only_the_hashing_thread_has_a_lower_priority(passwords: Passwords) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    inside = await asyncio.get_running_loop().run_in_executor(
        passwords._executor, lambda: os.getpriority(os.PRIO_PROCESS, 0)
    )
    assert inside == NICENESS
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


async def test_many_passwords_do_not_block_the_event_loop(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing waits here for an action that only the event loop takes."""
    loop_goes_on = threading.Event()

    class Hasher:
        def hash(self, password: str) -> str:
            assert loop_goes_on.wait(timeout=60)
            return password

    monkeypatch.setattr(passwords, "_hasher", Hasher())
    storm = [asyncio.create_task(passwords.hash(f"{number}", shares=HERE)) for number in range(8)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in storm)
    loop_goes_on.set()
    assert await asyncio.gather(*storm) == [f"{number}" for number in range(8)]


async def test_closing_cancels_waiting_calls() -> None:
    passwords = Passwords(time_cost=2, memory_kib=32_768, longest_queue=4, share=4)
    waiting = [asyncio.create_task(passwords.hash("correct horse", shares=HERE)) for _ in range(4)]
    await asyncio.sleep(0)
    await passwords.close()

    async def settled() -> None:
        assert all(task.done() for task in waiting)

    await eventually(settled)
    assert [task.cancelled() for task in waiting][1:] == [True] * 3
