"""One driver for each kind of item; ``kind_of`` finds it. Packet rules are the firewall's: all in one transaction."""

from __future__ import annotations

from typing import Any

from multinet.core.desired import (
    Address,
    AnyItem,
    Bridge,
    LinkUp,
    Macvlan,
    NoAddress,
    PacketRule,
    Route,
    StateFile,
    Sysctl,
    Veth,
)
from multinet.engine.kinds.base import Kind
from multinet.engine.kinds.bridge import BridgeKind
from multinet.engine.kinds.child import MacvlanKind
from multinet.engine.kinds.routing import AddressKind, NoAddressKind, RouteKind
from multinet.engine.kinds.settings import LinkUpKind, SysctlKind
from multinet.engine.kinds.state_file import StateFileKind
from multinet.engine.kinds.veth import VethKind

__all__ = ["kind_of"]

_KINDS: dict[type[Any], Kind[Any]] = {
    Address: AddressKind(),
    Bridge: BridgeKind(),
    LinkUp: LinkUpKind(),
    Macvlan: MacvlanKind(),
    NoAddress: NoAddressKind(),
    Route: RouteKind(),
    StateFile: StateFileKind(),
    Sysctl: SysctlKind(),
    Veth: VethKind(),
}
_RULE: Kind[PacketRule] = Kind()


def kind_of(item: AnyItem) -> Kind[Any]:
    """The driver of an item."""
    return _RULE if isinstance(item, PacketRule) else _KINDS[type(item)]
