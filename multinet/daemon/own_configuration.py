"""The meta-plugin's configuration on this node, as the container runtime would hand it to an ADD."""

from __future__ import annotations

from typing import Any

from multinet.cni.conf import conf_files, load_file
from multinet.cni.errors import CNIError
from multinet.daemon.networks import is_meta

__all__ = ["own_configuration"]


def own_configuration(conf_dir: str, slot: str = "") -> dict[str, Any]:
    """Our plugin of the first list in ``conf_dir`` that has it, or of the file ``slot``, where that is ours to keep.

    Without any: one that asks for nothing, so that the node's own settings hold.
    """
    for path in (slot,) if slot else conf_files(conf_dir):
        try:
            network = load_file(path)
        except CNIError:
            continue
        if is_meta(network):
            return {**network.plugins[0], "name": network.name, "cniVersion": network.cni_version}
    return {"type": "multinet", "name": "multinet", "cniVersion": "1.0.0"}
