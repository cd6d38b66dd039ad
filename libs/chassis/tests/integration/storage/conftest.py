from __future__ import annotations

from collections.abc import Iterator

import pytest
from kappi_testkit.servers.local_store import ServedLocalStore, serving_local_store


@pytest.fixture(scope="session")
def served_local_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedLocalStore]:
    """One store per test process; keys of different tests differ."""
    with serving_local_store(tmp_path_factory.mktemp("store")) as served:
        yield served
