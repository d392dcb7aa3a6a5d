"""Links: those that are made for an attachment, those that are shared, and one that is borrowed from the host.

``mtu`` 0 is the kernel's default, ``mac`` "" whatever the kernel gives.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from multinet.core.desired.item import Item, Place

MacvlanMode = Literal["bridge", "private", "vepa", "passthru"]
IpvlanMode = Literal["l2", "l3", "l3s"]


class Bridge(Item, frozen=True, kw_only=True, tag="bridge"):
    """A bridge on the host, up, made if absent. ``vlan_filtering`` is switched on if wanted, never off."""

    name: str
    mac: str = ""
    mtu: int = 0
    promisc: bool = False
    vlan_filtering: bool = False


class PortVlans(msgspec.Struct, frozen=True):
    """The VLANs of a bridge port, all of them: the untagged one (its PVID), and ranges of tagged ones."""

    untagged: int = 0
    """0: none."""
    tagged: tuple[tuple[int, int], ...] = ()
    """First and last id of each range, sorted, not touching one another."""
    keep_default: bool = False
    """The VLAN that the bridge gives to each new port stays beside them."""


class Veth(Item, frozen=True, kw_only=True, tag="veth"):
    """A veth pair: one end in the sandbox, the other on the host (always up), a port of ``master`` if set."""

    name: str
    mac: str
    host_name: str
    host_mac: str
    mtu: int = 0
    master: str = ""
    hairpin: bool = False
    isolated: bool = False
    up: bool = True
    vlans: PortVlans | None = None
    """None: the port's VLANs are left as the bridge makes them."""


class BridgeLeg(Item, frozen=True, kw_only=True, tag="bridge-leg"):
    """The host's own leg into one VLAN of a bridge: a veth pair on the host, ``port`` is the bridge's end."""

    name: str
    mac: str
    port: str
    bridge: str
    vlan: int
    mtu: int = 0


class Macvlan(Item, frozen=True, kw_only=True, tag="macvlan"):
    """A macvlan link in the sandbox on ``parent``, which lives in ``parent_place``."""

    name: str
    mac: str
    parent: str
    parent_place: Place = "host"
    mode: MacvlanMode = "bridge"
    mtu: int = 0
    bc_queue_len: int = 0
    up: bool = True


class Ipvlan(Item, frozen=True, kw_only=True, tag="ipvlan"):
    """An ipvlan link in the sandbox on ``parent``, whose MAC it has (``mac`` says which: it can't be chosen)."""

    name: str
    parent: str
    mac: str = ""
    parent_place: Place = "host"
    mode: IpvlanMode = "l2"
    mtu: int = 0
    up: bool = True


class Vlan(Item, frozen=True, kw_only=True, tag="vlan"):
    """An 802.1Q link in the sandbox on ``parent``."""

    name: str
    vlan_id: int
    parent: str
    parent_place: Place = "host"
    mac: str = ""
    mtu: int = 0
    up: bool = True


class Dummy(Item, frozen=True, kw_only=True, tag="dummy"):
    """A dummy link in the sandbox."""

    name: str
    mac: str = ""
    mtu: int = 0
    up: bool = True


class Tap(Item, frozen=True, kw_only=True, tag="tap"):
    """A persistent tap device in the sandbox, for a virtual machine's process to open."""

    name: str
    mac: str = ""
    mtu: int = 0
    uid: int | None = None
    gid: int | None = None
    multi_queue: bool = False
    selinux_context: str = ""
    """Label of the socket that the device is made with; empty: the process' own."""
    master: str = ""
    """A bridge in the sandbox that it is a port of."""
    up: bool = True


class Device(Item, frozen=True, kw_only=True, tag="device"):
    """A link of the host's that the sandbox borrows, and how it was: so it goes home.

    In the sandbox its alias is ``host_name``, as the reference plugin has it. It is found again by that, by its
    permanent MAC and PCI address, and by its index, when someone has renamed it.
    """

    name: str
    """In the sandbox."""
    host_name: str
    index: int = 0
    """On the host; it keeps it when it moves, unless the sandbox has a link of that index. 0: not known."""
    mac: str = ""
    mtu: int = 0
    """0: not known, and not put back."""
    was_up: bool = False
    alias: str = ""
    """The alias that it had before."""
    link_kind: str = ""
    """The kernel's word for a virtual link (``veth``); empty for a network card."""
    permanent_mac: str = ""
    pci_id: str = ""
    group: int = 0
    """The interface group that it had before; in the sandbox it has none."""
    master: str = ""
    """What it was a port of."""
    addresses: tuple[str, ...] = ()
    """The host's addresses on it, which a move takes away."""
    up: bool = True


class Ifb(Item, frozen=True, kw_only=True, tag="ifb"):
    """An intermediate functional block on the host, up: what leaves a pod is queued there."""

    name: str
    mac: str = ""
    mtu: int = 0
    tx_queue_len: int = 0
    """Packets that may wait in queues that have no limit of their own; 0 where there is a token bucket."""


class Vrf(Item, frozen=True, kw_only=True, tag="vrf"):
    """A virtual routing domain in the sandbox, up. Shared: one that multinet made goes with its last member."""

    name: str
    table: int


class Member(Item, frozen=True, kw_only=True, tag="member"):
    """A link is a port of ``master``, in one place; taken off again if it still is."""

    link: str
    master: str


class LinkUp(Item, frozen=True, kw_only=True, tag="link-up"):
    """A link that is there already (``lo``) and is to be up; taken down again when no longer wanted."""

    name: str
