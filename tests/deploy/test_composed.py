"""docker-compose.yml's environment gives a working system on a real PostgreSQL, Kafka and SeaweedFS."""

from __future__ import annotations

from pathlib import Path

import pytest
from kappi_testkit.plugin import server_plan

from tests.deploy.composed import InVenv, composed
from tests.deploy.composition import Container
from tests.deploy.journey import check_journey
from tests.deploy.tools import deploy_tool

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.timeout(600)
async def test_the_composed_system_works(
    composition: dict[str, Container], secrets_made: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if server_plan(pytestconfig).kafka != "java":
        pytest.skip("no Apache Kafka to start with settings of our own (make real-servers)")
    deploy_tool("weed")
    with composed(composition, runner=InVenv(), secrets=secrets_made, folder=tmp_path) as system:
        await check_journey(system)
        assert set(system.stop().values()) == {0}
