"""The state of a world as plain values, read by the usual tools, with roles for what is chosen at random."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from multinet.adapters.netns import Netns
from tests.differential.packet_rules import packet_rules
from tests.differential.world import World

Json = dict[str, Any]

_FLAGS = {"UP", "PROMISC", "ALLMULTI", "NOARP", "SLAVE", "MASTER"}
_ROUTE = ("type", "dst", "gateway", "via", "dev", "table", "protocol", "scope", "metric", "prefsrc")
_VOLATILE = re.compile(
    r".*_timer|.*_id|topology_change.*|root_p.*|designated_.*|state|no|id|config_pending|priority|cost"
    r"|(max|forward|hello|ageing)_.*|group_addr|mcast_router|backup_port"
)
"""What a bridge and its ports tell of spanning trees and timers, some of it newer than the plugins."""
_SYSCTLS = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
_LINK_SYSCTLS = {
    "net/ipv4/conf": ("arp_notify", "route_localnet", "rp_filter", "log_martians", "proxy_arp", "arp_filter"),
    "net/ipv6/conf": (
        *("ndisc_notify", "accept_ra", "accept_dad", "enhanced_dad", "disable_ipv6", "forwarding"),
        "keep_addr_on_down",
    ),
}
_PINNED = "02:00:00:00:00:"
"""MACs that a world or a configuration names; others are random, or derived."""
_PAIR = re.compile(r"veth[0-9a-f]{8}")
_CHAIN = re.compile(r"CNI-[0-9a-f]{24}")
"""iptables' chain of a pod's masquerading: ours is named after the interface, too."""
_SETTLED_SECONDS = 4.0

_READ = """
ip -j -d -b - <<END
addr show
rule show
route show table all
neigh show nud permanent
END
ip -6 -j -d rule show
tc -j qdisc show
nft -j list ruleset
bridge -j vlan 2>/dev/null || echo ]
"""


class Observation:
    """A world at one moment."""

    def __init__(self, world: World, places: tuple[str, ...], earlier: Observation | None = None) -> None:
        """``places``: which of host and sandbox are looked at; files always are.

        What an earlier observation knew by a role keeps it, unless it has another one now.
        """
        self._world = world
        self._roles: dict[str, str] = {}
        netns = {place: getattr(world, place) for place in places}
        raw = {place: _settled(world, inside) for place, inside in netns.items()}
        self._roles |= {**(earlier._roles if earlier else {}), **_roles(raw)}
        self.state: Json = {place: self.normal(_state(world, netns[place], raw[place])) for place in netns}
        self.state["files"] = self.normal(_files(world.directory))

    def normal(self, value: Any) -> Any:
        """A value with roles in the place of random names, MACs and paths; empty members are left out."""
        if isinstance(value, str):
            return self._plain(value)
        if isinstance(value, list):
            return [self.normal(one) for one in value]
        if isinstance(value, dict):
            done = {self._plain(key): self.normal(one) for key, one in value.items()}
            return {key: one for key, one in done.items() if one not in ({}, [], "", None)}
        return value

    def _plain(self, text: str) -> str:
        text = text.replace(self._world.sandbox.path, "SANDBOX").replace(str(self._world.directory), "DIR")
        for random, role in self._roles.items():
            text = text.replace(random, role)
        return _CHAIN.sub("CNI-OF-POD", text)


class _Raw:
    """What the tools say of one namespace."""

    def __init__(self, world: World, netns: Netns) -> None:
        found = list(_values(world.shell(netns, _READ)))
        # Of these only policy rules are of one family unless it is named.
        self.links, rules, self.routes, self.neighbours, rules6 = found[:5]
        self.rules = rules + rules6
        self.queues, self.nft, self.vlans = found[5], found[6]["nftables"], found[7] if found[7:] else []

    @property
    def tentative(self) -> bool:
        """Whether an address that counts isn't used yet."""
        addresses = (address for link in self.links for address in link["addr_info"])
        return any(address.get("tentative") and address["scope"] != "link" for address in addresses)


def _settled(world: World, netns: Netns) -> _Raw:
    """As soon as no address is being looked for elsewhere: routes depend on it."""
    end = time.monotonic() + _SETTLED_SECONDS
    while (seen := _Raw(world, netns)).tentative and time.monotonic() < end:
        time.sleep(0.05)
    return seen


def _values(text: str) -> Iterator[Any]:
    """JSON values one after the other."""
    decoder, text = json.JSONDecoder(), text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].lstrip()


def _roles(raw: Mapping[str, _Raw]) -> dict[str, str]:
    """Random text → what it stands for."""
    names = {}
    for place, seen in raw.items():
        for link in seen.links:
            if _PAIR.fullmatch(link["ifname"]):
                names[link["ifname"]] = f"PEER-OF-{link['link']}" if "link" in link else f"PEER-IN-{place}"
    if len(set(names.values())) < len(names):
        names = {name: f"{role}-{number}" for number, (name, role) in enumerate(sorted(names.items()))}
    macs: dict[str, str] = {}
    for place, seen in raw.items():
        for link in sorted(seen.links, key=lambda one: names.get(one["ifname"], one["ifname"])):
            mac = link.get("address", "")
            if mac.count(":") == 5 and mac != "00:00:00:00:00:00" and not mac.startswith(_PINNED):
                macs.setdefault(mac, f"MAC-OF-{place}-{names.get(link['ifname'], link['ifname'])}")
    return {**macs, **names}


def _state(world: World, netns: Netns, raw: _Raw) -> Json:
    return {
        "links": {link["ifname"]: _link(link) for link in raw.links},
        "addresses": {link["ifname"]: dict(_addresses(link)) for link in raw.links},
        "routes": _counted(map(_route, filter(_is_set, raw.routes))),
        "policy": sorted(_policy(rule) for rule in raw.rules if rule["priority"] not in (0, 32766, 32767)),
        "neighbours": sorted(f"{n['dst']} {n['lladdr']} {n['dev']}" for n in raw.neighbours if "lladdr" in n),
        "sysctls": _sysctls(netns),
        "queues": _queues(world, netns, raw),
        "vlans": {port["ifname"]: [_vlan(vlan) for vlan in port["vlans"]] for port in raw.vlans},
        "rules": packet_rules(world, netns, raw.nft),
    }


def _link(link: Json) -> Json:
    info = link.get("linkinfo", {})
    alias = link.get("ifalias", "")
    return {
        "kind": info.get("info_kind"),
        "flags": " ".join(sorted(_FLAGS.intersection(link["flags"]))),
        **{key: link.get(key) for key in ("mtu", "txqlen", "master", "address", "promiscuity", "allmulti")},
        "on": link.get("link") if info.get("info_kind") != "veth" else None,
        "alias": "" if alias.startswith("multinet:") else alias,
        "ipv6": link.get("inet6_addr_gen_mode"),
        "options": _lasting(info.get("info_data", {})),
        "port": _lasting(info.get("info_slave_data", {})),
    }


def _lasting(options: Json) -> Json:
    return {key: value for key, value in options.items() if not _VOLATILE.fullmatch(key)}


def _addresses(link: Json) -> Iterator[tuple[str, Json]]:
    """All but those that the kernel makes of MACs."""
    for address in link["addr_info"]:
        if address.get("scope") != "link" and "local" in address:
            kept = (
                "scope",
                "broadcast",
                "address",
                "label",
                "dynamic",
                "noprefixroute",
                "nodad",
                "dadfailed",
            )
            lasting = "for ever" if address.get("valid_life_time") == 4294967295 else "for a time"
            found = {key: address.get(key) for key in kept} | {"valid": lasting}
            yield f"{address['local']}/{address['prefixlen']}", found


def _is_set(route: Json) -> bool:
    """Not one that follows from a link or an address."""
    if route.get("type") in ("local", "broadcast", "anycast", "multicast"):
        return False
    return not route["dst"].startswith(("fe80", "ff00"))


def _route(route: Json) -> str:
    hops = [" ".join(str(hop.get(key)) for key in ("gateway", "dev")) for hop in route.get("nexthops", ())]
    said = [f"{key} {route[key]}" for key in _ROUTE if key in route]
    flags = [flag for flag in route.get("flags", ()) if flag in ("onlink", "pervasive")]
    return " ".join(str(one) for one in [*said, *flags, route.get("metrics", ""), *sorted(hops)] if one)


def _counted(texts: Iterator[str]) -> Json:
    found: Json = {}
    for text in texts:
        found[text] = found.get(text, 0) + 1
    return found


def _policy(rule: Json) -> str:
    return " ".join(f"{key} {rule[key]}" for key in sorted(rule))


def _sysctls(netns: Netns) -> Json:
    found = {}
    with netns.entered():
        keys = list(_SYSCTLS)
        for folder, names in _LINK_SYSCTLS.items():
            for link in Path("/proc/sys", folder).iterdir():
                keys += [f"{folder}/{link.name}/{name}" for name in names]
        for key in keys:
            try:
                found[key] = Path("/proc/sys", key).read_text().strip()
            except FileNotFoundError:
                continue
    return found


def _queues(world: World, netns: Netns, raw: _Raw) -> Json:
    """Queueing disciplines that someone set, and filters of those that take filters."""
    found: Json = {}
    for queue in raw.queues:
        if queue["kind"] in ("noqueue", "pfifo_fast", "fq_codel", "noop", "mq") and queue.get("root"):
            continue
        options = " ".join(f"{key} {value}" for key, value in sorted(queue.get("options", {}).items()))
        found[f"{queue['dev']} {queue['kind']} {queue['handle']}"] = options or "set"
        script = f"tc filter show dev {queue['dev']} parent {queue['handle']}"
        found[f"{queue['dev']} {queue['handle']} filters"] = world.shell(netns, script).split("\n")
    return found


def _vlan(vlan: Json) -> str:
    last = f"-{vlan['vlanEnd']}" if "vlanEnd" in vlan else ""
    return " ".join([f"{vlan['vlan']}{last}", *vlan.get("flags", ())])


def _files(directory: Path) -> Json:
    """Files that plugins keep in the world's directory, with their content."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): _content(path) for path in files}


def _content(path: Path) -> Any:
    text = path.read_bytes().decode()
    return json.loads(text) if path.suffix == ".json" else text or "empty"
