"""Packages that are installed elsewhere have the tested versions: `make lock` writes all locks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.deploy.composition import ROOT

_IMAGE = ROOT / "deploy/docker/requirements.lock"
_LOCKS = (
    _IMAGE,
    ROOT / "deploy/docker/build.lock",
    ROOT / ".ci/deploy-tools.lock",
    ROOT / ".ci/docs.lock",
)
_PACKAGES = sorted(
    path
    for folder in ("clients", "libs", "services")
    for path in ROOT.glob(f"{folder}/*/pyproject.toml")
    if path.parent.name != "testkit"  # no image has it
)


def pins(lock: Path) -> set[tuple[str, str]]:
    """Returns (name, version) pairs; a package may have a version for each Python."""
    return set(re.findall(r"^([a-z0-9][a-z0-9.-]*)==([^\s;]+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("package", _PACKAGES, ids=lambda path: path.parent.name)
def test_the_image_has_the_dependencies_of_each_package(package: Path) -> None:
    wanted = tomllib.loads(package.read_text())["project"]["dependencies"]
    names = {re.split(r"[\[>=<~!; ]", each, maxsplit=1)[0].lower() for each in wanted}
    assert {name for name in names if not name.startswith("kappi-")} <= {name for name, _ in pins(_IMAGE)}


def test_the_image_has_the_versions_that_are_tested() -> None:
    assert pins(_IMAGE) <= pins(ROOT / "requirements.lock")


@pytest.mark.parametrize("lock", _LOCKS, ids=lambda path: path.name)
def test_every_package_is_pinned_by_hash_without_an_index_address(lock: Path) -> None:
    text = lock.read_text()
    assert pins(lock)
    assert len(re.findall(r"^[a-z0-9][^\n]*==[^\n]*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(
        re.findall(r"^[a-z0-9]", text, re.MULTILINE)
    )
    assert "://" not in text
    assert "index-url" not in text
