"""Packet rules of a namespace as values."""

from __future__ import annotations

import json
from typing import Any

from multinet.adapters.netns import Netns
from tests.differential.world import World

Json = dict[str, Any]
_IPTABLES = ("filter", "nat", "mangle", "raw", "security")


def packet_rules(world: World, netns: Netns, ruleset: list[Json]) -> Json:
    """Tables of iptables as iptables says them, others as nft does; without handles and counts."""
    found: Json = {}
    iptables = set()
    for entry in ruleset:
        ((what, body),) = entry.items()
        table = body.get("table", body.get("name", ""))
        if what == "metainfo":
            continue
        if body["family"] in ("ip", "ip6") and table in _IPTABLES:
            iptables.add("iptables" if body["family"] == "ip" else "ip6tables")
            continue
        lasting = {key: value for key, value in body.items() if key not in ("handle", "table", "family")}
        text = json.dumps(_uncounted(lasting), sort_keys=True)
        found.setdefault(f"{body['family']} {table}", []).append(f"{what} {text}")
    for tool in sorted(iptables):
        found.update(_saved(tool, world.shell(netns, f"{tool}-save")))
    return found


def _uncounted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _uncounted(one) for key, one in value.items() if key not in ("packets", "bytes")}
    return [_uncounted(one) for one in value] if isinstance(value, list) else value


def _saved(tool: str, text: str) -> Json:
    """Chains of an iptables-save that have rules or are somebody's."""
    found: Json = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            chain, policy = line[1:].split()[:2]
            if policy != "ACCEPT":
                found[f"{tool} {table} {chain}"] = [f"policy {policy}"]
        elif line.startswith("-A"):
            _, chain, rule = line.split(" ", 2)
            found.setdefault(f"{tool} {table} {chain}", []).append(rule)
    return found
