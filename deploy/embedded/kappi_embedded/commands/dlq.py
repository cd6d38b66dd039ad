"""`kappi dlq`: lists records that could not be handled, and sends them back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.errors import KafkaError
from kappi_chassis.bus import Producer
from kappi_chassis.bus.dead_letters import DeadLetter, DeadLetterAdmin

from kappi_embedded.commands.terminal import fail, out, plural
from kappi_embedded.stack import NotRunning, Stack, find_stack

_LONGEST_ERROR = 120


def list_letters(*, include_replayed: bool, environ: Mapping[str, str]) -> int:
    """Prints the dead letters. Returns the exit status: 1 while there are unreplayed letters, for scripts."""
    try:
        letters = asyncio.run(_letters(find_stack(environ), _foreign(environ)))
    except NotRunning as error:
        return fail(str(error))
    except (KafkaError, OSError, TimeoutError) as error:
        return fail(f"the broker does not answer: {error}")
    waiting = [letter for letter in letters if letter.authentic and not letter.replayed]
    foreign = sum(not letter.authentic for letter in letters)
    shown = [letter for letter in letters if letter.authentic] if include_replayed else waiting
    for letter in shown:
        _print(letter)
    out.print(
        f"{plural(len(waiting), 'dead letter')}."
        + (" `kappi dlq replay` sends them back." if waiting else "")
        + (f" {foreign} more without a MAC of this deployment: they are not sent back." if foreign else "")
    )
    return 1 if waiting else 0


def replay_letters(*, environ: Mapping[str, str]) -> int:
    """Sends the dead letters back. Returns the exit status."""
    try:
        count = asyncio.run(_replay(find_stack(environ), _foreign(environ)))
    except NotRunning as error:
        return fail(str(error))
    except (KafkaError, OSError, TimeoutError) as error:
        return fail(f"the broker does not answer: {error}")
    out.print(f"{plural(count, 'dead letter')} sent back.")
    return 0


def _foreign(environ: Mapping[str, str]) -> list[str]:
    """Returns the topics that an object store writes to in its own format."""
    topic = environ.get("KAPPI_MEDIA_STORE_EVENTS_TOPIC")
    return [topic] if topic else []


async def _letters(stack: Stack, foreign: Sequence[str]) -> list[DeadLetter]:
    async with DeadLetterAdmin(stack.connection, foreign=foreign) as admin:
        return [letter async for letter in admin.letters()]


async def _replay(stack: Stack, foreign: Sequence[str]) -> int:
    producer = Producer(stack.connection, source="/operator")
    try:
        async with DeadLetterAdmin(stack.connection, foreign=foreign) as admin:
            return await admin.replay(producer)
    finally:
        await producer.close()


def _print(letter: DeadLetter) -> None:
    """Prints a letter in two lines, which a narrow terminal wraps."""
    key = (letter.key or b"").decode(errors="replace")
    where = f"{letter.why('topic')} {letter.why('partition')}/{letter.why('offset')}"
    replayed = ", replayed" if letter.replayed else ""
    out.print(
        f"{where}, key {key}, group {letter.why('group')}, {letter.why('failed_at')[:19]}{replayed}",
        markup=False,
    )
    out.print(f"  {letter.why('error_type')}: {letter.why('error')}"[:_LONGEST_ERROR], markup=False)
