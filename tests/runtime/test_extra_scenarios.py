"""What else happens to pods of several networks (see README.md), on containerd."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from multinet.npwg.selection import CONFIG_SOURCE
from tests.runtime.clusters import Api
from tests.runtime.cri import Refused
from tests.runtime.worker import Pod, Worker, bridge, single, wait_for

STORAGE = single(**bridge("10.9.0.0/16", name="br1"))
MEMORY_LIMIT = 64 << 20


def test_two_elements_with_the_same_ifname(worker: Worker) -> None:
    """Refused before the first plugin is called, and both elements are named."""
    worker.recorders.make("rec")
    worker.cluster.nad("ext", single(type="rec"))
    worker.cluster.nad("storage", STORAGE)
    twice = [{"name": "ext", "interface": "data0"}, {"name": "storage", "interface": "data0"}]
    with pytest.raises(Refused, match=r'\(default/ext\).*\(default/storage\) both get interface "data0"'):
        worker.start("web", twice)
    assert worker.recorders.asked() == []
    worker.assert_clean()


def test_32_secondaries(worker: Worker) -> None:
    worker.cluster.nad("storage", STORAGE)
    names = [f"net{n}" for n in range(1, 33)]
    began = time.monotonic()
    pod = worker.start("web", ",".join(["storage"] * 32))
    print(f"32 secondaries: {(time.monotonic() - began) * 1000:.0f} ms", file=sys.stderr)
    assert pod.links() == {"lo", "eth0", *names}
    assert [one["interface"] for one in pod.status] == ["eth0", *names]
    assert len({ip for one in pod.status[1:] for ip in one["ips"]}) == 32
    pod.remove()
    worker.assert_clean()


def test_nad_deleted_before_pod_delete(api_worker: tuple[Worker, Api]) -> None:
    """And the daemon, which may have known it once, is another one meanwhile."""
    worker, api = api_worker
    api.nad("storage", STORAGE)
    pod = worker.start("web", "storage")
    api.forget_nad("storage")
    worker.end_daemon()
    worker.start_daemon()
    pod.remove()
    worker.assert_clean()


def test_api_down_during_del(api_worker: tuple[Worker, Api]) -> None:
    """DEL asks nobody; neither does a daemon that starts meanwhile wait for anybody."""
    worker, api = api_worker
    api.nad("storage", STORAGE)
    one, two = worker.start("one", "storage"), worker.start("two", "storage")
    api.close()
    one.remove()
    worker.end_daemon()
    worker.start_daemon()
    assert {row.container_id for row in worker.rows} == {two.id}
    two.remove()
    worker.assert_clean()


def test_dual_stack_default_route_of_one_family(worker: Worker) -> None:
    """A gateway of IPv4 is asked for: the way out by IPv6 stays where it was."""
    worker.cluster.nad("storage", STORAGE)
    pod = worker.start("web", [{"name": "storage", "default-route": ["10.9.0.254"]}])
    assert pod.defaults(4) == {("10.9.0.254", "net1")}
    assert pod.defaults(6) == {("fd00:244:1::1", "eth0")}
    pod.remove()
    worker.assert_clean()


def test_empty_default_route(worker: Worker) -> None:
    """``[]`` keeps that attachment's own gateway, and takes the others' away."""
    worker.cluster.nad("storage", single(**bridge("10.9.0.0/16", name="br1", isDefaultGateway=True)))
    pod = worker.start("web", [{"name": "storage", "default-route": []}])
    assert pod.defaults(4) == {("10.9.0.1", "net1")}
    pod.remove()
    worker.assert_clean()


def test_nad_created_just_before_the_pod(api_worker: tuple[Worker, Api]) -> None:
    """Ten milliseconds: whether or not the watch has brought it by then."""
    worker, api = api_worker
    pods = []
    for number in range(5):
        spec = worker.create(f"web{number}", f"fresh{number}")
        api.nad(f"fresh{number}", STORAGE)
        time.sleep(0.01)
        pods.append(worker.run(spec))
    for pod in pods:
        assert pod.links() == {"lo", "eth0", "net1"}
        pod.remove()
    worker.assert_clean()


@pytest.mark.parametrize("handed_over", [True, False], ids=["annotations", "look-up"])
def test_statefulset_pod_is_created_anew(api_worker: tuple[Worker, Api], handed_over: bool) -> None:
    """The same name, another UID, other networks: the old sandbox's end comes last, and touches nothing of it."""
    worker, api = api_worker
    if not handed_over:
        worker.configure(capabilities={})
        wait_for(lambda: "pod-annotations" not in worker.cni_config())
    api.nad("storage", STORAGE)
    old = worker.start("db-0", "storage")
    api.forget_pod("db-0")
    new = worker.start("db-0", "storage,storage")
    assert new.links() == {"lo", "eth0", "net1", "net2"}
    old.remove()
    assert new.addresses("net2")
    assert [one["interface"] for one in new.status] == ["eth0", "net1", "net2"]
    assert {row.pod_uid for row in worker.rows} == {new.spec.uid}
    with pytest.raises(
        Refused, match=r"(?i)uid"
    ):  # and the old pod doesn't come back under the new one's name
        worker.run(replace(old.spec, attempt=1))
    assert {row.container_id for row in worker.rows} == {new.id}
    new.remove()
    worker.assert_clean()


def test_static_pod_before_its_mirror(api_worker: tuple[Worker, Api]) -> None:
    """It starts by the annotations that the runtime hands over; its status is written when there is something to
    write it to.
    """
    worker, api = api_worker
    api.nad("storage", STORAGE)
    asked = {"k8s.v1.cni.cncf.io/networks": "storage", CONFIG_SOURCE: "file"}
    spec = worker.create("static-web", annotations=asked)
    api.forget_pod("static-web")
    pod = worker.run(spec)
    assert pod.links() == {"lo", "eth0", "net1"}
    mirror = {**asked, "kubernetes.io/config.mirror": spec.uid}
    api.pod("static-web", mirror, uid="the-mirrors-own")
    wait_for(lambda: [one["interface"] for one in pod.status] == ["eth0", "net1"])
    pod.remove()
    worker.assert_clean()


def test_100_simultaneous_adds(worker: Worker) -> None:
    """As after a node's restart: all are made, and the daemon's memory stays below 64 MiB."""
    worker.cluster.nad("storage", STORAGE)
    specs = [worker.create(f"web{number}", "storage") for number in range(100)]
    with ThreadPoolExecutor(len(specs)) as pool:
        began = time.monotonic()
        pods = list(pool.map(worker.run, specs))
        seconds = time.monotonic() - began
        peak = worker.daemon_peak_memory()
        print(f"100 pods at once: {seconds:.1f} s; daemon's peak {peak >> 20} MiB", file=sys.stderr)
        assert len(worker.rows) == 200
        assert len({ip for pod in pods for ip in pod.status[1]["ips"]}) == 100
        list(pool.map(Pod.remove, pods))
    assert worker.daemon_peak_memory() < MEMORY_LIMIT
    worker.assert_clean()


@pytest.mark.parametrize(("added", "deleted"), [("0.3.1", "1.0.0"), ("0.4.0", "1.0.0"), ("1.0.0", "0.4.0")])
def test_cni_version_changes_between_add_and_del(worker: Worker, added: str, deleted: str) -> None:
    """An upgrade, or its way back, with pods alive: the runtime converts the result that it kept, and so do we."""
    worker.cluster.nad("storage", STORAGE)
    worker.configure(added)
    wait_for(lambda: f'"cniVersion":"{added}"' in worker.cni_config().replace(" ", "").replace("\\", ""))
    pod = worker.start("web", "storage")
    worker.configure(deleted)
    wait_for(lambda: f'"cniVersion":"{deleted}"' in worker.cni_config().replace(" ", "").replace("\\", ""))
    pod.remove()
    worker.assert_clean()
