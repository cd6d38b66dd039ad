"""The operator's commands in docs/operations.md, against the pods that run them."""

from __future__ import annotations

import re

import pytest

from tests.deploy.composition import ROOT
from tests.deploy.known_settings import WITH_DATABASE, read
from tests.deploy.kustomized import OVERLAYS, build

_PAGE = (ROOT / "docs/operations.md").read_text()
_BUS = "KAPPI_KAFKA_BOOTSTRAP"
_EVENTS = "KAPPI_EVENT_SECRET"
_IDENTITY = "KAPPI_IDENTITY_DATABASE_URL"
_NEEDS = {
    "admin create": {_IDENTITY},
    "keys rotate": {_IDENTITY, "KAPPI_IDENTITY_KEY_SECRET"},
    "tick": {_BUS, _EVENTS},
    "dlq list": {_BUS, _EVENTS},
}


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_have_the_variables_that_the_commands_need(name: str) -> None:
    overlay = build(name)
    pods = {pod.owner.removeprefix("Deployment/"): pod for pod in overlay.services()}
    environments = {deployment: set(overlay.environment(pod.container)) for deployment, pod in pods.items()}
    for command, needed in _NEEDS.items():
        [deployment] = re.findall(rf"^\| `kappi {command}[^|]*\|[^|]*\| `([a-z-]+)` \|", _PAGE, re.MULTILINE)
        assert needed <= environments[deployment], command
    [relays] = re.findall(r"^\$ for pod in (.*); do$", _PAGE, re.MULTILINE)
    replayed = {
        service
        for service in WITH_DATABASE
        for deployment in relays.split()
        if {_BUS, f"KAPPI_{service.upper()}_DATABASE_URL"} <= environments[deployment]
    }
    assert replayed == WITH_DATABASE
    for deployment in relays.split():
        pod = pods[deployment]
        assert "relay" in read(pod.service, overlay.environment(pod.container)).roles
