"""A node's own client certificate: asked for, used, renewed, asked for anew; over TLS, with a real authority."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.certificate_request import Unusable, new_request, read, store
from multinet.adapters.cluster_kubernetes import KubernetesCluster
from multinet.adapters.kubernetes_config import KubernetesConfig
from multinet.adapters.node_certificate import CertificateKeeper, Renewal
from multinet.daemon.cluster_access import in_kubernetes
from tests.adapters.apiserver import CSRS, PODS, APIServer, Fault
from tests.adapters.authority import Authority, Signing
from tests.adapters.objects import eventually, pod, write_kubeconfig

NODE = "system:multus:n1"
QUICK = {"answer": 5.0, "poll": 0.05, "look": 0.3, "retry_base": 0.05, "retry_cap": 0.2}
Start = Callable[..., CertificateKeeper]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
def server(authority: Authority) -> Iterator[APIServer]:
    """Knows kubelet's token, and whoever has a certificate of the authority."""
    with APIServer(authority.server_context()) as running:
        running.users["kubelet"] = ("system:node:n1", ("system:nodes", "system:authenticated"))
        running.tokens = {"none"}
        yield running


@pytest.fixture
def signing(server: APIServer, authority: Authority) -> Iterator[Signing]:
    with Signing(server, authority, seconds=3600.0).running() as running:
        yield running


@pytest.fixture
def bootstrap(tmp_path: Path, server: APIServer, authority: Authority) -> KubernetesConfig:
    path = write_kubeconfig(
        tmp_path / "bootstrap",
        server.url,
        {"token": "kubelet"},
        **{"certificate-authority": str(authority.folder / "ca.crt")},
    )
    quick = {"retry_base": 0.05, "retry_cap": 0.2, "pod_patience": 0.05, "mirror_patience": 0.05}
    return KubernetesConfig(node="n1", kubeconfig=str(path), request_timeout=5.0, **quick)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "certificates"


@pytest.fixture
def start(bootstrap: KubernetesConfig, folder: Path) -> Iterator[Start]:
    started: list[CertificateKeeper] = []

    def make(**renewal: Any) -> CertificateKeeper:
        keeper = CertificateKeeper(bootstrap, str(folder), Renewal(**QUICK | renewal))
        started.append(keeper)
        keeper.start()
        return keeper

    yield make
    for keeper in started:
        keeper.stop()
        assert not keeper._thread.is_alive()


def requests(server: APIServer) -> list[dict[str, Any]]:
    with server.lock:
        return list(server.objects[CSRS].values())


def requesters(server: APIServer) -> list[str]:
    return [one["spec"]["username"] for one in requests(server)]


def test_the_first_is_asked_for_by_the_bootstrap_credentials(
    server: APIServer, signing: Signing, start: Start, folder: Path
) -> None:
    keeper = start(duration=900)
    eventually(lambda: keeper.problem == "")
    [asked] = requests(server)
    assert asked["spec"]["username"] == "system:node:n1"
    assert asked["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client"
    assert asked["spec"]["usages"] == ["digital signature", "client auth"]
    assert asked["spec"]["expirationSeconds"] == 900
    current = folder / "multus-client-current.pem"
    assert current.is_symlink()
    assert stat.S_IMODE(current.stat().st_mode) == 0o600
    assert not os.path.isabs(os.readlink(current))
    assert b"BEGIN CERTIFICATE" in current.read_bytes()
    assert b"BEGIN PRIVATE KEY" in current.read_bytes()


def test_a_cluster_is_used_by_it_as_soon_as_it_is_there(
    server: APIServer, signing: Signing, bootstrap: KubernetesConfig, folder: Path
) -> None:
    server.put(PODS, pod("web", "u1"))
    signing.approves = False
    keeper = CertificateKeeper(bootstrap, str(folder), Renewal(**QUICK))
    access = in_kubernetes(bootstrap, keeper)
    assert isinstance(access.cluster, KubernetesCluster)
    access.start()
    try:
        eventually(lambda: len(requests(server)) == 1)
        assert not access.cluster.synced(0.2)
        assert "multus-client-current.pem" in access.cluster.problem
        signing.approves = True
        assert access.cluster.synced(10), access.cluster.problem
        access.cluster.publish_status(access.cluster.pod("default", "web"), "[]")
        assert {user for user, verb in server.callers if verb in ("list", "patch")} == {NODE}
    finally:
        access.close()
    assert not keeper._thread.is_alive()


def test_it_is_renewed_by_itself_before_it_ends(server: APIServer, signing: Signing, start: Start) -> None:
    signing.seconds = 2.0
    start()
    eventually(lambda: len(signing.signed) >= 3, seconds=15)
    assert requesters(server)[:3] == ["system:node:n1", NODE, NODE]


def test_renewals_are_spread(folder: Path, authority: Authority) -> None:
    key, request = new_request("n1")
    found = store(str(folder), "n1", key, authority.sign(request, 1000.0))
    assert found.renewal(0.8) - time.time() == pytest.approx(800, abs=5)


def test_only_the_last_two_are_kept(folder: Path, authority: Authority) -> None:
    for _ in range(5):
        key, request = new_request("n1")
        store(str(folder), "n1", key, authority.sign(request, 1000.0))
    assert len(os.listdir(folder)) == 3
    read(str(folder), "n1")


def test_readers_never_meet_half_a_pair(folder: Path, authority: Authority) -> None:
    """multi-network 6.5: a rotation caught half way."""
    key, request = new_request("n1")
    store(str(folder), "n1", key, authority.sign(request, 1000.0))
    over = threading.Event()
    faults: list[Exception] = []

    def look() -> None:
        while not over.is_set():
            try:
                read(str(folder), "n1")
            except Unusable as error:
                faults.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(20):
        key, request = new_request("n1")
        store(str(folder), "n1", key, authority.sign(request, 1000.0))
        time.sleep(
            0.01
        )  # a reader that sleeps through two rotations while it opens the file is another matter
    over.set()
    thread.join()
    assert faults == []


def test_a_clock_that_was_set_back_loses_no_certificate(folder: Path, authority: Authority) -> None:
    key, request = new_request("n1")
    store(str(folder), "n1", key, authority.sign(request, 1000.0))
    current = folder / "multus-client-current.pem"
    later = folder / "multus-client-2999-01-01-00-00-00-000000000.pem"
    (folder / os.readlink(current)).rename(later)
    current.unlink()
    current.symlink_to(later.name)
    for _ in range(3):
        key, request = new_request("n1")
        store(str(folder), "n1", key, authority.sign(request, 1000.0))
        read(str(folder), "n1")
    assert not later.exists()


@pytest.mark.parametrize("damage", ["gone", "half", "of another node", "over", "another key"])
def test_a_certificate_that_is_no_use_is_replaced(
    server: APIServer, signing: Signing, start: Start, folder: Path, authority: Authority, damage: str
) -> None:
    key, request = new_request("n2" if damage == "of another node" else "n1")
    pem = authority.sign(request, 0.0 if damage == "over" else 1000.0)
    if damage == "another key":
        key, _ = new_request("n1")
    folder.mkdir()
    content = pem + key
    if damage != "gone":
        file = folder / "multus-client-current.pem"
        file.write_bytes(content[: len(content) // 2] if damage == "half" else content)
    if damage == "over":
        time.sleep(0.1)
    with pytest.raises(Unusable, match=r"multus-client-current\.pem"):
        read(str(folder), "n1")
    keeper = start()
    eventually(lambda: keeper.problem == "")
    read(str(folder), "n1")
    assert requesters(server) == ["system:node:n1"]


def test_a_file_that_is_removed_is_made_again(server: APIServer, signing: Signing, start: Start) -> None:
    keeper = start()
    eventually(lambda: keeper.problem == "")
    os.unlink(keeper.path)
    eventually(lambda: os.path.exists(keeper.path))
    assert requesters(server) == ["system:node:n1", "system:node:n1"]


def test_one_that_the_apiserver_does_not_believe_is_replaced_by_the_bootstrap_credentials(
    server: APIServer, signing: Signing, bootstrap: KubernetesConfig, folder: Path, authority: Authority
) -> None:
    """multi-network 6.5: the authority was changed meanwhile."""
    key, request = new_request("n1")
    store(str(folder), "n1", key, authority.sign(request, 1000.0))
    server.unknown.add(NODE)
    keeper = CertificateKeeper(bootstrap, str(folder), Renewal(**QUICK))
    access = in_kubernetes(bootstrap, keeper)
    access.start()
    try:
        eventually(lambda: requesters(server)[:1] == ["system:node:n1"])
        server.unknown.clear()
        assert access.cluster.synced(10)  # type: ignore[attr-defined]
    finally:
        access.close()


def test_a_cluster_that_believes_none_is_not_flooded_with_requests(
    server: APIServer, signing: Signing, bootstrap: KubernetesConfig, folder: Path
) -> None:
    server.unknown.add(NODE)
    keeper = CertificateKeeper(bootstrap, str(folder), Renewal(**QUICK | {"look": 60.0}))
    access = in_kubernetes(bootstrap, keeper)
    access.start()
    eventually(lambda: len(requests(server)) == 1)
    time.sleep(1.5)
    access.close()
    assert len(requests(server)) == 1


def test_a_request_with_a_certificate_that_is_refused_is_made_again_by_bootstrap(
    server: APIServer, signing: Signing, start: Start, folder: Path, authority: Authority
) -> None:
    key, request = new_request("n1")
    store(str(folder), "n1", key, authority.sign(request, 2.0))
    server.unknown.add(NODE)
    keeper = start()
    eventually(lambda: requesters(server) == ["system:node:n1"], seconds=10)
    eventually(lambda: keeper.problem == "")


def test_a_denied_request_is_told_and_made_again_later(
    server: APIServer, signing: Signing, start: Start
) -> None:
    signing.approves = False
    keeper = start()
    eventually(lambda: len(requests(server)) == 1)
    denied = {"type": "Denied", "status": "True", "reason": "CSRDenied", "message": "no such node"}
    server.put(CSRS, {**requests(server)[0], "status": {"conditions": [denied]}})
    eventually(lambda: "Denied: CSRDenied: no such node" in keeper.problem)
    signing.approves = True
    eventually(lambda: keeper.problem == "")


def test_nobody_who_approves_is_told(server: APIServer, start: Start) -> None:
    keeper = start(answer=0.3)
    eventually(lambda: "certificate was not signed" in keeper.problem)
    assert "multinet approve-certificates" in keeper.problem


def test_looks_at_a_request_outlast_a_failing_apiserver(
    server: APIServer, signing: Signing, start: Start
) -> None:
    server.faults.append(Fault("get", CSRS, status=503, times=3))
    keeper = start()
    eventually(lambda: keeper.problem == "")
    assert len(requests(server)) == 1


def test_the_end_gives_up_a_request_on_its_way(server: APIServer, start: Start) -> None:
    keeper = start(answer=60.0, poll=30.0)
    eventually(lambda: len(requests(server)) == 1)
    began = time.monotonic()
    keeper.stop()
    assert time.monotonic() - began < 2
