"""Devices of pods: from kubelet or DRA to the plugins that use them, and back (5.35 to 5.45)."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from multinet.adapters.netns import Netns
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, Code
from multinet.core.planned import InlineNetwork, PlannedAttachment
from multinet.core.settings import Settings
from multinet.daemon.call import Call
from multinet.daemon.completion import Completion
from multinet.daemon.networks import LoadedNetwork
from multinet.daemon.records import new_record
from multinet.npwg.selection import NETWORK_STATUS
from multinet.ports import Pod
from tests.adapters.apiserver import CLAIMS, EVENTS, NADS, PODS, SLICES, APIServer
from tests.adapters.kubelet import A, B, Kubelet, kubelet
from tests.adapters.objects import NETWORKS, eventually, pod, write_kubeconfig

Site = Any
DEFAULT = "v1.multus-cni.io/default-network"
RESOURCE = "k8s.v1.cni.cncf.io/resourceName"
CAPABLE = {"capabilities": {"deviceID": True, "CNIDeviceInfoFile": True}}
INFO = {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:03:02.1"}}


@pytest.fixture
def node(site: Site, tmp_path: Path) -> Site:
    """The site, with places for kubelet's socket, its checkpoint and device information."""
    site.pod_resources, site.device_info = tmp_path / "kubelet.sock", tmp_path / "devinfo"
    (site.device_info / "dp").mkdir(parents=True)
    site.options = msgspec.structs.replace(
        site.options,
        pod_resources=str(site.pod_resources),
        device_checkpoint=str(tmp_path / "checkpoint"),
        device_info=str(site.device_info),
    )
    for kind in ("sriov", "ovs"):
        site.recorders.make(kind)
    return site


def one_daemon(site: Site) -> None:
    """Made before several threads call it."""
    assert site.app


@pytest.fixture
def serving(node: Site) -> Iterator[Kubelet]:
    """kubelet, which gave two devices of A to the pod ``default/web``."""
    with kubelet(
        node.pod_resources, {("default", "web"): [{A: ["0000:03:02.1", "0000:03:02.2"]}]}
    ) as running:
        yield running


def resource_nad(site: Site, name: str, conf: Any, resource: str = A, namespace: str = "default") -> None:
    site.nad(name, conf, namespace)
    file = f"nad-{namespace}-{name}"
    manifest = json.loads((site.manifests / f"{file}.json").read_text())
    manifest["metadata"]["annotations"] = {RESOURCE: resource}
    site.manifest(file, manifest)


def sriov(**more: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "type": "sriov", "vlan": 7, **more}


def device_file(site: Site, resource: str, device: str, content: Any = INFO) -> None:
    name = f"{resource.replace('/', '-')}-{device}-device.json"
    (site.device_info / "dp" / name).write_text(json.dumps(content))


def info_files(site: Site) -> list[str]:
    folder = site.device_info / "cni"
    return sorted(os.listdir(folder)) if folder.exists() else []


def added(site: Site, kind: str = "sriov") -> list[dict[str, Any]]:
    """The configurations of the plugin's ADDs, by interface: networks are attached at once."""
    return [
        call.conf
        for call in sorted(site.recorders.calls, key=lambda call: call.env["CNI_IFNAME"])
        if (call.plugin, call.verb) == (kind, "ADD")
    ]


def devices_of(site: Site, kind: str = "sriov") -> list[str]:
    return [conf.get("deviceID", "") for conf in added(site, kind)]


# -- what a plugin is given


def test_a_plugin_gets_the_device_in_every_way_that_it_knows(node: Site, serving: Kubelet) -> None:
    """5.38, 5.44, 2.13: and its DEL the same as its ADD."""
    resource_nad(node, "fast", sriov(**CAPABLE))
    node.pod(networks="fast")
    device_file(node, A, "0000:03:02.1")
    sandbox = node.lab.sandbox()
    node.ok("ADD", netns=sandbox)
    file = str(node.device_info / "cni" / "default-fast-c1_net1")
    (conf,) = added(node)
    assert (conf["deviceID"], conf["pciBusID"], conf["vlan"]) == ("0000:03:02.1", "0000:03:02.1", 7)
    assert conf["runtimeConfig"] == {"deviceID": "0000:03:02.1", "CNIDeviceInfoFile": file}
    assert json.loads(Path(file).read_text()) == INFO
    assert json.loads(node.status())[1]["device-info"] == INFO
    assert "device-info" not in json.loads(node.status())[0]
    node.restart()
    serving.pods.clear()
    node.forget_manifest("nad-default-fast")
    node.ok("DEL", netns=sandbox)
    removed = node.recorders.calls[-1]
    assert (removed.plugin, removed.verb) == ("sriov", "DEL")
    assert removed.conf["deviceID"] == "0000:03:02.1"
    assert removed.conf["runtimeConfig"] == conf["runtimeConfig"]
    assert info_files(node) == []
    node.assert_clean(sandbox)


def test_every_plugin_of_a_list_has_the_device_and_keeps_its_own_keys(node: Site, serving: Kubelet) -> None:
    ovs = {"type": "ovs", "bridge": "br0", "trunk": [{"minID": 1, "maxID": 5}], "x-mine": {"deep": 1}}
    resource_nad(node, "fast", {"cniVersion": "1.0.0", "name": "n", "plugins": [sriov(), {**ovs, **CAPABLE}]})
    node.pod(networks="fast")
    node.ok("ADD", netns=node.lab.sandbox())
    (first,), (second,) = added(node, "sriov"), added(node, "ovs")
    for conf in (first, second):
        assert (conf["deviceID"], conf["pciBusID"]) == ("0000:03:02.1", "0000:03:02.1")
    assert "runtimeConfig" not in first  # it declares no capability
    assert second["runtimeConfig"]["deviceID"] == "0000:03:02.1"
    assert {key: second[key] for key in ovs} == ovs
    node.ok("DEL")


def test_each_network_gets_the_next_device_the_default_network_included(node: Site, serving: Kubelet) -> None:
    """2.10, 2.29, 5.37: and the default network has neither capability nor file (2.14, 5.44)."""
    resource_nad(node, "primary", sriov(**CAPABLE), namespace="kube-system")
    resource_nad(node, "fast", sriov(**CAPABLE))
    serving.pods["default", "web"] = [{A: ["d1", "d0"]}, {A: ["c9"]}]
    for device in ("d0", "d1", "c9"):
        device_file(node, A, device)
    node.pod(networks="fast,fast", **{DEFAULT: "primary"})
    node.ok("ADD", netns=node.lab.sandbox())
    assert devices_of(node) == ["d0", "d1", "c9"]
    assert "runtimeConfig" not in added(node)[0]
    assert info_files(node) == ["default-fast-c1_net1", "default-fast-c1_net2"]
    assert len(serving.calls) == 1
    node.ok("DEL")
    assert info_files(node) == []


def test_without_a_resource_nobody_is_asked(node: Site, serving: Kubelet) -> None:
    node.nad("plain", sriov(deviceID="0000:05:00.0"))
    node.pod(networks="plain")
    node.ok("ADD", netns=node.lab.sandbox())
    assert serving.calls == []
    assert devices_of(node) == ["0000:05:00.0"]
    node.ok("DEL")


def test_a_device_of_the_annotation_goes_by_capability_alone(node: Site, serving: Kubelet) -> None:
    """2.C: the file is named for it, and not filled."""
    node.nad("plain", sriov(**CAPABLE))
    node.pod(networks=[{"name": "plain", "deviceID": "0000:05:00.1"}])
    device_file(node, A, "0000:05:00.1")
    node.ok("ADD", netns=node.lab.sandbox())
    (conf,) = added(node)
    assert "deviceID" not in conf
    file = str(node.device_info / "cni" / "default-plain-c1_net1")
    assert conf["runtimeConfig"] == {"deviceID": "0000:05:00.1", "CNIDeviceInfoFile": file}
    assert info_files(node) == []
    node.ok("DEL")


def test_a_pinned_device_of_the_pods_own(node: Site, serving: Kubelet) -> None:
    """9.27"""
    resource_nad(node, "fast", sriov(**CAPABLE))
    node.pod(networks=[{"name": "fast"}, {"name": "fast", "deviceID": "0000:03:02.1"}])
    node.ok("ADD", netns=node.lab.sandbox())
    assert devices_of(node) == ["0000:03:02.2", "0000:03:02.1"]
    assert [conf["runtimeConfig"]["deviceID"] for conf in added(node)] == devices_of(node)
    node.ok("DEL")


def test_a_pinned_device_of_someone_elses(node: Site, serving: Kubelet) -> None:
    resource_nad(node, "fast", sriov())
    node.pod(networks=[{"name": "fast", "deviceID": "0000:0f:00.0"}])
    sandbox = node.lab.sandbox()
    code, text = node.fails("ADD", netns=sandbox)
    assert code == Code.ATTACHMENT
    assert 'device "0000:0f:00.0"' in text and "0000:03:02.1, 0000:03:02.2" in text
    assert node.recorders.calls == []
    node.assert_clean(sandbox)


INFORMER = """#!/usr/bin/env python3
import json, os, sys
conf = json.load(sys.stdin)
if os.environ["CNI_COMMAND"] == "ADD":
    path = conf["runtimeConfig"]["CNIDeviceInfoFile"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    info = {"type": "vhost-user", "version": "1.1.0", "vhost-user": {"mode": "client", "path": "/s"}}
    with open(path, "w") as file:
        json.dump(info, file)
    inside = [{"name": os.environ["CNI_IFNAME"], "sandbox": os.environ["CNI_NETNS"]}]
    print(json.dumps({"cniVersion": "1.0.0", "interfaces": inside}))
"""


def test_what_a_plugin_says_of_its_device_is_in_the_status(node: Site, serving: Kubelet) -> None:
    """5.44"""
    plugin = node.bin_dir / "userspace"
    plugin.write_text(INFORMER)
    plugin.chmod(0o755)
    resource_nad(node, "user", {"cniVersion": "1.0.0", "type": "userspace", **CAPABLE})
    node.pod(networks="user")
    node.ok("ADD", netns=node.lab.sandbox())
    assert json.loads(node.status())[1]["device-info"]["vhost-user"] == {"mode": "client", "path": "/s"}
    assert info_files(node) == ["default-user-c1_net1"]
    node.ok("DEL")
    assert info_files(node) == []


def test_a_running_pod_that_is_completed_gets_its_devices(node: Site, serving: Kubelet) -> None:
    resource_nad(node, "fast", sriov(**CAPABLE))
    node.pod(networks="fast")
    device_file(node, A, "0000:03:02.1")
    sandbox = node.lab.sandbox()
    default = {**node.bridge("10.244.0.0/24", "fd00:244::/64"), "cniVersion": "1.0.0", "name": "cbr0"}
    node.ok("ADD", netns=sandbox, conf=default, program="bridge")
    call = Call(node.request("ADD", netns=sandbox))
    try:
        assert Completion(node.app.shared, node.options.defaults).complete(call) == ("net1",)
    finally:
        call.close()
    assert devices_of(node) == ["0000:03:02.1"]
    assert json.loads(node.status())[1]["device-info"] == INFO
    node.ok("DEL", netns=sandbox)
    assert info_files(node) == []
    node.assert_clean(sandbox)


# -- no device, or nobody who knows


def test_a_plugin_that_needs_a_device_fails_without_one_and_nothing_is_left(
    node: Site, serving: Kubelet
) -> None:
    """9.28"""
    resource_nad(node, "fast", sriov())
    node.pod(networks="fast,fast,fast")
    sandbox = node.lab.sandbox()
    code, text = node.fails("ADD", netns=sandbox)
    assert code == Code.ATTACHMENT
    assert (
        f'network default/fast: the pod has 2 of resource "{A}" (0000:03:02.1, 0000:03:02.2), and 3 of'
        in text
    )
    assert node.recorders.calls == []
    node.assert_clean(sandbox)


def test_a_plugin_that_does_without_is_attached_with_a_warning(
    node: Site, serving: Kubelet, caplog: pytest.LogCaptureFixture
) -> None:
    """5.37"""
    resource_nad(node, "soft", {"cniVersion": "1.0.0", "type": "ovs", "bridge": "br0", **CAPABLE}, B)
    node.pod(networks="soft")
    node.ok("ADD", netns=node.lab.sandbox())
    (conf,) = added(node, "ovs")
    assert "deviceID" not in conf and "runtimeConfig" not in conf
    assert f'pod default/web: network default/soft: the pod has no device of resource "{B}"' in caplog.text
    node.ok("DEL")


def test_the_strict_setting_has_every_network_fail_without_its_device(node: Site, serving: Kubelet) -> None:
    resource_nad(node, "soft", {"cniVersion": "1.0.0", "type": "ovs", "bridge": "br0"}, B)
    node.pod(networks="soft")
    code, text = node.fails("ADD", netns=node.lab.sandbox(), conf={"strictDevices": True})
    assert code == Code.ATTACHMENT
    assert "request it in the resources of a container" in text


def test_no_kubelet_is_to_be_tried_again(node: Site) -> None:
    resource_nad(node, "fast", sriov())
    node.pod(networks="fast")
    sandbox = node.lab.sandbox()
    code, text = node.fails("ADD", netns=sandbox)
    assert code == Code.TRY_AGAIN
    assert "Multus: [default/web/]: getKubernetesDelegate: failed to get a ResourceClient instance: " in text
    assert f"no socket {node.pod_resources}" in text
    node.assert_clean(sandbox)


def test_a_strange_server_in_kubelets_place(node: Site) -> None:
    """9.29 is a kubelet that is too old; this is none at all."""
    import socketserver

    class Web(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    resource_nad(node, "fast", sriov())
    node.pod(networks="fast")
    sandbox = node.lab.sandbox()
    with socketserver.ThreadingUnixStreamServer(str(node.pod_resources), Web) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        code, text = node.fails("ADD", netns=sandbox)
        server.shutdown()
        thread.join()
    assert code == Code.TRY_AGAIN
    assert "no gRPC server: it said b'HTTP/1.1 400" in text
    node.assert_clean(sandbox)


def test_a_silent_kubelet_costs_the_callers_time_and_no_more(node: Site, serving: Kubelet) -> None:
    over = threading.Event()
    begin = serving._begin

    def silent(method: str, context: Any) -> None:
        over.wait(30)
        begin(method, context)

    serving._begin = silent  # type: ignore[method-assign]  # the kubelet is ours
    resource_nad(node, "fast", sriov())
    node.pod(networks="fast")
    sandbox = node.lab.sandbox()
    code, text = node.fails("ADD", netns=sandbox, time_limit_ms=1500)
    over.set()
    assert code == Code.TRY_AGAIN
    assert "DEADLINE_EXCEEDED" in text  # by our clock or by the server's
    node.assert_clean(sandbox)


def test_a_kubelet_that_fails(node: Site, serving: Kubelet) -> None:
    serving.failing = {"Get": (grpc.StatusCode.INTERNAL, "device manager is down")}
    resource_nad(node, "fast", sriov())
    node.pod(networks="fast")
    code, text = node.fails("ADD", netns=node.lab.sandbox())
    assert code == Code.TRY_AGAIN
    assert "device manager is down" in text


# -- nobody gets another's


def test_a_failed_add_leaves_no_file_and_its_device_is_free(node: Site, serving: Kubelet) -> None:
    resource_nad(node, "fast", sriov(**CAPABLE))
    node.nad("last", {"cniVersion": "1.0.0", "type": "ovs"})
    node.pod(networks="fast,last")
    device_file(node, A, "0000:03:02.1")
    node.recorders.fail("ovs", "ADD")
    sandbox = node.lab.sandbox()
    node.fails("ADD", netns=sandbox)
    assert info_files(node) == []
    node.assert_clean(sandbox)
    node.recorders.succeed("ovs", "ADD")
    node.recorders.clear()
    node.ok("ADD", "c2", netns=sandbox)
    assert devices_of(node) == ["0000:03:02.1"]
    node.ok("DEL", "c2")


def test_gc_takes_the_file_and_frees_the_device(node: Site, serving: Kubelet) -> None:
    resource_nad(node, "fast", sriov(**CAPABLE))
    node.pod(networks="fast", uid="u1")
    device_file(node, A, "0000:03:02.1")
    sandbox = node.lab.sandbox()
    node.ok("ADD", netns=sandbox)
    assert info_files(node) == ["default-fast-c1_net1"]
    for _ in range(2):  # one list without it is no proof
        node.ok("GC", conf={"cniVersion": "1.1.0", "cni.dev/valid-attachments": []})
    assert info_files(node) == []
    node.assert_clean(sandbox)


def test_a_device_that_another_pod_still_has_is_not_given_away(node: Site, serving: Kubelet) -> None:
    """kubelet gives a device out again as soon as a pod is over; here its removal failed."""
    resource_nad(node, "fast", sriov(**CAPABLE))
    serving.pods = {("default", name): [{A: ["0000:03:02.1"]}] for name in ("old", "new")}
    node.pod("old", networks="fast", uid="u-old")
    node.pod("new", networks="fast", uid="u-new")
    old, new = node.lab.sandbox(), node.lab.sandbox()
    node.ok("ADD", "c-old", netns=old, pod="old")
    node.recorders.fail("sriov", "DEL")
    node.ok("DEL", "c-old", netns=old, pod="old")
    node.restart()
    code, text = node.fails("ADD", "c-new", netns=new, pod="new")
    assert code == Code.TRY_AGAIN
    assert (
        f'devices of resource "{A}" are still in use: "0000:03:02.1" by pod default/old (container c-old)'
        in text
    )
    assert set(node.lab.links(new)) == {"lo"}
    node.recorders.succeed("sriov", "DEL")
    assert node.app.handler.retry_removals() == 0
    node.ok("ADD", "c-new", netns=new, pod="new")
    assert devices_of(node) == ["0000:03:02.1", "0000:03:02.1"]
    node.ok("DEL", "c-new", netns=new, pod="new")
    node.assert_clean(old, new)


def test_a_device_of_a_sandbox_that_is_gone_is_back(node: Site, serving: Kubelet) -> None:
    """After the node's restart: the kernel has brought it home, whatever the journal still has of the container."""
    resource_nad(node, "fast", sriov())
    serving.pods = {("default", name): [{A: ["0000:03:02.1"]}] for name in ("old", "new")}
    node.pod("old", networks="fast", uid="u-old")
    node.pod("new", networks="fast", uid="u-new")
    folder = node.lab.directory / "netns"
    folder.mkdir()
    gone = node.lab.sandbox()
    node.ok("ADD", "c-old", netns=gone, pod="old")
    rows = [msgspec.structs.replace(row, netns=str(folder / "gone")) for row in node.rows]
    node.app.journal.ready(rows)
    node.ok("ADD", "c-new", netns=node.lab.sandbox(), pod="new")
    assert devices_of(node) == ["0000:03:02.1", "0000:03:02.1"]
    node.ok("DEL", "c-new")
    node.ok("DEL", "c-old")


def test_a_pod_gets_its_own_again_in_a_new_sandbox(node: Site, serving: Kubelet) -> None:
    resource_nad(node, "fast", sriov())
    node.pod(networks="fast", uid="u1")
    node.ok("ADD", "c1", netns=node.lab.sandbox())
    node.ok("ADD", "c2", netns=node.lab.sandbox())  # the old sandbox's DEL comes late
    assert devices_of(node) == ["0000:03:02.1", "0000:03:02.1"]
    node.ok("DEL", "c1")
    node.ok("DEL", "c2")


def test_many_pods_at_once_get_each_its_own(node: Site, serving: Kubelet) -> None:
    names = [f"p{number}" for number in range(12)]
    serving.pods = {("default", name): [{A: [f"{name}-a", f"{name}-b"]}] for name in names}
    resource_nad(node, "fast", sriov(**CAPABLE))
    for name in names:
        node.pod(name, networks="fast,fast")
        for letter in "ab":
            device_file(node, A, f"{name}-{letter}", {**INFO, "pci": {"pci-address": f"{name}-{letter}"}})
    sandboxes: dict[str, Netns] = {name: node.lab.sandbox() for name in names}
    one_daemon(node)
    with ThreadPoolExecutor(6) as pool:
        done = list(
            pool.map(lambda name: node.ok("ADD", f"c-{name}", netns=sandboxes[name], pod=name), names)
        )
    assert len(done) == len(names)
    assert sorted(devices_of(node)) == sorted(f"{name}-{letter}" for name in names for letter in "ab")
    for name in names:
        shown = [one["device-info"]["pci"]["pci-address"] for one in json.loads(node.status(name))[1:]]
        assert shown == [f"{name}-a", f"{name}-b"]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: node.ok("DEL", f"c-{name}", netns=sandboxes[name], pod=name), names))
    assert info_files(node) == []
    node.assert_clean(*sandboxes.values())


def test_one_device_for_two_pods_goes_to_one_of_them(node: Site, serving: Kubelet) -> None:
    """Whatever kubelet says, at the same moment."""
    names = [f"p{number}" for number in range(6)]
    serving.pods = {("default", name): [{A: ["only"]}] for name in names}
    resource_nad(node, "fast", sriov())
    for name in names:
        node.pod(name, networks="fast", uid=f"u-{name}")
    sandboxes = {name: node.lab.sandbox() for name in names}

    def add(name: str) -> int:
        response = node.call("ADD", f"c-{name}", netns=sandboxes[name], pod=name)
        return int(json.loads(response.stdout).get("code", 0))

    one_daemon(node)
    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(add, names))
    assert sorted(codes) == [0] + [int(Code.TRY_AGAIN)] * 5
    assert devices_of(node) == ["only"]
    for name in names:
        node.ok("DEL", f"c-{name}", netns=sandboxes[name], pod=name)
    node.assert_clean(*sandboxes.values())


def test_between_choice_and_journal_nobody_else_chooses(node: Site, serving: Kubelet) -> None:
    serving.pods = {("default", name): [{A: ["only"]}] for name in ("first", "second")}
    settings = Settings.from_config({"delegates": [{"type": "bridge", "name": "n"}]})
    network = NetworkList.from_object({**sriov(), "name": "fast"})
    plan = [PlannedAttachment(position=1, name="default/fast", ifname="net1", source=InlineNetwork({}))]
    loaded = [LoadedNetwork("default/fast", network, A)]
    desk, journal = node.app.shared.devices, node.app.journal
    chosen, go_on = threading.Event(), threading.Event()

    def choose(name: str) -> list[str]:
        one = Pod(namespace="default", name=name, uid=name)
        sandbox = node.lab.sandbox()
        call = Call(node.request("ADD", name, netns=sandbox, pod=name))
        try:
            with desk.given(one, plan, loaded, settings, call) as given:
                if name == "first":
                    chosen.set()
                    go_on.wait(30)
                journal.begin([new_record(plan[0], given[0], one, call, ())])
            return [each.device_id for each in given]
        finally:
            call.close()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(choose, "first")
        assert chosen.wait(30)
        second = pool.submit(choose, "second")
        with pytest.raises(TimeoutError):
            second.result(timeout=0.3)
        go_on.set()
        assert first.result() == ["only"]
        with pytest.raises(CNIError, match='"only" by pod default/first') as caught:
            second.result()
    assert caught.value.code == Code.TRY_AGAIN
    journal.forget(journal.all())


# -- from the cluster


@pytest.fixture
def server() -> Iterator[APIServer]:
    with APIServer() as running:
        yield running


@pytest.fixture
def clustered(node: Site, server: APIServer) -> Iterator[Callable[..., None]]:
    """Puts NADs into ``server``, which is the site's cluster."""
    kubeconfig = write_kubeconfig(node.lab.directory / "kubeconfig", server.url)
    node.options = msgspec.structs.replace(
        node.options, manifests="", kubeconfig=str(kubeconfig), node_name="n1"
    )

    def put(name: str, conf: dict[str, Any], **annotations: str) -> None:
        metadata = {"name": name, "annotations": annotations}
        server.put(NADS, {"metadata": metadata, "spec": {"config": json.dumps(conf)}})

    yield put


def with_claim(server: APIServer, manifest: dict[str, Any]) -> None:
    manifest["spec"]["resourceClaims"] = [{"name": "nic", "resourceClaimTemplateName": "t"}]
    manifest["status"]["resourceClaimStatuses"] = [{"name": "nic", "resourceClaimName": "web-nic"}]
    server.put(PODS, manifest)
    result = {"request": "vf", "driver": "d.example.com", "pool": "n1", "device": "vf-1"}
    allocation = {"devices": {"results": [result]}}
    server.put(CLAIMS, {"metadata": {"name": "web-nic"}, "spec": {}, "status": {"allocation": allocation}})
    attributes = {
        "k8s.cni.cncf.io/deviceID": {"string": "0000:0a:00.1"},
        "k8s.cni.cncf.io/resourceName": {"string": A},
    }
    spec = {
        "driver": "d.example.com",
        "nodeName": "n1",
        "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "vf-1", "attributes": attributes}],
    }
    server.put(SLICES, {"metadata": {"name": "s"}, "spec": spec})


def test_devices_of_dra_come_after_kubelets(
    node: Site, server: APIServer, clustered: Callable[..., None], serving: Kubelet
) -> None:
    serving.pods["default", "web"] = [{A: ["0000:03:02.1"]}]
    clustered("fast", sriov(), **{RESOURCE: A})
    with_claim(server, pod("web", "u1", **{NETWORKS: "fast,fast"}))
    node.ok("ADD", netns=node.lab.sandbox())
    assert devices_of(node) == ["0000:03:02.1", "0000:0a:00.1"]
    status = json.loads(server.get(PODS, "default", "web")["metadata"]["annotations"][NETWORK_STATUS])
    assert [entry["interface"] for entry in status] == ["eth0", "net1", "net2"]
    before = len(server.log)
    node.ok("DEL")
    assert [entry for entry in server.log[before:] if entry[0] != "watch"] == []


def test_an_add_without_resources_asks_nothing_of_dra(
    node: Site, server: APIServer, clustered: Callable[..., None], serving: Kubelet
) -> None:
    clustered("plain", sriov())
    with_claim(server, pod("web", "u1", **{NETWORKS: "plain"}))
    node.ok("ADD", netns=node.lab.sandbox())
    assert serving.calls == []
    asked = {resource for verb, resource, _ in server.log if verb not in ("list", "watch")}
    assert asked <= {PODS, NADS, "pods/status"}
    node.ok("DEL")


def test_the_pods_users_learn_that_a_device_is_missing(
    node: Site, server: APIServer, clustered: Callable[..., None], serving: Kubelet
) -> None:
    """5.37"""
    clustered("soft", {"cniVersion": "1.0.0", "type": "ovs"}, **{RESOURCE: B})
    clustered("hard", sriov(), **{RESOURCE: B})
    for name, network in (("web", "soft"), ("db", "hard")):
        manifest = pod(name, f"u-{name}", **{NETWORKS: network})
        manifest["status"].pop("resourceClaimStatuses")
        server.put(PODS, manifest)
    node.ok("ADD", netns=node.lab.sandbox())
    node.fails("ADD", "c2", netns=node.lab.sandbox(), pod="db")

    def told() -> dict[str, str]:
        events = server.objects[EVENTS].values()
        return {event["involvedObject"]["name"]: event["reason"] for event in events}

    eventually(lambda: told() == {"web": "DeviceNotAssigned", "db": "DeviceNotAssigned"})
    node.ok("DEL")
