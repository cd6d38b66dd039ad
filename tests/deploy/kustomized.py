"""Reads the resources that `kubectl apply -k` would send, and the environment of their containers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kappi_contracts.kafka_access import USERS, username
from kappi_contracts.services import DATABASES

from tests.deploy.composition import ROOT
from tests.deploy.documents import documents
from tests.deploy.tools import deploy_tool

K8S = ROOT / "deploy/k8s"
OVERLAYS = ("dev", "production", "aws")
Manifest = dict[str, Any]

# Secrets that operators create (CloudNativePG, Strimzi), or the administrators of other databases and Kafkas.
_MADE_ELSEWHERE: Mapping[str, Mapping[str, str]] = {
    **{
        f"{service}-database-app": {"uri": f"postgresql://{service}:given@db.example:5432/{service}"}
        for service in DATABASES
    },
    **{username(user): {"password": "given"} for user in USERS},
}


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod template. owner: `Deployment/media-api`."""

    owner: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def runs_kappi(self) -> bool:
        return self.labels.get("app.kubernetes.io/part-of") == "kappi"

    @property
    def service(self) -> str:
        return self.labels["app.kubernetes.io/name"]

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def container(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.spec["containers"][0]
        return found


@dataclass(frozen=True, slots=True)
class Overlay:
    """One built overlay. secrets: by name, those that `make-secrets` printed and those made elsewhere."""

    name: str
    text: str
    manifests: tuple[Manifest, ...]
    secrets: Mapping[str, Mapping[str, str]]

    def of_kind(self, kind: str) -> dict[str, Manifest]:
        """Returns the resources by name."""
        return {each["metadata"]["name"]: each for each in self.manifests if each["kind"] == kind}

    def pods(self) -> Iterator[Pod]:
        for each in self.manifests:
            template = {
                "Deployment": lambda spec: spec["template"],
                "StatefulSet": lambda spec: spec["template"],
                "Job": lambda spec: spec["template"],
                "CronJob": lambda spec: spec["jobTemplate"]["spec"]["template"],
            }.get(each["kind"])
            if template is not None:
                found = template(each["spec"])
                name = f"{each['kind']}/{each['metadata']['name']}"
                yield Pod(owner=name, labels=found["metadata"]["labels"], spec=found["spec"])

    def kappi_pods(self) -> list[Pod]:
        return [pod for pod in self.pods() if pod.runs_kappi]

    def services(self) -> list[Pod]:
        """Returns the pods that run a Kappi service."""
        return [pod for pod in self.kappi_pods() if pod.owner.startswith("Deployment/")]

    def environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        """Returns the environment of a container. Raises LookupError for a reference to a missing key."""
        environment: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                environment |= self.config_map(source["configMapRef"]["name"])
            elif source["secretRef"]["name"] in self.secrets or not source["secretRef"].get("optional"):
                environment |= self.secrets[source["secretRef"]["name"]]
        for entry in container.get("env", ()):
            if "value" in entry:
                environment[entry["name"]] = entry["value"]
            else:
                reference = entry["valueFrom"]["secretKeyRef"]
                environment[entry["name"]] = self.secrets[reference["name"]][reference["key"]]
        return environment

    def config_map(self, name: str) -> dict[str, str]:
        return dict(self.of_kind("ConfigMap")[name].get("data") or {})


def build(name: str) -> Overlay:
    """Runs kustomize, and `make-secrets` for the overlay."""
    text = subprocess.run(
        [deploy_tool("kustomize"), "build", K8S / "overlays" / name],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    printed = subprocess.run(
        [K8S / "make-secrets", name],
        env={**os.environ, "KUBECTL": "no-cluster-here"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    made = {
        each["metadata"]["name"]: each["stringData"]
        for each in documents(printed)
        if each["kind"] == "Secret"
    }
    return Overlay(
        name=name,
        text=text,
        manifests=tuple(documents(text)),
        secrets={**_MADE_ELSEWHERE, **made},
    )


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Returns whether a label selector selects these labels; an empty one selects everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "In", "the only operator in use here"
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True
