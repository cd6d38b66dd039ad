"""The present release continues with the data of earlier ones, and earlier ones with its schema.

What programs of earlier releases need is compared: every column that they know is still there, and a row may
be written without the newer ones. `tests/chaos/test_rolling.py` runs the last release's programs.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest
from kappi_chassis.db.migrate import bring_up_to_date
from kappi_chassis.embedded.postgres import EmbeddedPostgres
from kappi_contracts.services import DATABASES
from kappi_embedded.backups import run
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.servers.databases import DatabaseMaker
from kappi_testkit.stack import GENEROUS, EmbeddedStack, call_kappi

from tests.e2e.accounts import log_in
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest
from tests.upgrade.release_data import HERE, RELEASES

_COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable = 'YES' AS nullable,
  column_default IS NOT NULL OR is_identity = 'YES' AS has_default
FROM information_schema.columns WHERE table_schema = 'public'
"""
_LOAD = {
    "identity": "UPDATE tiers SET version = version + 1",
    "galleries": "UPDATE galleries SET updated_at = now()",
    "media": "UPDATE items SET version = version + 1",
    "janitor": "UPDATE due_galleries SET published = published + 1",
}


class Column(NamedTuple):
    data_type: str
    nullable: bool
    has_default: bool


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
async def test_a_stack_continues_with_the_data_of_a_release(release: str, tmp_path: Path) -> None:
    folder, data = HERE / release, tmp_path / "data"
    data.mkdir(mode=0o700)
    with EmbeddedPostgres(data / "postgres") as server:
        for name in DATABASES:
            await server.create_database(name)
            load(folder, name, server.url(name), tmp_path)
    with tarfile.open(folder / "objects.tar.xz") as archive:
        archive.extractall(data, filter="data")
    facts = json.loads((folder / "facts.json").read_text())
    stack = EmbeddedStack(data, settings=GENEROUS)
    stack.start()
    try:
        async with Phone(stack.base_url) as phone:
            page = (await phone.ask("GET", f"/v1/g/{facts['code']}")).ok()
            assert [item["id"] for item in page["items"]] == facts["items"]
            owner = await log_in(StackUnderTest("embedded", stack), phone, facts["email"], facts["password"])
            for media_id in facts["items"]:
                original = await phone.ask("GET", f"/v1/media/{media_id}/download", headers=owner.key)
                assert (await phone.ask("GET", original.ok()["url"])).status == 200
            gallery = await phone.create_gallery()
            await phone.upload(gallery, File("a.jpg", "image/jpeg", encode(quadrants(80, 60), "JPEG")))
            await phone.until_ready(gallery, 1)
        await stack.wait_idle()
        compared = await asyncio.to_thread(call_kappi, "reconcile", env=stack.env)
        assert compared.returncode == 0, compared.stdout + compared.stderr
    finally:
        stack.stop()


@pytest.mark.integration
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("service", DATABASES)
async def test_a_migration_delays_no_one_and_takes_nothing_away(
    service: str, release: str, make_database: DatabaseMaker, tmp_path: Path
) -> None:
    url: str = make_database(
        f"{service}-{release}", lambda made: load(HERE / release, service, made, tmp_path)
    )
    before = await columns(url)
    async with under_load(url, _LOAD[service]) as statements:
        await asyncio.to_thread(lambda: asyncio.run(bring_up_to_date(f"kappi_{service}", url)))
        while not statements:  # noqa: ASYNC110 - a statement of each worker is enough
            await asyncio.sleep(0.01)
    after = await columns(url)
    for key, column in before.items():
        assert after[key].data_type == column.data_type, key
        assert after[key].nullable or not column.nullable, f"{key}: older programs write NULL"
        assert after[key].has_default or not column.has_default, f"{key}: older programs write no value"
    for key in after.keys() - before.keys():
        is_new_table = key[0] not in {table for table, _ in before}
        assert is_new_table or after[key].nullable or after[key].has_default, f"{key}: unknown to older ones"


def load(folder: Path, name: str, url: str, temporary: Path) -> None:
    plain = temporary / f"{name}.sql"
    plain.write_bytes(lzma.decompress((folder / f"{name}.sql.xz").read_bytes()))
    run("psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--file={plain}", url)


async def columns(url: str) -> dict[tuple[str, str], Column]:
    connection = await asyncpg.connect(url)
    try:
        return {
            (table, column): Column(*facts)
            for table, column, *facts in (tuple(row) for row in await connection.fetch(_COLUMNS))
        }
    finally:
        await connection.close()


@asynccontextmanager
async def under_load(url: str, statement: str) -> AsyncIterator[list[int]]:
    """Repeats a statement as clients do; one that waits for longer than clients would fails the test."""
    done: list[int] = []

    async def repeat() -> None:
        connection = await asyncpg.connect(url, command_timeout=5)
        try:
            while True:
                await connection.execute(statement)
                done.append(1)
        finally:
            await connection.close()

    tasks = [asyncio.create_task(repeat()) for _ in range(3)]
    try:
        yield done
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
