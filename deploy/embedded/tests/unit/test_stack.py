from __future__ import annotations

import os
from pathlib import Path

import pytest
from kappi_client.galleries import Gallery
from kappi_embedded.commands.share import Links
from kappi_embedded.data_dir import DataDir, RunNote
from kappi_embedded.stack import find_phone_url, find_url

LOCAL, PHONE = "http://localhost:8000", "http://192.0.2.7:8000"
NOTE = RunNote(
    pid=os.getpid(),
    url=LOCAL,
    phone_url=PHONE,
    started_at="2026-01-01T00:00:00+00:00",
    kafka_bootstrap="127.0.0.1:1",
    embedded_broker=True,
    embedded_postgres=True,
    event_secret="a-secret-of-the-events",
    s3_endpoint=None,
)


def test_a_local_stack_has_another_address_for_other_machines(tmp_path: Path) -> None:
    data, environ = DataDir(tmp_path), {"KAPPI_DATA_DIR": str(tmp_path)}
    with data.held():
        data.write_note(NOTE)
        assert (find_url(environ, None), find_phone_url(environ, None)) == (LOCAL, PHONE)
        assert find_phone_url(environ, "kappi.example") is None
        assert find_phone_url({**environ, "KAPPI_URL": "kappi.example"}, None) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"{LOCAL}/g/sato", f"{PHONE}/g/sato"),
        ("https://kappi.example/g/sato", "https://kappi.example/g/sato"),
        ("http://localhost:80001/g/sato", "http://localhost:80001/g/sato"),
        (None, None),
    ],
)
def test_a_printed_link_has_the_address_for_other_machines(url: str | None, shown: str | None) -> None:
    gallery = Gallery("1", "sato", url, None)
    assert Links(LOCAL, PHONE).seen_from_elsewhere(gallery).url == shown
    assert Links(LOCAL, LOCAL).seen_from_elsewhere(gallery).url == url
