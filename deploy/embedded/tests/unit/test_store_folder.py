from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path

import pytest
from kappi_chassis.storage import StorageUnavailable
from kappi_chassis.storage.local import LocalObjectStore
from kappi_embedded.console import Console
from kappi_embedded.store_folder import prepare_store_folder


async def test_objects_of_an_older_version_become_plain_files_and_this_is_reported(tmp_path: Path) -> None:
    old = tmp_path / "objects" / "posts" / "original%."
    old.parent.mkdir(parents=True)
    told = {"content_type": "image/png", "etag": "a" * 32, "sha256": None}
    old.write_bytes(b"picture" + (b"kappi-object-1\n" + json.dumps(told).encode()).ljust(1024))
    said = io.StringIO()
    await prepare_store_folder(tmp_path, Console(said))
    assert "files so far: 1" in said.getvalue()
    assert (tmp_path / "files" / "posts" / "original%.").read_bytes() == b"picture"
    store = LocalObjectStore(tmp_path)
    await store.ready()
    assert (await store.head("posts/original")).content_type == "image/png"
    await store.close()


async def test_a_folder_of_this_version_is_unchanged(tmp_path: Path) -> None:
    said = io.StringIO()
    await prepare_store_folder(tmp_path, Console(said))
    assert said.getvalue() == ""
    assert os.listdir(tmp_path) == []


async def test_a_file_system_without_attributes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(StorageUnavailable, match="no extended attributes"):
        await prepare_store_folder(tmp_path, Console(io.StringIO()))
