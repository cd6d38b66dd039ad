"""The dashboards are what their code writes, and both stacks load them."""

from __future__ import annotations

import json
import sys

from tests.deploy.composition import ROOT, Container
from tests.deploy.documents import read_document
from tests.deploy.known_settings import SERVICES
from tests.deploy.kustomized import build

FOLDER = ROOT / "deploy/k8s/components/grafana/dashboards"
_PROVISIONING = ROOT / "deploy/grafana/provisioning"

sys.path.insert(0, str(ROOT / "deploy/grafana"))

from dashboards.boards import PAGES, as_json  # noqa: E402 - found by the line above


def test_the_files_are_what_the_code_writes() -> None:
    written = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert written == {f"{page.uid}.json": as_json(page) for page in PAGES}, "make pages"


def test_panels_do_not_overlap_and_each_has_a_query() -> None:
    for path in FOLDER.glob("*.json"):
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(path.read_text())["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert place["x"] + place["w"] <= 24, (path.name, panel["title"])
            assert not cells & taken, (path.name, panel["title"])
            taken |= cells
            assert panel["type"] == "row" or panel["targets"], (path.name, panel["title"])


def test_kubernetes_has_each_in_a_config_map_that_grafana_finds() -> None:
    maps = [
        each
        for each in build("production").of_kind("ConfigMap").values()
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
    ]
    data = {name: text for each in maps for name, text in each["data"].items()}
    assert data == {path.name: path.read_text() for path in FOLDER.glob("*.json")}


def test_compose_provides_them_with_their_sources(composition: dict[str, Container]) -> None:
    mounts = dict(each.split(":")[:2] for each in composition["grafana"].definition["volumes"])
    [provider] = read_document(_PROVISIONING / "dashboards/kappi.yaml")["providers"]
    assert mounts[f"./{FOLDER.relative_to(ROOT)}"] == provider["options"]["path"]
    for source in read_document(_PROVISIONING / "datasources/kappi.yaml")["datasources"]:
        name = source["url"].removeprefix("http://").split(":")[0]
        networks = set(composition[name].definition["networks"])
        assert networks & set(composition["grafana"].definition["networks"]), name


def test_compose_scrapes_every_service(composition: dict[str, Container]) -> None:
    jobs = read_document(ROOT / "deploy/prometheus/prometheus.yaml")["scrape_configs"]
    [kappi] = [job for job in jobs if job["job_name"] == "kappi"]
    targets = {each["labels"]["kappi_service"]: each["targets"] for each in kappi["static_configs"]}
    assert targets == {
        name: [f"{name}:{composition[name].definition['healthcheck']['test'][-1]}"] for name in SERVICES
    }
    for name in SERVICES:
        shared = set(composition[name].definition["networks"]) & set(
            composition["prometheus"].definition["networks"]
        )
        assert shared == {"watched"}, name
