"""A database of docker-compose.yml is lost, and the commands of docs/runbooks/restore.md bring it back."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest
from kappi_chassis.embedded.postgres import binaries
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.plugin import server_plan

from tests.deploy.composed import Composed, InVenv, composed
from tests.deploy.composition import ROOT, Container
from tests.deploy.tools import deploy_tool
from tests.e2e.phone import File, Phone

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_IN_POSTGRES = "docker compose exec -T postgres "
_COMMAND = re.compile(r"^ *\$ (.*(?:\n *> .*)*)", re.MULTILINE)


def photo(name: str) -> File:
    return File(f"{name}.jpg", "image/jpeg", encode(quadrants(320 + len(name), 240), "JPEG"))


def command(program: str) -> str:
    """Returns the command of the runbook's section on Compose that runs a program of PostgreSQL."""
    section = (ROOT / "docs/runbooks/restore.md").read_text().partition("## Compose")[2].partition("\n## ")[0]
    commands = [re.sub(r"\\\n *> ", "", each) for each in _COMMAND.findall(section)]
    (found,) = [each for each in commands if each.startswith(_IN_POSTGRES + program)]
    return found.partition(" #")[0]


# The superuser of the image, which the server of the test lacks.
_SUPERUSER = (
    "psql --username=kappi postgres --command=\"CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '$PGPASSWORD'\""
)


def in_postgres(system: Composed, line: str, folder: Path) -> None:
    """Runs a command of the runbook as the container of PostgreSQL would."""
    host, _, port = system.addresses["postgres:5432"].partition(":")
    password = (system.deps.folder / "postgres/password").read_text().strip()
    done = subprocess.run(
        ["sh", "-ec", line.removeprefix(_IN_POSTGRES)],
        cwd=folder,
        env={"PATH": f"{binaries()}:/usr/bin:/bin", "PGHOST": host, "PGPORT": port, "PGPASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def operator(system: Composed, *words: str, status: int = 0) -> str:
    done = await asyncio.to_thread(system.operator, "kappi", *words)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.timeout(600)
async def test_one_database_is_restored(
    composition: dict[str, Container], secrets_made: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if server_plan(pytestconfig).kafka != "java":
        pytest.skip("no Apache Kafka to start with settings of our own (make real-servers)")
    deploy_tool("weed")
    with composed(composition, runner=InVenv(), secrets=secrets_made, folder=tmp_path) as system:
        in_postgres(system, _SUPERUSER, tmp_path)
        async with Phone(system.base_url) as visitor:
            home = await visitor.create_gallery(title="home")
            kept, removed = await visitor.upload(home, photo("a"), photo("bb"))
            await visitor.until_ready(home, 2)
            await operator(system, "reconcile", "--json")
            await asyncio.to_thread(in_postgres, system, command("pg_dump"), tmp_path)
            (await visitor.ask("DELETE", f"/v1/media/{removed}", headers=home.key)).ok(204)
            await visitor.upload(home, photo("ccc"))

            async def changed() -> None:
                items = await visitor.items(home.code)
                assert removed not in {item["id"] for item in items}
                assert len(items) == 2

            await eventually(changed, 30)
            await asyncio.to_thread(system.stop)
            await asyncio.to_thread(in_postgres, system, command("pg_restore"), tmp_path)
            await operator(system, "restored", "media")
            await asyncio.to_thread(system.serve)
            await operator(system, "replay")
            # What was uploaded later has a week: its rows are gone, its objects not yet.
            mended = await operator(system, "reconcile", "--repair", "--yes", status=1)
            assert "1 difference left" in mended
            assert [item["id"] for item in await visitor.items(home.code)] == [kept]
            download = await visitor.ask("GET", f"/v1/media/{kept}/download", headers=home.key)
            assert (await visitor.ask("GET", download.ok()["url"])).status == 200
            await visitor.upload(home, photo("dddd"))
            await visitor.until_ready(home, 2)
