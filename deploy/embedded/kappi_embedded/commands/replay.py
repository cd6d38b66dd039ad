"""`kappi replay`: has the outboxes' events sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg
from aiokafka.errors import KafkaError
from kappi_chassis.clock import utc_now

from kappi_embedded.backlog import BacklogReader
from kappi_embedded.commands.terminal import fail, out, plural
from kappi_embedded.plan import WITH_DATABASE
from kappi_embedded.replaying import BEGINNING, UnknownTopic, owners, replay_paced
from kappi_embedded.stack import NotRunning, Stack, find_stack
from kappi_embedded.time_args import BadMoment, parse_moment

_PUBLISHING = tuple(service.name for service in WITH_DATABASE)


class UnknownService(ValueError):
    """The service has no outbox; the message names those that have one."""


class NoSuchDatabase(ValueError):
    """The address of the database that holds the requested events is not known."""


def replay(
    *, since: str | None, topics: Sequence[str], services: Sequence[str], environ: Mapping[str, str]
) -> int:
    """Replays events. since: RFC 3339 or `-2h`; None: everything kept. Returns the exit status."""
    try:
        moment = parse_moment(since, now=utc_now()) if since is not None else BEGINNING
        stack = find_stack(environ)
        chosen = _chosen(stack, topics=topics, services=services)
        asyncio.run(_replay(stack, moment, chosen))
    except (NotRunning, BadMoment, UnknownTopic, UnknownService, NoSuchDatabase) as error:
        return fail(str(error))
    except (KafkaError, asyncpg.PostgresError, OSError, TimeoutError) as error:
        return fail(f"the broker or a database does not answer: {error}")
    return 0


async def _replay(stack: Stack, since: datetime, chosen: Mapping[str, list[str] | None]) -> None:
    async with BacklogReader(stack.connection, stack.databases) as reader:
        for service, names in chosen.items():
            count = await replay_paced(reader, stack.databases, service=service, since=since, topics=names)
            out.print(f"{service}: {plural(count, 'event')} sent again")


def _chosen(stack: Stack, *, topics: Sequence[str], services: Sequence[str]) -> dict[str, list[str] | None]:
    """Returns the topics by service, None for all of a service.

    Raises UnknownTopic, UnknownService, NoSuchDatabase.
    """
    if unknown := [name for name in services if name not in _PUBLISHING]:
        raise UnknownService(
            f"there is no service {unknown[0]!r} that publishes events; there are: {', '.join(_PUBLISHING)}"
        )
    found: dict[str, list[str] | None] = {}
    if topics:
        found |= {
            service: names for service, names in owners(topics).items() if not services or service in services
        }
    else:
        found |= dict.fromkeys(services or stack.databases)
    for service in found:
        if service not in stack.databases:
            raise NoSuchDatabase(
                f"no database of {service!r} is known (of {', '.join(stack.databases) or 'none'}). "
                f"For a stack elsewhere set KAPPI_{service.upper()}_DATABASE_URL"
            )
    return found
