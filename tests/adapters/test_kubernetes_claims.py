"""DRA's devices over the tests' apiserver: pods, ResourceClaims, ResourceSlices (5.40 to 5.42, 55)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.kubernetes_claims import ResourceClaims
from multinet.adapters.kubernetes_session import Session
from multinet.adapters.node_devices import NodeDevices
from multinet.ports import DevicesUnavailable, Pod

from .apiserver import CLAIMS, PODS, SLICES, APIServer, Fault
from .kubelet import A, B, kubelet

WEB = Pod(namespace="default", name="web", uid="uid-web")
DRIVER = "sriovnetwork.k8snetworkplumbingwg.io"
DEVICE_ID, RESOURCE = "k8s.cni.cncf.io/deviceID", "k8s.cni.cncf.io/resourceName"


@pytest.fixture
def claims(session: Session) -> ResourceClaims:
    return ResourceClaims(session, "n1")


def put_pod(server: APIServer, *made: str, uid: str = "uid-web", **status: Any) -> None:
    """The pod, with claims that were made for it from templates."""
    statuses = [{"name": f"c-{name}", "resourceClaimName": name} for name in made]
    spec = {
        "nodeName": "n1",
        "containers": [],
        "resourceClaims": [{"name": f"c-{name}", "resourceClaimTemplateName": "t"} for name in made],
    }
    status = {"phase": "Pending", "resourceClaimStatuses": statuses, **status}
    server.put(PODS, {"metadata": {"name": "web", "uid": uid}, "spec": spec, "status": status})


def put_claim(server: APIServer, name: str, *devices: str | tuple[str, str], pool: str = "n1") -> None:
    """A claim with an allocation of ``devices`` (or of (request, device))."""
    pairs = [one if isinstance(one, tuple) else ("vf", one) for one in devices]
    results = [
        {"request": request, "driver": DRIVER, "pool": pool, "device": device} for request, device in pairs
    ]
    server.put(
        CLAIMS,
        {
            "metadata": {"name": name},
            "spec": {"devices": {}},
            "status": {"allocation": {"devices": {"results": results, "config": []}}},
        },
    )


def put_slice(
    server: APIServer,
    name: str,
    devices: Mapping[str, Mapping[str, Any]],
    node: str = "n1",
    pool: str = "n1",
    generation: int = 1,
    driver: str = DRIVER,
) -> None:
    """A slice of devices with their attributes."""
    listed = [{"name": device, "attributes": dict(attributes)} for device, attributes in devices.items()]
    spec = {
        "driver": driver,
        "nodeName": node,
        "pool": {"name": pool, "generation": generation, "resourceSliceCount": 1},
        "devices": listed,
    }
    server.put(SLICES, {"metadata": {"name": name}, "spec": spec})


def vf(device_id: str, resource: str = A) -> dict[str, Any]:
    return {
        DEVICE_ID: {"string": device_id},
        RESOURCE: {"string": resource},
        "numa": {"int": 1},
        "rdma": {"bool": False},
    }


def test_a_pod_without_claims_costs_one_request(server: APIServer, claims: ResourceClaims) -> None:
    put_pod(server)
    assert claims.allocated(WEB) == {}
    assert [verb_and_resource[:2] for verb_and_resource in server.log] == [("get", "pods")]


def test_one_device(server: APIServer, claims: ResourceClaims) -> None:
    put_pod(server, "claim-1")
    put_claim(server, "claim-1", "dev-1")
    put_slice(server, "s1", {"dev-0": vf("0000:03:02.0"), "dev-1": vf("0000:03:02.1")})
    assert claims.allocated(WEB) == {A: ["0000:03:02.1"]}


def test_many_devices_keep_the_order_of_claims_and_results(server: APIServer, claims: ResourceClaims) -> None:
    put_pod(server, "claim-2", "claim-1")
    put_claim(server, "claim-1", "dev-1", "dev-3")
    put_claim(server, "claim-2", "dev-2", "dev-0")
    put_slice(server, "s1", {f"dev-{n}": vf(f"0000:03:02.{n}", B if n == 3 else A) for n in range(4)})
    assert claims.allocated(WEB) == {A: ["0000:03:02.2", "0000:03:02.0", "0000:03:02.1"], B: ["0000:03:02.3"]}
    assert len([1 for verb, resource, _ in server.log if resource == SLICES]) == 1


def test_a_claim_that_the_pod_names_itself(server: APIServer, claims: ResourceClaims) -> None:
    """The pod's status knows only of claims that were made from templates."""
    spec = {
        "nodeName": "n1",
        "containers": [],
        "resourceClaims": [{"name": "c", "resourceClaimName": "mine"}],
    }
    server.put(PODS, {"metadata": {"name": "web", "uid": "uid-web"}, "spec": spec, "status": {}})
    put_claim(server, "mine", "dev-1")
    put_slice(server, "s1", {"dev-1": vf("0000:03:02.1")})
    assert claims.allocated(WEB) == {A: ["0000:03:02.1"]}


def test_a_template_that_made_no_claim(server: APIServer, claims: ResourceClaims) -> None:
    put_pod(server, resourceClaimStatuses=[{"name": "c"}])
    assert claims.allocated(WEB) == {}


def test_slices_of_this_node_this_driver_and_the_newest_generation_count(
    server: APIServer, claims: ResourceClaims
) -> None:
    put_pod(server, "claim-1")
    put_claim(server, "claim-1", "dev-1")
    put_slice(server, "a", {"dev-1": vf("other-node")}, node="n2")
    put_slice(server, "b", {"dev-1": vf("other-driver")}, driver="gpu.example.com")
    put_slice(server, "c", {"dev-1": vf("other-pool")}, pool="n1-b", generation=9)
    put_slice(server, "d", {"dev-1": vf("old")}, generation=1)
    put_slice(server, "e", {"dev-1": vf("new")}, generation=2)
    assert claims.allocated(WEB) == {A: ["new"]}


def test_slices_come_in_pages(server: APIServer, claims: ResourceClaims) -> None:
    put_pod(server, "claim-1")
    put_claim(server, "claim-1", "dev-600")
    for number in range(601):
        put_slice(server, f"s{number:04}", {f"dev-{number}": vf(f"id-{number}")})
    assert claims.allocated(WEB) == {A: ["id-600"]}


@pytest.mark.parametrize(
    ("devices", "problem"),
    [
        ({}, "is in no ResourceSlice of this node"),
        ({"dev-1": {RESOURCE: {"string": A}}}, f"has no attribute {DEVICE_ID}"),
        ({"dev-1": {DEVICE_ID: {"string": "x"}}}, f"has no attribute {RESOURCE}"),
        ({"dev-1": {DEVICE_ID: {"int": 5}, RESOURCE: {"string": A}}}, f"has no attribute {DEVICE_ID}"),
    ],
)
def test_a_device_that_is_no_networks_is_left_out_with_a_warning(
    server: APIServer,
    claims: ResourceClaims,
    caplog: pytest.LogCaptureFixture,
    devices: dict[str, dict[str, Any]],
    problem: str,
) -> None:
    put_pod(server, "claim-1")
    put_claim(server, "claim-1", "dev-1", "dev-2")
    put_slice(server, "s1", {**devices, "dev-2": vf("0000:03:02.2")})
    with caplog.at_level(logging.WARNING):
        assert claims.allocated(WEB) == {A: ["0000:03:02.2"]}
    assert f"web: claim claim-1: device dev-1 of pool n1 (driver {DRIVER}) {problem}" in caplog.text


def test_a_claim_without_allocation(server: APIServer, claims: ResourceClaims) -> None:
    put_pod(server, "claim-1")
    server.put(CLAIMS, {"metadata": {"name": "claim-1"}, "spec": {}, "status": {}})
    with pytest.raises(DevicesUnavailable, match="claim claim-1 has no device allocation"):
        claims.allocated(WEB)


def test_a_claim_that_isnt_there(server: APIServer, claims: ResourceClaims) -> None:
    put_pod(server, "claim-1")
    with pytest.raises(
        DevicesUnavailable, match=r'claims of pod default/web: .*404 resourceclaims "claim-1" not found'
    ):
        claims.allocated(WEB)


def test_another_pod_of_that_name(server: APIServer, claims: ResourceClaims) -> None:
    put_pod(server, "claim-1", uid="uid-new")
    with pytest.raises(DevicesUnavailable, match='expected pod default/web UID "uid-web" but got "uid-new"'):
        claims.allocated(WEB)


# -- extended resources that DRA serves


def extended(**mappings: str) -> dict[str, Any]:
    """``request=resource``."""
    listed = [
        {"containerName": "c", "requestName": request, "resourceName": resource}
        for request, resource in mappings.items()
    ]
    return {"extendedResourceClaimStatus": {"resourceClaimName": "claim-x", "requestMappings": listed}}


def test_an_extended_resource_by_its_mapping(server: APIServer, claims: ResourceClaims) -> None:
    """5.41"""
    put_pod(server, **extended(r0=A, r1=B))
    put_claim(server, "claim-x", ("r1", "dev-1"), ("r0", "dev-0"), ("r0/alternative", "dev-2"))
    put_slice(
        server, "s1", {"dev-0": vf("id-0"), "dev-1": vf("id-1", B), "dev-2": vf("id-2"), "dev-3": vf("id-3")}
    )
    assert claims.allocated(WEB) == {A: ["id-0", "id-2"], B: ["id-1"]}


@pytest.mark.parametrize(
    ("request_name", "devices", "problem"),
    [
        ("r9", {"dev-0": vf("id-0")}, "request r9 not found in claim claim-x"),
        ("r0", {}, "claim claim-x, request r0: device dev-0 is in no ResourceSlice of this node"),
        ("r0", {"dev-0": vf("id-0", B)}, f'device dev-0 has {RESOURCE} "{B}", expected "{A}"'),
        ("r0", {"dev-0": {RESOURCE: {"string": A}}}, f"device dev-0 has no attribute {DEVICE_ID}"),
    ],
)
def test_a_mapping_that_cant_be_followed(
    server: APIServer,
    claims: ResourceClaims,
    request_name: str,
    devices: dict[str, dict[str, Any]],
    problem: str,
) -> None:
    put_pod(server, **extended(**{request_name: A}))
    put_claim(server, "claim-x", ("r0", "dev-0"))
    put_slice(server, "s1", devices)
    with pytest.raises(DevicesUnavailable) as caught:
        claims.allocated(WEB)
    assert problem in str(caught.value)


# -- clusters that have none, or don't answer


def test_a_cluster_without_the_group_is_not_asked_again(server: APIServer, claims: ResourceClaims) -> None:
    """5.42"""
    server.absent.add("resource.k8s.io")
    put_pod(server, "claim-1")
    assert claims.allocated(WEB) == {}
    asked = len(server.log)
    assert claims.allocated(WEB) == {}
    assert len(server.log) == asked


def test_without_rights_it_is_said_which(server: APIServer, claims: ResourceClaims) -> None:
    server.forbidden.add(("list", SLICES))
    put_pod(server, "claim-1")
    put_claim(server, "claim-1", "dev-1")
    with pytest.raises(
        DevicesUnavailable, match='cannot list resource "resourceslices"; see the manual\'s RBAC'
    ):
        claims.allocated(WEB)


def test_an_apiserver_that_fails_for_a_while(server: APIServer, claims: ResourceClaims) -> None:
    put_pod(server, "claim-1")
    put_claim(server, "claim-1", "dev-1")
    put_slice(server, "s1", {"dev-1": vf("0000:03:02.1")})
    server.faults += [Fault("get", CLAIMS, status=503), Fault("list", SLICES, hang_up=True)]
    assert claims.allocated(WEB) == {A: ["0000:03:02.1"]}


def test_an_apiserver_that_stays_away(server: APIServer, claims: ResourceClaims) -> None:
    server.stop()
    with pytest.raises(DevicesUnavailable, match="claims of pod default/web: Kubernetes API"):
        claims.allocated(WEB, timeout=0.4)


# -- with kubelet's


def test_claims_come_after_kubelets_devices(
    tmp_path: Path, server: APIServer, claims: ResourceClaims
) -> None:
    put_pod(server, "claim-1")
    put_claim(server, "claim-1", "dev-1", "dev-2")
    put_slice(server, "s1", {"dev-1": vf("0000:01:00.1"), "dev-2": vf("0000:01:00.2", B)})
    with kubelet(tmp_path / "k.sock", {("default", "web"): [{A: ["0000:03:00.1"]}]}):
        found = NodeDevices(str(tmp_path / "k.sock"), claims=claims).allocated(WEB)
    assert found == {A: ["0000:03:00.1", "0000:01:00.1"], B: ["0000:01:00.2"]}


def test_failures_name_their_source(tmp_path: Path, server: APIServer, claims: ResourceClaims) -> None:
    """5.36"""
    put_pod(server, "claim-1")
    prefix = "getKubernetesDelegate: failed to get resourceMap from DRA client: claims of pod default/web: "
    with kubelet(tmp_path / "k.sock", {}), pytest.raises(DevicesUnavailable, match=prefix):
        NodeDevices(str(tmp_path / "k.sock"), claims=claims).allocated(WEB)
