"""A daemon, and a call without one, over an apiserver that stands in the node's own namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ..adapters.apiserver import NADS, PODS, APIServer
from ..adapters.test_cluster_contract import write_kubeconfig
from .conftest import NETWORK, run_multinet

pytestmark = pytest.mark.kernel

STATUS = "k8s.v1.cni.cncf.io/network-status"


@pytest.fixture
def server(node) -> Iterator[APIServer]:
    with node.lab.host.entered():  # its sockets are of this namespace from now on
        running = APIServer()
    with running:
        config = {**NETWORK, "ipam": {"type": "static", "addresses": [{"address": "10.92.0.5/24"}]}}
        definition = {
            "metadata": {"namespace": "default", "name": "lan"},
            "spec": {"config": json.dumps(config)},
        }
        annotations = {"k8s.v1.cni.cncf.io/networks": "lan"}
        metadata = {"namespace": "default", "name": "web", "uid": "u1", "annotations": annotations}
        running.put(NADS, definition)
        running.put(PODS, {"metadata": metadata, "spec": {"nodeName": "n7"}})
        yield running


def published(server: APIServer) -> list[str]:
    annotations = server.get(PODS, "default", "web")["metadata"]["annotations"]
    return [entry["name"] for entry in json.loads(annotations[STATUS])]


def test_the_daemon_watches_this_nodes_pods_and_publishes_their_status(node, server) -> None:
    assert node.files.install().returncode == 0
    kubeconfig = write_kubeconfig(node.files.root / "kubeconfig", server.url)
    node.start(cluster=["--kubeconfig", str(kubeconfig)], MULTINET_NODE_NAME="n7")
    sandbox = node.lab.sandbox()
    code, result = node.call("ADD", sandbox.path)
    assert code == 0, result
    assert published(server) == ["base", "default/lan"]
    assert node.call("DEL", sandbox.path) == (0, "")
    assert node.stop() == 0
    listed = [path for verb, resource, path in server.log if (verb, resource) == ("list", PODS)]
    assert listed
    assert all("spec.nodeName%3Dn7" in path or "spec.nodeName=n7" in path for path in listed), listed


def test_a_call_without_a_daemon_asks_kubernetes_itself(node, server) -> None:
    assert node.files.install().returncode == 0
    kubeconfig = write_kubeconfig(node.files.root / "kubeconfig", server.url)
    sandbox = node.lab.sandbox()
    for verb in ("ADD", "DEL"):
        env = node.environment(verb, sandbox.path)
        done = run_multinet(
            "cni",
            *("--kubeconfig", kubeconfig, "--node-name", "n7"),
            *("--state-dir", node.files.state_dir, "--conf-dir", node.files.conf_dir),
            stdin=json.dumps(node.network()),
            inside=node.lab.host,
            **env,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert published(server) == ["base", "default/lan"]
    assert set(node.lab.links(sandbox)) == {"lo"}
