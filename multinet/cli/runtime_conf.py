"""The file by which the container runtime learns of multinet: ``00-multinet.conflist``, first in its folder."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from multinet.adapters.plugin_directory import InstallationError
from multinet.daemon.networks import is_own_configuration
from multinet.daemon.node_report import read_report
from multinet.daemon.pods import POD_ANNOTATIONS
from multinet.daemon.slot import folder as slot_file
from multinet.daemon.slot.composition import declared_capabilities
from multinet.daemon.slot.plan import DEFAULT_FILE, SlotPlan
from multinet.daemon.slot.primary import find_primary

__all__ = ["FILE", "ClusterNetwork", "cluster_network", "compose", "remove", "require_ours", "write"]

FILE = DEFAULT_FILE


class ClusterNetwork(NamedTuple):
    """The node's network before multinet: it becomes each pod's first interface."""

    path: str
    capabilities: tuple[str, ...]
    """What its plugins declare: the runtime has to hand these to multinet, which hands them on."""


def cluster_network(conf_dir: str) -> ClusterNetwork | None:
    """The network that the daemon would choose there; None: there is none (yet)."""
    folder = os.path.abspath(conf_dir)  # the daemon has another working directory
    primary = find_primary(SlotPlan(config_dir=folder, autoconfig_dir=folder)).primary
    if primary is None:
        return None
    return ClusterNetwork(primary.path, declared_capabilities(primary.network))


def compose(name: str, cni_version: str, cluster: ClusterNetwork | None) -> bytes:
    """The configuration's text."""
    capabilities = (*(cluster.capabilities if cluster else ()), POD_ANNOTATIONS)
    plugin: dict[str, Any] = {
        "type": "multinet",
        "namespaceIsolation": True,
        "capabilities": dict.fromkeys(sorted(capabilities), True),
    }
    if cluster is not None:
        plugin["clusterNetwork"] = cluster.path
    network = {"cniVersion": cni_version, "name": name, "plugins": [plugin]}
    return json.dumps(network, indent=2).encode() + b"\n"


def require_ours(conf_dir: str) -> None:
    """Raises InstallationError when somebody else's configuration has our file's name."""
    path = os.path.join(conf_dir, FILE)
    if os.path.exists(path) and not is_own_configuration(path):
        raise InstallationError(f"{path} configures something else than multinet: move it out of the way")


def write(conf_dir: str, content: bytes) -> str:
    """Put the file in place, whole and on disk, for root alone; its path. Raises InstallationError."""
    path = os.path.join(os.path.abspath(conf_dir), FILE)
    slot_file.write(path, content)
    return path


def remove(conf_dir: str, state_dir: str) -> list[str]:
    """Take the file away, and the one that a daemon kept under whatever name, if they are ours; what was removed.

    Raises InstallationError.
    """
    slot = read_report(state_dir).slot
    paths = (os.path.join(os.path.abspath(conf_dir), FILE), *([slot.path] if slot is not None else []))
    return [path for path in dict.fromkeys(paths) if slot_file.remove(path)]
