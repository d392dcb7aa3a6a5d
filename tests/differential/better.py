"""The improvements that cases list, each with its row in docs/reference/differences.md.

One that is about a whole subtree of the record still says what it expects of each leaf in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.differential.case import ABSENT, Case, Difference, Improvement, differs, either

ALL = "All of them"
BRIDGE = "bridge"
ROUTES = "Routes of an IPAM result"


def _starts(text: str) -> Any:
    return lambda value: str(value).startswith(text)


def alike(at: str, change: Callable[[str], str], leave_out: str = "\0") -> Callable[[Difference], bool]:
    """Claims a list of texts that is theirs once each text is changed, without those that say ``leave_out``."""
    changed = differs(at)

    def claims(found: Difference) -> bool:
        if not (changed(found) and isinstance(found.ours, list) and isinstance(found.theirs, list)):
            return False
        kept = [change(text) for text in found.ours if leave_out not in text]
        return kept == [change(text) for text in found.theirs]

    return claims


def ipv6_of(case: Case) -> list[Improvement]:
    """What is better for every pod with IPv6 addresses."""
    if not has_ipv6(case):
        return []
    return [IPV6_SYSCTLS, ANNOUNCED, *([CHECK_MORE] if case.checked else [])]


def has_ipv6(case: Case) -> bool:
    """An IPv6 address is asked for."""
    return "2001:db8:1:" in str(case.conf)


def _has(text: str) -> Any:
    return lambda value: text in str(value)


REFUSED = _starts("refused: ")

MTU = Improvement(ALL, "`mtu` in `interfaces`", differs("ADD > result > interfaces > * > mtu", theirs=ABSENT))
QUEUE = Improvement(
    ALL,
    "transmit queue of a new link",
    differs("after * > links > * > txqlen", theirs=ABSENT, ours=1000),
)
CODE = Improvement(
    ALL,
    "code of an error",
    differs("ADD > refused > code", theirs=999, ours=lambda code: code in range(1, 200)),
)
FAULTY_DEL = Improvement(ALL, "DEL with a faulty configuration", differs("DEL*", theirs=REFUSED, ours="fine"))
ARGS_DEL = Improvement(ALL, "`CNI_ARGS` on DEL", differs("DEL*", theirs=REFUSED, ours="fine"))
NOTHING_LEFT = Improvement(
    ALL, "failed ADD", lambda found: found.at.startswith("after ") and found.ours == found.before
)
"""The plugin's world is as before its ADD, theirs isn't."""
IPV6_SYSCTLS = Improvement(
    ALL,
    "IPv6 settings of the pod's interface",
    differs("after ADD > sandbox > sysctls > net/ipv6/conf/*/keep_addr_on_down", theirs="0", ours="1"),
)
ANNOUNCED_V4 = Improvement(
    ALL,
    "announcement",
    differs("after ADD > sandbox > sysctls > net/ipv4/conf/*/arp_notify", theirs="0", ours="1"),
)
ANNOUNCED = Improvement(
    ALL,
    "announcement",
    differs("after ADD > sandbox > sysctls > net/ipv6/conf/*/ndisc_notify", theirs="0", ours="1"),
)
CHECK_MORE = Improvement(
    ALL, "CHECK", differs("CHECK > the other's", ours=_starts("refused: sandbox sysctl"))
)
"""Of what the other made: 1.1.1 leaves IPv6 settings out that ours looks for."""

CHECK_L2 = Improvement(
    BRIDGE, "CHECK without IPAM", differs("CHECK > *", theirs="refused: no plugin name provided", ours="fine")
)
BRIDGE_MAC = Improvement(
    BRIDGE,
    "MAC of a bridge without addresses",
    either(
        differs("ADD > result > interfaces > 0 > mac", theirs=_starts("MAC-OF-host-PEER-")),
        differs("after * > host > links > br0 > address", theirs=_starts("MAC-OF-host-PEER-")),
        differs("after DEL > host > links > br0 > address", theirs="00:00:00:00:00:00"),
    ),
)
ACCEPT_DAD = Improvement(
    ALL,
    "`accept_dad` of a bridge's pod",
    differs("after ADD > sandbox > sysctls > net/ipv6/conf/*/accept_dad", theirs="0", ours="1"),
)
ROUTE_CHECK = Improvement(
    ROUTES,
    "CHECK of a route without gateway",
    differs("CHECK > *", theirs=_has("not found in routing table")),
)

IPAM_DNS = Improvement(
    ROUTES, "`ipam.dns` when the configuration has none", differs("ADD > result > dns > *", theirs=ABSENT)
)
OTHERS_LINK = Improvement(
    ALL,
    "DEL for a namespace that isn't the attachment's",
    differs("DEL*", theirs=_has("failed to delete"), ours="fine"),
)
SPOOF_CHECK = Improvement(
    BRIDGE,
    "MAC check",
    either(
        differs("after * > host > rules > bridge nat", theirs=_has("PREROUTING"), ours=ABSENT),
        differs("after * > host > rules > bridge multinet", theirs=ABSENT, ours=_has("mac-guard")),
        differs("CHECK > the other's", ours=_has("mac-guard")),
    ),
)
MASQUERADE_CHAIN = Improvement(
    BRIDGE,
    "iptables chain of masquerading",
    differs("CHECK > the other's", theirs="fine", ours=_has("chain CNI-OF-POD")),
)
"""Named without the interface by theirs; its content is compared."""
MASQUERADE_TABLES = Improvement(
    BRIDGE,
    "masquerading",
    either(
        differs("after * > host > rules > iptables nat *", ours=ABSENT),
        differs("after * > host > rules > inet multinet", theirs=ABSENT, ours=_has("masquerade")),
        differs("CHECK > the other's", theirs="fine", ours=_has("nftables")),
    ),
)
FAULT = Improvement(
    ALL,
    "configuration faults",
    differs("ADD > refused > text", theirs=_has("json: cannot unmarshal"), ours=_starts("$.")),
)

NO_FOLDER = Improvement(
    "host-local",
    "DEL for a network without files",
    differs("after DEL > files > ipam/net/lock", theirs="empty", ours=ABSENT),
)
LOOPBACK_VERSION = Improvement(
    "loopback",
    "result under versions before 1.0.0",
    either(
        differs("ADD > result > interfaces > 0 > *", ours=ABSENT),
        differs("ADD > result > ips > * > *", ours=ABSENT),
        differs("ADD > result > ips > * > version", theirs=ABSENT),
        differs("ADD > result > ip? > ip", theirs=ABSENT, ours=lambda ip: ip in ("127.0.0.1/8", "::1/128")),
    ),
)
SECOND_LOOPBACK = Improvement(
    "loopback",
    "a second loopback address on `lo`",
    differs("ADD > result > ips > 0 > address", theirs="127.0.0.2/8", ours="127.0.0.1/8"),
)
FOREIGN_ADDRESS = Improvement(
    "loopback",
    "an address of another network on `lo`",
    either(
        differs("ADD > refused > text", theirs=_starts("loopback interface found with"), ours=ABSENT),
        differs("ADD > refused > code", theirs=999, ours=ABSENT),
        differs("ADD > result > *", theirs=ABSENT),
    ),
)

LIMITS_GONE = Improvement(
    "bandwidth",
    "limits on the pod's interface after DEL",
    differs("after DEL > host > queues > PEER-*", ours=ABSENT),
)
ONE_REDIRECTION = Improvement(
    "bandwidth",
    "filter that redirects",
    differs(
        "after ADD > host > queues > PEER-* filters",
        theirs=_has("action order 2"),
        ours=_has("action order 1"),
    ),
)

BACKUP = Improvement(
    "tuning",
    "backup file",
    either(
        differs("after ADD > files > tuning/c-1_eth0.json > attachment > *", theirs=ABSENT),
        differs("after ADD > files > tuning/c-1_eth0.json > sysctl > *", theirs=ABSENT),
    ),
)
SYSCTLS_BACK = Improvement(
    "tuning",
    "sysctls at DEL",
    lambda found: found.at.startswith("after DEL > sandbox > sysctls > ") and found.ours == found.before,
)
IFNAME_CHECK = Improvement(
    "tuning",
    "CHECK of a sysctl with `IFNAME`",
    differs("CHECK > *", theirs=_has("/conf/IFNAME/"), ours="fine"),
)
SPELLING = Improvement(
    "tuning",
    "MAC in capitals",
    either(
        differs("ADD > result > interfaces > * > mac", theirs="02:00:00:00:00:AB", ours="02:00:00:00:00:ab"),
        differs("CHECK > *", theirs=_has("Tuning configured Ethernet"), ours="fine"),
    ),
)
DEVICE_AGAIN = Improvement(
    "host-device", "DEL twice", differs("DEL again", theirs=_has("Link not found"), ours="fine")
)
DEVICE_BACK = Improvement(
    "host-device",
    "device that comes home",
    lambda found: found.at.startswith("after DEL > host > links > up0 > ") and found.ours == found.before,
)
DEVICE_DNS = Improvement(
    "host-device", "`dns` of the configuration without IPAM", differs("ADD > result > dns > *", theirs=ABSENT)
)
DEVICE_NEVER_MOVED = Improvement(
    "host-device", "DEL twice", differs("DEL*", theirs=_has("Link not found"), ours="fine")
)
OTHERS_DEVICE = Improvement(
    ALL,
    "DEL for a namespace that isn't the attachment's",
    differs("DEL*", theirs=_has('failed to restore "lo"'), ours="fine"),
)
PTP_NEIGHBOUR = Improvement(
    "ptp",
    "the gateway's MAC",
    differs("after ADD > sandbox > neighbours", theirs=ABSENT, ours=_has("MAC-OF-host-PEER")),
)
PTP_ADDRESSES = Improvement(
    "ptp",
    "routes to the pod's subnets, duplicate addresses",
    either(
        differs("after ADD > * > addresses > * > noprefixroute", theirs=ABSENT, ours=True),
        differs("after ADD > * > addresses > * > nodad", theirs=ABSENT, ours=True),
    ),
)
PTP_SOURCE = Improvement(
    "ptp",
    "source address of IPv6 routes",
    either(
        differs("after ADD > sandbox > routes > * prefsrc 2001:db8:1::*", ours=ABSENT),
        differs("after ADD > sandbox > routes > type unicast dst 2001:db8:1::*", theirs=ABSENT),
    ),
)
PTP_CHECK = Improvement(ALL, "CHECK", differs("CHECK > the other's", ours=_has("neighbour")))

DNAT = "after * > host > rules > ip*tables nat CNI-HOSTPORT-DNAT"
PORTMAP_COMMENT = Improvement(
    "portmap",
    "comment of an entry",
    either(
        alike(DNAT, lambda rule: re.sub(r"-d \S+ ", "", rule).replace(' if: \\"eth0\\"', "")),
        differs("CHECK > the other's", ours=_has("chain CNI-HOSTPORT-DNAT")),
    ),
)
PORTMAP_CHECK = Improvement("portmap", "CHECK", differs("CHECK > *", theirs=_has("could not check ipv")))
PORTMAP_FAMILY = Improvement(
    "portmap",
    "entries for a host address of the other family",
    either(
        differs("after * > host > rules > ip*tables nat *", ours=ABSENT),
        differs("after * > host > sysctls > net/ipv4/conf/br0/route_localnet", theirs="1", ours="0"),
        differs("CHECK > the other's", ours="fine"),
    ),
)
PORTMAP_ADDRESS = Improvement(
    "portmap", "host address", differs(DNAT, theirs=_has("-m multiport"), ours=_has("-d "))
)
FORWARD_OWNER = Improvement(
    "firewall",
    "owner of a rule",
    either(
        alike("after * > host > rules > ip*tables filter CNI-FORWARD", str, "multinet:"),
        differs("CHECK > the other's", theirs="fine", ours=_has("multinet:")),
    ),
)
POLICY_COMMENT = Improvement(
    "firewall",
    "comments of `ingressPolicy`",
    either(
        alike(
            "after * > host > rules > ip*tables filter *",
            lambda rule: rule.replace("|isolated", ""),
            "multinet:",
        ),
    ),
)
FORWARD_TABLES = Improvement(
    "firewall",
    "`backend` absent",
    either(
        differs(
            "after * > host > rules > iptables filter *", ours=lambda rules: rules in (ABSENT, ["policy -"])
        ),
        differs("after * > host > rules > inet multinet", theirs=ABSENT),
        differs("CHECK > the other's"),
    ),
)
SBR_PROTOCOL = Improvement(
    "sbr",
    "protocol of rules and routes",
    either(
        alike("after ADD > sandbox > policy", lambda rule: rule.replace("protocol 109", "protocol unspec")),
        differs("after ADD > sandbox > routes > * protocol 109 *", theirs=ABSENT),
        differs("after ADD > sandbox > routes > * table ??? protocol boot *", ours=ABSENT),
    ),
)
SBR_BACK = Improvement(
    "sbr",
    "routes after DEL",
    lambda found: found.at.startswith("after DEL > sandbox > ") and found.ours == found.before,
)
SBR_FAMILIES = Improvement(
    "sbr",
    "IPv6 routes in the table of an IPv4 address",
    differs("after ADD > sandbox > routes > type unicast dst 2001:* table ??? *", ours=ABSENT),
)
SBR_GONE = Improvement(
    "sbr", "DEL without the interface", differs("DEL*", theirs=_has("Link not found"), ours="fine")
)
SBR_RESULT = Improvement(
    "sbr", "routes in the result", differs("ADD > result > routes > * > table", theirs=ABSENT)
)
PORT_VLANS = Improvement(
    BRIDGE,
    "default VLAN beside `vlan`",
    either(
        differs(
            "after * > host > vlans > PEER-*",
            theirs=["1 Egress Untagged", "100 PVID Egress Untagged"],
            ours=["100 PVID Egress Untagged"],
        ),
        differs("CHECK > the other's", ours=_has("untagged VLANs")),
    ),
)
LEG = Improvement(
    BRIDGE,
    "leg into a VLAN",
    either(
        differs("after * > host > sysctls > net/ipv6/conf/br0.100/accept_ra", theirs="1", ours="0"),
        differs("after * > host > sysctls > net/ipv6/conf/PEER-OF-br0.100/accept_ra", theirs="0", ours="1"),
    ),
)
VRF_ADDRESSES = Improvement(
    "vrf",
    "IPv6 addresses of the interface",
    either(
        differs("after ADD > sandbox > addresses > * > nodad", theirs=ABSENT, ours=True),
        differs("after DEL > sandbox > addresses > * > 2001:*", theirs=ABSENT),
        differs("after DEL > sandbox > routes > type unicast dst 2001:*", theirs=ABSENT),
    ),
)
VRF_RESULT = Improvement(
    "vrf", "routes in the result", differs("ADD > result > routes > * > table", theirs=ABSENT)
)
VRF_ROUTES = Improvement(
    "vrf",
    "routes by a gateway",
    either(
        differs("after * > sandbox > routes > * gateway *", theirs=ABSENT, ours=1),
        differs("CHECK > the other's", theirs="fine", ours=_has("not found in routing table")),
    ),
)
VRF_STAYS = Improvement(
    "vrf",
    "VRF that was there",
    lambda found: (
        found.at.startswith("after DEL > sandbox > ") and "blue" in found.at and found.ours == found.before
    ),
)
IPVLAN_ADDED = Improvement("ipvlan, vlan, dummy", "ipvlan after another plugin", differs("ADD > result > *"))
