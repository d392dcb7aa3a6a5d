"""The pod that is measured: eth0 by bridge, net1 by macvlan, net2 by bridge; host-local, no masquerading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from multinet.bench.lab import UPLINK

__all__ = ["CNI_VERSION", "Network", "pod_networks", "with_previous"]

CNI_VERSION = "1.0.0"
"""The newest that the reference plugins of Debian 12 know."""


class Network(msgspec.Struct, frozen=True):
    """One attachment of the pod."""

    ifname: str
    plugin: str
    """``bridge`` or ``macvlan``."""
    bridge: str
    """Of the host; empty for macvlan."""
    prefix: str
    """The first two numbers of its /16."""
    gateway: bool
    """The bridge is the pod's default gateway, with the first address."""

    def configuration(self, name: str, data_dir: Path) -> dict[str, Any]:
        """For the plugin, with host-local keeping its files in ``data_dir``."""
        link: dict[str, Any] = {"master": UPLINK, "mode": "bridge"}
        if self.plugin == "bridge":
            link = {"bridge": self.bridge, "isDefaultGateway": self.gateway}
        ipam = {
            "type": "host-local",
            "dataDir": str(data_dir),
            "ranges": [[{"subnet": f"{self.prefix}.0.0/16"}]],
        }
        return {"cniVersion": CNI_VERSION, "name": name, "type": self.plugin, **link, "ipam": ipam}


def pod_networks(node: int) -> tuple[Network, ...]:
    """The three networks; each ``node`` (0 to 9) has bridges and subnets of its own on the one host."""
    return (
        Network("eth0", "bridge", f"pods{node}", f"10.{node}0", True),
        Network("net1", "macvlan", "", f"10.{node}1", False),
        Network("net2", "bridge", f"side{node}", f"10.{node}2", False),
    )


def with_previous(conf: Mapping[str, Any], result_file: Path) -> dict[str, Any]:
    """The configuration for DEL as runtimes make it: ADD's result, which they cached, goes along."""
    try:
        result = json.loads(result_file.read_bytes())
    except (FileNotFoundError, ValueError):  # a failed ADD: runtimes then call DEL without one
        return dict(conf)
    return {**conf, "prevResult": result} if "ips" in result else dict(conf)
