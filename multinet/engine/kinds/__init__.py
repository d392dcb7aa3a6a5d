"""One driver for each kind of item; ``kind_of`` finds it. Packet rules are the firewall's: all in one transaction."""

from __future__ import annotations

from typing import Any

from multinet.core.desired import (
    Address,
    AnyItem,
    Bridge,
    BridgeLeg,
    Device,
    Dummy,
    Ifb,
    Ipvlan,
    LinkSettings,
    LinkUp,
    Macvlan,
    Member,
    Neighbour,
    NoAddress,
    NoRoute,
    PacketRule,
    Redirect,
    Route,
    Rule,
    StateFile,
    SubnetBucket,
    Sysctl,
    Tap,
    TokenBucket,
    Veth,
    Vlan,
    Vrf,
)
from multinet.engine.kinds.base import Kind
from multinet.engine.kinds.bridge import BridgeKind
from multinet.engine.kinds.bridge_leg import BridgeLegKind
from multinet.engine.kinds.child import IpvlanKind, MacvlanKind, VlanKind
from multinet.engine.kinds.device import DeviceKind
from multinet.engine.kinds.hierarchy import SubnetBucketKind
from multinet.engine.kinds.link_settings import LinkSettingsKind
from multinet.engine.kinds.plain import DummyKind
from multinet.engine.kinds.policy import NoRouteKind, RuleKind
from multinet.engine.kinds.routing import AddressKind, NeighbourKind, NoAddressKind, RouteKind
from multinet.engine.kinds.settings import LinkUpKind, SysctlKind
from multinet.engine.kinds.shaping import IfbKind, RedirectKind, TokenBucketKind
from multinet.engine.kinds.state_file import StateFileKind
from multinet.engine.kinds.tap import TapKind
from multinet.engine.kinds.veth import VethKind
from multinet.engine.kinds.vrf import MemberKind, VrfKind

__all__ = ["kind_of"]

_KINDS: dict[type[Any], Kind[Any]] = {
    Address: AddressKind(),
    Bridge: BridgeKind(),
    BridgeLeg: BridgeLegKind(),
    Device: DeviceKind(),
    Dummy: DummyKind(),
    Ipvlan: IpvlanKind(),
    LinkSettings: LinkSettingsKind(),
    Ifb: IfbKind(),
    LinkUp: LinkUpKind(),
    Macvlan: MacvlanKind(),
    Member: MemberKind(),
    Neighbour: NeighbourKind(),
    NoAddress: NoAddressKind(),
    NoRoute: NoRouteKind(),
    Redirect: RedirectKind(),
    Route: RouteKind(),
    Rule: RuleKind(),
    StateFile: StateFileKind(),
    SubnetBucket: SubnetBucketKind(),
    Sysctl: SysctlKind(),
    Tap: TapKind(),
    TokenBucket: TokenBucketKind(),
    Veth: VethKind(),
    Vrf: VrfKind(),
    Vlan: VlanKind(),
}
_RULE: Kind[PacketRule] = Kind()


def kind_of(item: AnyItem) -> Kind[Any]:
    """The driver of an item."""
    return _RULE if isinstance(item, PacketRule) else _KINDS[type(item)]
