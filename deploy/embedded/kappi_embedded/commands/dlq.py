"""`kappi dlq`: lists records that could not be handled, shows them, sends them back, discards them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka.errors import KafkaError
from kappi_chassis.bus import Producer
from kappi_chassis.bus.dead_letters import Chosen, DeadLetter, DeadLetterAdmin, Outcome
from kappi_chassis.bus.handled_letters import MarksFull
from kappi_contracts.topics import TOPICS

from kappi_embedded.commands.terminal import fail, out, plural
from kappi_embedded.replaying import UnknownTopic
from kappi_embedded.stack import NotRunning, Stack, find_stack

Show = Callable[[DeadLetter], None]


def list_letters(
    *,
    topics: Sequence[str],
    groups: Sequence[str],
    everything: bool,
    show: Show,
    environ: Mapping[str, str],
) -> int:
    """Prints dead letters. Returns the exit status: 1 while there are waiting ones, for scripts.

    everything: also handled letters, and those without a MAC of this deployment. show: `print_as_text` or
    `print_as_json`.
    """

    async def work(stack: Stack, foreign: Sequence[str]) -> int:
        chosen = Chosen(topics=_known(topics, foreign), groups=frozenset(groups))
        waiting = strange = 0
        async with DeadLetterAdmin(stack.connection, foreign=foreign) as admin:
            async for letter in admin.letters(chosen):
                waits = letter.authentic and not letter.handled
                waiting += waits
                strange += not letter.authentic and not letter.handled
                if waits or everything:
                    show(letter)
        if show is print_as_text:
            out.print(_summary(waiting, strange))
        return 1 if waiting else 0

    return _run(work, environ)


def show_letters(ids: Sequence[str], *, show: Show, environ: Mapping[str, str]) -> int:
    """Prints letters whole. show: `print_whole` or `print_whole_as_json`. Returns the exit status."""

    async def work(stack: Stack, foreign: Sequence[str]) -> int:
        found = 0
        async with DeadLetterAdmin(stack.connection, foreign=foreign) as admin:
            async for letter in admin.letters(Chosen(ids=frozenset(ids))):
                show(letter)
                found += 1
        return 0 if found else _not_found(ids)

    return _run(work, environ)


def replay_letters(
    *, ids: Sequence[str], topics: Sequence[str], groups: Sequence[str], environ: Mapping[str, str]
) -> int:
    """Sends dead letters back, all if nothing is chosen. Returns the exit status."""

    async def work(stack: Stack, foreign: Sequence[str]) -> int:
        chosen = Chosen(ids=frozenset(ids), topics=_known(topics, foreign), groups=frozenset(groups))
        producer = Producer(stack.connection, source="/operator")
        try:
            async with DeadLetterAdmin(stack.connection, foreign=foreign) as admin:
                outcome = await admin.replay(producer, chosen)
        finally:
            await producer.close()
        return _tell(outcome, "sent back", ids)

    return _run(work, environ)


def discard_letters(ids: Sequence[str], *, environ: Mapping[str, str]) -> int:
    """Takes dead letters off the list. Returns the exit status."""

    async def work(stack: Stack, foreign: Sequence[str]) -> int:
        async with DeadLetterAdmin(stack.connection, foreign=foreign) as admin:
            outcome = await admin.discard(Chosen(ids=frozenset(ids)))
        return _tell(outcome, "discarded", ids)

    return _run(work, environ)


def print_as_text(letter: DeadLetter) -> None:
    """Prints a letter in two lines. A terminal gets as much of the error as its second line has room for."""
    state = ", handled" if letter.handled else "" if letter.authentic else ", without a valid MAC"
    _print(
        f"{letter.id}, event {_one_line(letter.event_id or 'unknown')}, key {_text(letter.key)}, "
        f"group {_one_line(letter.why('group'))}, {_one_line(letter.why('failed_at')[:19])}{state}"
    )
    error = f"  {_error(letter)}"
    _print(error[: out.width] if out.is_terminal else error)


def print_as_json(letter: DeadLetter) -> None:
    _print(json.dumps(_facts(letter)))


def print_whole(letter: DeadLetter) -> None:
    print_as_text(letter)
    for name, value in letter.headers:
        _print(f"  {_one_line(name)}: {_text(value)}")
    _print(_content(letter))


def print_whole_as_json(letter: DeadLetter) -> None:
    """Prints a letter with its headers and its content. A content that is not text is in Base64."""
    content: dict[str, Any] = {"value": None}
    if letter.value is not None:
        try:
            content = {"value": letter.value.decode()}
        except UnicodeDecodeError:
            content = {"value_base64": base64.b64encode(letter.value).decode()}
    headers = {name: letter.header(name) for name, _ in letter.headers}
    _print(json.dumps({**_facts(letter), "headers": headers, **content}))


def _print(line: str) -> None:
    out.print(line, markup=False, emoji=False)


def _facts(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "event_id": letter.event_id,
        "topic": letter.event,
        "key": letter.key and letter.key.decode(errors="replace"),
        "group": letter.why("group"),
        "partition": _number(letter.why("partition")),
        "offset": _number(letter.why("offset")),
        "error_type": letter.why("error_type"),
        "error": letter.why("error"),
        "failed_at": letter.why("failed_at"),
        "handled": letter.handled,
        "authentic": letter.authentic,
    }


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _content(letter: DeadLetter) -> str:
    """Returns the content for a reader: JSON with indentation, else the text with escapes."""
    try:
        return json.dumps(json.loads(letter.value or b""), indent=2)
    except ValueError:
        return _text(letter.value)


def _error(letter: DeadLetter) -> str:
    return _one_line(f"{letter.why('error_type')}: {letter.why('error')}")


def _text(value: bytes | None) -> str:
    return "-" if value is None else _one_line(value.decode(errors="backslashreplace"))


def _one_line(text: str) -> str:
    """Returns a text that cannot control a terminal: a letter may have any writer."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _summary(waiting: int, strange: int) -> str:
    return (
        f"{plural(waiting, 'dead letter')}."
        + (" `kappi dlq replay` sends them back." if waiting else "")
        + (f" {strange} more without a MAC of this deployment: they are not sent back." if strange else "")
    )


def _tell(outcome: Outcome, done: str, ids: Sequence[str]) -> int:
    """Prints the outcome. Returns the exit status: 1 if a letter was named and nothing could be done."""
    if ids and not (outcome.done or outcome.before or outcome.foreign):
        return _not_found(ids)
    before = f", {outcome.before} handled before" if ids and outcome.before else ""
    out.print(f"{plural(outcome.done, 'dead letter')} {done}{before}.")
    if ids and outcome.foreign:
        return fail(f"{plural(outcome.foreign, 'letter')} without a MAC of this deployment: not sent back")
    return 0


def _not_found(ids: Sequence[str]) -> int:
    return fail(f"there is no dead letter {' or '.join(ids)}: look with `kappi dlq list --all`")


def _known(topics: Sequence[str], foreign: Sequence[str]) -> frozenset[str]:
    """Returns the topics. Raises UnknownTopic."""
    known = [*sorted(topic.name for topic in TOPICS), *foreign]
    if unknown := [name for name in topics if name not in known]:
        raise UnknownTopic(f"there is no topic {unknown[0]!r}; there are: {', '.join(known)}")
    return frozenset(topics)


def _run(work: Callable[[Stack, Sequence[str]], Awaitable[int]], environ: Mapping[str, str]) -> int:
    """Returns the exit status of the work on the stack that the environment names."""
    topic = environ.get("KAPPI_MEDIA_STORE_EVENTS_TOPIC")  # an object store writes to it in its own format
    foreign = [topic] if topic else []

    async def run() -> int:
        return await work(find_stack(environ), foreign)

    try:
        return asyncio.run(run())
    except (NotRunning, UnknownTopic, MarksFull) as error:
        return fail(str(error))
    except (KafkaError, OSError, TimeoutError) as error:
        return fail(f"the broker does not answer: {error}")
