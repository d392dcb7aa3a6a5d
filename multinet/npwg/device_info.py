"""Device information: what is known of the device behind an attachment, and the files that carry it.

Source: NPWG device information specification 1.1.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from multinet.cni.decode import convert

__all__ = [
    "CNI_DIRECTORY",
    "DEVICE_PLUGIN_DIRECTORY",
    "DeviceInfo",
    "Memif",
    "Pci",
    "Vdpa",
    "VhostUser",
    "cni_file",
    "device_plugin_file",
]

DEVICE_PLUGIN_DIRECTORY = "/var/run/k8s.cni.cncf.io/devinfo/dp"
"""Written by device plugins."""
CNI_DIRECTORY = "/var/run/k8s.cni.cncf.io/devinfo/cni"
"""Written for, or by, the delegate of an attachment."""


class _Kebab(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="kebab"):
    pass


class Pci(_Kebab, frozen=True, kw_only=True):
    """A PCI function."""

    pci_address: str
    vhost_net: str = ""
    rdma_device: str = ""
    pf_pci_address: str = ""
    representor_device: str = ""


class Vdpa(_Kebab, frozen=True, kw_only=True):
    """A vDPA device."""

    parent_device: str
    driver: Literal["vhost", "virtio"]
    path: str
    pci_address: str = ""
    pf_pci_address: str = ""
    representor_device: str = ""


class VhostUser(_Kebab, frozen=True, kw_only=True):
    """A vhost-user socket."""

    mode: Literal["client", "server"]
    path: str


class Memif(_Kebab, frozen=True, kw_only=True):
    """A shared-memory packet interface."""

    role: Literal["master", "slave"]
    path: str
    mode: Literal["ethernet", "ip", "inject-punt"]


class DeviceInfo(_Kebab, frozen=True, kw_only=True):
    """One device: ``type`` names the one part that is there."""

    type: Literal["pci", "vdpa", "vhost-user", "memif"]
    version: str
    pci: Pci | None = None
    vdpa: Vdpa | None = None
    vhost_user: VhostUser | None = None
    memif: Memif | None = None

    def __post_init__(self) -> None:
        parts = {"pci": self.pci, "vdpa": self.vdpa, "vhost-user": self.vhost_user, "memif": self.memif}
        if parts[self.type] is None:
            raise ValueError(f'type "{self.type}" needs the key "{self.type}"')
        strange = [key for key, part in parts.items() if part is not None and key != self.type]
        if strange:
            raise ValueError(f'type "{self.type}" excludes the key "{strange[0]}"')

    @classmethod
    def from_object(cls, raw: Mapping[str, Any], path: str = "$") -> DeviceInfo:
        """The device information in a JSON object. Raises InvalidConfig (code 7) with the JSON path."""
        return convert(raw, cls, path)

    def to_object(self) -> dict[str, Any]:
        """The JSON object, without empty keys."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def device_plugin_file(resource: str, device_id: str, directory: str = DEVICE_PLUGIN_DIRECTORY) -> str:
    """Path of what the device plugin says of a device of ``resource``."""
    return f"{directory}/{_flat(resource)}-{_flat(device_id)}-device.json"


def cni_file(network: str, container_id: str, ifname: str, directory: str = CNI_DIRECTORY) -> str:
    """Path of an attachment's device information; ``network`` is its display name."""
    return f"{directory}/{_flat(network)}-{_flat(container_id)}_{_flat(ifname)}"


def _flat(part: str) -> str:
    return part.replace("/", "-")
