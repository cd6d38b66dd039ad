"""The corpus, made once per run and shared by the processes that pytest-xdist runs tests in."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kappi_testkit.media.corpus.files import MADE, make_corpus, photographs
from kappi_testkit.media.corpus.oracles import Reading, read_with_tools


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Mapping[str, Path]:
    """Returns every file by name. Skips if a program that makes one is missing."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "corpus"
    _once(folder, lambda: make_corpus(folder))
    return {**{name: folder / name for name in MADE}, **photographs()}


@pytest.fixture(scope="session")
def readings(corpus: Mapping[str, Path]) -> Mapping[str, Reading]:
    """Returns what the tools read in each file."""
    kept = next(iter(corpus.values())).parent / "readings.json"

    def read() -> None:
        found = read_with_tools(list(corpus.values()))
        kept.write_bytes(msgspec.json.encode({path.name: reading for path, reading in found.items()}))

    _once(kept.with_suffix(".done"), read)
    return msgspec.json.decode(kept.read_bytes(), type=dict[str, Reading])


def _once(folder: Path, make: Callable[[], Any]) -> None:
    """Run `make` once. If another process runs it, wait for that."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".done").exists():
            make()
            (folder / ".done").touch()
