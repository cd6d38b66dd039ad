"""`kappi snapshot` refuses what it cannot send, and says what there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from kappi_embedded.commands.snapshot import snapshot

_ID = "01936d2e-7c00-7a11-9b5e-2f6c1d0a4b01"
_DATABASES = {
    f"KAPPI_{name}_DATABASE_URL": "postgresql://localhost:1/none"
    for name in ("GALLERIES", "MEDIA", "JANITOR")
}


@pytest.mark.parametrize(
    ("services", "after", "databases", "said"),
    [
        (("janitor",), None, _DATABASES, "there is no snapshot of 'janitor'"),
        (("identity",), None, _DATABASES, "KAPPI_IDENTITY_DATABASE_URL"),
        ((), None, {}, "no database is known"),
        ((), _ID, _DATABASES, "--after is an id of one service"),
        (("media",), "first", _DATABASES, "'first' is no id"),
        (("media",), _ID, _DATABASES, f"kappi snapshot --service media --after {_ID}"),
    ],
)
def test_what_cannot_be_sent_is_explained(
    services: tuple[str, ...],
    after: str | None,
    databases: dict[str, str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environ = {"KAPPI_DATA_DIR": str(tmp_path), "KAPPI_KAFKA_BOOTSTRAP": "localhost:1", **databases}
    assert snapshot(services=services, after=after, rate=1, environ=environ) == 1
    told = capsys.readouterr()
    assert said in " ".join((told.out + told.err).split())
