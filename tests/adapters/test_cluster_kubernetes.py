"""What only the Kubernetes cluster does: watches, retries, credentials, one write an ADD."""

from __future__ import annotations

import base64
import logging
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.cluster_kubernetes import KubernetesCluster, KubernetesConfig
from multinet.adapters.kubernetes_backoff import Backoff
from multinet.cni.errors import InvalidConfig
from multinet.npwg.selection import NETWORK_STATUS
from multinet.ports import ClusterUnavailable, NotFound, Pod, UIDMismatch

from .apiserver import NADS, PODS, APIServer, Fault, refusing_port
from .objects import CONFIG, NETWORKS, definition, eventually, pod, write_kubeconfig

Start = Callable[..., KubernetesCluster]


@pytest.fixture
def start(tmp_path: Path, server: APIServer) -> Iterator[Start]:
    """Starts clusters over ``server``, with quick retries; they are synced unless told otherwise."""
    started: list[KubernetesCluster] = []

    def make(
        synced: bool = True, url: str = "", user: dict[str, Any] | None = None, **limits: Any
    ) -> KubernetesCluster:
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", url or server.url, user)
        quick = {"retry_base": 0.05, "retry_cap": 0.2, "pod_patience": 0.05, "mirror_patience": 0.05}
        limits = quick | {"kubeconfig": str(kubeconfig)} | limits
        cluster = KubernetesCluster(KubernetesConfig(node="n1", **limits))
        started.append(cluster)
        assert not synced or cluster.synced(10), cluster.problem
        return cluster

    yield make
    for cluster in started:
        cluster.close()


def counted(cluster: KubernetesCluster, *ignored: str) -> dict[tuple[str, str], int]:
    return {call: n for call, n in cluster.requests.items() if call[0] not in ignored}


def asked(server: APIServer, verb: str, resource: str) -> list[str]:
    return [path for v, r, path in server.log if (v, r) == (verb, resource)]


# reading


def test_a_warm_add_reads_nothing_and_writes_once(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u1", **{NETWORKS: "net1"}))
    server.put(NADS, definition("net1", {"config": CONFIG}))
    cluster = start()
    eventually(lambda: server.watches_open == 2)
    before = len(server.log)
    known = cluster.pod("default", "web", "u1")
    cluster.attachment_definition("default", "net1")
    cluster.publish_status(known, "[]")
    assert [entry[:2] for entry in server.log[before:]] == [("patch", "pods/status")]
    assert counted(cluster) == {
        ("list", PODS): 1, ("watch", PODS): 1, ("list", NADS): 1, ("watch", NADS): 1,
        ("patch", "pods/status"): 1,
    }  # fmt: skip


def test_only_this_nodes_pods_are_followed_and_only_their_metadata(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("mine", "u1"))
    elsewhere = pod("theirs", "u2")
    elsewhere["spec"]["nodeName"] = "n2"
    server.put(PODS, elsewhere)
    cluster = start()
    assert cluster._pods.get("default", "mine") is not None
    assert cluster._pods.get("default", "theirs") is None
    assert all("fieldSelector=spec.nodeName%3Dn1" in path for path in asked(server, "list", PODS))
    assert cluster.pod("default", "theirs", "u2").uid == "u2"
    assert counted(cluster)["get", PODS] == 1


def test_a_pod_that_is_bound_to_this_node_enters_the_cache(server: APIServer, start: Start) -> None:
    cluster = start()
    waiting = pod("web", "u1")
    waiting["spec"]["nodeName"] = ""
    server.put(PODS, waiting)
    server.put(PODS, pod("web", "u1"))
    eventually(lambda: cluster._pods.get("default", "web") is not None)


def test_pods_that_have_ended_are_not_kept(server: APIServer, start: Start) -> None:
    for name, phase in (("job", "Succeeded"), ("crashed", "Failed"), ("web", "Running"), ("new", "")):
        manifest = pod(name, name)
        manifest["status"] = {"phase": phase} if phase else {}
        server.put(PODS, manifest)
    cluster = start()
    assert {one.name for one in cluster.pods()} == {"web", "new"}
    eventually(lambda: server.watches_open == 2)
    manifest = pod("web", "web")
    manifest["status"] = {"phase": "Succeeded"}
    server.put(PODS, manifest)
    eventually(lambda: [one.name for one in cluster.pods()] == ["new"])


def test_the_nodes_pods_are_not_known_before_the_first_list(tmp_path: Path, start: Start) -> None:
    with refusing_port() as port:
        cluster = start(synced=False, url=f"http://127.0.0.1:{port}")
        with pytest.raises(ClusterUnavailable, match="aren't known yet"):
            cluster.pods()


STATIC = "0123456789abcdef0123456789abcdef"
LATER = 0.3


@pytest.mark.parametrize("uid", ["u1", STATIC, ""])
def test_a_pod_that_the_watch_brings_a_moment_later_costs_no_request(
    server: APIServer, start: Start, uid: str
) -> None:
    """multi-network 4.19: kubelet may be quicker than the watch."""
    cluster = start(pod_patience=5.0, mirror_patience=5.0)
    eventually(lambda: server.watches_open == 2)
    source = {"kubernetes.io/config.source": "file"} if uid == STATIC else {}
    threading.Timer(LATER, lambda: server.put(PODS, pod("web", "u1", **source))).start()
    assert cluster.pod("default", "web", uid).uid == "u1"
    assert ("get", PODS) not in cluster.requests


def test_a_pod_made_anew_that_the_watch_brings_a_moment_later(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web-0", "u1"))
    cluster = start(pod_patience=5.0)
    eventually(lambda: server.watches_open == 2)
    threading.Timer(LATER, lambda: server.put(PODS, pod("web-0", "u2"))).start()
    threading.Timer(0.1, lambda: server.delete(PODS, "default", "web-0")).start()
    assert cluster.pod("default", "web-0", "u2").uid == "u2"
    assert ("get", PODS) not in cluster.requests


def test_only_what_may_be_a_static_pod_is_awaited_long(server: APIServer, start: Start) -> None:
    """multi-network 5.8: kubelet makes the mirror pod beside the sandbox."""
    cluster = start(pod_patience=0.05, mirror_patience=0.8)
    eventually(lambda: server.watches_open == 2)
    for uid, least, most in (
        ("6d5c5a4e-7a0e-4f0e-9f51-2b1f6f0c9a11", 0, 0.6),
        (STATIC, 0.8, 3),
        ("", 0.8, 3),
    ):
        began = time.monotonic()
        with pytest.raises(NotFound):
            cluster.pod("default", "web", uid)
        assert least <= time.monotonic() - began < most
    assert cluster.requests["get", PODS] == 3


def test_nothing_is_awaited_while_the_watch_is_down(server: APIServer, start: Start) -> None:
    cluster = start(pod_patience=5.0, retry_base=0.5, retry_cap=30.0)
    eventually(lambda: server.watches_open == 2)
    server.faults.append(Fault("watch", PODS, status=503, times=1000))
    server.end_watches()
    eventually(lambda: "503" in cluster.problem, seconds=40)
    server.put(PODS, pod("web", "u1"))
    began = time.monotonic()
    assert cluster.pod("default", "web", "u1").uid == "u1"
    assert time.monotonic() - began < 2
    assert cluster.requests["get", PODS] == 1


def test_the_copy_of_the_manifest_that_kubectl_keeps_is_not_held(server: APIServer, start: Start) -> None:
    key = "kubectl.kubernetes.io/last-applied-configuration"
    server.put(PODS, pod("web", "u1", **{key: "x" * 1000, NETWORKS: "net1"}))
    assert start().pod("default", "web").annotations == {NETWORKS: "net1"}


def test_a_cached_pod_of_another_uid_is_looked_up_afresh_once(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u1"))
    cluster = start()
    with server.lock:  # changed behind the watch's back
        server.objects[PODS]["default", "web"]["metadata"]["uid"] = "u2"
    assert cluster.pod("default", "web", "u2").uid == "u2"
    assert counted(cluster)["get", PODS] == 1
    with pytest.raises(UIDMismatch):
        cluster.pod("default", "web", "u3")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_look_ups_are_repeated_while_the_apiserver_is_in_trouble(
    server: APIServer, start: Start, status: int
) -> None:
    cluster = start()
    server.faults.append(Fault("get", PODS, status=status, times=2))
    with pytest.raises(NotFound):
        cluster.pod("default", "missing")
    assert len(asked(server, "get", PODS)) == 3


@pytest.mark.parametrize("fault", [Fault("get", hang_up=True, times=2), Fault("get", cut=True, times=2)])
def test_look_ups_are_repeated_when_the_connection_breaks(
    server: APIServer, start: Start, fault: Fault
) -> None:
    cluster = start()
    theirs = pod("theirs", "u1")
    theirs["spec"]["nodeName"] = "n2"
    server.put(PODS, theirs)
    server.faults.append(fault)
    assert cluster.pod("default", "theirs", "u1").uid == "u1"
    assert len(asked(server, "get", PODS)) == 3


def test_retry_after_is_honoured(server: APIServer, start: Start) -> None:
    cluster = start()
    server.faults.append(Fault("get", status=429, headers={"Retry-After": "1"}))
    began = time.monotonic()
    with pytest.raises(NotFound):
        cluster.pod("default", "missing")
    assert 1.0 <= time.monotonic() - began < 3.0


def test_a_wish_beyond_the_timeout_fails_at_once(server: APIServer, start: Start) -> None:
    cluster = start()
    server.faults.append(Fault("get", status=503, headers={"Retry-After": "60"}))
    began = time.monotonic()
    with pytest.raises(
        ClusterUnavailable, match=r"Kubernetes API: get .*/pods/missing: 503 injected 503 \(1 try"
    ):
        cluster.pod("default", "missing", timeout=5)
    assert time.monotonic() - began < 1


def test_a_slow_answer_within_the_timeout_is_waited_for(server: APIServer, start: Start) -> None:
    """Upstream gives up after 250 ms."""
    cluster = start()
    server.faults.append(Fault("get", delay=1.5))
    with pytest.raises(NotFound):
        cluster.pod("default", "missing")
    assert len(asked(server, "get", PODS)) == 1


def test_one_try_is_bounded_and_another_follows(server: APIServer, start: Start) -> None:
    cluster = start(request_timeout=0.3)
    server.faults.append(Fault("get", delay=30))
    began = time.monotonic()
    with pytest.raises(NotFound):
        cluster.pod("default", "missing")
    assert 0.3 <= time.monotonic() - began < 2


def test_a_silent_apiserver_is_given_up_in_time(server: APIServer, start: Start) -> None:
    cluster = start()
    server.faults.append(Fault("get", delay=30, times=100))
    began = time.monotonic()
    with pytest.raises(ClusterUnavailable, match=r"tim.*\(1 try in"):
        cluster.pod("default", "missing", timeout=0.5)
    assert time.monotonic() - began < 1.0


def test_no_permission_is_told_at_once(server: APIServer, start: Start) -> None:
    cluster = start()
    server.forbidden.add(("get", PODS))
    with pytest.raises(ClusterUnavailable, match=r"403 pods is forbidden.*RBAC"):
        cluster.pod("default", "missing")
    assert len(asked(server, "get", PODS)) == 1


def test_a_definition_no_crd_has_checked_is_left_out_and_named(server: APIServer, start: Start) -> None:
    server.put(NADS, definition("odd", {"config": {"type": "macvlan"}}))
    server.put(NADS, definition("net1", {"config": CONFIG}))
    cluster = start()
    assert cluster.attachment_definition("default", "net1").config == CONFIG
    with pytest.raises(InvalidConfig) as failure:
        cluster.attachment_definition("default", "odd")
    assert failure.value.path == "$.spec.config"
    assert "network-attachment-definition default/odd" in failure.value.msg
    server.put(NADS, definition("net1", {"config": 7}))
    eventually(lambda: cluster._definitions.get("default", "net1") is None)


def test_requests_at_once_are_bounded(server: APIServer, start: Start) -> None:
    cluster = start(connections=2)
    server.faults.append(Fault("get", delay=0.3, times=6))
    began = time.monotonic()

    def look_up() -> None:
        with pytest.raises(NotFound):
            cluster.pod("default", "missing")

    threads = [threading.Thread(target=look_up) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.9 <= time.monotonic() - began < 3
    assert len(server._httpd.open) <= 4


def test_connections_are_kept(server: APIServer, start: Start) -> None:
    cluster = start()
    eventually(lambda: server.watches_open == 2)
    settle(cluster)
    before = server._httpd.accepted
    server.put(PODS, pod("web", "u1"))
    for _ in range(10):
        with pytest.raises(NotFound):
            cluster.pod("default", "missing")
        cluster.publish_status(Pod(namespace="default", name="web", uid="u1"), "[]")
    assert server._httpd.accepted - before <= 1


# publishing


def test_the_status_is_one_merge_patch(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u1"))
    cluster = start()
    cluster.publish_status(cluster.pod("default", "web"), "[]")
    assert asked(server, "patch", "pods/status") == [
        "/api/v1/namespaces/default/pods/web/status?fieldManager=multinet"
    ]
    assert server.get(PODS, "default", "web")["metadata"]["annotations"] == {NETWORK_STATUS: "[]"}


@pytest.mark.parametrize("status", [409, 422])
def test_a_pod_made_anew_is_told_however_the_apiserver_says_it(
    server: APIServer, start: Start, status: int
) -> None:
    server.put(PODS, pod("web", "u2"))
    cluster = start()
    server.uid_conflict_status = status
    with pytest.raises(UIDMismatch):
        cluster.publish_status(Pod(namespace="default", name="web", uid="u1"), "[]")
    assert NETWORK_STATUS not in server.get(PODS, "default", "web")["metadata"].get("annotations", {})


def test_a_conflict_with_someone_else_is_repeated(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u1"))
    cluster = start()
    server.faults.append(Fault("patch", status=409, times=3))
    cluster.publish_status(cluster.pod("default", "web"), "[]")
    assert len(asked(server, "patch", "pods/status")) == 4
    assert server.get(PODS, "default", "web")["metadata"]["annotations"] == {NETWORK_STATUS: "[]"}


def test_conflicts_without_end_are_given_up_in_time(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u1"))
    cluster = start()
    server.faults.append(Fault("patch", status=409, times=10_000))
    began = time.monotonic()
    with pytest.raises(ClusterUnavailable, match=r"409|timed out"):
        cluster.publish_status(cluster.pod("default", "web"), "[]", timeout=0.5)
    assert time.monotonic() - began < 1.5
    assert len(asked(server, "patch", "pods/status")) < 30


def test_a_status_the_apiserver_finds_invalid_is_not_repeated(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u1"))
    cluster = start()
    server.faults.append(Fault("patch", status=422, times=10))
    with pytest.raises(ClusterUnavailable, match="422 injected"):
        cluster.publish_status(cluster.pod("default", "web"), "[]")
    assert len(asked(server, "patch", "pods/status")) == 1


def test_with_upstreams_rbac_the_pod_is_read_and_put(server: APIServer, start: Start) -> None:
    manifest = pod("web", "u1", **{NETWORKS: "net1"})
    server.put(PODS, manifest)
    server.granted.add(("", "pods/status", "update"))
    server.forbidden.add(("patch", "pods/status"))
    cluster = start()
    known = cluster.pod("default", "web")
    before = server.get(PODS, "default", "web")
    cluster.publish_status(known, "[1]")
    cluster.publish_status(known, "[2]")
    after = server.get(PODS, "default", "web")
    assert after["metadata"]["annotations"] == {NETWORKS: "net1", NETWORK_STATUS: "[2]"}
    for part in (before, after):
        del part["metadata"]["annotations"], part["metadata"]["resourceVersion"]
    assert after == before
    assert after["status"]["resourceClaimStatuses"] == manifest["status"]["resourceClaimStatuses"]
    assert counted(cluster, "list", "watch") == {
        ("patch", "pods/status"): 1, ("get", PODS): 2, ("update", "pods/status"): 2,
    }  # fmt: skip


def test_a_put_that_loses_a_race_reads_again(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u1"))
    server.granted.add(("", "pods/status", "update"))
    server.forbidden.add(("patch", "pods/status"))
    cluster = start()
    server.faults.append(Fault("update", status=409, times=2))
    cluster.publish_status(cluster.pod("default", "web"), "[]")
    assert len(asked(server, "update", "pods/status")) == 3
    assert server.get(PODS, "default", "web")["metadata"]["annotations"] == {NETWORK_STATUS: "[]"}


def test_a_put_never_reaches_a_pod_made_anew(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u2"))
    server.granted.add(("", "pods/status", "update"))
    server.forbidden.add(("patch", "pods/status"))
    with pytest.raises(UIDMismatch):
        start().publish_status(Pod(namespace="default", name="web", uid="u1"), "[]")


def test_a_static_pods_status_goes_to_its_mirror_pod(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "mirror", **{"kubernetes.io/config.source": "file"}))
    cluster = start()
    cluster.publish_status(cluster.pod("default", "web", "of-the-runtime"), "[]")
    assert server.get(PODS, "default", "web")["metadata"]["annotations"][NETWORK_STATUS] == "[]"


@pytest.mark.parametrize("status", [409, 422])
def test_a_static_pod_known_by_the_runtimes_uid_alone(server: APIServer, start: Start, status: int) -> None:
    """As when the runtime itself passed the annotations, so that the API was never asked for the pod."""
    source = {"kubernetes.io/config.source": "file"}
    server.put(PODS, pod("web", "mirror", **source))
    server.uid_conflict_status = status
    known = Pod(namespace="default", name="web", uid="of-the-runtime", annotations=source, static=True)
    start().publish_status(known, "[]")
    assert server.get(PODS, "default", "web")["metadata"]["annotations"][NETWORK_STATUS] == "[]"
    assert len(asked(server, "patch", "pods/status")) == 2


# following


def test_long_lists_come_in_pages(server: APIServer, start: Start) -> None:
    for index in range(25):
        server.put(NADS, definition(f"net{index}", {"config": CONFIG}))
    cluster = start(page=10)
    assert all(cluster._definitions.get("default", f"net{index}") for index in range(25))
    assert len(asked(server, "list", NADS)) == 3


def test_a_list_whose_continuation_expired_begins_again(server: APIServer, start: Start) -> None:
    for index in range(5):
        server.put(NADS, definition(f"net{index}", {"config": CONFIG}))
    cluster = start(page=2)
    seen: list[str] = []
    send = cluster._session.send

    def compacting(call: Any, timeout: float) -> bytes:
        query = str(call.query)
        if "limit" in query:  # watches go on beside it
            seen.append(query)
            if "continue" in query and len(seen) == 2:
                server.compact()
        return send(call, timeout)

    cluster._session.send = compacting  # type: ignore[method-assign]
    server.put(NADS, definition("net5", {"config": CONFIG}))
    cluster._definitions._list()
    assert all(cluster._definitions.get("default", f"net{index}") for index in range(6))
    assert "resourceVersion" in seen[0]
    assert "resourceVersion" not in seen[2]


def test_a_watch_that_ended_goes_on_where_it_was(server: APIServer, start: Start) -> None:
    cluster = start()
    for turn in range(3):
        eventually(lambda: server.watches_open == 2)
        server.end_watches(cut=bool(turn % 2))
        server.put(PODS, pod(f"p{turn}", "u"))
        eventually(lambda turn=turn: cluster._pods.get("default", f"p{turn}") is not None)
    assert len(asked(server, "list", PODS)) == 1


def test_watches_end_by_themselves_without_a_list(server: APIServer, start: Start) -> None:
    start(watch_seconds=1)
    eventually(lambda: len(asked(server, "watch", PODS)) >= 2)
    assert len(asked(server, "list", PODS)) == 1
    assert "timeoutSeconds=" in asked(server, "watch", PODS)[0]


def test_bookmarks_move_the_place_to_go_on_from(server: APIServer, start: Start) -> None:
    cluster = start()
    eventually(lambda: server.watches_open == 2)
    version = server.bookmark()
    eventually(lambda: cluster._pods._version == str(version))
    server.end_watches()
    eventually(lambda: len(asked(server, "watch", PODS)) == 2)
    assert f"resourceVersion={version}" in asked(server, "watch", PODS)[1]


def test_a_watch_too_far_behind_lists_afresh(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("old", "u1"))
    cluster = start()
    eventually(lambda: server.watches_open == 2)
    with server.lock:
        server.end_watches()
        server.delete(PODS, "default", "old")
        server.put(PODS, pod("new", "u2"))
        server.compact()
    eventually(lambda: cluster._pods.get("default", "new") is not None)
    assert cluster._pods.get("default", "old") is None
    eventually(lambda: cluster.healthy and not cluster.problem)


def test_gone_as_a_status_lists_afresh_too(server: APIServer, start: Start) -> None:
    cluster = start()
    eventually(lambda: server.watches_open == 2)
    server.faults.append(Fault("watch", PODS, status=410))
    server.end_watches()
    server.put(PODS, pod("new", "u2"))
    eventually(lambda: len(asked(server, "list", PODS)) == 2)
    eventually(lambda: cluster._pods.get("default", "new") is not None)


def test_an_apiserver_restored_from_an_older_state(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u1"))
    cluster = start()
    eventually(lambda: server.watches_open == 2)
    with server.lock:
        server.end_watches()
        server.version, server.history = 10, []
        server.objects[PODS].clear()
        server.put(PODS, pod("restored", "u9"))
    server.faults.append(Fault("watch", PODS, status=410))
    eventually(lambda: cluster._pods.get("default", "restored") is not None)
    assert cluster._pods.get("default", "web") is None


def test_an_absent_crd_does_not_hinder_pods(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u1"))
    server.faults.append(Fault("list", NADS, status=404, times=3))
    cluster = start(synced=False)
    eventually(lambda: cluster._pods.synced(0))
    assert cluster.pod("default", "web").uid == "u1"
    eventually(lambda: "network-attachment-definitions: 404" in cluster.problem or cluster.healthy)
    assert cluster.synced(10)


def test_while_the_apiserver_is_away_the_last_state_serves(server: APIServer, start: Start) -> None:
    server.put(PODS, pod("web", "u1"))
    server.put(NADS, definition("net1", {"config": CONFIG}))
    cluster = start()
    server.stop()
    eventually(lambda: "watch /api/v1/pods" in cluster.problem)
    assert cluster.pod("default", "web", "u1").uid == "u1"
    assert cluster.attachment_definition("default", "net1").config == CONFIG
    assert cluster.healthy
    cluster._pods._failing_since = time.monotonic() - 31
    assert not cluster.healthy


def test_an_apiserver_that_comes_up_later(tmp_path: Path, start: Start, server: APIServer) -> None:
    with refusing_port() as port:
        cluster = start(synced=False, url=f"http://127.0.0.1:{port}")
        assert not cluster.synced(0.3)
        assert not cluster.healthy
        assert "Connection refused" in cluster.problem
        assert "object at 0x" not in cluster.problem
        write_kubeconfig(tmp_path / "kubeconfig", server.url)
        assert cluster.synced(10)
        assert cluster.healthy


@pytest.mark.parametrize("trouble", ["refuse", "end", "error"])
def test_trouble_never_makes_a_hot_loop(server: APIServer, start: Start, trouble: str) -> None:
    cluster = start(retry_base=0.2, retry_cap=1.0)
    eventually(lambda: server.watches_open == 2)
    if trouble == "error":
        server.faults.append(Fault("watch", status=500, times=10_000))
    before = sum(cluster.requests.values())
    end = time.monotonic() + 2
    if trouble == "refuse":
        server.stop()
    while time.monotonic() < end:
        if trouble != "refuse":
            server.end_watches()
        time.sleep(0.02)
    assert sum(cluster.requests.values()) - before < 40


def test_a_watchs_retry_after_is_honoured(server: APIServer, start: Start) -> None:
    start()
    eventually(lambda: server.watches_open == 2)
    server.faults.append(Fault("watch", PODS, status=429, headers={"Retry-After": "1"}))
    server.end_watches()
    eventually(lambda: len(asked(server, "watch", PODS)) == 2)
    began = time.monotonic()
    eventually(lambda: len(asked(server, "watch", PODS)) == 3)
    assert time.monotonic() - began > 0.9


def test_backoff_is_spread_and_capped() -> None:
    backoff = Backoff(base=0.5, cap=8.0)
    for turn, wait in enumerate([backoff.next() for _ in range(10)]):
        assert 0 <= wait <= min(8.0, 0.5 * 2**turn)
    late = [backoff.next() for _ in range(400)]
    assert max(late) <= 8.0
    assert 3.0 < sum(late) / len(late) < 5.0
    backoff.reset()
    assert backoff.next() <= 0.5


# closing


def test_closing_ends_the_threads_and_watches_promptly(server: APIServer, start: Start) -> None:
    cluster = start()
    eventually(lambda: server.watches_open == 2)
    threads = [cluster._pods._thread, cluster._definitions._thread]
    began = time.monotonic()
    cluster.close()
    assert time.monotonic() - began < 0.5
    assert not any(thread.is_alive() for thread in threads)

    def noticed() -> bool:
        server.bookmark()  # a server finds out by writing
        return server.watches_open == 0

    eventually(noticed)
    with pytest.raises(ClusterUnavailable, match="closed"):
        cluster.pod("default", "web")


def test_closing_wakes_whoever_waits_to_try_again(server: APIServer, start: Start) -> None:
    cluster = start()
    server.faults.append(Fault("get", status=503, headers={"Retry-After": "8"}))
    threading.Timer(0.3, cluster.close).start()
    began = time.monotonic()
    with pytest.raises(ClusterUnavailable):
        cluster.pod("default", "missing")
    assert time.monotonic() - began < 2


# finding the API, and credentials


def test_no_way_to_an_api_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(
        InvalidConfig, match=r"\$\.kubeconfig: no way to the Kubernetes API: set it to a kubeconfig"
    ):
        KubernetesCluster(KubernetesConfig(node="n1"))
    with pytest.raises(InvalidConfig, match=r"\$\.node"):
        KubernetesCluster(KubernetesConfig(node="", kubeconfig="/x"))


def test_a_kubeconfig_that_appears_later(tmp_path: Path, server: APIServer, start: Start) -> None:
    path = tmp_path / "late" / "kubeconfig"
    cluster = start(synced=False, kubeconfig=str(path))
    with pytest.raises(ClusterUnavailable, match=f"failed to get context for the kubeconfig {path}"):
        cluster.pod("default", "web", timeout=0.3)
    path.parent.mkdir()
    write_kubeconfig(path, server.url)
    assert cluster.synced(10)


def test_the_apis_address_counts_before_the_kubeconfigs(
    tmp_path: Path, server: APIServer, start: Start
) -> None:
    with refusing_port() as port:
        assert start(url=f"http://127.0.0.1:{port}", api_server=server.url).healthy


@pytest.mark.parametrize("state", ["half", "empty", "another kind", "a folder", "without context"])
def test_a_kubeconfig_that_is_no_use_yet(tmp_path: Path, server: APIServer, start: Start, state: str) -> None:
    """multi-network 9.48: half written after a reboot; it is read again until it is whole."""
    path = tmp_path / "other"
    whole = write_kubeconfig(tmp_path / "whole", server.url).read_text()
    content = {"half": whole[:40], "empty": "", "another kind": "[1]", "without context": "{}"}
    if state == "a folder":
        path.mkdir()
    else:
        path.write_text(content[state])
    cluster = start(synced=False, kubeconfig=str(path))
    with pytest.raises(ClusterUnavailable, match=f"failed to get context for the kubeconfig {path}"):
        cluster.pod("default", "web", timeout=0.3)
    if state == "a folder":
        path.rmdir()
    path.write_text(whole)
    assert cluster.synced(10), cluster.problem


def test_a_context_is_chosen(tmp_path: Path, server: APIServer, start: Start) -> None:
    cluster = start(context="x")
    assert cluster.healthy
    other = start(synced=False, context="absent")
    eventually(lambda: "absent" in other.problem)


def test_an_expired_token_is_read_again_at_a_401_once(
    tmp_path: Path, server: APIServer, start: Start
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    server.tokens = {"first"}
    cluster = start(user={"tokenFile": str(token)})
    settle(cluster)
    before = counted(cluster).get(("get", PODS), 0)
    server.tokens = {"second"}
    with pytest.raises(ClusterUnavailable, match="401 Unauthorized; the credentials were read afresh"):
        cluster.pod("default", "missing")
    assert counted(cluster)["get", PODS] - before == 2
    replace(token, "second\n")
    with pytest.raises(NotFound):
        cluster.pod("default", "missing")


def test_a_rotated_token_is_used_before_the_old_one_is_refused(
    tmp_path: Path, server: APIServer, start: Start
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    server.tokens = {"first"}
    cluster = start(user={"tokenFile": "token"})
    settle(cluster)
    replace(token, "second")
    server.tokens = {"second"}
    with pytest.raises(NotFound):
        cluster.pod("default", "missing")
    assert counted(cluster)["get", PODS] == 1


def test_a_rotation_caught_half_way_goes_on_with_what_there_was(
    tmp_path: Path, server: APIServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = start()
    settle(cluster)
    (tmp_path / "kubeconfig").write_text("{")
    with caplog.at_level(logging.WARNING), pytest.raises(NotFound):
        cluster.pod("default", "missing")
    assert "going on with the credentials read before" in caplog.text


def test_watches_survive_an_expired_token(tmp_path: Path, server: APIServer, start: Start) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    server.tokens = {"first"}
    cluster = start(user={"tokenFile": str(token)})
    eventually(lambda: server.watches_open == 2)
    server.tokens = {"second"}
    server.end_watches()
    eventually(lambda: "401" in cluster.problem)
    replace(token, "second")
    server.put(PODS, pod("web", "u1"))
    eventually(lambda: cluster._pods.get("default", "web") is not None)


def settle(cluster: KubernetesCluster) -> None:
    """Wait until the files that were just written count as at rest."""
    time.sleep(0.15)
    with pytest.raises(NotFound):
        cluster.attachment_definition("default", "missing")


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority, a server certificate for 127.0.0.1, and a client certificate."""
    folder = tmp_path_factory.mktemp("tls")
    ca = ["-CA", "ca.crt", "-CAkey", "ca.key"]
    for name, extra in (
        ("ca", ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]),
        ("server", [*ca, "-addext", "subjectAltName=IP:127.0.0.1"]),
        ("client", ca),
    ):
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]
        command += [
            "-days",
            "1",
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.crt",
            *extra,
        ]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def tls_server(authority: Path) -> Iterator[APIServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.crt", authority / "server.key")
    with APIServer(context) as running:
        yield running


@pytest.fixture
def service_account(
    tmp_path: Path, authority: Path, tls_server: APIServer, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Files and environment as in a pod, with the projected volume's links that kubelet swaps."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    for name in ("token", "ca.crt"):
        (folder / name).symlink_to(f"..data/{name}")
    project(folder, "first", authority)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(tls_server.port))
    return folder


def project(folder: Path, token: str, authority: Path) -> None:
    """Do what kubelet does when it rotates a projected token."""
    data = folder / f"..{token}"
    data.mkdir()
    (data / "token").write_text(token)
    (data / "ca.crt").write_bytes((authority / "ca.crt").read_bytes())
    (folder / "..data_tmp").symlink_to(data.name)
    (folder / "..data_tmp").rename(folder / "..data")


def test_in_a_pod_with_a_rotating_token(
    service_account: Path, authority: Path, tls_server: APIServer
) -> None:
    tls_server.tokens = {"first"}
    tls_server.put(PODS, pod("web", "u1"))
    limits = {"retry_base": 0.05, "retry_cap": 0.2, "pod_patience": 0.05, "mirror_patience": 0.05}
    cluster = KubernetesCluster(KubernetesConfig(node="n1", service_account=str(service_account), **limits))
    try:
        assert cluster.synced(10), cluster.problem
        cluster.publish_status(cluster.pod("default", "web", "u1"), "[]")
        settle(cluster)
        project(service_account, "second", authority)
        tls_server.tokens = {"second"}
        with pytest.raises(NotFound):
            cluster.pod("default", "missing")
        assert counted(cluster)["get", PODS] == 1
        eventually(lambda: tls_server.watches_open == 2)
        began = time.monotonic()
    finally:
        cluster.close()
    assert time.monotonic() - began < 0.5
    assert not cluster._pods._thread.is_alive()


def test_a_service_account_without_token_is_told(service_account: Path) -> None:
    (service_account / "token").unlink()
    cluster = KubernetesCluster(KubernetesConfig(node="n1", service_account=str(service_account)))
    with pytest.raises(ClusterUnavailable, match=f"service account in {service_account}: .*token file"):
        cluster.pod("default", "web", timeout=0.3)
    cluster.close()


@pytest.mark.parametrize("damaged", ["ca.crt", "client.pem"])
def test_certificates_caught_half_written(
    tmp_path: Path, authority: Path, tls_server: APIServer, start: Start, damaged: str
) -> None:
    """multi-network 6.5, 9.44: what was read before serves until they are whole."""
    pair = (authority / "client.crt").read_bytes() + (authority / "client.key").read_bytes()
    whole = {"ca.crt": (authority / "ca.crt").read_bytes(), "client.pem": pair}
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    path = write_kubeconfig(
        tmp_path / "kubeconfig",
        tls_server.url,
        {"client-certificate": "client.pem", "client-key": "client.pem"},
        **{"certificate-authority": "ca.crt"},
    )
    cluster = KubernetesCluster(KubernetesConfig(node="n1", kubeconfig=str(path), mirror_patience=0.05))
    try:
        assert cluster.synced(10), cluster.problem
        settle(cluster)
        (tmp_path / damaged).write_bytes(whole[damaged][: len(whole[damaged]) // 2])
        with pytest.raises(NotFound):
            cluster.pod("default", "missing")
        (tmp_path / damaged).write_bytes(whole[damaged])
        with pytest.raises(NotFound):
            cluster.pod("default", "missing")
    finally:
        cluster.close()


def test_a_certificate_that_is_not_there_yet(tmp_path: Path, authority: Path, tls_server: APIServer) -> None:
    path = tmp_path / "client.pem"
    config = KubernetesConfig(
        node="n1",
        kubeconfig=str(write_kubeconfig(tmp_path / "kubeconfig", tls_server.url)),
        api_ca=str(authority / "ca.crt"),
        client_certificate=str(path),
        retry_base=0.05,
        retry_cap=0.2,
    )
    cluster = KubernetesCluster(config)
    try:
        eventually(lambda: f"{path}: No such file or directory" in cluster.problem)
        path.write_bytes((authority / "client.crt").read_bytes() + (authority / "client.key").read_bytes())
        assert cluster.synced(10), cluster.problem
    finally:
        cluster.close()


def test_in_a_pod_whose_service_address_is_not_served(
    tmp_path: Path, authority: Path, tls_server: APIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """multi-network 9.34, 9.50: the API's own address and authorities as options, the token as always."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    for name in ("token", "ca.crt"):
        (folder / name).symlink_to(f"..data/{name}")
    project(folder, "first", authority)
    (folder / "..first" / "ca.crt").write_bytes((authority / "server.crt").read_bytes())
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    tls_server.tokens = {"first"}
    options = {"api_server": f"{tls_server.url}/", "api_ca": str(authority / "ca.crt")}
    cluster = KubernetesCluster(KubernetesConfig(node="n1", service_account=str(folder), **options))
    try:
        assert cluster.synced(10), cluster.problem
    finally:
        cluster.close()


def test_an_address_of_the_api_that_is_none(service_account: Path) -> None:
    config = KubernetesConfig(node="n1", service_account=str(service_account), api_server="10.0.0.1:6443")
    cluster = KubernetesCluster(config)
    try:
        eventually(lambda: "expected https://HOST:PORT" in cluster.problem)
    finally:
        cluster.close()


def test_a_stranger_in_the_apiservers_place_is_not_believed(
    tmp_path: Path, tls_server: APIServer, start: Start
) -> None:
    cluster = start(synced=False, url=tls_server.url)
    with pytest.raises(ClusterUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        cluster.pod("default", "web", timeout=0.5)
    assert tls_server.log == []


def test_client_certificates_of_a_kubeconfig(tmp_path: Path, authority: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.crt", authority / "server.key")
    context.load_verify_locations(authority / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    with APIServer(context) as server:
        server.put(PODS, pod("web", "u1"))
        key = base64.b64encode((authority / "client.key").read_bytes()).decode()
        path = write_kubeconfig(
            tmp_path / "kubeconfig",
            server.url,
            {
                "client-certificate": os.path.relpath(authority / "client.crt", tmp_path),
                "client-key-data": key,
            },
            **{"certificate-authority": str(authority / "ca.crt")},
        )
        cluster = KubernetesCluster(KubernetesConfig(node="n1", kubeconfig=str(path)))
        try:
            assert cluster.synced(10), cluster.problem
            assert cluster.pod("default", "web").uid == "u1"
        finally:
            cluster.close()


def test_importing_the_adapter_does_not_load_the_package() -> None:
    code = (
        "import sys, multinet.adapters.cluster_kubernetes, multinet.adapters.cluster_directory;"
        "print([m for m in ('kubernetes', 'urllib3', 'yaml', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
