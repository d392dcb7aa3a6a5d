"""Desired state: what a pod's attachment should look like in the kernel, as immutable values.

Each item says *where* it lives (``host`` or ``sandbox``) and *whose* it is:

===========  =============================  =====================================
whose        ADD                            DEL
===========  =============================  =====================================
owned        create                         remove
shared       ensure                         leave, or remove with its last user
borrowed     change, remembering what was   put back
===========  =============================  =====================================

Items compare by value and serialise with msgspec, so that the journal keeps exactly what was applied.
"""

from __future__ import annotations

from multinet.core.desired.files import StateFile
from multinet.core.desired.identity import Owner
from multinet.core.desired.item import Difference, Item, Place, Whose, select
from multinet.core.desired.links import (
    Bridge,
    BridgeLeg,
    Device,
    Dummy,
    Ifb,
    Ipvlan,
    IpvlanMode,
    LinkUp,
    Macvlan,
    MacvlanMode,
    Member,
    PortVlans,
    Tap,
    Veth,
    Vlan,
    Vrf,
)
from multinet.core.desired.routing import (
    MADE_BY_KERNEL,
    MADE_BY_MULTINET,
    MADE_BY_PROGRAM,
    MAIN_TABLE,
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    Address,
    Neighbour,
    NoAddress,
    NoRoute,
    Route,
    RouteDescription,
    Rule,
)
from multinet.core.desired.rules import (
    RULE_KINDS,
    BridgeIsolation,
    ForwardAccept,
    MacGuard,
    Masquerade,
    PacketRule,
    PortMapping,
)
from multinet.core.desired.shaping import Redirect, SubnetBucket, TokenBucket
from multinet.core.desired.tuning import LinkAttributes, LinkSettings, Sysctl

AnyLink = (
    Bridge | Veth | BridgeLeg | Macvlan | Ipvlan | Vlan | Dummy | Tap | Device | Ifb | Vrf | Member | LinkUp
)
AnyRouting = Address | NoAddress | Route | NoRoute | Rule | Neighbour
AnyRule = Masquerade | MacGuard | PortMapping | ForwardAccept | BridgeIsolation
AnyItem = (
    AnyLink | AnyRouting | Sysctl | LinkSettings | TokenBucket | SubnetBucket | Redirect | AnyRule | StateFile
)

__all__ = [
    "MADE_BY_KERNEL",
    "MADE_BY_MULTINET",
    "MADE_BY_PROGRAM",
    "MAIN_TABLE",
    "RULE_KINDS",
    "SCOPE_HOST",
    "SCOPE_LINK",
    "SCOPE_UNIVERSE",
    "Address",
    "AnyItem",
    "AnyLink",
    "AnyRule",
    "Bridge",
    "BridgeIsolation",
    "BridgeLeg",
    "Device",
    "Difference",
    "Dummy",
    "ForwardAccept",
    "Ifb",
    "Ipvlan",
    "IpvlanMode",
    "Item",
    "LinkAttributes",
    "LinkSettings",
    "LinkUp",
    "MacGuard",
    "Macvlan",
    "MacvlanMode",
    "Masquerade",
    "Member",
    "Neighbour",
    "NoAddress",
    "NoRoute",
    "Owner",
    "PacketRule",
    "Place",
    "PortMapping",
    "PortVlans",
    "Redirect",
    "Route",
    "RouteDescription",
    "Rule",
    "StateFile",
    "SubnetBucket",
    "Sysctl",
    "Tap",
    "TokenBucket",
    "Veth",
    "Vlan",
    "Vrf",
    "Whose",
    "select",
]
