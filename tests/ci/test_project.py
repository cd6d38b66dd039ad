"""Version and licence are the same in all places that name them."""

from __future__ import annotations

import json
import re
import tomllib
from email import message_from_bytes
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from kappi_contracts.topics import BY_CE_TYPE

_ROOT = Path(__file__).parents[2]
_VERSION: str = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"]
_PACKAGES = sorted(
    path.parent
    for folder in ("libs", "services", "deploy", "clients")
    for path in _ROOT.glob(f"{folder}/*/pyproject.toml")
)


@pytest.mark.parametrize("package", _PACKAGES, ids=lambda path: path.name)
def test_a_wheel_has_the_version_and_the_licence(package: Path, tmp_path: Path) -> None:
    (wheel,) = map(Path, WheelBuilder(str(package)).build(directory=str(tmp_path), versions=["standard"]))
    with ZipFile(wheel) as files:
        info = wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info"
        metadata = message_from_bytes(files.read(f"{info}/METADATA"))
        assert files.read(f"{info}/licenses/LICENSE") == (_ROOT / "LICENSE").read_bytes()
    assert metadata["Version"] == _VERSION
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_wheel_of_the_gateway_has_the_built_web_pages(tmp_path: Path) -> None:
    package = _ROOT / "services/gateway"
    (wheel,) = map(Path, WheelBuilder(str(package)).build(directory=str(tmp_path), versions=["standard"]))
    with ZipFile(wheel) as files:
        folder = "kappi_gateway/web/assets/"
        shipped = {name.removeprefix(folder) for name in files.namelist() if name.startswith(folder)}
        chunks = json.loads(files.read(f"{folder}manifest.json")).values()
    built = {file for chunk in chunks for file in (chunk["file"], *chunk.get("css", ()))}
    assert built < shipped
    assert "licences.md" in shipped


def test_the_wheel_of_the_contracts_has_their_documents(tmp_path: Path) -> None:
    package = _ROOT / "libs/contracts"
    (wheel,) = map(Path, WheelBuilder(str(package)).build(directory=str(tmp_path), versions=["standard"]))
    with ZipFile(wheel) as files:
        folder = "kappi_contracts/documents/"
        shipped = {name for name in files.namelist() if name.startswith(folder)}
        asyncapi = json.loads(files.read(f"{folder}asyncapi.json"))
    wanted = {
        f"{folder}{kind}/{version.document_name()}.json"
        for kind in ("schemas", "examples")
        for version in BY_CE_TYPE.values()
    }
    assert shipped == {f"{folder}asyncapi.json", *wanted}
    assert asyncapi["info"]["version"] == _VERSION, "run `make docs`"


def test_the_released_contracts_are_those_of_this_version() -> None:
    released = json.loads((_ROOT / "libs/contracts/released/topics.json").read_text())
    assert released["release"] == _VERSION, "run `make released`, as a step of the release"


def test_the_installed_packages_have_this_version() -> None:
    assert version("kappi-chassis") == _VERSION, "run `make install`"


def test_the_changelog_begins_with_this_version() -> None:
    changelog = (_ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert releases[0] == _VERSION
    assert len(releases) > 1


def test_images_are_labelled_with_this_version() -> None:
    dockerfile = (_ROOT / "deploy/docker/Dockerfile").read_text()
    assert re.findall(r"^ARG VERSION=(\S+)", dockerfile, re.MULTILINE) == [_VERSION]


def test_clusters_run_the_image_of_this_version() -> None:
    overlays = [path.read_text() for path in _ROOT.glob("deploy/k8s/overlays/*/kustomization.yaml")]
    tags = [tag for text in overlays for tag in re.findall(r"newTag: ([\w.]+)", text)]
    assert {tag for tag in tags if tag[0].isdigit()} == {_VERSION}
