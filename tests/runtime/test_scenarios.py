"""The end-to-end scenarios of Multus, each under its own name (see README.md), on containerd."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from multinet.npwg.selection import CONFIG_SOURCE
from tests.adapters.apiserver import CLAIMS, PODS
from tests.runtime.clusters import Api, Folder
from tests.runtime.worker import CONF_DIR, Pod, Worker, bridge, single, wait_for

Json = dict[str, Any]
UPLINK = "eth1"
SIDE_BY_SIDE = 8


def macvlan(**more: Any) -> Json:
    """The scenarios' list: macvlan with the addresses that the pod asks for, and tuning behind it."""
    plugin = {
        "type": "macvlan",
        "capabilities": {"ips": True},
        "master": UPLINK,
        "mode": "bridge",
        "ipam": {"type": "static"},
    }
    return {"cniVersion": "1.0.0", "plugins": [{**plugin, **more}, {"type": "tuning"}]}


@pytest.fixture
def two_workers(workers: Any, tmp_path: Path) -> tuple[Worker, Worker]:
    """Two nodes of one cluster, their ``eth1`` connected."""
    cluster = Folder(tmp_path / "manifests")
    one, two = workers.make(cluster), workers.make(cluster)
    peer = ("peer", "name", UPLINK, "netns", str(two.node.pid))
    one.node.run("ip", "link", "add", UPLINK, "type", "veth", *peer)
    for worker in (one, two):
        worker.node.run("ip", "link", "set", UPLINK, "up")
    return one, two


def end(*pods: Pod) -> None:
    """They are removed, and nothing is left on their nodes."""
    for pod in pods:
        pod.remove()
    for worker in {id(pod.worker): pod.worker for pod in pods}.values():
        worker.assert_clean()


def test_simple_pod(api_worker: tuple[Worker, Api]) -> None:
    """A pod that asks for nothing gets the default network, and is told of that."""
    worker, _ = api_worker
    pod = worker.start("simple")
    assert pod.links() == {"lo", "eth0"}
    assert [(one["name"], one["interface"], one["default"]) for one in pod.status] == [("cbr0", "eth0", True)]
    assert pod.view.ips == pod.status[0]["ips"]
    end(pod)


def test_simple_macvlan1(two_workers: tuple[Worker, Worker]) -> None:
    """Pods of two nodes get ``net1`` with the addresses that they ask for, and reach each other there."""
    two_workers[0].cluster.nad("macvlan1-config", macvlan())
    pods = [
        worker.start(f"macvlan1-worker{n}", [{"name": "macvlan1-config", "ips": [f"10.1.1.1{n}/24"]}])
        for n, worker in enumerate(two_workers, 1)
    ]
    for n, pod in enumerate(pods, 1):
        assert pod.links() == {"lo", "eth0", "net1"}
        assert pod.addresses("net1") == {f"10.1.1.1{n}/24"}
        assert pod.status[1]["ips"] == [f"10.1.1.1{n}"]
        assert pod.status[1]["name"] == "default/macvlan1-config"
    for pod, peer in zip(pods, ("10.1.1.12", "10.1.1.11"), strict=True):
        pod.run("ping", "-c1", "-W5", "-I", "net1", peer)
    end(*pods)


def test_default_route1(two_workers: tuple[Worker, Worker]) -> None:
    """Who asks for it has that gateway, on ``net1`` and nowhere else; who doesn't, keeps the cluster's."""
    one, two = two_workers
    one.cluster.nad("macvlan1-config", macvlan())
    asks = {"name": "macvlan1-config", "ips": ["10.1.1.11/24"], "default-route": ["10.1.1.254"]}
    first = one.start("default-route-worker1", [asks])
    second = two.start("default-route-worker2", [{"name": "macvlan1-config", "ips": ["10.1.1.12/24"]}])
    assert first.defaults() == {("10.1.1.254", "net1")}
    assert second.defaults() == {("10.244.0.1", "eth0")}
    assert "gateway" not in first.status[0] or "10.244.0.1" not in first.status[0]["gateway"]
    assert first.status[1]["gateway"] == ["10.1.1.254"]
    end(first, second)


@pytest.mark.parametrize("handed_over", [True, False], ids=["annotations", "look-up"])
def test_static_pod(api_worker: tuple[Worker, Api], handed_over: bool) -> None:
    """Kubelet's UID of a static pod isn't its mirror pod's: it gets ``net1`` in spite of that, and its status."""
    worker, api = api_worker
    if not handed_over:
        worker.configure(capabilities={})
        wait_for(lambda: "pod-annotations" not in worker.cni_config())
    api.nad("bridge-nad", single(**bridge("10.9.0.0/24", name="br1")))
    asked = {"k8s.v1.cni.cncf.io/networks": "bridge-nad"}
    spec = worker.create("static-web", annotations={**asked, CONFIG_SOURCE: "file"})
    mirror = {**asked, CONFIG_SOURCE: "file", "kubernetes.io/config.mirror": spec.uid}
    api.pod("static-web", mirror, uid="the-mirrors-own")
    assert api.server.get(PODS, "default", "static-web")["metadata"]["uid"] != spec.uid
    pod = worker.run(spec)
    assert pod.links() == {"lo", "eth0", "net1"}
    assert [one["interface"] for one in pod.status] == ["eth0", "net1"]
    end(pod)


def test_connection_limit(worker: Worker) -> None:
    """One call at a time: six pods that start at once are all made, one after the other."""
    worker.end_daemon()
    worker.start_daemon("--workers=1")
    worker.cluster.nad("bridge-nad", single(**bridge("10.9.0.0/24", name="br1")))
    specs = [worker.create(f"replica{n}", "bridge-nad") for n in range(6)]
    with ThreadPoolExecutor(len(specs)) as pool:
        pods = list(pool.map(worker.run, specs))
    assert len({address for pod in pods for address in pod.addresses("net1")}) == 6
    end(*pods)


def test_dra_integration(api_worker: tuple[Worker, Api]) -> None:
    """A pod with a claim on a device of a driver that has nothing to do with networks starts all the same."""
    worker, api = api_worker
    api.nad("bridge-nad", single(**bridge("10.9.0.0/24", name="br1")))
    result = {"request": "gpu", "driver": "gpu.example.com", "pool": "n1", "device": "gpu-0"}
    claim = {
        "metadata": {"name": "gpu-claim", "namespace": "default"},
        "spec": {
            "devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}
        },
        "status": {"allocation": {"devices": {"results": [result]}}},
    }
    api.server.put(CLAIMS, claim)
    spec = worker.create("dra-pod", "bridge-nad")
    manifest = api.server.get(PODS, "default", "dra-pod")
    manifest["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": "gpu-claim"}]
    manifest["status"] = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "gpu-claim"}]}
    api.server.put(PODS, manifest)
    pod = worker.run(spec)
    assert pod.links() == {"lo", "eth0", "net1"}
    end(pod)


ARP_FILTER = "net.ipv4.conf.eth0.arp_filter"
TUNING = {"cniVersion": "1.0.0", "name": "tuning", "type": "tuning", "sysctl": {ARP_FILTER: "1"}}


def test_subdirectory_chaining(worker: Worker) -> None:
    """A plugin's file in the folder that is named like the default network is chained to that."""
    worker.default_network(name="kindnet")
    worker.node.write(f"{CONF_DIR}/kindnet/10-tuning.conf", json.dumps(TUNING))
    pod = worker.start("sysctl")
    assert pod.sysctl(ARP_FILTER) == "1"
    worker.node.path(f"{CONF_DIR}/kindnet/10-tuning.conf").unlink()
    other = worker.start("other")
    assert other.sysctl(ARP_FILTER) == "0"
    end(pod, other)


def test_subdirectory_chaining_passthru(worker: Worker) -> None:
    """The same through the auxiliary chain: a folder of its own, for whichever the default network is."""
    worker.node.write(f"{CONF_DIR}/vendor-cni-chain/10-tuning.conf", json.dumps(TUNING))
    worker.configure(auxiliaryCNIChainName="vendor-cni-chain")
    worker.containerd.stop()
    worker.containerd.start()
    pod = worker.start("sysctl")
    assert pod.sysctl(ARP_FILTER) == "1"
    end(pod)


def test_node_density_cni(two_workers: tuple[Worker, Worker]) -> None:
    """64 pods with a macvlan on each of two nodes: all start, and it is said how long each took."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/22"}]]}
    two_workers[0].cluster.nad("macvlan1-config", macvlan(ipam=ipam))

    def start(place: tuple[Worker, int]) -> tuple[Pod, float]:
        worker, number = place
        spec = worker.create(f"density-{two_workers.index(worker)}-{number}", "macvlan1-config")
        began = time.monotonic()
        return worker.run(spec), time.monotonic() - began

    places = [(worker, number) for number in range(64) for worker in two_workers]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        started = list(pool.map(start, places))
        pods = [pod for pod, _ in started]
        latencies = sorted(seconds for _, seconds in started)
        for worker in two_workers:
            mine = [pod for pod in pods if pod.worker is worker]
            assert len(worker.rows) == 128
            assert len({ip for pod in mine for ip in pod.status[1]["ips"]}) == 64
        quantiles = {q: round(latencies[int(q / 100 * (len(latencies) - 1))] * 1000) for q in (50, 90, 99)}
        peaks = [worker.daemon_peak_memory() >> 20 for worker in two_workers]
        print(f"128 pods ready, ms by percentile: {quantiles}; daemons' peak: {peaks} MiB", file=sys.stderr)
        list(pool.map(Pod.remove, pods))
    for worker in two_workers:
        worker.assert_clean()
