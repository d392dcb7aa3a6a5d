"""The frames of multinet's own nftables by name (see `firewall_tables` for what is in their sets). Pure."""

from __future__ import annotations

import ipaddress
import re
from functools import cache

from multinet.adapters.firewall_frame import Chain, Frame, frame
from multinet.adapters.firewall_port_frames import hairpin_frame, ports_frame

__all__ = ["ADMIN_CHAIN", "frame_of"]

ADMIN_CHAIN = "admin"
"""The administrator's chain in ``inet multinet``: asked before pods' forwarded traffic is accepted, never touched."""

_BY_PREFIX = re.compile(r"(masquerade|hairpin)([46])-(\d+)")
_FAMILIES = {4: ("ip", "0.0.0.0", "224.0.0.0/4"), 6: ("ip6", "::", "ff00::/8")}
# Priorities are spelt out everywhere: their names aren't known in all versions and families.


@cache
def frame_of(name: str) -> Frame:
    """The frame of a holding."""
    by_prefix = _BY_PREFIX.fullmatch(name)
    if by_prefix:
        kind, version, length = by_prefix.groups()
        make = _masquerade_frame if kind == "masquerade" else hairpin_frame
        return make(int(version), int(length))
    fixed = {
        "ports": ports_frame,
        "guard": _guard_frame,
        "forward": _forward_frame,
        "isolation": _isolation_frame,
        "isolation-inside": _inside_frame,
    }
    return fixed[name]()


def _masquerade_frame(version: int, length: int) -> Frame:
    ip, everyone, multicast = _FAMILIES[version]
    mask = ipaddress.ip_network(f"{everyone}/{length}").netmask
    members = f"masquerade{version}-{length}"
    rule = (
        f"{ip} daddr != {multicast} {ip} saddr . {ip} saddr & {mask} @{members}"
        f" {ip} saddr . {ip} daddr & {mask} != @{members} masquerade"
    )
    chain = Chain(
        f"postrouting{version}-{length}",
        ((f"addresses of /{length} networks, leaving them", rule),),
        "type nat hook postrouting priority 100",
    )
    return frame("inet", (members, f"claims{version}-{length}"), (chain,))


def _guard_frame() -> Frame:
    rule = "iifname @guarded iifname . ether saddr != @allowed counter drop"
    rules = (("frames with a MAC that isn't the link's", rule),)
    chain = Chain("mac-guard", rules, "type filter hook prerouting priority -300")
    return frame("bridge", ("guarded", "allowed", "claims"), (chain,))


def _forward_frame() -> Frame:
    """An accept ends this chain alone: it doesn't undo a drop of another table's (docs, packet-rules.md)."""
    rules = [("the administrator's say", f"jump {ADMIN_CHAIN}")]
    for version, (ip, _, _) in _FAMILIES.items():
        members = f"@forward{version}"
        rules += [
            (f"answers to pods, IPv{version}", f"{ip} daddr {members} ct state established,related accept"),
            (f"from pods, IPv{version}", f"{ip} saddr {members} accept"),
        ]
    chains = (
        Chain(ADMIN_CHAIN, filled=False),
        Chain("forward", tuple(rules), "type filter hook forward priority 0"),
    )
    return frame("inet", ("forward4", "forward6", "holders"), chains)


def _isolation_frame() -> Frame:
    """Between bridges; and inside one where br_netfilter shows bridged packets to this hook."""
    rule = "iifname @bridges oifname @bridges iifname . oifname != @bridge-pairs counter drop"
    rules = (("from bridge to bridge, unless the pair is allowed", rule),)
    chain = Chain("isolation", rules, "type filter hook forward priority -1")
    return frame("inet", ("bridges", "bridge-pairs", "bridge-users"), (chain,))


def _inside_frame() -> Frame:
    rules = (("from port to port of an isolated bridge", "meta ibrname @isolated counter drop"),)
    return frame(
        "bridge", ("isolated",), (Chain("isolation", rules, "type filter hook forward priority -1"),)
    )
