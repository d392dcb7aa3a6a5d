"""Pods of a real runtime: their interfaces, what is published, what fails, and that nothing stays behind."""

from __future__ import annotations

import json
import os

import pytest

from tests.runtime.clusters import Api
from tests.runtime.cri import Refused
from tests.runtime.worker import CONF_FILE, DEFAULT_FILE, Worker, bridge, single, wait_for

STORAGE = single(**bridge("10.9.0.0/24", name="br1"))


class TestInterfaces:
    def test_two_networks(self, worker: Worker) -> None:
        worker.cluster.nad("storage", STORAGE)
        pod = worker.start("web", "storage")
        assert pod.links() == {"lo", "eth0", "net1"}
        (v4,) = (one for one in pod.addresses("eth0") if "." in one)
        assert pod.view.ips[0] == v4.split("/")[0]  # what kubelet takes for the pod's address
        assert [(one["name"], one["interface"]) for one in pod.status] == [
            ("cbr0", "eth0"),
            ("default/storage", "net1"),
        ]
        assert pod.status[1]["ips"] == [one.split("/")[0] for one in pod.addresses("net1")]
        assert pod.status[0]["default"] is True
        assert {(row.ifname, row.pod_uid) for row in worker.rows} == {
            ("eth0", pod.spec.uid),
            ("net1", pod.spec.uid),
        }
        pod.remove()
        worker.assert_clean()

    def test_both_families_reach_the_runtime(self, worker: Worker) -> None:
        pod = worker.start("web")
        assert set(pod.view.ips) == {one.split("/")[0] for one in pod.addresses("eth0")}
        assert len(pod.view.ips) == 2
        pod.remove()
        worker.assert_clean()

    def test_pod_in_the_hosts_network(self, worker: Worker) -> None:
        """It has no namespace of its own: the runtime doesn't call us."""
        pod = worker.start("agent", host_network=True)
        assert (pod.view.netns, pod.status, worker.rows) == ("", [], [])
        pod.remove()
        worker.assert_clean()

    def test_the_network_is_removed_twice(self, worker: Worker) -> None:
        """At Stop, and again at Remove."""
        pod = worker.start("web")
        pod.remove()
        assert worker.log.read_text().count(f"multinet DEL {pod.id}: done") == 2
        worker.assert_clean()


class TestOrder:
    """Kubelet repeats what it has no answer to, and leaves out what it thinks is done."""

    def test_stop_and_remove_are_repeated(self, worker: Worker) -> None:
        pod = worker.start("web")
        for _ in range(3):
            pod.stop()
        for _ in range(2):
            worker.cri.remove(pod.id)
        worker.assert_clean()

    def test_remove_without_stop(self, worker: Worker) -> None:
        pod = worker.start("web")
        worker.cri.remove(pod.id)
        worker.assert_clean()

    def test_next_attempt_while_the_last_is_still_there(self, worker: Worker) -> None:
        """The new sandbox has other addresses; the old one's end doesn't touch it."""
        worker.cluster.nad("storage", STORAGE)
        first = worker.start("web", "storage")
        first.stop()
        second = worker.run(worker.create("web", "storage", uid=first.spec.uid, attempt=1))
        held = worker.leases()
        worker.cri.remove(first.id)
        assert worker.leases() == held
        assert {row.container_id for row in worker.rows} == {second.id}
        assert second.addresses("net1")
        second.remove()
        worker.assert_clean()

    def test_same_sandbox_is_asked_for_twice(self, worker: Worker) -> None:
        """The runtime refuses by itself; the first one stays whole."""
        spec = worker.create("web")
        pod = worker.run(spec)
        with pytest.raises(Refused, match="reserve"):
            worker.cri.run(spec)
        assert pod.addresses("eth0")
        pod.remove()
        worker.assert_clean()

    def test_pod_that_was_deleted_before_its_sandbox(self, worker: Worker) -> None:
        """By force: nobody can be asked about it any more."""
        worker.cluster.nad("storage", STORAGE)
        pod = worker.start("web", "storage")
        worker.cluster.forget_pod("web")
        worker.cluster.forget_nad("storage")
        pod.remove()
        worker.assert_clean()


class TestFailure:
    """RunPodSandbox fails as a whole; its text, which kubelet makes an event of, says why."""

    def test_second_network_fails(self, worker: Worker) -> None:
        worker.cluster.nad("storage", single(type="macvlan", master="nowhere"))
        with pytest.raises(Refused) as refused:
            worker.start("web", "storage")
        assert 'error adding container to network "storage"' in str(refused.value)
        assert 'failed to lookup master "nowhere": Link not found' in str(refused.value)
        assert "default/web" in str(refused.value)
        worker.assert_clean()

    def test_network_that_does_not_exist(self, worker: Worker) -> None:
        with pytest.raises(Refused, match=r"cannot find a network-attachment-definition \(storage\)"):
            worker.start("web", "storage")
        worker.assert_clean()

    def test_external_plugin_fails(self, worker: Worker) -> None:
        """What was made before is removed, the failed one's DEL included."""
        worker.recorders.make("rec")
        worker.recorders.fail("rec", "ADD", '{"code": 123, "msg": "no more circuits"}')
        worker.cluster.nad("storage", STORAGE)
        worker.cluster.nad("ext", single(type="rec"))
        with pytest.raises(Refused, match="no more circuits"):
            worker.start("web", "storage,ext")
        assert worker.recorders.asked("DEL")[0] == ("rec", "DEL", "net2")
        worker.assert_clean()
        worker.recorders.succeed("rec", "ADD")
        pod = worker.start("web", "storage,ext")
        pod.remove()
        worker.assert_clean()


class TestConfiguration:
    """The runtime reads its folder anew when a file there changes."""

    def test_changed_conflist_is_live(self, worker: Worker) -> None:
        before = worker.start("before")
        worker.cluster.nad("everyones", STORAGE, namespace="kube-system")
        worker.configure(defaultNetworks=["everyones"])
        tried = []

        def is_live() -> bool:
            tried.append(worker.start(f"web{len(tried)}"))
            return "net1" in tried[-1].links()

        wait_for(is_live)
        assert before.links() == {"lo", "eth0"}
        for pod in (before, *tried):
            pod.remove()
        worker.assert_clean()

    def test_configuration_that_goes_and_comes(self, worker: Worker) -> None:
        """Without any the node isn't ready; with ours back it is, and pods are removed meanwhile."""
        pod = worker.start("web")
        kept = {file: worker.node.path(file).read_text() for file in (CONF_FILE, DEFAULT_FILE)}
        for file in kept:
            worker.node.path(file).unlink()
        wait_for(worker.cri.network_ready)
        assert "cni plugin not initialized" in worker.cri.network_ready()
        for file, text in kept.items():
            worker.node.write(file, text)
        wait_for(lambda: not worker.cri.network_ready())
        pod.remove()
        worker.assert_clean()

    def test_status(self, worker: Worker) -> None:
        """As runtimes of CNI 1.1 ask it (1.6 doesn't): ready, and not ready when the default network is away."""
        assert worker.call("STATUS") == (0, {})
        conf = worker.node.path(DEFAULT_FILE)
        conf.rename(conf.with_suffix(".away"))
        code, said = worker.call("STATUS")
        assert (code, bool(said["code"])) == (1, True)
        assert "10-cbr0.conflist" in said["msg"]
        conf.with_suffix(".away").rename(conf)
        assert worker.call("STATUS") == (0, {})
        worker.end_daemon()
        code, said = worker.call("STATUS")
        assert (code, said["code"]) == (1, 50)

    def test_gc(self, worker: Worker) -> None:
        """As runtimes of CNI 1.1 ask it: what belongs to no sandbox of theirs goes, secondary networks included."""
        worker.cluster.nad("storage", STORAGE)
        kept, lost = worker.start("kept", "storage"), worker.start("lost", "storage")
        valid = [{"containerID": kept.id, "ifname": "eth0"}]
        for _ in range(2):  # missing in one list is no proof
            assert worker.call("GC", conf={"cni.dev/valid-attachments": valid}) == (0, {})
        assert {row.container_id for row in worker.rows} == {kept.id}
        assert len(worker.leases()) == 3
        assert kept.addresses("net1") and lost.links() == {"lo"}
        for pod in (kept, lost):
            pod.remove()
        worker.assert_clean()


class TestCapabilities:
    """What the runtime hands over because the configuration declares it."""

    def test_host_port(self, worker: Worker) -> None:
        pod = worker.start("web", ports=[{"host_port": 8080, "container_port": 80}])
        worker.node.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
        with pod.netns() as netns:
            from tests.adapters.servers import ask, server

            with server(netns, "0.0.0.0", 80, name="web"):
                assert ask(worker.node.netns, "192.0.2.1", 8080).startswith("web")
                pod.stop()
        assert ask(worker.node.netns, "192.0.2.1", 8080, patience=0.3) == ""
        pod.remove()
        worker.assert_clean()

    def test_bandwidth(self, worker: Worker) -> None:
        annotations = {"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "20M"}
        pod = worker.start("web", annotations=annotations)
        shown = json.loads(worker.node.run("tc", "-j", "qdisc"))
        rates = {one["dev"][:4]: one["options"]["rate"] * 8 for one in shown if one["kind"] == "tbf"}
        assert set(rates.values()) == {10_000_000, 20_000_000}
        pod.remove()
        worker.assert_clean()

    @pytest.mark.parametrize("handed_over", [True, False], ids=["annotations", "look-up"])
    def test_annotations(self, api_worker: tuple[Worker, Api], handed_over: bool) -> None:
        """By capability the runtime brings them: then the pod needs no look-up, even if no watch has it."""
        worker, api = api_worker
        worker.cluster.nad("storage", STORAGE)
        if not handed_over:
            worker.configure(capabilities={})
            wait_for(lambda: "pod-annotations" not in worker.cni_config())
        spec = worker.create("web", "storage")
        api.server.log.clear()
        pod = worker.run(spec)
        assert pod.links() == {"lo", "eth0", "net1"}
        assert [one["interface"] for one in pod.status] == ["eth0", "net1"]
        read = [entry for entry in api.server.log if entry[0] == "get" and entry[1] == "pods"]
        assert len(read) <= (0 if handed_over else 1)
        pod.remove()
        worker.assert_clean()


def test_nothing_is_left_of_the_node(worker: Worker) -> None:
    """Processes, mounts, namespaces, control groups: those of a pod in full run go with its node."""
    worker.start("web")
    node = worker.node
    assert len(node.processes()) >= 4  # containerd, its shim, the pod, our daemon
    assert len(node.pod_groups()) > 1
    inside = f"/proc/{node.pid}/root"
    assert os.listdir(f"{inside}/run/netns")
    worker.close()
    node.close()  # fails if something is left
    assert not os.path.exists(inside)
    with open("/proc/self/mountinfo") as mounts:
        assert str(node.disk) not in mounts.read()
