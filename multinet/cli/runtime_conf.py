"""The file by which the container runtime learns of multinet: ``00-multinet.conflist``, first in its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from multinet.adapters.plugin_directory import InstallationError, PluginDirectory
from multinet.cni.conf import NetworkList, conf_files, load_file
from multinet.cni.errors import CNIError
from multinet.daemon.networks import META_TYPES, is_own_configuration

__all__ = ["FILE", "ClusterNetwork", "cluster_network", "compose", "remove", "require_ours", "write"]

FILE = "00-multinet.conflist"


class ClusterNetwork(NamedTuple):
    """The node's network before multinet: it becomes each pod's first interface."""

    path: str
    capabilities: tuple[str, ...]
    """What its plugins declare: the runtime has to hand these to multinet, which hands them on."""


def cluster_network(conf_dir: str) -> ClusterNetwork | None:
    """The first valid configuration that isn't multinet's own; None: there is none (yet)."""
    for path in conf_files(os.path.abspath(conf_dir)):  # the daemon has another working directory
        if is_own_configuration(path):
            continue
        try:
            return ClusterNetwork(path, _capabilities(load_file(path)))
        except CNIError:  # the runtime passes it over too
            continue
    return None


def compose(name: str, cni_version: str, cluster: ClusterNetwork | None) -> bytes:
    """The configuration's text."""
    plugin: dict[str, Any] = {"type": "multinet", "namespaceIsolation": True}
    if cluster is not None:
        if cluster.capabilities:
            plugin["capabilities"] = dict.fromkeys(cluster.capabilities, True)
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
    with PluginDirectory.locked(conf_dir) as folder:
        folder.replace(FILE, content, 0o600)
        folder.sync()
        return folder.path(FILE)


def remove(conf_dir: str) -> str | None:
    """Take the file away if it is ours; its path, or None. Raises InstallationError."""
    path = os.path.join(conf_dir, FILE)
    if not os.path.exists(path) or not _is_meta(path):
        return None
    with PluginDirectory.locked(conf_dir) as folder:
        folder.remove(FILE)
        folder.sync()
        return folder.path(FILE)


def _is_meta(path: str) -> bool:
    try:
        return any(plugin["type"] in META_TYPES for plugin in load_file(path).plugins)
    except CNIError:
        return False


def _capabilities(network: NetworkList) -> tuple[str, ...]:
    declared: dict[str, None] = {}
    for plugin in network.plugins:
        given: Mapping[str, Any] = plugin.get("capabilities") or {}
        declared |= {name: None for name, value in given.items() if value is True}
    return tuple(declared)
