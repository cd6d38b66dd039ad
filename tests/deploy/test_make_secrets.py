"""`make-secrets` on a first and on a second run, with a kubectl of the test."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.documents import documents
from tests.deploy.kustomized import K8S, OVERLAYS


def make(*arguments: str, kubectl: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [K8S / "make-secrets", *arguments],
        env={**os.environ, "KUBECTL": str(kubectl)},
        capture_output=True,
        text=True,
        check=False,
    )


def cluster(folder: Path, *secrets: str) -> Path:
    """Returns a kubectl whose cluster has these Secrets in the namespace."""
    program = folder / "kubectl"
    asked = '[ "$*" = "-n kappi get secrets -o name" ] || exit 64'
    listed = "".join(f"echo secret/{name}\n" for name in secrets)
    program.write_text(f"#!/bin/sh\n{asked}\n{listed}")
    program.chmod(0o755)
    return program


def names(printed: str) -> list[str]:
    return [each["metadata"]["name"] for each in documents(printed) if each["kind"] == "Secret"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_first_run_prints_all_secrets_with_and_without_a_cluster(overlay: str, tmp_path: Path) -> None:
    alone = make(overlay, kubectl="there-is-no-kubectl")
    assert alone.returncode == 0
    assert "No cluster was asked" in alone.stderr
    assert {"events", "internal", "identity", "galleries", "media"} <= set(names(alone.stdout))
    # Secrets of operators and of other programs do not matter.
    first = make(overlay, kubectl=cluster(tmp_path, "kappi-tls", "identity-backup", "old-media"))
    assert (first.returncode, first.stderr) == (0, "")
    assert names(first.stdout) == names(alone.stdout)
    assert documents(first.stdout)[0]["kind"] == "Namespace"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_second_run_prints_nothing_that_would_replace_a_secret(overlay: str, tmp_path: Path) -> None:
    again = make(overlay, kubectl=cluster(tmp_path, "kappi-tls", "galleries", "media"))
    assert (again.returncode, again.stdout) == (1, "")
    assert "galleries media" in again.stderr
    assert "kubectl -n kappi delete secret" in again.stderr


def test_named_secrets_are_made_beside_those_that_exist(tmp_path: Path) -> None:
    there = cluster(tmp_path, "identity", "galleries", "media")
    added = make("production", "internal", "events", kubectl=there)
    assert (added.returncode, names(added.stdout)) == (0, ["events", "internal"])
    assert make("production", "events", "media", kubectl=there).returncode == 1
    unknown = make("production", "events", "postgres", kubectl=there)
    assert (unknown.returncode, unknown.stdout) == (2, "")


def test_a_given_value_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPPI_S3_SECRET_KEY", "a\\nb\\c'd")
    [store] = documents(make("production", "store", kubectl="none").stdout)[1:]
    assert store["stringData"]["KAPPI_S3_SECRET_KEY"] == "a\\nb\\c'd"
