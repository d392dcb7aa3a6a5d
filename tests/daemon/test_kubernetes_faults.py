"""Calls while the apiserver is slow, busy, failing or away: additions go on or fail clearly, removals don't notice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from multinet.adapters.kubernetes_config import KubernetesConfig
from multinet.cni.errors import Code
from multinet.daemon.application import Application
from multinet.daemon.cluster_access import in_kubernetes
from multinet.npwg.selection import NETWORK_STATUS
from tests.adapters.apiserver import EVENTS, NADS, PODS, APIServer, Fault
from tests.adapters.objects import NETWORKS, definition, eventually, pod, write_kubeconfig

Site = Any
L2 = {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1"}
STATUS = "pods/status"


@pytest.fixture
def server() -> Iterator[APIServer]:
    with APIServer() as running:
        running.put(NADS, definition("net1", {"config": json.dumps(L2)}))
        running.put(PODS, pod("web", "u1", **{NETWORKS: "net1"}))
        yield running


@pytest.fixture
def node(site: Site, server: APIServer) -> Site:
    """The site over ``server``, with quick retries: a minute's outage is a second here. Both lists are in memory."""
    kubeconfig = write_kubeconfig(site.lab.directory / "kubeconfig", server.url)
    config = KubernetesConfig(
        node="n1",
        kubeconfig=str(kubeconfig),
        request_timeout=0.5,
        retry_base=0.02,
        retry_cap=0.1,
        pod_patience=0.05,
        mirror_patience=0.05,
    )
    site.options = msgspec.structs.replace(site.options, manifests="", kubeconfig=str(kubeconfig))
    site._application = Application(site.options, site.lab.host, in_kubernetes(config))
    assert site.app.cluster.synced(10)
    eventually(lambda: server.watches_open == 2)
    return site


def args(uid: str = "u1") -> dict[str, str]:
    text = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=c1"
    return {"CNI_ARGS": f"{text};K8S_POD_UID={uid}"}


def status(server: APIServer) -> list[str]:
    """The interfaces that the pod's network-status names."""
    annotations = server.get(PODS, "default", "web")["metadata"]["annotations"]
    return [entry["interface"] for entry in json.loads(annotations.get(NETWORK_STATUS, "[]"))]


def added_and_removed(node: Site, server: APIServer, **more: Any) -> None:
    """The pod is whole, and then nothing is left, without a request."""
    sandbox = node.lab.sandbox()
    node.ok("ADD", netns=sandbox, **args(), **more)
    assert status(server) == ["eth0", "net1"]
    assert set(node.lab.links(sandbox)) == {"lo", "eth0", "net1"}
    before = [entry for entry in server.log if entry[0] != "watch"]
    node.ok("DEL", netns=sandbox, **args())
    assert [entry for entry in server.log if entry[0] != "watch"] == before
    node.assert_clean(sandbox)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("patch", STATUS, delay=0.3),
        Fault("patch", STATUS, delay=3.0),
        Fault("patch", STATUS, status=429, headers={"Retry-After": "1"}),
        Fault("patch", STATUS, status=500, times=3),
        Fault("patch", STATUS, status=503, times=3),
        Fault("patch", STATUS, status=504, times=3),
        Fault("patch", STATUS, hang_up=True, times=3),
        Fault("patch", STATUS, cut=True, times=3),
        Fault("patch", STATUS, status=409, times=5),
    ],
    ids=lambda fault: (
        f"{fault.status or ''}{fault.delay or ''}{'hang-up' * fault.hang_up}{'cut' * fault.cut}"
    ),
)
def test_trouble_with_the_status_that_passes(node: Site, server: APIServer, fault: Fault) -> None:
    server.faults.append(fault)
    added_and_removed(node, server)


@pytest.mark.parametrize("code", [429, 500, 503])
def test_trouble_with_look_ups_that_passes(node: Site, server: APIServer, code: int) -> None:
    """Of a pod and a definition that the watches haven't brought."""
    for resource in (PODS, NADS):
        server.faults.append(Fault("get", resource, status=code, times=2))
    with server.lock:  # behind the watches' back
        config = json.dumps({**L2, "name": "net2"})
        server.objects[NADS]["default", "net2"] = definition("net2", {"config": config})
        late = pod("web", "u2", **{NETWORKS: "net2"})
        server.objects[PODS]["default", "web"] = late | {
            "metadata": late["metadata"] | {"resourceVersion": "9"}
        }
    sandbox = node.lab.sandbox()
    node.ok("ADD", netns=sandbox, **args("u2"))
    assert set(node.lab.links(sandbox)) == {"lo", "eth0", "net1"}
    node.ok("DEL", netns=sandbox, **args("u2"))


def is_quiet(server: APIServer) -> bool:
    """Both watches are open and stay so, longer than they pause: a list that is late would look like the DEL's."""
    before = len(server.log)
    time.sleep(0.3)
    return server.watches_open == 2 and len(server.log) == before


@pytest.mark.parametrize("trouble", ["gone", "ended", "cut"])
def test_watches_that_end_or_lag(node: Site, server: APIServer, trouble: str) -> None:
    server.end_watches(cut=trouble == "cut")
    server.put(NADS, definition("net2", {"config": json.dumps(L2)}))
    server.put(PODS, pod("web", "u1", **{NETWORKS: "net2"}))
    if trouble == "gone":
        server.compact()
    eventually(lambda: node.app.cluster.pod("default", "web", "u1").annotations[NETWORKS] == "net2")
    eventually(lambda: is_quiet(server))
    added_and_removed(node, server)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("patch", STATUS, status=503, times=10_000), "503 injected 503"),
        (Fault("patch", STATUS, status=409, times=10_000), "409 injected 409"),
        (Fault("patch", STATUS, status=403, times=1), "403"),
        (Fault("patch", STATUS, delay=60.0, times=10_000), "timed out"),
    ],
    ids=["failing", "conflicts", "forbidden", "silent"],
)
def test_a_status_that_cannot_be_written_fails_the_add_and_leaves_nothing(
    node: Site, server: APIServer, fault: Fault, text: str
) -> None:
    server.faults.append(fault)
    sandbox = node.lab.sandbox()
    code, message = node.fails("ADD", netns=sandbox, time_limit_ms=3000, **args())
    assert code == Code.CLUSTER
    assert "default/web" in message
    assert "error setting the networks status" in message
    assert text in message
    node.assert_clean(sandbox)
    node.ok("DEL", netns=sandbox, **args())
    eventually(lambda: [one["reason"] for one in server.objects[EVENTS].values()] == ["ClusterUnavailable"])
    server.faults.clear()
    added_and_removed(node, server)


def test_an_apiserver_that_is_away_for_long(node: Site, server: APIServer) -> None:
    """Ten minutes, in retries: what runs is removed, what is new fails clearly, and all is well afterwards."""
    running, fresh = node.lab.sandbox(), node.lab.sandbox()
    node.ok("ADD", "c0", running, **args())
    for verb in ("get", "list", "watch", "patch", "create"):
        server.faults.append(Fault(verb, hang_up=True, times=10_000))
    server.end_watches(cut=True)
    eventually(lambda: node.app.cluster.problem != "")
    requests = sum(node.app.cluster.requests.values())
    began = time.monotonic()
    code, message = node.fails("ADD", "c1", fresh, time_limit_ms=1500, **args())
    assert code == Code.CLUSTER
    assert "error setting the networks status" in message
    code, message = node.fails("ADD", "c1", fresh, time_limit_ms=1500, **args("u2"))
    assert code == Code.CLUSTER
    assert "error waiting for pod" in message
    assert set(node.lab.links(fresh)) == {"lo"}
    tried = sum(node.app.cluster.requests.values()) - requests
    assert tried < 100 * (time.monotonic() - began)  # a hot loop makes thousands
    before = time.monotonic()
    node.ok("DEL", "c0", running, **args())
    assert time.monotonic() - before < 1.5
    node.assert_clean(running, fresh)
    server.faults.clear()
    eventually(lambda: node.app.cluster.problem == "", seconds=10)
    added_and_removed(node, server)


def test_additions_that_wait_for_the_apiserver_give_up_long_before_the_runtime(
    node: Site, server: APIServer
) -> None:
    """multi-network 4.20: ten seconds for the cluster, whatever the runtime's 110 are."""
    server.faults.append(Fault("patch", STATUS, status=503, times=10_000))
    sandbox = node.lab.sandbox()
    began = time.monotonic()
    code, _ = node.fails("ADD", netns=sandbox, **args())
    assert code == Code.CLUSTER
    assert 5 < time.monotonic() - began < 30
    node.assert_clean(sandbox)


def test_removals_meanwhile(node: Site, server: APIServer) -> None:
    """Of other containers, while an addition waits for its status."""
    running, fresh = node.lab.sandbox(), node.lab.sandbox()
    node.ok("ADD", "c0", running, **args())
    server.faults.append(Fault("patch", STATUS, status=503, times=10_000))
    answers: list[tuple[int, str]] = []

    def add() -> None:
        answers.append(node.fails("ADD", "c1", fresh, time_limit_ms=4000, **args()))

    thread = threading.Thread(target=add)
    thread.start()
    eventually(lambda: any(entry[0] == "patch" for entry in server.log[-3:]))
    node.ok("DEL", "c0", running, **args())
    assert thread.is_alive()
    assert set(node.lab.links(running)) == {"lo"}
    thread.join()
    assert answers[0][0] == Code.CLUSTER
    node.assert_clean(running, fresh)
