"""Words that many cases use: ``ipam`` objects, routes, MACs, setups."""

from __future__ import annotations

from typing import Any

from tests.differential.case import UPLINK, Json, Setup

V4, V6 = "10.1.2.0/24", "2001:db8:1::/64"
MAC = "02:00:00:00:00:77"
DNS = {"nameservers": ["10.0.0.53"], "domain": "example", "search": ["a.example"], "options": ["ndots:2"]}
EMPTY_DNS: Json = {"nameservers": [], "search": [], "options": []}
NET = {"dst": "10.50.0.0/16"}
NET_GW = {"dst": "10.51.0.0/16", "gw": "10.1.2.9"}
DEFAULT = {"dst": "0.0.0.0/0"}
DEFAULT6 = {"dst": "::/0"}

WITH_UPLINK = Setup(host=UPLINK)
VERSIONS = ("0.2.0", "0.3.1", "0.4.0")


def static(*addresses: str, **more: Any) -> Json:
    """static, each address perhaps with a gateway: ``10.1.2.33/24 10.1.2.1``."""
    listed = []
    for address in addresses:
        cidr, _, gateway = address.partition(" ")
        listed.append({"address": cidr} | ({"gateway": gateway} if gateway else {}))
    return {"type": "static", "addresses": listed, **more}


def ranges(*subnets: str, **more: Any) -> Json:
    """host-local with one range set a subnet, its files in the world's directory."""
    sets = [[{"subnet": subnet}] for subnet in subnets]
    return {"type": "host-local", "dataDir": "{dir}/ipam", "ranges": sets, **more}


def host(*commands: str) -> Setup:
    """Commands on the host."""
    return Setup(host=commands)


def inside(*commands: str) -> Setup:
    """Commands in the sandbox."""
    return Setup(sandbox=commands)
