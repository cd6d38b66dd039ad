"""Packages that are installed elsewhere have the tested versions: `make lock` writes all locks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.composition import ROOT

_IMAGE = ROOT / "deploy/docker/requirements.lock"
_SLIM = ROOT / "deploy/docker/slim.lock"
_OPTIONAL = {"boto3", "botocore", "jmespath", "s3transfer"}
"""Packages of the object store, which the chassis imports only to open an S3."""
_LOCKS = (
    _IMAGE,
    _SLIM,
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


_COMMANDS = ("acls", "admin", "dlq", "doctor", "keys", "replay", "tick")
_IN_SLIM = (
    *(f"kappi_{service}.main" for service in ("gateway", "identity", "galleries")),
    *(f"kappi_{service}.models" for service in ("identity", "galleries", "media", "janitor")),
    "kappi_chassis.db.migrate",
    "kappi_chassis.bus.create_topics",
    *(f"kappi_embedded.commands.{name}" for name in _COMMANDS),
)
_IMPORTED = """
import importlib, importlib.metadata, json, re, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
owners = importlib.metadata.packages_distributions()
found = {name for module in set(sys.modules) - before for name in owners.get(module.partition(".")[0], ())}
normal = {re.sub(r"[-_.]+", "-", name).lower() for name in found}
print(json.dumps(sorted(name for name in normal if not name.startswith("kappi-"))))
"""


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
    assert pins(_SLIM) < pins(_IMAGE)


@pytest.mark.parametrize("module", _IN_SLIM)
def test_the_slim_image_has_all_that_its_programs_import(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED, module], capture_output=True, text=True, check=True
    )
    missing = set(json.loads(done.stdout)) - {name for name, _ in pins(_SLIM)}
    assert missing == set()


def test_services_of_the_slim_image_depend_on_nothing_else() -> None:
    for service in ("gateway", "identity", "galleries"):
        package = tomllib.loads((ROOT / f"services/{service}/pyproject.toml").read_text())
        chassis = tomllib.loads((ROOT / "libs/chassis/pyproject.toml").read_text())
        wanted = [*package["project"]["dependencies"], *chassis["project"]["dependencies"]]
        names = {re.split(r"[\[>=<~!; ]", each, maxsplit=1)[0].lower() for each in wanted}
        third_party = {name for name in names if not name.startswith("kappi-")}
        assert third_party - {name for name, _ in pins(_SLIM)} <= _OPTIONAL


@pytest.mark.parametrize("lock", _LOCKS, ids=lambda path: path.name)
def test_every_package_is_pinned_by_hash_without_an_index_address(lock: Path) -> None:
    text = lock.read_text()
    assert pins(lock)
    assert len(re.findall(r"^[a-z0-9][^\n]*==[^\n]*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(
        re.findall(r"^[a-z0-9]", text, re.MULTILINE)
    )
    assert "://" not in text
    assert "index-url" not in text
