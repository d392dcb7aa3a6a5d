"""What every cluster must do, whatever it is made of: one suite for all adapters of the ``Cluster`` port."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from multinet.adapters.cluster_directory import DirectoryCluster
from multinet.adapters.cluster_kubernetes import KubernetesCluster, KubernetesConfig
from multinet.npwg.attachment_definition import ALLOWED_NAMESPACES
from multinet.npwg.selection import NETWORK_STATUS
from multinet.ports import Cluster, ClusterUnavailable, NotFound, Pod, UIDMismatch

from .apiserver import NADS, PODS, APIServer
from .objects import CONFIG, NETWORKS, definition, eventually, pod, write_kubeconfig


class World(Protocol):
    """The cluster from the other side: what its users do."""

    def apply(self, manifest: dict[str, Any]) -> None: ...
    def delete(self, manifest: dict[str, Any]) -> None: ...
    def stored(self, manifest: dict[str, Any]) -> dict[str, Any]: ...
    def break_down(self) -> None: ...
    def cluster(self) -> Cluster: ...


class DirectoryWorld:
    def __init__(self, path: Path) -> None:
        self.path = path

    def _file(self, manifest: dict[str, Any]) -> Path:
        meta = manifest["metadata"]
        return self.path / f"{manifest['kind'].lower()}-{meta['namespace']}-{meta['name']}.yaml"

    def apply(self, manifest: dict[str, Any]) -> None:
        self._file(manifest).write_text(yaml.safe_dump(manifest))

    def delete(self, manifest: dict[str, Any]) -> None:
        self._file(manifest).unlink()

    def stored(self, manifest: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self._file(manifest).read_text())
        return found

    def break_down(self) -> None:
        shutil.rmtree(self.path)

    def cluster(self) -> Cluster:
        return DirectoryCluster(self.path)


class KubernetesWorld:
    def __init__(self, server: APIServer, kubeconfig: Path) -> None:
        self.server = server
        self.config = KubernetesConfig(
            node="n1",
            kubeconfig=str(kubeconfig),
            retry_base=0.05,
            retry_cap=0.2,
            pod_patience=0.05,
            mirror_patience=0.05,
        )

    @staticmethod
    def _resource(manifest: dict[str, Any]) -> str:
        return PODS if manifest["kind"] == "Pod" else NADS

    def apply(self, manifest: dict[str, Any]) -> None:
        self.server.put(self._resource(manifest), manifest)

    def delete(self, manifest: dict[str, Any]) -> None:
        meta = manifest["metadata"]
        self.server.delete(self._resource(manifest), meta["namespace"], meta["name"])

    def stored(self, manifest: dict[str, Any]) -> dict[str, Any]:
        meta = manifest["metadata"]
        found = self.server.get(self._resource(manifest), meta["namespace"], meta["name"])
        annotations = found["metadata"].get("annotations", {})
        annotations.pop(NETWORK_STATUS, None)
        if not annotations:
            found["metadata"].pop("annotations", None)
        for added in ("resourceVersion", "managedFields"):
            del found["metadata"][added]
        return found

    def break_down(self) -> None:
        self.server.stop()

    def cluster(self) -> Cluster:
        made = KubernetesCluster(self.config)
        assert made.synced(10)
        return made


@pytest.fixture(params=["directory", "kubernetes"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "directory":
        (tmp_path / "manifests").mkdir()
        yield DirectoryWorld(tmp_path / "manifests")
        return
    with APIServer() as server:
        yield KubernetesWorld(server, write_kubeconfig(tmp_path / "kubeconfig", server.url))


@pytest.fixture
def open_cluster(world: World) -> Iterator[Callable[[], Cluster]]:
    opened: list[Cluster] = []

    def open_it() -> Cluster:
        opened.append(world.cluster())
        return opened[-1]

    yield open_it
    for cluster in opened:
        cluster.close()


Open = Callable[[], Cluster]


def test_a_pod_is_found_with_its_annotations(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1", "shop", **{NETWORKS: "net1"}))
    found = open_cluster().pod("shop", "web", "u1")
    assert found == Pod(namespace="shop", name="web", uid="u1", annotations={NETWORKS: "net1"})


def test_no_uid_from_the_runtime_takes_the_pod_by_name(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1"))
    assert open_cluster().pod("default", "web").uid == "u1"


def test_a_missing_pod_is_named(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1"))
    cluster = open_cluster()
    for namespace, name in (("default", "other"), ("shop", "web")):
        with pytest.raises(NotFound) as failure:
            cluster.pod(namespace, name, "u1")
        assert str(failure.value) == f"pod {namespace}/{name} not found"
        assert failure.value.what == f"pod {namespace}/{name}"


@pytest.mark.parametrize("name", ["", "..", "../../secrets/x", "a/b", "Web", "a" * 254, "web\n"])
def test_names_that_no_object_can_have_are_not_found(open_cluster: Open, name: str) -> None:
    cluster = open_cluster()
    with pytest.raises(NotFound):
        cluster.pod("default", name)
    with pytest.raises(NotFound):
        cluster.pod(name, "web")
    with pytest.raises(NotFound):
        cluster.attachment_definition("default", name)
    with pytest.raises(NotFound):
        cluster.publish_status(Pod(namespace="default", name=name), "[]")


def test_a_pod_of_another_uid_is_refused(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1"))
    with pytest.raises(UIDMismatch) as failure:
        open_cluster().pod("default", "web", "u2")
    assert str(failure.value) == 'expected pod default/web UID "u2" but got "u1"'


@pytest.mark.parametrize("source", ["file", "http"])
def test_a_static_pod_has_another_uid_in_the_api(world: World, open_cluster: Open, source: str) -> None:
    world.apply(pod("web", "mirror", **{"kubernetes.io/config.source": source}))
    found = open_cluster().pod("default", "web", "of-the-runtime")
    assert (found.static, found.uid) == (True, "mirror")


def test_config_source_api_is_an_ordinary_pod(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1", **{"kubernetes.io/config.source": "api"}))
    cluster = open_cluster()
    assert not cluster.pod("default", "web", "u1").static
    with pytest.raises(UIDMismatch):
        cluster.pod("default", "web", "u2")


def test_a_definition_is_found_with_its_config_as_written(world: World, open_cluster: Open) -> None:
    world.apply(definition("net1", {"config": CONFIG}, "shop", resource="a/b"))
    found = open_cluster().attachment_definition("shop", "net1")
    assert (found.namespace, found.name, found.config) == ("shop", "net1", CONFIG)
    assert found.resource_name == "a/b"


def test_a_definition_says_who_may_use_it(world: World, open_cluster: Open) -> None:
    manifest = definition("net1", {"config": CONFIG}, "shop")
    manifest["metadata"]["annotations"] = {ALLOWED_NAMESPACES: "team-a, team-b"}
    world.apply(manifest)
    world.apply(definition("net2", {"config": CONFIG}, "shop"))
    cluster = open_cluster()
    assert cluster.attachment_definition("shop", "net1").allowed_namespaces == {"team-a", "team-b"}
    assert cluster.attachment_definition("shop", "net2").allowed_namespaces is None


@pytest.mark.parametrize("spec", [None, {}, {"config": ""}])
def test_a_definition_may_be_empty(world: World, open_cluster: Open, spec: dict[str, Any] | None) -> None:
    world.apply(definition("net1", spec))
    assert not open_cluster().attachment_definition("default", "net1").config


def test_a_missing_definition_is_named_with_its_namespace(world: World, open_cluster: Open) -> None:
    world.apply(definition("net1", {"config": CONFIG}))
    with pytest.raises(NotFound) as failure:
        open_cluster().attachment_definition("shop", "net1")
    assert failure.value.what == "network-attachment-definition shop/net1"


def test_pods_and_definitions_of_one_name_are_two_things(world: World, open_cluster: Open) -> None:
    world.apply(pod("net1", "u1"))
    world.apply(definition("net1", {"config": CONFIG}))
    cluster = open_cluster()
    assert cluster.pod("default", "net1").uid == "u1"
    assert cluster.attachment_definition("default", "net1").config == CONFIG


def test_a_published_status_can_be_read_back(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1", **{NETWORKS: "net1"}))
    cluster = open_cluster()
    status = '[{\n    "name": "cbr0",\n    "ips": ["10.1.2.3"], "dns": {}\n}]'
    cluster.publish_status(cluster.pod("default", "web", "u1"), status)
    wanted = {NETWORKS: "net1", NETWORK_STATUS: status}
    eventually(lambda: cluster.pod("default", "web", "u1").annotations == wanted)
    assert open_cluster().pod("default", "web", "u1").annotations == wanted


def test_publishing_twice_replaces_the_status(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1"))
    cluster = open_cluster()
    cluster.publish_status(cluster.pod("default", "web"), "[1]")
    cluster.publish_status(cluster.pod("default", "web"), "[2]")
    eventually(lambda: cluster.pod("default", "web").annotations.get(NETWORK_STATUS) == "[2]")


@pytest.mark.parametrize("annotations", [{}, {NETWORKS: "net1", "x": "y"}])
def test_publishing_leaves_everything_else_alone(
    world: World, open_cluster: Open, annotations: dict[str, str]
) -> None:
    manifest = pod("web", "u1", **annotations)
    world.apply(manifest)
    before = world.stored(manifest)
    cluster = open_cluster()
    cluster.publish_status(cluster.pod("default", "web", "u1"), "[]")
    assert world.stored(manifest) == before
    assert before["status"] == manifest["status"]


def test_publishing_to_a_pod_that_vanished_is_not_found(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1"))
    cluster = open_cluster()
    known = cluster.pod("default", "web", "u1")
    world.delete(pod("web"))
    with pytest.raises(NotFound) as failure:
        cluster.publish_status(known, "[]")
    assert failure.value.what == "pod default/web"


def test_publishing_to_a_pod_that_was_made_anew_is_refused(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1"))
    cluster = open_cluster()
    known = cluster.pod("default", "web", "u1")
    world.delete(pod("web"))
    world.apply(pod("web", "u2"))
    with pytest.raises(UIDMismatch):
        cluster.publish_status(known, "[]")
    assert NETWORK_STATUS not in cluster.pod("default", "web", "u2").annotations


def test_a_pod_made_anew_is_seen_at_once_and_without_the_old_status(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1"))
    cluster = open_cluster()
    cluster.publish_status(cluster.pod("default", "web", "u1"), "[]")
    world.delete(pod("web"))
    world.apply(pod("web", "u2", **{NETWORKS: "net9"}))
    assert cluster.pod("default", "web", "u2").annotations == {NETWORKS: "net9"}
    with pytest.raises(UIDMismatch):
        cluster.pod("default", "web", "u1")


def test_changes_are_seen(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1", **{NETWORKS: "net1"}))
    world.apply(definition("net1", {"config": CONFIG}))
    cluster = open_cluster()
    assert cluster.pod("default", "web").annotations[NETWORKS] == "net1"
    assert cluster.attachment_definition("default", "net1").config == CONFIG
    world.apply(pod("web", "u1", **{NETWORKS: "net2"}))
    other = CONFIG.replace("eth1", "eth2")
    world.apply(definition("net1", {"config": other}))
    eventually(lambda: cluster.pod("default", "web").annotations[NETWORKS] == "net2")
    eventually(lambda: cluster.attachment_definition("default", "net1").config == other)


def test_new_objects_are_seen_at_once(world: World, open_cluster: Open) -> None:
    cluster = open_cluster()
    with pytest.raises(NotFound):
        cluster.pod("default", "web")
    world.apply(pod("web", "u1"))
    world.apply(definition("net1", {"config": CONFIG}))
    assert cluster.pod("default", "web", "u1").uid == "u1"
    assert cluster.attachment_definition("default", "net1").config == CONFIG


def test_deleted_objects_are_gone(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1"))
    world.apply(definition("net1", {"config": CONFIG}))
    cluster = open_cluster()
    cluster.pod("default", "web")
    cluster.attachment_definition("default", "net1")
    world.delete(pod("web"))
    world.delete(definition("net1", None))

    def gone() -> bool:
        missing = 0
        for look_up in (
            lambda: cluster.pod("default", "web"),
            lambda: cluster.attachment_definition("default", "net1"),
        ):
            try:
                look_up()
            except NotFound:
                missing += 1
        return missing == 2

    eventually(gone)


def test_unavailability_is_told_within_the_timeout(world: World, open_cluster: Open) -> None:
    world.apply(pod("web", "u1"))
    cluster = open_cluster()
    known = cluster.pod("default", "web")
    world.break_down()
    for call in (
        lambda: cluster.pod("default", "unknown", timeout=0.7),
        lambda: cluster.attachment_definition("default", "unknown", timeout=0.7),
        lambda: cluster.publish_status(known, "[]", timeout=0.7),
    ):
        began = time.monotonic()
        with pytest.raises(ClusterUnavailable) as failure:
            call()
        assert time.monotonic() - began < 1.2
        assert len(str(failure.value)) > 20


def test_closing_twice_does_no_harm(open_cluster: Open) -> None:
    cluster = open_cluster()
    cluster.close()
    cluster.close()
