"""Which device of the host's is meant: by the runtime's word, name, MAC, folder below /sys, or PCI address."""

from __future__ import annotations

import posixpath
import re

import msgspec

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.delegates.host_device_conf import HostDeviceConf, hardware_address, runtime_device
from multinet.sdk import Facts, LinkInfo

__all__ = ["Choice", "choose"]

_DPDK_DRIVERS = frozenset({"vfio-pci", "uio_pci_generic", "igb_uio"})
_IMMOVABLE = frozenset({"bridge", "bond", "team", "vrf", "hsr", "batadv"})
"""Kinds of links that the kernel ties to the namespace that they were made in."""
_PCI_ADDRESS = re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")
_PLAIN = re.compile(r"(?!\.)[\w.:@+-]+")
"""What may stand in a path as one part."""
_DEVICES = "/sys/devices/"
_NOT_FOUND = "failed to find host device: "


class Choice(msgspec.Struct, frozen=True):
    """The link to borrow. None: the device is bound to a DPDK driver, and the kernel has no link for it."""

    link: LinkInfo | None
    pci_id: str = ""


def choose(conf: HostDeviceConf, host: Facts) -> Choice:
    """The device that is meant. Raises CNIError code 7 when none is said, found, or may be moved."""
    device_id = runtime_device(conf)
    if device_id:
        path = "$.runtimeConfig.deviceID"
        if _PLAIN.fullmatch(device_id) and device_id in host.sys_names("bus/auxiliary/devices"):
            names = host.sys_names(f"bus/auxiliary/devices/{device_id}/net")
            return Choice(_movable(_first(names, host, f"no net directory under {device_id}"), path))
        if _PCI_ADDRESS.fullmatch(device_id) and _is_pci_device(device_id, host):
            return _by_pci(device_id, host, path)
        raise InvalidConfig(path, f"runtime config DeviceID {device_id} not found or unsupported")
    if conf.device:
        link = host.link(conf.device)
        if link is None:
            raise CNIError(Code.INVALID_CONFIG, f'{_NOT_FOUND}Link not found: $.device "{conf.device}"')
        return Choice(_movable(link, "$.device"))
    if conf.hwaddr:
        return Choice(_movable(_by_mac(hardware_address(conf.hwaddr), host), "$.hwaddr"))
    if conf.kernelpath:
        folder = _folder(conf.kernelpath)
        names = host.sys_names(f"{folder}/net")
        return Choice(_movable(_first(names, host, f"no net directory under {folder}"), "$.kernelpath"))
    if conf.pci_bus_id:
        return _by_pci(conf.pci_bus_id, host, "$.pciBusID")
    raise CNIError(Code.INVALID_CONFIG, 'specify either "device", "hwaddr", "kernelpath" or "pciBusID"')


def _by_mac(mac: str, host: Facts) -> LinkInfo:
    found = [link for link in host.links().values() if mac in (link.mac, link.permanent_mac)]
    found = [link for link in found if not link.alias.startswith("multinet:")] or found
    found.sort(key=lambda link: (bool(link.kind), bool(link.parent), link.index))
    if not found:
        raise CNIError(
            Code.INVALID_CONFIG,
            f"{_NOT_FOUND}failed to find physical interface: no link has the MAC {mac} ($.hwaddr)",
        )
    return found[0]


def _by_pci(address: str, host: Facts, path: str) -> Choice:
    if not _PLAIN.fullmatch(address):
        raise InvalidConfig(path, f'"{address}" is no PCI address')
    folder = f"bus/pci/devices/{address}"
    if host.sys_target(f"{folder}/driver") in _DPDK_DRIVERS:
        return Choice(None, address)
    # netlink knows the host's links whatever namespace /sys was mounted in; of virtio cards only /sys does
    names = tuple(sorted(link.name for link in host.links().values() if link.pci_id == address))
    names = names or host.sys_names(f"{folder}/net")
    if not names:
        virtio = [name for name in host.sys_names(folder) if name.startswith("virtio")]
        names = tuple(name for one in virtio for name in host.sys_names(f"{folder}/{one}/net"))
    return Choice(
        _movable(_first(names, host, f"no net directory under pci device {address}"), path), address
    )


def _is_pci_device(address: str, host: Facts) -> bool:
    known = address in host.sys_names("bus/pci/devices")
    return known or any(link.pci_id == address for link in host.links().values())


def _first(names: tuple[str, ...], host: Facts, missing: str) -> LinkInfo:
    """The link of the first name in a folder."""
    if not names:
        raise CNIError(
            Code.INVALID_CONFIG, f"{_NOT_FOUND}{missing}: is it there, and bound to a network driver?"
        )
    link = host.link(names[0])
    if link is None:
        raise CNIError(Code.INVALID_CONFIG, f'{_NOT_FOUND}failed to find physical interface: "{names[0]}"')
    return link


def _folder(kernelpath: str) -> str:
    """The part below ``/sys``. Raises InvalidConfig for a path that leads elsewhere."""
    clean = posixpath.normpath(kernelpath)
    if not kernelpath.startswith(_DEVICES) or not clean.startswith(_DEVICES):
        raise InvalidConfig(
            "$.kernelpath", f'kernel device path "{kernelpath}" must be absolute and begin with {_DEVICES}'
        )
    return clean.removeprefix("/sys/")


def _movable(link: LinkInfo, path: str) -> LinkInfo:
    if link.alias.startswith("multinet:"):
        raise InvalidConfig(path, f'"{link.name}" belongs to another attachment ({link.alias})')
    if link.name == "lo" or link.kind in _IMMOVABLE:
        what = "loopback" if link.name == "lo" else link.kind
        raise InvalidConfig(path, f'"{link.name}" ({what}) cannot be moved to another network namespace')
    return link
