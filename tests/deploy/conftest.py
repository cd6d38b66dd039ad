from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.composition import Container, make_secrets, read_composition, read_env


@pytest.fixture(scope="session")
def secrets_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder in which `make-env` ran."""
    return make_secrets(tmp_path_factory.mktemp("compose"))


@pytest.fixture(scope="session")
def composition(secrets_made: Path) -> dict[str, Container]:
    return read_composition(read_env(secrets_made / ".env"))
