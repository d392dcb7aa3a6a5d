"""host-device's options."""

from __future__ import annotations

import msgspec

from multinet.cni.errors import InvalidConfig
from multinet.npwg.element_rules import parse_hardware_address
from multinet.sdk import DelegateConf
from multinet.sdk.ipam import member

__all__ = ["HostDeviceConf", "hardware_address", "runtime_device"]


class HostDeviceConf(DelegateConf, frozen=True, kw_only=True):
    """Options of host-device. One says which device; a ``deviceID`` of the runtime's counts before all of them."""

    device: str = ""
    """Name of the device on the host."""
    hwaddr: str = ""
    """Its MAC; a network card comes before virtual links that share it."""
    kernelpath: str = ""
    """Its folder below ``/sys/devices/``."""
    pci_bus_id: str = msgspec.field(name="pciBusID", default="")
    """Its PCI address. One that is bound to a DPDK driver isn't moved, its addresses are only reported."""
    data_dir: str = "/run/cni/host-device"
    """Folder for what each device was before it was lent."""


def runtime_device(conf: HostDeviceConf) -> str:
    """``runtimeConfig.deviceID``, or empty. Raises InvalidConfig."""
    device_id = member(conf.runtime_config, "deviceID") or ""
    if not isinstance(device_id, str):
        raise InvalidConfig("$.runtimeConfig.deviceID", f"expected a string, got {type(device_id).__name__}")
    return device_id


def hardware_address(text: str) -> str:
    """A hardware address in its usual spelling; of InfiniBand, too. Raises InvalidConfig."""
    raw = parse_hardware_address(text)
    if raw is None:
        raise InvalidConfig("$.hwaddr", f'"{text}" is no hardware address')
    return raw.hex(":")
