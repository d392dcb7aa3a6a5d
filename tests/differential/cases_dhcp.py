"""dhcp: under macvlan and bridge, and by itself, with servers that do as they are told, dnsmasq and Kea."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

from tests.dhcp.servers import Seen, ToldServer, lease
from tests.differential import better as common
from tests.differential import better_dhcp as better
from tests.differential.case import NO_SETUP, Improvement, Json, Setup
from tests.differential.conf import MAC, WITH_UPLINK, host
from tests.differential.dhcp_network import SETUP, dnsmasq, kea, scripted, told
from tests.differential.dhcp_play import DhcpCase

CASES: list[DhcpCase] = []
_OF_THE_CASE = ("version", "cni_args", "refused", "network", "story", "hurried", "check", "plugin")
_WORLD = WITH_UPLINK + Setup(host=SETUP)
_WITH_INTERFACE = Setup(
    host=(
        "ip link add link up0 name mv0 address 02:00:00:00:00:20 type macvlan mode bridge",
        "ip link set mv0 netns {netns}",
    ),
    sandbox=("ip link set mv0 name eth0", "ip link set eth0 up"),
)
"""An interface for the address manager by itself."""
_LINKS: dict[str, Json] = {"macvlan": {"master": "up0", "mac": MAC}, "bridge": {"bridge": "br0"}, "dhcp": {}}


def _case(what: str, *improvements: Improvement, setup: Setup = NO_SETUP, **more: Any) -> None:
    """One more: terms of the case by their names, all others are members of the ``ipam`` object."""
    terms = {key: more.pop(key) for key in _OF_THE_CASE if key in more}
    terms.setdefault("network", told())
    plugin, name = terms.pop("plugin", "macvlan"), more.pop("name", "net")
    ipam = more.pop("ipam", {"type": "dhcp", "daemonSocketPath": "{dir}/dhcp.sock", **more})
    made = DhcpCase(
        plugin=plugin,
        what=f"dhcp {what}",
        conf={**_LINKS[plugin], "name": name, "ipam": ipam},
        setup=_WORLD + (_WITH_INTERFACE if plugin == "dhcp" else NO_SETUP) + setup,
        improvements=improvements,
        **terms,
    )
    if not made.checked:
        made = replace(made, story=tuple(step for step in made.story if step != "CHECK"))
    usual = better.usual_of_refusals(made) if made.refused else better.usual(made, made.story)
    CASES.append(replace(made, improvements=(*made.improvements, *usual)))


def _refusal(what: str, refused: str, *improvements: Improvement, **more: Any) -> None:
    """One that both refuse with this phrase."""
    _case(what, *improvements, refused=refused, story=more.pop("story", ("ADD", "DEL")), **more)


def _ip(*addresses: str) -> bytes:
    return b"".join(map(socket.inet_aton, addresses))


def _no_to_request(server: ToldServer, seen: Seen) -> None:
    server.answer(seen, 2 if seen.kind == "DISCOVER" else 6, {**lease(), 56: b"not you"})


def _nothing(server: ToldServer, seen: Seen) -> None:
    """Says nothing."""


def _no_mask(server: ToldServer, seen: Seen) -> None:
    if seen.kind in ("DISCOVER", "REQUEST"):
        server.answer(seen, 2 if seen.kind == "DISCOVER" else 5, {51: b"\0\0\1\0"})


GATEWAY = _ip("10.7.0.1")
CLASSLESS = bytes((24, 192, 0, 2, 10, 7, 0, 9, 0, 10, 7, 0, 8, 16, 172, 20, 0, 0, 0, 0))
STATIC = _ip("172.20.0.0", "10.7.0.9", "192.0.2.0", "10.7.0.8")
HOST_BITS = _ip("10.50.0.0", "10.7.0.9")
ONCE = ("ADD", "DEL")
ASKED = (better.ASKED_FOR, better.LARGEST)
WITH_ROUTER = told(o3=GATEWAY)

_case("plain", network=WITH_ROUTER)
_case("dnsmasq", network=dnsmasq())
_case("kea", network=kea())
_case("no router", network=told())
_case("several routers", better.SEVERAL_ROUTERS, network=told(o3=_ip("10.7.0.1", "10.7.0.2")))
_case("router elsewhere", better.OUTSIDE, network=told(o3=_ip("10.8.0.1")), story=ONCE)
_case("classless routes", better.ON_LINK, network=told(o3=GATEWAY, o121=CLASSLESS))
_case("classless routes, malformed", network=told(o3=GATEWAY, o121=CLASSLESS[:-1]))
_case(
    "classless routes by dnsmasq",
    better.BY_ROUTES_ASKED_FOR,
    network=dnsmasq("--dhcp-option=121,192.0.2.0/24,10.7.0.9,0.0.0.0/0,10.7.0.8"),
)
_case("static routes", network=told(o3=GATEWAY, o33=STATIC))
_case("static routes without router", network=told(o33=STATIC))
_case("static and classless routes", better.ON_LINK, network=told(o3=GATEWAY, o33=STATIC, o121=CLASSLESS))
_case("microsoft's routes", better.TWIN, network=told(o3=GATEWAY, o249=CLASSLESS))
_case(
    "dns",
    better.IN_THE_RESULT,
    network=told(o3=GATEWAY, o6=_ip("10.7.0.53", "10.7.0.54"), o15=b"a.example", o119=b"\1b\7example\0"),
)
_case("mtu", better.IN_THE_RESULT, network=told(o3=GATEWAY, o26=(1300).to_bytes(2, "big")))
_case("mask of 32", better.OUTSIDE, network=told({1: b"\xff" * 4}, o3=GATEWAY), story=ONCE)
_case("mask of 8", network=told({1: b"\xff\0\0\0"}, o3=GATEWAY))
_case("no lease time", better.LEASE_TIME, plugin="dhcp", story=ONCE, network=told({51: None}, o3=GATEWAY))
_case("lease for ever", network=told(seconds=0xFFFFFFFF, o3=GATEWAY))
_case("timers of the server", network=told(o3=GATEWAY, o58=b"\0\0\1\0", o59=b"\0\0\2\0"))
_case(
    "options to send",
    network=WITH_ROUTER,
    cni_args="IgnoreUnknown=1;K8S_POD_NAME=web-0",
    provide=[
        {"option": "host-name", "fromArg": "K8S_POD_NAME", "value": "other"},
        {"option": "vendor-class-identifier", "value": "multinet"},
        {"option": "user-class", "value": "class"},
        {"option": "43", "value": "x"},
        {"option": "44", "fromArg": "ABSENT"},
    ],
)
_case(
    "argument absent", network=WITH_ROUTER, provide=[{"option": "12", "fromArg": "ABSENT", "value": "web-1"}]
)
_case(
    "client id",
    better.RELEASED_ID,
    network=WITH_ROUTER,
    provide=[{"option": "dhcp-client-identifier", "value": "me"}],
)
_case("options to ask for", network=WITH_ROUTER, request=[{"option": "42"}, {"option": "routers"}])
_case(
    "nothing else to ask for",
    network=WITH_ROUTER,
    request=[{"option": "subnet-mask", "skipDefault": True}, {"option": "42"}],
)
_case(
    "nothing to ask for", better.NOTHING_ASKED_FOR, plugin="dhcp", story=ONCE, request=[{"skipDefault": True}]
)
_case("priority", better.PRIORITY, network=told(o3=GATEWAY, o33=STATIC), priority=77)
_case("longest value", network=WITH_ROUTER, provide=[{"option": "43", "value": "x" * 255}])
_case(
    "two interfaces",
    network=dnsmasq("--dhcp-authoritative"),
    story=("ADD", "ADD net1", "DEL net1", "CHECK", "DEL"),
)
_case("asked again", better.HELD_ALREADY, network=WITH_ROUTER, story=("ADD", "ADD alone", "DEL", "DEL alone"))
_case("kea gets it back", network=kea(), story=("ADD", "DEL", "DEL alone"))
_case("restart", network=WITH_ROUTER, story=("ADD", "restart", "CHECK", "DEL"))
_case("restart before DEL", better.RESTARTED, network=WITH_ROUTER, story=("ADD", "restart", "DEL"))
_case("nobody there for DEL", better.AWAY_AT_DEL, network=WITH_ROUTER, story=("ADD", "stop", "DEL"))
_case("unknown at DEL", network=WITH_ROUTER, story=("DEL", "DEL alone"))
_case(
    "bridge",
    better.BRIDGE_DEL,
    common.ACCEPT_DAD,
    plugin="bridge",
    network=WITH_ROUTER,
    setup=host("ip link add br0 type bridge", "ip link set br0 up", "ip link set up0 master br0"),
)
for _version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"):
    _case("by itself", plugin="dhcp", version=_version, network=told(o3=GATEWAY, o33=STATIC))
for _version in ("0.2.0", "0.3.1", "0.4.0"):
    _case("classless routes", better.ON_LINK, version=_version, network=told(o3=GATEWAY, o121=CLASSLESS))
_case("static route with host bits", better.HOST_BITS, plugin="dhcp", network=told(o3=GATEWAY, o33=HOST_BITS))
_case("newest version", better.NEWEST, plugin="dhcp", version="1.1.0", network=WITH_ROUTER)

_case("broadcast", better.BROADCAST, plugin="dhcp", network=WITH_ROUTER, broadcast=True)
_case(
    "other id and binary value",
    better.OTHER_IDS,
    plugin="dhcp",
    network=WITH_ROUTER,
    clientId="mac",
    provide=[{"option": "user-class", "hex": "03:61:62:63"}],
)
_case("long id", better.LONG_ID, plugin="dhcp", network=WITH_ROUTER, name="n" * 250)

_refusal("silent server", "no more tries", *ASKED, network=scripted(_nothing), hurried=True)
_refusal("NAK", "no more tries", *ASKED, network=scripted(_no_to_request), hurried=True)
_refusal(
    "no mask",
    "DHCP option Subnet Mask not found in DHCPACK",
    *ASKED,
    better.RELEASE,
    network=scripted(_no_mask),
)
_refusal(
    "server out of addresses",
    "no more tries",
    *ASKED,
    network=dnsmasq("--dhcp-host=02:00:00:00:00:99,10.7.0.50", first="10.7.0.50", last="10.7.0.50"),
    hurried=True,
)
_refusal("unknown option to ask for", 'Can not parse option "x"', request=[{"option": "x"}])
_refusal("unknown option to send", 'Can not parse option "x"', provide=[{"option": "x", "value": "y"}])
_refusal("number too large", 'Can not parse option "256"', request=[{"option": "256"}])
_refusal(
    "number as number", "json: cannot unmarshal", common.FAULT, common.FAULTY_DEL, request=[{"option": 12}]
)
_refusal(
    "value as number",
    "json: cannot unmarshal",
    common.FAULT,
    common.FAULTY_DEL,
    provide=[{"option": "12", "value": 12}],
)
_refusal(
    "skipDefault as text",
    "json: cannot unmarshal",
    common.FAULT,
    common.FAULTY_DEL,
    request=[{"option": "12", "skipDefault": "yes"}],
)
_refusal("request as object", "json: cannot unmarshal", common.FAULT, common.FAULTY_DEL, request={})
_refusal("socket as number", "json: cannot unmarshal", common.FAULT, common.FAULTY_DEL, daemonSocketPath=1)
_refusal(
    "the protocol's own option",
    "is set by the protocol itself",
    better.PROTOCOLS_OWN,
    plugin="dhcp",
    provide=[{"option": "57", "value": "xx"}],
)
_refusal(
    "option twice",
    "is provided twice",
    better.TWICE,
    plugin="dhcp",
    provide=[{"option": "12", "value": "x"}, {"option": "host-name", "value": "y"}],
)
_refusal("value too long", 'value too long for option "43"', provide=[{"option": "43", "value": "x" * 256}])
_refusal(
    "nobody there",
    "error dialing DHCP daemon",
    better.WHO_RENEWS,
    better.AWAY_AT_DEL,
    story=("stop", "ADD", "DEL"),
)
_refusal(
    "interface missing", "Link not found", plugin="dhcp", setup=Setup(sandbox=("ip link set eth0 name eth7",))
)
