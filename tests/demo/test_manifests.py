"""The examples can be read, and are those of the demo."""

from __future__ import annotations

import os
from pathlib import Path

from multinet.adapters.cluster_directory import DirectoryCluster
from multinet.cni.conf import load_file
from multinet.demo.steps import EXAMPLES
from multinet.npwg.attachment_definition import network_of
from multinet.npwg.selection import NETWORKS, parse_networks

_MANIFESTS = Path(__file__).parents[2] / "manifests"


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
