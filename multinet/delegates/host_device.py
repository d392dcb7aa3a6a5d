"""host-device: the pod borrows a device of the host's; it goes home as it was."""

from __future__ import annotations

from collections.abc import Iterable

from multinet.cni.errors import CNIError, InvalidConfig
from multinet.cni.names import validate_ifname
from multinet.cni.result import Interface
from multinet.core.desired import AnyItem, Device
from multinet.delegates.host_device_choice import Choice, choose
from multinet.delegates.host_device_conf import HostDeviceConf
from multinet.delegates.lent_devices import Lent, holder_of, lent_device, lent_devices, state_file
from multinet.sdk import Desired, Facts, LinkInfo, Sandbox, interface_delegate
from multinet.sdk.addressing import addressed, announced
from multinet.sdk.delegate import chosen_dns, described
from multinet.sdk.delegate_plugin import Valid


@interface_delegate(HostDeviceConf, rules=(), borrows=True)
def host_device(conf: HostDeviceConf, pod: Sandbox, host: Facts) -> Desired:
    """One device of the host's in the sandbox, with the addresses of its IPAM."""
    if not conf.data_dir.startswith("/"):
        raise InvalidConfig("$.dataDir", f'"{conf.data_dir}" is not an absolute path')
    if pod.made:
        return Desired(_as_made(conf, pod, host))
    if not pod.netns and conf.capabilities.get("deviceID"):
        return Desired()  # STATUS: the runtime says in each ADD which one
    choice = _choice(conf, host)
    dns = chosen_dns(conf, pod.ipam)
    if choice.link is None:
        made = Interface(name=pod.ifname, sandbox=pod.netns, pci_id=choice.pci_id)
        return Desired((), described((made,), 0, pod.ipam, dns))
    device = _borrowed(choice, pod, host)
    made = Interface(name=pod.ifname, mac=device.mac, mtu=device.mtu, sandbox=pod.netns, pci_id=device.pci_id)
    file = state_file(conf.data_dir, Lent(pod.owner.network, pod.owner.container_id, pod.ifname, device))
    return Desired((file, device, *_settled(pod)), described((made,), 0, pod.ipam, dns))


@host_device.leftovers
def _leftovers(conf: HostDeviceConf | None, pod: Sandbox, host: Facts) -> Iterable[AnyItem]:
    """By what the ADD wrote down, or by the alias of the link, as the reference plugin does it."""
    folder = (conf or HostDeviceConf()).data_dir
    lent = lent_device(folder, pod.owner, host)
    if lent is not None:
        return (state_file(folder, lent), lent.device)
    named = _reference_made(conf, pod, host)
    if named is None:
        return ()
    return (
        Device(
            whose="borrowed",
            name=pod.ifname,
            host_name=named.alias,
            mac=named.mac,
            link_kind=named.kind,
            permanent_mac=named.permanent_mac,
            pci_id=named.pci_id,
        ),
    )


@host_device.stale
def _stale(conf: HostDeviceConf | None, network: str, valid: Valid, host: Facts) -> Iterable[AnyItem]:
    """Devices of containers that are gone, which the kernel has sent home under the name that they had there."""
    folder = (conf or HostDeviceConf()).data_dir
    items: list[AnyItem] = []
    for lent in lent_devices(folder, host):
        if lent.network == network and (lent.container_id, lent.ifname) not in valid:
            items += [state_file(folder, lent), lent.device]
    return items


def _reference_made(conf: HostDeviceConf | None, pod: Sandbox, host: Facts) -> LinkInfo | None:
    """A link that has its home name as alias. On the host only if the configuration confirms the name: aliases there
    are the administrator's.
    """
    wanted = conf.device if conf is not None else ""
    lent = host.link(pod.ifname, "sandbox") if _has_sandbox(host) else None
    if lent is not None:
        return lent if _is_name(lent.alias) and wanted in ("", lent.alias) else None
    home = host.link(pod.ifname)  # the kernel sends a card home under the name that it had
    return home if home is not None and wanted and home.alias == wanted != home.name else None


def _choice(conf: HostDeviceConf, host: Facts) -> Choice:
    """Raises CNIError that says who has the device, if that is known."""
    try:
        return choose(conf, host)
    except CNIError as error:
        holder = holder_of(conf, host)
        raise error if holder is None else CNIError(error.code, f"{error.msg}: {holder}") from None


def _borrowed(choice: Choice, pod: Sandbox, host: Facts) -> Device:
    link = choice.link
    assert link is not None
    masters = [one.name for one in host.links().values() if one.index == link.master] if link.master else []
    return Device(
        whose="borrowed",
        name=pod.ifname,
        host_name=link.name,
        index=link.index,
        mac=link.mac,
        mtu=link.mtu,
        was_up=link.up,
        alias=link.alias,
        link_kind=link.kind,
        permanent_mac=link.permanent_mac,
        pci_id=choice.pci_id or link.pci_id,
        group=link.group,
        master=masters[0] if masters else "",
        addresses=host.addresses(link),
    )


def _as_made(conf: HostDeviceConf, pod: Sandbox, host: Facts) -> tuple[AnyItem, ...]:
    """For CHECK: the device as it was written down, or what the result says of it; nothing with DPDK."""
    made = pod.made_interface
    if made is not None and not made.mac:
        return ()
    lent = lent_device(conf.data_dir, pod.owner, host)
    if lent is not None:
        return (lent.device, *_settled(pod))
    link = host.link(pod.ifname, "sandbox")
    device = Device(
        whose="borrowed",
        name=pod.ifname,
        host_name=link.alias if link else "",
        mac=made.mac.lower() if made else "",
        mtu=made.mtu if made else 0,
        link_kind=link.kind if link else "",
    )
    return (device, *_settled(pod))


def _settled(pod: Sandbox) -> tuple[AnyItem, ...]:
    return (*announced(pod.ifname, pod.ipam), *addressed(pod.ifname, pod.ipam))


def _has_sandbox(host: Facts) -> bool:
    try:
        host.link("lo", "sandbox")
    except CNIError:
        return False
    return True


def _is_name(alias: str) -> bool:
    """Whether an alias can be the name that a device has at home."""
    try:
        validate_ifname(alias)
    except CNIError:
        return False
    return not alias.startswith("multinet:")
