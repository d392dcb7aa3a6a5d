"""Taints taken off and pods evicted through the Kubernetes API."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.adapters.kubernetes_node import KubernetesNode
from multinet.adapters.kubernetes_session import Session
from multinet.ports import ClusterUnavailable, NotFound, Pod, UIDMismatch

from .apiserver import NODES, PODS, APIServer, Fault
from .objects import pod

KEY = "multinet.io/not-ready"
OTHER = {"key": "other", "effect": "NoSchedule"}


@pytest.fixture
def control(session: Session) -> KubernetesNode:
    return KubernetesNode(session, "n1")


def node(*taints: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "n1"}, "spec": {"podCIDR": "10.0.0.0/24", "taints": list(taints)}}


def taints(server: APIServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get(NODES, "", "n1")["spec"].get("taints")
    return found


def test_every_taint_of_the_key_goes_and_others_stay(server: APIServer, control: KubernetesNode) -> None:
    server.put(NODES, node({"key": KEY, "effect": "NoSchedule"}, OTHER, {"key": KEY, "effect": "NoExecute"}))
    assert control.remove_taint(KEY)
    assert taints(server) == [OTHER]
    assert server.get(NODES, "", "n1")["spec"]["podCIDR"] == "10.0.0.0/24"


@pytest.mark.parametrize("there", [[], [OTHER]])
def test_no_such_taint_writes_nothing(server: APIServer, control: KubernetesNode, there: list[Any]) -> None:
    server.put(NODES, node(*there))
    assert not control.remove_taint(KEY)
    assert [entry[0] for entry in server.log] == ["get"]


def test_a_taint_that_came_meanwhile_is_not_lost(server: APIServer, control: KubernetesNode) -> None:
    server.put(NODES, node({"key": KEY, "effect": "NoSchedule"}))
    changed = node({"key": KEY, "effect": "NoSchedule"}, OTHER)
    server.faults.append(Fault("patch", NODES, first=lambda: server.put(NODES, changed)))
    assert control.remove_taint(KEY)
    assert taints(server) == [OTHER]
    assert [entry[0] for entry in server.log] == ["get", "patch", "get", "patch"]


def test_no_permission_for_taints_is_told(server: APIServer, control: KubernetesNode) -> None:
    server.put(NODES, node({"key": KEY, "effect": "NoSchedule"}))
    server.forbidden.add(("patch", NODES))
    with pytest.raises(ClusterUnavailable, match=r"patch /api/v1/nodes/n1: 403 .*role"):
        control.remove_taint(KEY)


def test_an_apiserver_in_trouble_is_asked_again(server: APIServer, control: KubernetesNode) -> None:
    server.put(NODES, node({"key": KEY, "effect": "NoSchedule"}))
    server.faults.append(Fault("patch", NODES, status=500, times=2))
    assert control.remove_taint(KEY)
    with pytest.raises(ClusterUnavailable):
        server.faults.append(Fault("get", NODES, status=503, times=100))
        control.remove_taint(KEY, timeout=0.3)


WEB = Pod(namespace="default", name="web", uid="u1")


def test_a_pod_is_evicted(server: APIServer, control: KubernetesNode) -> None:
    server.put(PODS, pod("web", "u1"))
    control.evict(WEB)
    assert server.objects[PODS] == {}


def test_a_pod_made_anew_is_left_alone(server: APIServer, control: KubernetesNode) -> None:
    server.put(PODS, pod("web", "u2"))
    with pytest.raises(UIDMismatch):
        control.evict(WEB)
    assert ("default", "web") in server.objects[PODS]


def test_a_pod_that_is_gone(control: KubernetesNode) -> None:
    with pytest.raises(NotFound, match="pod default/web not found"):
        control.evict(WEB)


def test_a_budget_that_forbids_it_is_told_at_once(server: APIServer, control: KubernetesNode) -> None:
    server.put(PODS, pod("web", "u1"))
    server.budgets.add(("default", "web"))
    with pytest.raises(ClusterUnavailable, match="429 Cannot evict pod as it would violate"):
        control.evict(WEB)
    assert len(server.log) == 1
    server.budgets.clear()
    control.evict(WEB)
