"""What Multus remembers of a pod, as the journal would have it: then CHECK and DEL treat the pod as one of ours.

Source: multus-cni 4, ``types.DelegateNetConf`` (the scratch file) and libcni's ``cniCacheV1`` (the results).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from multinet.cni.cache import CachedAttachment
from multinet.cni.conf import NetworkList
from multinet.core.record import AttachmentRecord

_KUBERNETES = "K8S_POD_"


class ScratchDelegate(msgspec.Struct, frozen=True, kw_only=True):
    """One network of a pod, as Multus' scratch file has it."""

    name: str = ""
    """Display name: ``namespace/name`` of the definition, else the configuration's name."""
    network: bytes
    """The exact configuration of the ADD, device and ``cni-args`` included."""
    ifname: str = ""
    """As the pod asked for it; empty: it follows from the place."""
    mac: str = ""
    ips: tuple[str, ...] = ()
    default_route: tuple[str, ...] | None = None
    device_id: str = ""

    def interface(self, position: int, default: str) -> str:
        """Its interface's name; ``default`` is the default network's. The same at every verb."""
        return self.ifname or (f"net{position}" if position else default)


class Takeover(msgspec.Struct, frozen=True, kw_only=True):
    """Of whom the records are, and what no file says."""

    container_id: str
    ifname: str = "eth0"
    """The default network's, from the runtime."""
    netns: str = ""
    """The namespace's path, where the results don't say it."""
    args: str = ""
    """The runtime's ``CNI_ARGS``, where the results don't say them."""
    path: tuple[str, ...] = ()
    """Folders of executables."""

    def from_scratch(
        self, delegates: Sequence[ScratchDelegate], results: Sequence[CachedAttachment]
    ) -> tuple[AttachmentRecord, ...]:
        """The records by the scratch file, with what the results say about each. Raises CNIError for a
        configuration that is none.
        """
        known = {(entry.network_name, entry.ifname): entry for entry in results}
        records = []
        for position, delegate in enumerate(delegates):
            ifname = delegate.interface(position, self.ifname)
            network = NetworkList.from_bytes(delegate.network, f"network {delegate.name or position}")
            entry = known.get((network.name, ifname))
            record = self._record(
                position, ifname, delegate.name or network.name, delegate.network, network, entry
            )
            if entry is None or not entry.capability_args:
                record = msgspec.structs.replace(record, capability_args=_requested(delegate))
            records.append(msgspec.structs.replace(record, default_route=delegate.default_route))
        return tuple(records)

    def from_results(self, results: Sequence[CachedAttachment]) -> tuple[AttachmentRecord, ...]:
        """The records by the results alone, where the scratch file is damaged: the default network first, the
        others by their names. Raises CNIError for a configuration that is none.
        """
        ordered = sorted(results, key=lambda entry: (entry.ifname != self.ifname, _number(entry.ifname)))
        records = []
        for position, entry in enumerate(ordered):
            network = NetworkList.from_bytes(entry.config, f"network {entry.network_name}")
            records.append(self._record(position, entry.ifname, network.name, entry.config, network, entry))
        return tuple(records)

    def _record(
        self,
        position: int,
        ifname: str,
        name: str,
        raw: bytes,
        network: NetworkList,
        entry: CachedAttachment | None,
    ) -> AttachmentRecord:
        args = ";".join(f"{key}={value}" for key, value in entry.args) if entry else ""
        args = args or self.args
        pod = dict(
            pair.split("=", 1) for pair in args.split(";") if pair.startswith(_KUBERNETES) and "=" in pair
        )
        return AttachmentRecord(
            container_id=self.container_id,
            ifname=ifname,
            position=position,
            name=name,
            network=raw,
            network_name=network.name,
            phase="ready",
            pod_namespace=pod.get("K8S_POD_NAMESPACE", ""),
            pod_name=pod.get("K8S_POD_NAME", ""),
            pod_uid=pod.get("K8S_POD_UID", ""),
            netns=(entry.netns if entry else "") or self.netns,
            args=args,
            path=self.path,
            capability_args=dict(entry.capability_args) if entry else {},
            result=dict(entry.result) if entry and entry.result else None,
            foreign=True,
        )


def _requested(delegate: ScratchDelegate) -> dict[str, Any]:
    """The capability arguments that the scratch file lets one know."""
    asked: Mapping[str, Any] = {
        "mac": delegate.mac,
        "ips": list(delegate.ips),
        "deviceID": delegate.device_id,
    }
    return {name: value for name, value in asked.items() if value}


def _number(ifname: str) -> tuple[int, str]:
    """``net2`` before ``net10``."""
    digits = ifname.removeprefix("net")
    return (int(digits) if digits.isascii() and digits.isdigit() else 0, ifname)
