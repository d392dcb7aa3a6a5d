"""The manifests say what the code asks for: same resources, same kinds, and examples that can be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from multinet.adapters.cluster_directory import DirectoryCluster
from multinet.adapters.kubernetes_objects import DEFINITIONS, PODS
from multinet.cni.conf import load_file
from multinet.demo.steps import EXAMPLES
from multinet.npwg.attachment_definition import API_VERSION, KIND, network_of
from multinet.npwg.selection import NETWORKS, parse_networks

_MANIFESTS = Path(__file__).parents[2] / "manifests"


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((_MANIFESTS / name).read_text()))


def test_the_examples_are_the_files_that_the_demo_uses() -> None:
    assert os.path.samefile(_MANIFESTS / "examples", EXAMPLES)


def test_every_pod_of_the_examples_finds_its_networks() -> None:
    cluster = DirectoryCluster(EXAMPLES)
    wanted = {}
    for pod in ("multi-network-pod", "web", "database"):
        for selection in parse_networks(cluster.pod("default", pod).annotations[NETWORKS], "default"):
            network = network_of(cluster.attachment_definition(selection.namespace, selection.name))
            assert network is not None
            wanted[pod] = (network["name"], network["type"])

    assert wanted == {
        "multi-network-pod": ("storage-network", "macvlan"),
        "web": ("backend-network", "bridge"),
        "database": ("backend-network", "bridge"),
    }


def test_the_default_network_of_the_examples_is_valid() -> None:
    network = load_file(str(EXAMPLES / "net.d" / "10-dev-network.conf"))

    assert (network.name, network.cni_version) == ("dev-network", "0.4.0")
    assert network.plugins[0]["ipam"] == {"type": "host-local", "subnet": "10.244.0.0/16"}


def test_the_custom_resource_is_the_one_that_the_code_reads() -> None:
    (crd,) = _documents("crd.yaml")
    spec = crd["spec"]
    versions = [version["name"] for version in spec["versions"] if version["served"]]

    assert spec["names"]["kind"] == KIND
    assert spec["names"]["plural"] == DEFINITIONS.name
    assert [f"{spec['group']}/{version}" for version in versions] == [API_VERSION]
    assert f"/apis/{API_VERSION}" == DEFINITIONS.root
    assert crd["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"


def test_the_daemon_may_do_what_it_does_and_nothing_else() -> None:
    objects = {document["kind"]: document for document in _documents("rbac.yaml")}
    allowed = {
        (group, resource, verb)
        for rule in objects["ClusterRole"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    reads = {
        (group, name) for group, name in (("", PODS.name), (API_VERSION.split("/")[0], DEFINITIONS.name))
    }

    assert allowed == {(*what, verb) for what in reads for verb in ("get", "list", "watch")} | {
        ("", "pods/status", "patch")
    }
    assert objects["ClusterRoleBinding"]["roleRef"]["name"] == objects["ClusterRole"]["metadata"]["name"]
    account = objects["ServiceAccount"]["metadata"]
    assert objects["ClusterRoleBinding"]["subjects"] == [{"kind": "ServiceAccount", **account}]
