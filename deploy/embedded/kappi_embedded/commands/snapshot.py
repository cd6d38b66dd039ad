"""`kappi snapshot`: sends the current state of accounts, galleries and items to their snapshot topics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

from kappi_chassis.bus import Producer
from kappi_chassis.outbox.snapshot import FIRST, ReadPage, SnapshotInterrupted, publish_snapshots
from kappi_galleries.repository.snapshots import galleries_after
from kappi_identity.repository.snapshots import accounts_after
from kappi_media.repository.snapshots import media_after

from kappi_embedded.commands.terminal import fail, out, plural
from kappi_embedded.stack import NotRunning, Stack, find_database, find_stack

_READ_PAGE: Mapping[str, ReadPage] = MappingProxyType(
    {"identity": accounts_after, "galleries": galleries_after, "media": media_after}
)


class BadChoice(ValueError):
    """The services and the id do not fit together; the message says why."""


def snapshot(*, services: Sequence[str], after: str | None, rate: int, environ: Mapping[str, str]) -> int:
    """Sends snapshots. Returns the exit status.

    services: default all whose database is known. after: the id after which to go on, of one service. rate:
    records per second.
    """
    try:
        stack = find_stack(environ)
        chosen = _chosen(stack, services, environ)
        start = _id(after, chosen)
    except (NotRunning, BadChoice) as error:
        return fail(str(error))
    for service, url in chosen.items():
        try:
            count = asyncio.run(_publish(stack, service, url, after=start, rate=rate))
        except SnapshotInterrupted as error:
            return fail(
                f"{service}: interrupted: {error}. To go on: "
                f"kappi snapshot --service {service} --after {error.after}"
            )
        out.print(f"{service}: {plural(count, 'snapshot')} sent")
    return 0


async def _publish(stack: Stack, service: str, url: str, *, after: UUID, rate: int) -> int:
    producer = Producer(stack.connection, source=f"/{service}")
    try:
        return await publish_snapshots(url, producer, _READ_PAGE[service], after=after, rate=rate)
    finally:
        await producer.close()


def _chosen(stack: Stack, services: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the URL of each service's database. Raises BadChoice, NotRunning."""
    for name in services:
        if name not in _READ_PAGE:
            raise BadChoice(f"there is no snapshot of {name!r}; there are: {', '.join(_READ_PAGE)}")
    known = {name: url for name, url in stack.databases.items() if name in _READ_PAGE}
    if not services and not known:
        raise BadChoice("no database is known: set KAPPI_<SERVICE>_DATABASE_URL")
    return {name: find_database(environ, name) for name in services} if services else known


def _id(after: str | None, chosen: Mapping[str, str]) -> UUID:
    if after is None:
        return FIRST
    if len(chosen) != 1:
        raise BadChoice("--after is an id of one service: name it with --service")
    try:
        return UUID(after)
    except ValueError as error:
        raise BadChoice(f"{after!r} is no id") from error
