"""The VLANs of a bridge's port, as the pod's pair and the host's leg have them."""

from __future__ import annotations

from collections.abc import Iterator

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import LinkInfo
from multinet.core.desired import Difference, PortVlans
from multinet.engine.kinds.base import Placed, Rank
from multinet.engine.steps import Step
from multinet.engine.views import Views

_ALL = ((1, 4094),)


def port_vlan_steps(vlans: PortVlans, name: str, index: int) -> Iterator[Placed]:
    """A new port is in these VLANs before a frame can pass it."""
    if not vlans.keep_default:
        words = f'failed to take "{name}" out of the default VLAN'
        yield Placed("host", Rank.SETTING, Step(messages.delete_port_vlans(index, _ALL), words))
    words = f'failed to put "{name}" into VLAN {vlans.untagged}'
    if vlans.tagged:
        words += f" and {_text(vlans.tagged)} (tagged)"
    yield Placed("host", Rank.SETTING, Step(messages.add_port_vlans(index, vlans), words))


def port_vlan_differences(vlans: PortVlans, port: LinkInfo, views: Views) -> Iterator[Difference]:
    """Where untagged frames belong, and in which VLANs the port is; the bridge's default one may stay beside."""
    view = views["host"]
    found = view.once(("port vlans", port.index), lambda: view.stack.port_vlans(port.index))
    if found.pvid != vlans.untagged:
        yield Difference(port.name, "untagged VLAN", str(vlans.untagged), str(found.pvid or ""))
    wanted = ((vlans.untagged, vlans.untagged),)
    others = [one for one in found.untagged if one != wanted[0]]
    if vlans.untagged and not vlans.keep_default and others:
        yield Difference(port.name, "untagged VLANs", _text(wanted), _text(found.untagged))
    if found.tagged != vlans.tagged:
        yield Difference(port.name, "tagged VLANs", _text(vlans.tagged) or "none", _text(found.tagged))


def _text(ranges: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
