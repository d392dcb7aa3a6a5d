"""Each role is enough for what it is for, and no rule of it is idle: an apiserver that grants it alone, and counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from multinet.adapters.certificate_approver import CertificateApprover
from multinet.adapters.cluster_kubernetes import KubernetesCluster
from multinet.adapters.kubernetes_claims import ResourceClaims
from multinet.adapters.kubernetes_config import KubernetesConfig
from multinet.adapters.kubernetes_events import KubernetesEvents
from multinet.adapters.kubernetes_node import KubernetesNode
from multinet.adapters.kubernetes_rbac import ROLES, granted
from multinet.adapters.kubernetes_session import Session
from multinet.adapters.node_certificate import CertificateKeeper, Renewal
from multinet.ports import Event, NotFound, Pod

from .apiserver import CSRS, EVENTS, NADS, NODES, PODS, APIServer
from .authority import Authority, Signing
from .objects import CONFIG, definition, eventually, pod, write_kubeconfig
from .test_certificate_approver import asked, conditions
from .test_kubernetes_claims import DEVICE_ID, put_claim, put_pod, put_slice

WEB = Pod(namespace="default", name="web", uid="u1")


def told_twice(server: APIServer, session: Session) -> None:
    events = KubernetesEvents(session, "n1")
    for _ in range(2):
        events.record(WEB, Event(reason="Bad", message="no"))
    eventually(lambda: [one["count"] for one in server.objects[EVENTS].values()] == [2])
    events.close()


def attach(server: APIServer, config: KubernetesConfig, _: Path) -> None:
    server.put(NADS, definition("net1", {"config": CONFIG}))
    server.put(PODS, pod("web", "u1"))
    cluster = KubernetesCluster(config)
    try:
        assert cluster.synced(10), cluster.problem
        eventually(lambda: server.watches_open == 2)
        for look_up in (cluster.pod, cluster.attachment_definition):
            with pytest.raises(NotFound):
                look_up("default", "absent")
        cluster.publish_status(cluster.pod("default", "web"), "[]")
        told_twice(server, cluster.session)
    finally:
        cluster.close()


def find_devices(server: APIServer, config: KubernetesConfig, _: Path) -> None:
    put_pod(server, "claim", uid="u1")
    put_claim(server, "claim", "dev-0")
    attributes = {DEVICE_ID: {"string": "0000:01:00.1"}, "k8s.cni.cncf.io/resourceName": {"string": "a/b"}}
    put_slice(server, "slice", {"dev-0": attributes})
    session = Session(config)
    try:
        assert list(ResourceClaims(session, "n1").allocated(WEB).values()) != []
    finally:
        session.close()


def take_a_taint_off(server: APIServer, config: KubernetesConfig, _: Path) -> None:
    server.put(
        NODES, {"metadata": {"name": "n1"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}
    )
    session = Session(config)
    try:
        assert KubernetesNode(session, "n1").remove_taint("k")
    finally:
        session.close()


def evict(server: APIServer, config: KubernetesConfig, _: Path) -> None:
    server.put(PODS, pod("web", "u1"))
    session = Session(config)
    try:
        KubernetesNode(session, "n1").evict(WEB)
    finally:
        session.close()


def obtain_a_certificate(server: APIServer, config: KubernetesConfig, folder: Path) -> None:
    keeper = CertificateKeeper(config, str(folder / "certificates"), Renewal(poll=0.05))
    with Signing(server, Authority(folder), seconds=3600.0).running():
        keeper.start()
        eventually(lambda: keeper.problem == "")
        keeper.stop()


def approve(server: APIServer, config: KubernetesConfig, _: Path) -> None:
    server.put(CSRS, asked())
    stop = threading.Event()
    thread = threading.Thread(target=CertificateApprover(config).run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: conditions(server) != [] and server.watches_open == 1)
        eventually(lambda: len(server.objects[EVENTS]) == 1)
    finally:
        stop.set()
        thread.join()


WORK: Mapping[str, Callable[[APIServer, KubernetesConfig, Path], None]] = {
    "daemon": attach,
    "devices": find_devices,
    "taint": take_a_taint_off,
    "eviction": evict,
    "certificate": obtain_a_certificate,
    "approver": approve,
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_enough_and_none_of_it_idle(role: str, tmp_path: Path) -> None:
    with APIServer() as server:
        server.granted = set(granted(role))
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server.url)
        quick = {"retry_base": 0.05, "retry_cap": 0.2, "pod_patience": 0.05, "mirror_patience": 0.05}
        WORK[role](server, KubernetesConfig(node="n1", kubeconfig=str(kubeconfig), **quick), tmp_path)  # type: ignore[arg-type]
        assert server.used == server.granted


@pytest.mark.parametrize("role", ROLES)
def test_a_rule_says_what_it_is_for_and_grants_no_more_than_it_names(role: str) -> None:
    for rule in ROLES[role]:
        assert rule.reason
        assert "*" not in (rule.group, rule.resource, *rule.verbs)
        assert "secrets" not in rule.resource
