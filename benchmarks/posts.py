"""`python -m benchmarks.posts [--posts N] [--comments N] [--seconds S]`: measures posts through the gateway.

Posts and comments are loaded by COPY, some posts with many more comments than others. Pages of the list and
new comments are requested together at 100 a second each. Then comments are sent at twenty times 100,000 an
hour, after which every count is compared with its comments. The load generator shares the machine with the
stack.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import uvloop
from kappi_galleries.repository import comments as comment_statements
from kappi_galleries.repository import posts as post_statements
from kappi_testkit.stack import GENEROUS, EmbeddedStack

from benchmarks.accounts import Account
from benchmarks.footprint import stack_pids
from benchmarks.load import MakeRequest, Outcome, closed_loop, fixed_rate, request
from benchmarks.row import Row
from benchmarks.scenarios import row
from benchmarks.world import Endpoint, World

RATE: Final = 100
FORECAST_PER_S: Final = 100_000 / 3_600
ACCOUNTS: Final = 50
CURSORS: Final = 40
SETTINGS: Final = {
    **GENEROUS,
    "KAPPI_GATEWAY_COMMENT_BURST": "1000000000",
    "KAPPI_EMBEDDED_DURABLE": "1",
    "KAPPI_LOG_LEVEL": "WARNING",
}
_TEXT: Final = "A comment of usual length"
AUTHORS: Final = 10_000
_FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)


async def load(url: str, accounts: list[UUID], *, posts: int, comments: int) -> list[UUID]:
    """Fills the galleries database and returns the posts' ids.

    The k-th post has a number of comments in proportion to 1/k.
    """
    chooser = random.Random(posts)
    ids = [_id(chooser, number) for number in range(posts)]
    authors = [*accounts, *(_id(chooser, number) for number in range(AUTHORS))]
    counts = _comment_counts(chooser, posts=posts, comments=comments)
    connection = await asyncpg.connect(url, command_timeout=3_600)
    try:
        await connection.executemany(
            "INSERT INTO authors (account_id, display_name, named_at) VALUES ($1, 'Ada', $2)"
            " ON CONFLICT DO NOTHING",
            [(account, _FIRST) for account in authors],
        )
        await connection.copy_records_to_table(
            "posts",
            columns=["id", "author_id", "state", "caption", "created_at", "version", "comment_count"],
            records=(
                (post, chooser.choice(accounts), "live", f"Post {number}", _FIRST, count + 1, count)
                for number, (post, count) in enumerate(zip(ids, counts, strict=True))
            ),
        )
        commented = (post for post, count in zip(ids, counts, strict=True) for _ in range(count))
        await connection.copy_records_to_table(
            "comments",
            columns=["id", "post_id", "author_id", "text", "created_at"],
            records=(
                (_id(chooser, number), post, chooser.choice(authors), _TEXT, _FIRST)
                for number, post in enumerate(commented)
            ),
        )
        for table in ("posts", "comments", "authors"):
            await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()
    return ids


def _comment_counts(chooser: random.Random, *, posts: int, comments: int) -> list[int]:
    weights = [1 / (rank + 1) for rank in range(posts)]
    counts = [int(comments * weight / sum(weights)) for weight in weights]
    counts[0] += comments - sum(counts)
    chooser.shuffle(counts)
    return counts


async def measure(stack: EmbeddedStack, options: argparse.Namespace) -> list[Row]:
    services = {name: Endpoint("127.0.0.1", found.port) for name, found in stack.note.services.items()}
    pids = partial(stack_pids, stack.note)
    rows: list[Row] = []
    gateway = Endpoint("127.0.0.1", stack.port)
    async with World(gateway, services, introduction=stack.introduction, pids=pids) as world:
        accounts = [await Account.sign_up(world) for _ in range(ACCOUNTS)]
        url = stack.database_url("galleries")
        ids = await load(
            url, [account.id for account in accounts], posts=options.posts, comments=options.comments
        )
        print(f"{options.posts:,} posts, {options.comments:,} comments; per second, p50 and p99 ms, failed")
        pages, writes = await _pages(world), _comments(world, accounts, ids)
        async for found in _rows(world, accounts, pages=pages, writes=writes, options=options):
            rows.append(found)
            print(
                f"{found.scenario:<34} {found.load:<18} {found.per_second:>9,.1f} {found.p50_ms:>8.2f}"
                f" {found.p99_ms:>8.2f} {found.failed:>6}  {found.note}",
                flush=True,
            )
        wrong = await _wrong_counts(url)
        print(f"posts whose count is not the number of their comments: {wrong}")
        await _print_plans(url, ids)
    return rows


async def _rows(
    world: World,
    accounts: list[Account],
    *,
    pages: MakeRequest,
    writes: MakeRequest,
    options: argparse.Namespace,
) -> AsyncIterator[Row]:
    """Yields a row for each load: pages and comments together, each alone, then very many comments."""
    together = f"{RATE}/s each"
    listed, added = await asyncio.gather(
        _paced(world, pages, per_second=RATE, seconds=options.seconds),
        _paced(world, writes, per_second=RATE, seconds=options.seconds),
    )
    yield row("list of posts", "gateway", together, listed, expected=200)
    yield row("new comment", "gateway", together, added, expected=201)
    gateway = world.gateway
    for connections in (1, 16):
        for name, make, expected in (("list of posts", pages, 200), ("new comment", writes, 201)):
            await _log_in(accounts)
            outcome = await closed_loop(gateway.host, gateway.port, make, connections=connections, seconds=4)
            yield row(name, "gateway", f"{connections} conn", outcome, expected=expected)
    many = 20 * FORECAST_PER_S
    await _log_in(accounts)
    outcome = await _paced(world, writes, per_second=many, seconds=options.storm)
    yield row("new comment", "gateway", f"{many:.0f}/s", outcome, expected=201)


async def _log_in(accounts: list[Account]) -> None:
    for account in accounts:
        await account.log_in()


async def _pages(world: World) -> MakeRequest:
    """Returns requests for first and later pages, as many readers would send them."""
    paths = ["/v1/posts"]
    while len(paths) < CURSORS:
        page = await world.ask("GET", world.gateway.url + paths[-1])
        if page["next_cursor"] is None:
            break
        paths.append(f"/v1/posts?cursor={page['next_cursor']}")
    asks = [request("GET", path, host=world.gateway.authority) for path in paths]
    return lambda number: asks[number % len(asks)]


def _comments(world: World, accounts: list[Account], ids: list[UUID]) -> MakeRequest:
    """Returns comments by many accounts on every post; each fifth is on the same post."""
    body = json.dumps({"text": "Where is this? It looks like the pass above the village."}).encode()

    def make(number: int) -> bytes:
        account = accounts[number % len(accounts)]
        post = ids[0] if number % 5 == 0 else ids[number % len(ids)]
        return request(
            "POST",
            f"/v1/posts/{post}/comments",
            host=world.gateway.authority,
            headers={"content-type": "application/json", **account.headers},
            body=body,
        )

    return make


async def _paced(world: World, make: MakeRequest, *, per_second: float, seconds: float) -> Outcome:
    gateway = world.gateway
    return await fixed_rate(gateway.host, gateway.port, make, per_second=per_second, seconds=seconds)


async def _wrong_counts(url: str) -> int:
    connection = await asyncpg.connect(url, command_timeout=600)
    try:
        wrong: int = await connection.fetchval(
            "SELECT count(*) FROM posts p WHERE comment_count <>"
            " (SELECT count(*) FROM comments c WHERE c.post_id = p.id)"
        )
    finally:
        await connection.close()
    return wrong


async def _print_plans(url: str, ids: list[UUID]) -> None:
    """Prints PostgreSQL's plans of the statements of these calls."""
    connection = await asyncpg.connect(url)
    try:
        snapshot = await connection.fetchval("SELECT pg_current_snapshot()::text")
        middle = await connection.fetchrow(
            "SELECT comment_count, id FROM posts ORDER BY comment_count DESC, id DESC OFFSET $1 LIMIT 1",
            len(ids) // 2,
        )
        for name, statement, arguments in (
            ("first page", post_statements._FIRST_PAGE, (21,)),
            ("page in the middle", post_statements._NEXT_PAGE, (21, middle[0], middle[1], snapshot)),
            ("comments of the busiest post", comment_statements._PAGE, (ids[0], None, 21)),
        ):
            plan: list[Any] = await connection.fetch(
                f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY ON) {statement}", *arguments
            )
            print(f"\n{name}\n" + "\n".join(line[0] for line in plan))
    finally:
        await connection.close()


def _id(chooser: random.Random, number: int) -> UUID:
    """Returns a UUIDv7, one millisecond after the one before it."""
    instant = int((_FIRST + timedelta(milliseconds=number)).timestamp() * 1000)
    return UUID(
        int=instant << 80 | 7 << 76 | chooser.getrandbits(12) << 64 | 2 << 62 | chooser.getrandbits(62)
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.posts", description=__doc__)
    parser.add_argument("--posts", type=int, default=1_000)
    parser.add_argument("--comments", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="of pages and comments together")
    parser.add_argument("--storm", type=float, default=60.0, help="seconds of very many comments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder:
        stack = EmbeddedStack(Path(folder) / "data", settings=SETTINGS)
        stack.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                rows = runner.run(measure(stack, options))
        finally:
            stack.stop()
    print("\n" + msgspec.json.encode([found.as_dict() for found in rows]).decode())
    return 1 if any(found.failed for found in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
