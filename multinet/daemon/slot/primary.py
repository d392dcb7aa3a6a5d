"""Which configuration is the node's own network: the one that pods would get without multinet."""

from __future__ import annotations

import os

import msgspec

from multinet.cni.conf import Broken, NetworkList, conf_files, load_file
from multinet.cni.errors import CNIError
from multinet.cni.versions import UNSTATED
from multinet.daemon.networks import is_meta, is_own_configuration
from multinet.daemon.slot.plan import SlotPlan

__all__ = ["Found", "Primary", "find_primary"]


class Primary(msgspec.Struct, frozen=True):
    """The primary network's configuration, whole and valid."""

    path: str
    network: NetworkList

    @property
    def declared_version(self) -> str:
        """``cniVersion`` as the file has it, or the highest known one of its ``cniVersions``; empty: none."""
        version = self.network.cni_version
        if version != UNSTATED:
            return version
        whole = msgspec.json.decode(self.network.raw)
        first = self.network.plugins[0]
        # A lone plugin, which has the name itself, was made a list, which always has a version.
        stated = first if "name" in first else whole
        return version if stated.get("cniVersion") else ""


class Found(msgspec.Struct, frozen=True):
    """What a look for the primary gave."""

    primary: Primary | None
    broken: tuple[Broken, ...] = ()
    """Files that were passed over, or the one that had to be waited for."""


def find_primary(plan: SlotPlan, incumbent: str = "") -> Found:
    """The primary: the file that the plan names, else the first valid one that isn't multinet's or Multus' own.

    ``incumbent`` is the path of the one so far: while its file is there but broken (half written, say) none is
    found, and the next in order isn't taken in its place. A network of ``loopback`` alone is none: runtimes
    see to ``lo`` themselves. Backups (``*.cilium_bak``) don't have the suffix of a configuration. Raises
    CNIError code 5 when the folder can't be read.
    """
    broken: list[Broken] = []
    for path in _candidates(plan):
        try:
            network = load_file(path)
        except CNIError as error:
            broken.append(Broken(path, error))
            if path == incumbent:
                break
            continue
        if not is_meta(network) and any(plugin["type"] != "loopback" for plugin in network.plugins):
            return Found(Primary(path, network), tuple(broken))
    return Found(None, tuple(broken))


def _candidates(plan: SlotPlan) -> list[str]:
    if plan.primary:
        path = os.path.join(plan.autoconfig_dir, plan.primary)
        return [path] if os.path.lexists(path) else []
    # Whatever somebody has put in the slot isn't the node's network; what has our name but can't be read is ours.
    return [
        path
        for path in conf_files(plan.autoconfig_dir)
        if not plan.is_slot(path) and not is_own_configuration(path)
    ]
