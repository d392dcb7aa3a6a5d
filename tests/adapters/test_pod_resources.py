"""Devices by kubelet: its PodResources API behind a real gRPC server, and its checkpoint file."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from multinet.adapters.device_checkpoint import DeviceCheckpoint
from multinet.adapters.node_devices import NodeDevices
from multinet.adapters.pod_resources import NotOffered, PodResources
from multinet.ports import DevicesUnavailable, Pod
from tests.adapters.grpc_server import grpc_server
from tests.adapters.kubelet import GET, A, B, Containers, kubelet

WEB = Pod(namespace="default", name="web", uid="uid-1")


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "kubelet.sock"


PODS: dict[tuple[str, str], Containers] = {
    ("default", "web"): [{A: ["0000:03:02.3", "0000:03:02.0"]}, {B: ["0000:04:00.1"], A: ["0000:03:01.7"]}],
    ("default", "other"): [{A: ["0000:03:03.0"]}],
    ("other", "web"): [{A: ["0000:03:03.1"]}],
}


@pytest.mark.parametrize("get", [True, False])
def test_containers_keep_their_order_and_ids_are_sorted_within_one(socket: Path, get: bool) -> None:
    """5.39"""
    with kubelet(socket, PODS, get):
        found = PodResources(str(socket)).allocated(WEB)
    assert found == {A: ("0000:03:02.0", "0000:03:02.3", "0000:03:01.7"), B: ("0000:04:00.1",)}


@pytest.mark.parametrize("get", [True, False])
def test_a_pod_that_kubelet_has_not_has_no_devices(socket: Path, get: bool) -> None:
    """5.36"""
    with kubelet(socket, PODS, get):
        assert PodResources(str(socket)).allocated(Pod(namespace="default", name="gone", uid="u")) == {}


def test_one_pod_is_asked_for_where_kubelet_can_do_that(socket: Path) -> None:
    with kubelet(socket, PODS) as serving:
        PodResources(str(socket)).allocated(WEB)
        assert serving.calls == ["Get"]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN])
def test_a_kubelet_whose_feature_is_off_lists_from_then_on(socket: Path, code: grpc.StatusCode) -> None:
    with kubelet(socket, PODS) as serving:
        serving.failing["Get"] = (code, "podresources API Get method disabled")
        devices = PodResources(str(socket))
        assert devices.allocated(WEB)[B] == ("0000:04:00.1",)
        assert devices.allocated(WEB)[B] == ("0000:04:00.1",)
        assert serving.calls == ["Get", "List", "List"]


def test_a_kubelet_that_is_asked_too_often_is_asked_again(socket: Path) -> None:
    with kubelet(socket, PODS) as serving:
        serving.busy = 3
        assert PodResources(str(socket)).allocated(WEB)[B] == ("0000:04:00.1",)
        assert len(serving.calls) == 4


def test_a_kubelet_that_stays_too_busy_is_a_failure_in_time(socket: Path) -> None:
    with kubelet(socket, PODS) as serving:
        serving.busy = 1 << 30
        with pytest.raises(DevicesUnavailable, match="rejected by rate limit"):
            PodResources(str(socket)).allocated(WEB, timeout=0.3)


def test_a_node_full_of_pods_is_no_trouble(socket: Path) -> None:
    """An answer of some megabytes, beyond every window and frame."""
    many = {
        ("default", f"pod-{number}"): [{A: [f"{number}-{one:04}" for one in range(100)]}]
        for number in range(500)
    }
    with kubelet(socket, {**many, **PODS}, get=False):
        assert PodResources(str(socket)).allocated(WEB)[B] == ("0000:04:00.1",)


def test_kubelet_says_why_not(socket: Path) -> None:
    with kubelet(socket, PODS) as serving:
        serving.failing["Get"] = (grpc.StatusCode.INTERNAL, "no device manager")
        with pytest.raises(DevicesUnavailable, match=r"kubelet\.sock: .*Get: no device manager"):
            PodResources(str(socket)).allocated(WEB)


def test_a_kubelet_without_the_api(socket: Path) -> None:
    """9.29"""
    with grpc_server(socket, {}), pytest.raises(NotOffered):
        PodResources(str(socket)).allocated(WEB)


def test_an_answer_that_is_no_such_message(socket: Path) -> None:
    with (
        grpc_server(socket, {GET: lambda *_: b"\x0a\xff\x01"}),
        pytest.raises(DevicesUnavailable, match="unreadable"),
    ):
        PodResources(str(socket)).allocated(WEB)


@pytest.mark.parametrize("pod", [Pod(namespace="", name="web"), Pod(namespace="default", name="")])
def test_a_pod_without_a_name(socket: Path, pod: Pod) -> None:
    """54"""
    with (
        kubelet(socket, PODS),
        pytest.raises(DevicesUnavailable, match="Pod name or namespace cannot be empty"),
    ):
        PodResources(str(socket)).allocated(pod)


def test_many_pods_at_once_get_each_its_own(socket: Path) -> None:
    pods = {("default", f"p{number}"): [{A: [f"device-{number}"]}] for number in range(64)}
    with kubelet(socket, pods), ThreadPoolExecutor(16) as pool:
        devices = PodResources(str(socket))
        asked = [Pod(namespace="default", name=f"p{number}") for number in range(64)]
        found = list(pool.map(lambda pod: devices.allocated(pod, 30.0), asked))
    assert found == [{A: (f"device-{number}",)} for number in range(64)]


# -- the checkpoint


def entry(container: str, resource: str, ids: Any, uid: str = "uid-1") -> dict[str, Any]:
    return {
        "PodUID": uid,
        "ContainerName": container,
        "ResourceName": resource,
        "DeviceIDs": ids,
        "AllocResp": "CggKBFBDSUQSAA==",
    }


def checkpoint(path: Path, *entries: dict[str, Any]) -> str:
    registered = {A: ["0000:03:02.3", "0000:03:02.0"]}
    content = {
        "Data": {"PodDeviceEntries": list(entries), "RegisteredDevices": registered},
        "Checksum": 229855,
    }
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize(
    "ids", [{"0": ["0000:03:02.3"], "-1": ["0000:03:02.0"]}, ["0000:03:02.3", "0000:03:02.0"]]
)
def test_the_checkpoint_of_every_age_is_read(tmp_path: Path, ids: Any) -> None:
    """53"""
    path = checkpoint(tmp_path / "c", entry("web", A, ids), entry("web", A, ["0000:99:00.0"], uid="uid-2"))
    assert DeviceCheckpoint(path).allocated(WEB) == {A: ("0000:03:02.0", "0000:03:02.3")}


def test_containers_of_the_checkpoint_keep_their_order(tmp_path: Path) -> None:
    path = checkpoint(
        tmp_path / "c",
        entry("zebra", A, {"0": ["9"]}),
        entry("ant", A, {"0": ["1"]}),
        entry("zebra", B, {"1": None, "0": ["5"]}),
    )
    assert DeviceCheckpoint(path).allocated(WEB) == {A: ("9", "1"), B: ("5",)}


def test_a_device_that_an_init_container_had_comes_once(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c", entry("init", A, {"0": ["1"]}), entry("web", A, {"0": ["1", "2"]}))
    assert DeviceCheckpoint(path).allocated(WEB) == {A: ("1", "2")}


def test_a_static_pod_is_found_by_the_uid_that_kubelet_has(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c", entry("web", A, {"0": ["1"]}, uid="0123abcd"))
    mirror = Pod(
        namespace="kube-system",
        name="web-n1",
        uid="uid-9",
        annotations={"kubernetes.io/config.hash": "0123abcd"},
        static=True,
    )
    assert DeviceCheckpoint(path).allocated(mirror) == {A: ("1",)}


def test_no_devices_at_all(tmp_path: Path) -> None:
    (tmp_path / "c").write_text(
        '{"Data": {"PodDeviceEntries": null, "RegisteredDevices": {}}, "Checksum": 1}'
    )
    assert DeviceCheckpoint(str(tmp_path / "c")).allocated(WEB) == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"Data": {"PodDeviceEntries": [{"DeviceIDs": 5}]}}', r"PodDeviceEntries\[0\]\.DeviceIDs"),
    ],
)
def test_a_checkpoint_that_cant_be_read(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "c"
    path.write_text(content)
    with pytest.raises(DevicesUnavailable, match=problem) as caught:
        DeviceCheckpoint(str(path)).allocated(WEB)
    assert str(path) in str(caught.value)


def test_a_pod_without_uid(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c")
    with pytest.raises(DevicesUnavailable, match="GetPodResourceMap: invalid Pod cannot be empty"):
        DeviceCheckpoint(path).allocated(Pod(namespace="default", name="web"))


# -- which of the two


def test_without_a_socket_the_checkpoint_is_read(tmp_path: Path, socket: Path) -> None:
    """5.35"""
    path = checkpoint(tmp_path / "c", entry("web", A, {"0": ["1"]}))
    assert NodeDevices(str(socket), path).allocated(WEB) == {A: ("1",)}


def test_with_a_kubelet_that_has_no_such_api_the_checkpoint_is_read(tmp_path: Path, socket: Path) -> None:
    """9.29"""
    path = checkpoint(tmp_path / "c", entry("web", A, {"0": ["1"]}))
    with grpc_server(socket, {}):
        assert NodeDevices(str(socket), path).allocated(WEB) == {A: ("1",)}


def test_kubelet_itself_counts_before_its_checkpoint(tmp_path: Path, socket: Path) -> None:
    path = checkpoint(tmp_path / "c", entry("web", A, {"0": ["1"]}))
    with kubelet(socket, PODS):
        assert NodeDevices(str(socket), path).allocated(WEB)[B] == ("0000:04:00.1",)


def test_neither_is_there(tmp_path: Path, socket: Path) -> None:
    with pytest.raises(DevicesUnavailable) as caught:
        NodeDevices(str(socket), str(tmp_path / "c")).allocated(WEB)
    assert str(caught.value) == (
        "getKubernetesDelegate: failed to get a ResourceClient instance: "
        f"kubelet's checkpoint {tmp_path}/c: No such file or directory (looked at since: no socket {socket})"
    )


def test_a_socket_that_kubelet_has_left(tmp_path: Path, socket: Path) -> None:
    """kubelet is being restarted: its checkpoint may be older than what it will say, so this is to be tried again."""
    path = checkpoint(tmp_path / "c", entry("web", A, {"0": ["1"]}))
    socket.touch()
    with pytest.raises(DevicesUnavailable, match=r"a ResourceClient instance: .*connection refused"):
        NodeDevices(str(socket), path).allocated(WEB)
