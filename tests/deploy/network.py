"""The connections that Kubernetes' network policies allow between pods of one namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Literal

from tests.deploy.kustomized import Overlay, Pod, selects

Direction = Literal["ingress", "egress"]


def may_call(overlay: Overlay, caller: Pod, callee: Pod, port: int) -> bool:
    """Returns whether a connection may leave the one pod and enter the other."""
    policies = list(overlay.of_kind("NetworkPolicy").values())
    return _allows(policies, "egress", of=caller, other=callee, port=port, listener=callee) and _allows(
        policies, "ingress", of=callee, other=caller, port=port, listener=callee
    )


def may_leave(overlay: Overlay, caller: Pod, port: int) -> bool:
    """Returns whether a connection may leave to an external server: by rules that name ports and no pods."""
    rules = _rules(overlay.of_kind("NetworkPolicy").values(), "egress", caller)
    if rules is None:
        return True
    return any("to" not in rule and _names(rule, port, None) for rule in rules)


def may_reach(overlay: Overlay, caller: Pod, *, address: str, port: int) -> bool:
    """Returns whether a connection may leave to an external address."""
    rules = _rules(overlay.of_kind("NetworkPolicy").values(), "egress", caller)
    if rules is None:
        return True
    return any(_names(rule, port, None) and _at_outside(rule.get("to"), address) for rule in rules)


def _allows(
    policies: Iterable[Mapping[str, Any]],
    direction: Direction,
    *,
    of: Pod,
    other: Pod,
    port: int,
    listener: Pod,
) -> bool:
    rules = _rules(policies, direction, of)
    if rules is None:
        return True
    peer = "to" if direction == "egress" else "from"
    return any(_admits(rule.get(peer), other) and _names(rule, port, listener) for rule in rules)


def _rules(
    policies: Iterable[Mapping[str, Any]], direction: Direction, pod: Pod
) -> list[Mapping[str, Any]] | None:
    """Returns the rules of all policies for the pod; None if no policy selects it, so all is allowed."""
    concerned = [
        policy["spec"]
        for policy in policies
        if direction.capitalize() in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], pod.labels)
    ]
    if not concerned:
        return None
    return [rule for spec in concerned for rule in spec.get(direction, ())]


def _admits(peers: Sequence[Mapping[str, Any]] | None, pod: Pod) -> bool:
    if peers is None:
        return True
    elsewhere = {"namespaceSelector", "ipBlock"}
    return any(
        not elsewhere & peer.keys() and selects(peer.get("podSelector", {}), pod.labels) for peer in peers
    )


def may_enter(overlay: Overlay, callee: Pod, *, address: str, port: int) -> bool:
    """Returns whether a connection from an external address may enter the pod."""
    rules = _rules(overlay.of_kind("NetworkPolicy").values(), "ingress", callee)
    if rules is None:
        return True
    return any(_names(rule, port, callee) and _at_outside(rule.get("from"), address) for rule in rules)


def _at_outside(peers: Sequence[Mapping[str, Any]] | None, address: str) -> bool:
    if not peers:
        return True
    blocks = [peer["ipBlock"] for peer in peers if "ipBlock" in peer]
    return any(
        ip_address(address) in ip_network(block["cidr"])
        and not any(ip_address(address) in ip_network(each) for each in block.get("except", ()))
        for block in blocks
    )


def _names(rule: Mapping[str, Any], port: int, listener: Pod | None) -> bool:
    if "ports" not in rule:
        return True
    named = {each["name"]: each["containerPort"] for each in listener.container["ports"]} if listener else {}
    for each in rule["ports"]:
        first = named.get(each["port"]) if isinstance(each["port"], str) else each["port"]
        if first is not None and first <= port <= each.get("endPort", first):
            return True
    return False
