"""The fixed part of multinet's own nftables: tables, sets, base chains, rules (see `firewall_tables`). Pure."""

from __future__ import annotations

import ipaddress
from functools import cache
from typing import Any

import msgspec

from multinet.adapters.firewall_tables import TABLE, Family
from multinet.adapters.nftables import Command

__all__ = ["Frame", "frame_of"]

_LAYOUT = "multinet layout 1"


class Frame(msgspec.Struct, frozen=True):
    """The fixed part that elements of one kind need: sets, a base chain, its rule known by its comment."""

    family: Family
    chain: str
    comment: str
    commands: tuple[Command, ...]
    """Makes all of it; repeating it, from several processes too, changes nothing."""


@cache
def frame_of(name: str) -> Frame:
    """The frame of a holding."""
    if name == "guard":
        return _guard_frame()
    version, length = (int(part) for part in name.split("-"))
    return _masquerade_frame(version, length)


def _masquerade_frame(version: int, length: int) -> Frame:
    protocol, address, everyone, multicast = {
        4: ("ip", "ipv4_addr", "0.0.0.0", {"addr": "224.0.0.0", "len": 4}),
        6: ("ip6", "ipv6_addr", "::", {"addr": "ff00::", "len": 8}),
    }[version]
    mask = str(ipaddress.ip_network(f"{everyone}/{length}").netmask)
    source, destination = ({"payload": {"protocol": protocol, "field": f}} for f in ("saddr", "daddr"))
    members = f"masquerade{version}-{length}"
    rule = [
        _match("!=", destination, {"prefix": multicast}),
        _match("==", {"concat": [source, {"&": [source, mask]}]}, f"@{members}"),
        _match("!=", {"concat": [source, {"&": [destination, mask]}]}, f"@{members}"),
        {"masquerade": None},
    ]
    sets = {members: [address, address], f"claims{version}-{length}": [address, "ifname"]}
    # 100 is srcnat, spelt out because the name isn't known in all versions.
    hook = {"type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}
    text = f"{_LAYOUT}: addresses of /{length} networks, leaving them"
    return _frame("inet", f"postrouting{version}-{length}", hook, sets, rule, text)


def _guard_frame() -> Frame:
    link = {"meta": {"key": "iifname"}}
    source = {"payload": {"protocol": "ether", "field": "saddr"}}
    rule = [
        _match("==", link, "@guarded"),
        _match("!=", {"concat": [link, source]}, "@allowed"),
        {"counter": None},
        {"drop": None},
    ]
    sets = {"guarded": ["ifname"], "allowed": ["ifname", "ether_addr"], "claims": ["ifname", "ifname"]}
    hook = {"type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"}
    return _frame(
        "bridge", "mac-guard", hook, sets, rule, f"{_LAYOUT}: frames with a MAC that isn't the link's"
    )


def _frame(
    family: Family,
    chain: str,
    hook: dict[str, Any],
    sets: dict[str, list[str]],
    rule: list[dict[str, Any]],
    text: str,
) -> Frame:
    here = {"family": family, "table": TABLE}
    commands: list[Command] = [{"add": {"table": {"family": family, "name": TABLE}}}]
    for name, types in sets.items():
        kind: Any = types[0] if len(types) == 1 else types
        commands.append({"add": {"set": {**here, "name": name, "type": kind}}})
    commands += [
        {"add": {"chain": {**here, "name": chain, **hook}}},
        {"flush": {"chain": {**here, "name": chain}}},
        {"add": {"rule": {**here, "chain": chain, "comment": text, "expr": rule}}},
    ]
    return Frame(family, chain, text, tuple(commands))


def _match(operator: str, left: Any, right: Any) -> dict[str, Any]:
    return {"match": {"op": operator, "left": left, "right": right}}
