"""Runtime, daemon and node end at any time, and pods are still removed, with nothing left behind."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from dataclasses import replace
from typing import Any

import pytest

from multinet.adapters.spool import Spool
from tests.runtime.cri import PodSpec, Refused
from tests.runtime.worker import DEFAULT_FILE, STATE, Pod, Worker, bridge, single, wait_for

STORAGE = single(**bridge("10.9.0.0/24", name="br1"))
ENDS = [signal.SIGTERM, signal.SIGKILL]


@pytest.fixture
def pod(worker: Worker) -> Pod:
    """One with two networks, a host port and bandwidth: something of each kind to leave behind."""
    worker.cluster.nad("storage", STORAGE)
    limits = {"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "20M"}
    return worker.start(
        "web", "storage", annotations=limits, ports=[{"host_port": 8080, "container_port": 80}]
    )


def restart_containerd(worker: Worker, number: signal.Signals) -> None:
    (worker.containerd.kill if number == signal.SIGKILL else worker.containerd.stop)()
    worker.containerd.start()


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
class TestWithPodsAlive:
    def test_runtime(self, worker: Worker, pod: Pod, number: signal.Signals) -> None:
        restart_containerd(worker, number)
        assert pod.view.ready
        assert pod.addresses("net1")
        pod.remove()
        worker.assert_clean()

    def test_daemon(self, worker: Worker, pod: Pod, number: signal.Signals) -> None:
        before = {name: pod.addresses(name) for name in ("eth0", "net1")}
        worker.end_daemon(number)
        worker.start_daemon()
        assert {name: pod.addresses(name) for name in before} == before
        assert worker.call("CHECK", pod.id, pod.netns_path) == (0, {})
        pod.remove()
        worker.assert_clean()

    def test_both(self, worker: Worker, pod: Pod, number: signal.Signals) -> None:
        worker.end_daemon(number)
        restart_containerd(worker, number)
        worker.start_daemon()
        pod.remove()
        worker.assert_clean()


def run_in_vain(worker: Worker, spec: PodSpec) -> threading.Thread:
    """Has the pod run, which the runtime is going to refuse, in a thread of its own."""

    def act() -> None:
        with pytest.raises(Refused):
            worker.run(spec)

    caller = threading.Thread(target=act)
    caller.start()
    return caller


class TestWhileThereIsNoDaemon:
    def test_stop_and_remove(self, worker: Worker, pod: Pod) -> None:
        """The runtime is told that it is done; the next daemon does it, before it serves."""
        worker.end_daemon()
        pod.remove()
        assert worker.cri.ids() == []
        assert len(worker.rows) == 2
        spool = Spool(str(worker.node.path(f"{STATE}/spool")))
        spooled = [spool.read(path) for path in spool.pending()]
        stop, remove = (request for request in spooled if request.program == "multinet")
        assert stop.env["CNI_NETNS"] == pod.netns_path
        assert "prevResult" in json.loads(stop.stdin)
        assert remove.env["CNI_NETNS"] == ""  # the second call knows less
        assert "prevResult" not in json.loads(remove.stdin)
        worker.start_daemon()
        worker.assert_clean()

    def test_stop_and_then_the_daemon_is_back(self, worker: Worker, pod: Pod) -> None:
        worker.end_daemon(signal.SIGKILL)
        pod.stop()
        worker.start_daemon()
        worker.assert_no_networks()
        worker.cri.remove(pod.id)
        worker.assert_clean()

    def test_run(self, worker: Worker) -> None:
        """It fails and says whom to look after; later tries succeed."""
        worker.end_daemon()
        with pytest.raises(Refused, match=r"multinet.*(daemon|socket)"):
            worker.start("web")
        worker.start_daemon()
        pod = worker.start("web")
        pod.remove()
        worker.assert_clean()

    def test_configuration_changes_meanwhile(self, worker: Worker, pod: Pod) -> None:
        """NAD, pod and default network are others, or gone: DEL works by what ADD recorded."""
        worker.end_daemon()
        pod.stop()
        worker.cluster.nad("storage", single(type="macvlan", master="elsewhere"))
        worker.cluster.forget_pod("web")
        worker.node.path(DEFAULT_FILE).unlink()
        worker.start_daemon()
        worker.assert_no_networks()
        worker.cri.remove(pod.id)
        worker.assert_clean()


class TestInTheMiddle:
    @pytest.mark.parametrize("verb", ["ADD", "DEL"])
    def test_daemon_is_killed_between_delegates(self, worker: Worker, verb: str) -> None:
        """An ADD that was cut off fails as a whole; a DEL that was cut off is finished by the next daemon."""
        worker.recorders.make("rec")
        worker.cluster.nad("storage", STORAGE)
        worker.cluster.nad("ext", single(type="rec"))
        spec = worker.create("web", "storage,ext,storage")
        pods = [worker.run(spec)] if verb == "DEL" else []
        release = worker.recorders.hold("rec", verb)
        refusals: list[Refused] = []

        def act() -> None:
            try:
                pods[0].remove() if pods else worker.run(spec)
            except Refused as refused:
                refusals.append(refused)

        caller = threading.Thread(target=act)
        caller.start()
        wait_for(lambda: worker.recorders.asked(verb))
        worker.end_daemon(signal.SIGKILL)
        release()
        caller.join()
        assert len(refusals) == (verb == "ADD"), refusals
        worker.start_daemon()
        worker.assert_clean()
        pod = worker.run(spec)
        pod.remove()
        worker.assert_clean()

    def test_runtime_is_killed_during_an_add(self, worker: Worker) -> None:
        """What was half made goes; kubelet's next try gets a new sandbox."""
        worker.recorders.make("rec")
        worker.cluster.nad("ext", single(type="rec"))
        spec = worker.create("web", "ext")
        release = worker.recorders.hold("rec", "ADD")

        caller = run_in_vain(worker, spec)
        wait_for(lambda: worker.recorders.asked("ADD"))
        worker.containerd.kill()
        caller.join()
        release()
        worker.containerd.start()
        for sandbox in worker.cri.ids():  # 1.6 has kept nothing of it
            worker.cri.stop(sandbox)
            worker.cri.remove(sandbox)
        pod = worker.run(spec)
        assert [one["interface"] for one in pod.status] == ["eth0", "net1"]
        pod.remove()
        wait_for(lambda: not worker.rows)


class TestReboot:
    """Namespaces and processes are gone; what was on disk is still there: journal, leases, the runtime's store."""

    def test_pods_are_replaced(self, workers: Any, worker: Worker, pod: Pod) -> None:
        """Kubelet runs a new sandbox for the pod, and removes the old one, of which we find nothing but records."""
        held = set(worker.leases())
        worker = workers.reboot(worker)
        assert worker.links() == {"lo"}
        assert worker.cri.ids() == [pod.id]
        assert not worker.cri.view(pod.id).ready
        spec = replace(pod.spec, attempt=1)
        new = worker.run(spec)
        assert new.addresses("net1")
        assert {one["interface"] for one in new.status} == {"eth0", "net1"}
        mine = set(worker.leases()) - held
        worker.cri.stop(pod.id)
        worker.cri.remove(pod.id)
        assert set(worker.leases()) == mine
        assert {row.container_id for row in worker.rows} == {new.id}
        assert worker.call("CHECK", new.id, new.netns_path) == (0, {})
        new.remove()
        worker.assert_clean()

    def test_runtime_has_forgotten_the_pod(self, workers: Any, worker: Worker, pod: Pod) -> None:
        """Its store was lost with the power: no DEL will ever come, and what the pod held is given back."""
        worker.cluster.forget_pod("web")
        store = worker.node.path("/var/lib/containerd")
        worker.close()
        for folder in store.iterdir():
            shutil.rmtree(folder)
        worker = workers.reboot(worker)
        assert worker.cri.ids() == []
        new = worker.start("new", "storage")
        wait_for(lambda: {row.container_id for row in worker.rows} == {new.id})
        assert len(worker.leases()) == 3
        assert pod.id in worker.log.read_text()
        new.remove()
        worker.assert_clean()

    def test_half_made_pod(self, workers: Any, worker: Worker) -> None:
        """The power failed during an ADD: its records are gone with the daemon's start."""
        worker.recorders.make("rec")
        worker.cluster.nad("storage", STORAGE)
        worker.cluster.nad("ext", single(type="rec"))
        spec = worker.create("web", "storage,ext")
        worker.recorders.hold("rec", "ADD")

        caller = run_in_vain(worker, spec)
        wait_for(lambda: worker.recorders.asked("ADD"))
        assert len(worker.leases()) == 3
        worker = workers.reboot(worker)
        caller.join()
        worker.assert_no_networks()

    def test_removal_that_was_spooled(self, workers: Any, worker: Worker, pod: Pod) -> None:
        worker.end_daemon()
        pod.stop()
        worker = workers.reboot(worker)
        worker.assert_no_networks()
        worker.cri.remove(pod.id)
        worker.assert_clean()
