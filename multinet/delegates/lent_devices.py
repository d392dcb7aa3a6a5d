"""What each lent device was, as a file on the host: for a DEL with no record, and to say who has a device."""

from __future__ import annotations

import msgspec

from multinet.cni.errors import CNIError
from multinet.core.desired import Device, Owner, StateFile
from multinet.delegates.host_device_conf import HostDeviceConf, hardware_address, runtime_device
from multinet.sdk import Facts

__all__ = ["Lent", "holder_of", "lent_device", "lent_devices", "state_file"]


class Lent(msgspec.Struct, frozen=True, rename="camel"):
    """A device, and the attachment that has it."""

    network: str
    container_id: str = msgspec.field(name="containerID")
    ifname: str
    device: Device


_decoder = msgspec.json.Decoder(Lent)


def state_file(folder: str, lent: Lent) -> StateFile:
    """The file of a lent device. One that is there is left from an earlier ADD, whose device is home again."""
    content = msgspec.json.format(msgspec.json.encode(lent), indent=1).decode()
    return StateFile(path=_path(folder, lent.container_id, lent.ifname), content=content, replaces=True)


def lent_device(folder: str, owner: Owner, host: Facts) -> Lent | None:
    """What an attachment has, if it is known."""
    return _read(_path(folder, owner.container_id, owner.ifname), host)


def lent_devices(folder: str, host: Facts) -> list[Lent]:
    """All that is lent; files that can't be read are passed over."""
    paths = (f"{folder}/{name}" for name in host.files(folder) if name.endswith(".json"))
    return [lent for path in paths if (lent := _read(path, host)) is not None]


def holder_of(conf: HostDeviceConf, host: Facts) -> str | None:
    """Which container has the device that ``conf`` asks for, in words."""
    for lent in lent_devices(conf.data_dir, host):
        if _is_wanted(lent.device, conf) and lent.device.host_name not in host.links():
            name = f"{lent.ifname} of container {lent.container_id} (network {lent.network})"
            return f'"{lent.device.host_name}" has been lent to {name}'
    return None


def _is_wanted(device: Device, conf: HostDeviceConf) -> bool:
    asked = runtime_device(conf)
    if asked:
        return device.pci_id == asked
    if conf.device:
        return device.host_name == conf.device
    if conf.hwaddr:
        return hardware_address(conf.hwaddr) in (device.mac, device.permanent_mac)
    return bool(conf.pci_bus_id) and device.pci_id == conf.pci_bus_id


def _path(folder: str, container_id: str, ifname: str) -> str:
    return f"{folder}/{container_id}_{ifname}.json"


def _read(path: str, host: Facts) -> Lent | None:
    try:
        text = host.file(path)
        return None if text is None else _decoder.decode(text)
    except (CNIError, msgspec.DecodeError):
        return None
