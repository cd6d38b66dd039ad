"""The start-up's view of a service's migrations agrees with Alembic's."""

from __future__ import annotations

import pytest
from kappi_chassis.db.revisions import newest_revisions, versions_folder
from kappi_embedded.plan import WITH_DATABASE, ServiceSpec


@pytest.mark.parametrize("service", WITH_DATABASE, ids=lambda service: service.name)
def test_the_newest_revisions_are_those_of_alembic(service: ServiceSpec) -> None:
    from alembic.script import ScriptDirectory
    from kappi_chassis.db.migrations import alembic_config

    heads = set(ScriptDirectory.from_config(alembic_config(service.package, "postgresql://x/y")).get_heads())
    assert newest_revisions(versions_folder(service.package)) == heads
    assert heads
