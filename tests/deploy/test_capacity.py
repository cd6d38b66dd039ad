"""The capacities in the manifests suffice for the largest load that the manifests allow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kappi_chassis.settings import DatabaseSettings
from kappi_media.fair_places import SPARE
from kappi_media.main import FINDER_MEMORY_BYTES
from kappi_media.settings import MediaSettings

from tests.deploy.known_settings import WITH_DATABASE, read
from tests.deploy.kustomized import OVERLAYS, Overlay, Pod, build

_OPERATORS_COMMANDS = 20  # connections
_SERVICE_BYTES = 768 << 20  # archives, posted files and the service itself


@pytest.fixture(scope="module")
def production() -> Overlay:
    return build("production")


@pytest.mark.parametrize("service", sorted(WITH_DATABASE))
def test_a_database_accepts_connections_of_all_possible_pods(service: str, production: Overlay) -> None:
    parameters = production.of_kind("Cluster")[f"{service}-database"]["spec"]["postgresql"]["parameters"]
    most = sum(
        (_most(production, pod) + _more_during_a_release(production, pod)) * _connections(production, pod)
        for pod in production.services()
        if pod.service == service
    )
    assert most + _OPERATORS_COMMANDS <= int(parameters["max_connections"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_pod_has_memory_for_its_decoders_and_its_service(name: str) -> None:
    overlay = build(name)
    decoding = [pod for pod in overlay.services() if pod.service == "media" and pod.component != "relay"]
    assert decoding
    for pod in decoding:
        settings = read("media", overlay.environment(pod.container))
        assert isinstance(settings, MediaSettings)
        process_bytes = settings.decoder_memory_bytes
        if "api" in settings.roles:  # only the API looks up places
            process_bytes += FINDER_MEMORY_BYTES
        limit = pod.container["resources"]["limits"]["memory"]
        needed = (settings.decoder_processes + SPARE) * process_bytes + _SERVICE_BYTES
        assert needed <= int(limit.removesuffix("Mi")) << 20, pod.owner


def _connections(overlay: Overlay, pod: Pod) -> int:
    settings = read(pod.service, overlay.environment(pod.container))
    assert isinstance(settings, DatabaseSettings)
    relay_and_housekeeping = 2 if "relay" in settings.roles else 0
    return 2 * settings.database_pool_size + relay_and_housekeeping


def _most(overlay: Overlay, pod: Pod) -> int:
    deployment = pod.owner.removeprefix("Deployment/")
    scaled = list(_maxima(overlay, deployment))
    return max(scaled) if scaled else int(overlay.of_kind("Deployment")[deployment]["spec"]["replicas"])


def _more_during_a_release(overlay: Overlay, pod: Pod) -> int:
    deployment = overlay.of_kind("Deployment")[pod.owner.removeprefix("Deployment/")]
    return int(deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"])


def _maxima(overlay: Overlay, deployment: str) -> Iterator[int]:
    for kind, field in (("HorizontalPodAutoscaler", "maxReplicas"), ("ScaledObject", "maxReplicaCount")):
        for each in overlay.of_kind(kind).values():
            if each["spec"]["scaleTargetRef"]["name"] == deployment:
                yield int(each["spec"][field])
