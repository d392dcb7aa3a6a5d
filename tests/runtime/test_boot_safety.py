"""A node that boots: pods begin before multinet is in place, and don't stay without their networks (pains 1, 9).

multi-network.md 9.4, 9.5, 9.18; the runtime, its sandboxes and its choice of a configuration are real.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.apiserver import EVENTS, NODES, PODS
from tests.daemon.conftest import GO_PLUGINS
from tests.runtime.clusters import NODE_NAME, Api
from tests.runtime.containerd import SOCKET
from tests.runtime.worker import (
    BIN_DIR,
    CONF_DIR,
    CONF_FILE,
    DEFAULT_FILE,
    Pod,
    Worker,
    bridge,
    single,
    wait_for,
)

pytestmark = pytest.mark.reference

STORAGE = single(**bridge("10.9.0.0/24", name="br1"))
KEEP = f"--cni-conf-dir={CONF_DIR}"
GUARD = f"--runtime-socket={SOCKET}"
TAINT = "multinet.dev/not-ready"


def without_multinet(worker: Worker) -> None:
    """The node as it boots: its main network's configuration and plugins are there, multinet isn't yet."""
    worker.end_daemon()
    worker.node.path(CONF_FILE).unlink()
    for name in ("loopback", "bridge", "host-local", "portmap", "bandwidth"):
        executable = worker.node.path(BIN_DIR) / name
        executable.unlink(missing_ok=True)  # ours are one file with many names
        shutil.copy(Path(GO_PLUGINS) / name, executable)
    wait_for(lambda: "cbr0" in worker.cni_config() and "multinet" not in worker.cni_config())


def too_early(worker: Worker, name: str = "web") -> Pod:
    """A pod that asks for a network, and starts with the main one alone."""
    worker.cluster.nad("storage", STORAGE)
    pod = worker.start(name, "storage")
    assert pod.links() == {"lo", "eth0"}
    assert worker.rows == []
    return pod


class TestRepair:
    def test_runs_without_and_gets_it(self, worker: Worker) -> None:
        """In place: same sandbox, same eth0; the new interface carries traffic; the removal leaves nothing."""
        without_multinet(worker)
        pod = too_early(worker)
        before, route = pod.addresses("eth0"), pod.defaults()
        worker.start_daemon(KEEP, GUARD, "--unserved=repair")
        wait_for(lambda: "net1" in pod.links() and pod.status)
        assert pod.view.ready
        assert (pod.addresses("eth0"), pod.defaults()) == (before, route)
        assert [one["interface"] for one in pod.status] == ["eth0", "net1"]
        assert {f"{ip}/{length}" for ip, length in zip(pod.status[0]["ips"], (16, 64), strict=True)} == before
        wait_for(lambda: "multinet" in worker.cni_config())
        peer = worker.start("peer", "storage")
        (address,) = peer.addresses("net1")
        assert "1 received" in pod.run("ping", "-c1", "-W5", "-I", "net1", address.split("/")[0])
        for one in (pod, peer):
            one.remove()
        worker.assert_clean()

    def test_after_a_reboot_the_old_status_is_no_witness(self, worker: Worker) -> None:
        """The pod's annotations still are those of the sandbox from before."""
        worker.cluster.nad("storage", STORAGE)
        old = worker.start("web", "storage")
        assert [one["interface"] for one in old.status] == ["eth0", "net1"]
        old.remove()
        without_multinet(worker)
        pod = worker.run(old.spec)
        assert pod.links() == {"lo", "eth0"}
        worker.start_daemon(KEEP, GUARD, "--unserved=repair")
        wait_for(lambda: "net1" in pod.links() and worker.rows)
        pod.remove()
        worker.assert_clean()

    def test_pods_that_were_served_are_left_alone(self, worker: Worker) -> None:
        worker.cluster.nad("storage", STORAGE)
        pod = worker.start("web", "storage")
        before = worker.rows
        worker.end_daemon()
        worker.start_daemon(KEEP, GUARD, "--unserved=repair")
        wait_for(lambda: json.loads(status(worker))["unserved"] == [])
        assert "runs without" not in worker.log.read_text()
        assert worker.rows == before
        pod.remove()
        worker.assert_clean()


class TestReport:
    def test_is_told(self, api_worker: tuple[Worker, Api]) -> None:
        """The default: an Event on the pod, and ``multinet status``."""
        worker, api = api_worker
        without_multinet(worker)
        pod = too_early(worker)
        worker.start_daemon(KEEP, GUARD)
        wait_for(lambda: events(api, "web"))
        [event] = events(api, "web")
        assert (event["reason"], event["type"]) == ("NetworksMissing", "Warning")
        assert "default/storage" in event["message"]
        report = json.loads(status(worker))
        assert report["unserved"] == [
            {"namespace": "default", "name": "web", "containerID": pod.id, "networks": ["default/storage"]}
        ]
        assert pod.links() == {"lo", "eth0"}


def test_pods_from_before_are_removed_whole(worker: Worker) -> None:
    """They ask for nothing, and nobody attached them through us; yet their removal comes to us."""
    without_multinet(worker)
    pod = worker.start("plain", ports=[{"host_port": 8080, "container_port": 80}])
    worker.start_daemon(KEEP, GUARD)
    wait_for(lambda: [row.ifname for row in worker.rows] == ["eth0"])
    wait_for(lambda: "multinet" in worker.cni_config())
    assert len(worker.leases()) == 2
    pod.remove()
    worker.assert_clean()
    assert "8080" not in worker.node.run("iptables-save", "-t", "nat")


class TestEvict:
    def test_is_replaced(self, api_worker: tuple[Worker, Api]) -> None:
        """Told, evicted; the next one has its networks; the address of the first is free again."""
        worker, api = api_worker
        without_multinet(worker)
        pod = too_early(worker)
        worker.start_daemon(KEEP, GUARD, "--unserved=evict")
        wait_for(lambda: "web" not in names(api))
        pod.remove()
        wait_for(lambda: "multinet" in worker.cni_config())
        again = worker.start("web", "storage", uid="another")
        assert again.links() == {"lo", "eth0", "net1"}
        again.remove()
        worker.assert_clean()


class TestTaint:
    def test_goes_once_all_is_in_place(self, api_worker: tuple[Worker, Api]) -> None:
        worker, api = api_worker
        without_multinet(worker)
        other = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        taints = [{"key": TAINT, "effect": "NoSchedule"}, other]
        api.server.put(NODES, {"metadata": {"name": NODE_NAME}, "spec": {"taints": taints}})
        primary = worker.node.path(DEFAULT_FILE)
        content = primary.read_text()
        primary.unlink()
        worker.start_daemon(KEEP, GUARD, f"--remove-taint={TAINT}")
        wait_for(lambda: json.loads(status(worker))["unserved"] == [])
        assert api.server.get(NODES, "", NODE_NAME)["spec"]["taints"] == taints
        worker.node.write(DEFAULT_FILE, content)
        wait_for(lambda: api.server.get(NODES, "", NODE_NAME)["spec"].get("taints") == [other])
        assert worker.node.path(CONF_FILE).exists()


class TestSlot:
    def test_the_runtime_follows(self, worker: Worker) -> None:
        """What a hand-written configuration would have to say is derived; who takes it away doesn't win."""
        without_multinet(worker)
        worker.start_daemon(KEEP)
        wait_for(lambda: "multinet" in worker.cni_config())
        slot = worker.node.path(CONF_FILE)
        (plugin,) = json.loads(slot.read_text())["plugins"]
        assert set(plugin["capabilities"]) == {
            "portMappings",
            "bandwidth",
            "io.kubernetes.cri.pod-annotations",
        }
        slot.rename(slot.with_name(f"{slot.name}.cilium_bak"))
        wait_for(slot.exists)
        wait_for(lambda: "multinet" in worker.cni_config())
        worker.cluster.nad("storage", STORAGE)
        pod = worker.start("web", "storage", ports=[{"host_port": 8080, "container_port": 80}])
        assert pod.links() == {"lo", "eth0", "net1"}
        assert "renamed to 00-multinet.conflist.cilium_bak" in worker.log.read_text()
        pod.remove()
        worker.assert_clean()

    def test_over_a_restart_of_the_daemon(self, worker: Worker) -> None:
        """9.5: pods that come meanwhile wait; they don't pass multinet by."""
        without_multinet(worker)
        worker.start_daemon(KEEP)
        wait_for(lambda: "multinet" in worker.cni_config())
        worker.end_daemon()
        assert "multinet" in worker.cni_config()
        worker.start_daemon(KEEP)
        worker.cluster.nad("storage", STORAGE)
        pod = worker.start("web", "storage")
        assert pod.links() == {"lo", "eth0", "net1"}
        pod.remove()
        worker.assert_clean()


def status(worker: Worker) -> str:
    return worker.multinet("status", "-o", "json")


def names(api: Api) -> list[str]:
    return [one["metadata"]["name"] for one in api.server.objects[PODS].values()]


def events(api: Api, pod: str) -> list[dict[str, Any]]:
    found = api.server.objects[EVENTS].values()
    return [one for one in found if one["involvedObject"]["name"] == pod]
