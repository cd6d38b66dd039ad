"""The component gateway-api, beside the Ingress of an overlay."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

from tests.deploy.documents import documents
from tests.deploy.kustomized import K8S, build, selects
from tests.deploy.tools import deploy_tool


def test_the_route_of_the_gateway_api_leads_to_the_gateway(tmp_path: Path) -> None:
    parts = {
        "resources": [os.path.relpath(K8S / "overlays/production", tmp_path)],
        "components": [os.path.relpath(K8S / "components/gateway-api", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(json.dumps({"namespace": "kappi", **parts}))
    manifests = documents(
        subprocess.run(
            [deploy_tool("kustomize"), "build", tmp_path], capture_output=True, text=True, check=True
        ).stdout
    )
    overlay = replace(build("production"), manifests=tuple(manifests))
    route = overlay.of_kind("HTTPRoute")["gateway"]["spec"]
    ingress = overlay.of_kind("Ingress")["gateway"]["spec"]
    assert route["hostnames"] == [rule["host"] for rule in ingress["rules"]]
    [rule] = route["rules"]
    assert rule["timeouts"] == {"request": "0s"}, "a gallery's ZIP has no end in time"
    [backend] = rule["backendRefs"]
    service = overlay.of_kind("Service")[backend["name"]]["spec"]
    assert [each["port"] for each in service["ports"]] == [backend["port"]]
    [gateway] = [
        pod for pod in overlay.services() if selects({"matchLabels": service["selector"]}, pod.labels)
    ]
    assert gateway.service == "gateway"
    peers = [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for policy in overlay.of_kind("NetworkPolicy").values()
        if selects(policy["spec"]["podSelector"], gateway.labels)
        for allowed in policy["spec"].get("ingress", ())
        if {"port": "http"} in allowed["ports"]
        for peer in allowed["from"]
        if peer["podSelector"]["matchLabels"]
    ]
    assert sorted(peers) == sorted(["ingress-nginx", route["parentRefs"][0]["namespace"]])
