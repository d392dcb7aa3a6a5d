"""A namespace's links, addresses, routes and sysctls as we read them, beside what ``ip -j`` says."""

from __future__ import annotations

import errno
import ipaddress
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.kernel import Kernel, NetworkStack
from multinet.core.desired import MAIN_TABLE

MODES = ("bridge", "private", "vepa", "passthru")


@pytest.fixture
def stack(lab: Any) -> Iterator[NetworkStack]:
    with NetworkStack(lab.host) as opened:
        yield opened


def ip(lab: Any, *arguments: str) -> Any:
    import json

    return json.loads(lab.run("ip", "-j", "-d", *arguments) or "[]")


@pytest.fixture
def links(lab: Any) -> Any:
    """Links of all kinds that we know, in all states."""
    lab.run(
        *("ip", "-batch", "-"),
        stdin="""
link add br0 mtu 1400 up type bridge
link add br1 type bridge
link set br1 promisc on
link add v0 up mtu 1300 address 02:00:00:00:00:01 type veth peer name v1
link set v1 up master br0
link set v1 type bridge_slave hairpin on isolated on
link add v2 type veth peer name v3
link set v2 group 77
link set v2 alias "multinet:net/c/eth0"
link property add dev v2 altname a-second-name-that-is-long
link add m0 link v0 type macvlan mode bridge
link add m1 link v0 type macvlan mode private
link add m2 link v0 type macvlan mode vepa
link add m3 link v2 type macvlan mode passthru
""",
    )
    lab.allowed |= {"br0", "br1", "v0", "v1", "v2", "v3", "m0", "m1", "m2", "m3"}
    return lab


def test_links_are_as_ip_shows_them(links: Any, stack: NetworkStack) -> None:
    shown = {link["ifname"]: link for link in ip(links, "link")}
    groups = {"default": 0}
    settled = ("index", "name", "kind", "mac", "mtu", "master", "parent", "group", "alias", "mode", "hairpin")
    found = {link.name: link for link in stack.links()}
    assert found.keys() == shown.keys()
    for name, link in found.items():
        theirs = shown[name]
        info, port = theirs.get("linkinfo", {}), theirs.get("linkinfo", {}).get("info_slave_data", {})
        assert link.index == theirs["ifindex"] and link.mtu == theirs["mtu"] and link.mac == theirs["address"]
        assert link.kind == info.get("info_kind", "")
        assert link.mode == (info["info_data"]["mode"] if link.kind == "macvlan" else "")
        assert (link.up, link.promisc) == tuple(flag in theirs["flags"] for flag in ("UP", "PROMISC"))
        masters = {one.index: one.name for one in found.values()}
        assert masters.get(link.master) == theirs.get("master") if link.master else "master" not in theirs
        assert masters.get(link.parent) == theirs.get("link") if link.parent else "link" not in theirs
        group = theirs["group"]
        assert link.group == groups.get(group, int(group) if group.isdigit() else 0)
        assert link.alias == theirs.get("ifalias", "")
        assert (link.hairpin, link.isolated) == (port.get("hairpin", False), port.get("isolated", False))
        assert (link.port_state == -1) == (not port)
        for again in (stack.link(name), stack.link_at(link.index)):  # alike but for states that are settling
            assert again is not None
            assert [getattr(again, f) for f in settled] == [getattr(link, f) for f in settled]


def test_a_link_is_found_by_an_alternative_name(links: Any, stack: NetworkStack) -> None:
    assert stack.link("v2") is not None
    assert stack.link("a-second-name-that-is-long") is None, "longer than a link's own name can be"


@pytest.mark.parametrize("name", ["none", "", "x" * 16, "ü" * 9, "x" * 500])
def test_a_link_that_is_not_there(stack: NetworkStack, name: str) -> None:
    assert stack.link(name) is None
    assert stack.link_at(12345) is None
    assert stack.addresses(12345) == []


def test_a_bridge_port_goes_live(links: Any, stack: NetworkStack) -> None:
    import time

    for _ in range(100):
        link = stack.link("v1")
        assert link is not None
        if link.port_state == 3:
            break
        time.sleep(0.01)
    assert (link.running, link.port_state) == (True, 3)


def test_addresses_are_as_ip_shows_them(lab: Any, stack: NetworkStack) -> None:
    lab.run(
        *("ip", "-batch", "-"),
        stdin="""
link add br0 up type bridge
addr add 10.1.2.3/24 dev br0
addr add 10.1.2.4/32 dev br0 scope link
addr add 2001:db8::1/64 dev br0 nodad
addr add fe80::77/64 dev br0 nodad
addr add 10.1.2.9/24 dev br0 valid_lft 1000 preferred_lft 500
addr add 192.0.2.1 peer 192.0.2.2/32 dev br0
""",
    )
    lab.allowed.add("br0")
    scopes = {"global": 0, "link": 253, "host": 254}
    shown = {
        (link["ifindex"], f"{a['local']}/{a['prefixlen']}"): a
        for link in ip(lab, "addr")
        for a in link["addr_info"]
    }
    found = {(a.index, a.cidr): a for a in stack.addresses()}
    assert found.keys() == shown.keys()
    for key, address in found.items():
        theirs = shown[key]
        assert address.scope == scopes[theirs["scope"]]
        assert address.permanent == (not theirs.get("dynamic", False))
        assert address.tentative == theirs.get("tentative", False)
        assert not address.dad_failed
    index = next(index for index, cidr in found if cidr == "10.1.2.3/24")
    assert {a.cidr for a in stack.addresses(index)} == {cidr for at, cidr in found if at == index}
    assert {a.cidr for a in stack.addresses(1)} == {"127.0.0.1/8", "::1/128"}


def test_a_tentative_address(lab: Any, stack: NetworkStack) -> None:
    lab.ip("link", "add", "v0", "up", "type", "veth", "peer", "name", "v1")
    lab.ip("link", "set", "v1", "up")
    lab.allowed |= {"v0", "v1"}
    lab.ip("addr", "add", "2001:db8::1/64", "dev", "v0")
    (address,) = [a for a in stack.addresses() if a.cidr.startswith("2001")]
    assert address.tentative and not address.dad_failed


def test_routes_are_as_ip_shows_them(lab: Any, stack: NetworkStack) -> None:
    lab.run(
        *("ip", "-batch", "-"),
        stdin="""
link add br0 up type bridge
addr add 10.1.2.3/24 dev br0
addr add 2001:db8::3/64 dev br0 nodad
route add default via 10.1.2.1
route add 10.50.0.0/16 via 10.1.2.1 metric 77
route add 10.51.0.0/16 dev br0 scope link table 100
route add 10.52.0.0/16 via 10.1.2.1 mtu 1200 advmss 1100 table 70000
route add 10.53.0.0/16 nexthop via 10.1.2.8 nexthop via 10.1.2.9
route add blackhole 10.54.0.0/16
route add 2001:db8:50::/48 via 2001:db8::1 metric 5 mtu 1300
route add 2001:db8:53::/48 nexthop via 2001:db8::8 dev br0 nexthop via 2001:db8::9 dev br0
route add default via fe80::1 dev br0
""",
    )
    lab.allowed.add("br0")
    found = {(route.dst, route.table, route.metric): route for route in stack.routes()}
    (br0,) = (link["ifindex"] for link in ip(lab, "link", "show", "dev", "br0"))
    tables = {"main": MAIN_TABLE, "local": 255, None: MAIN_TABLE}
    shown = {}
    for family in ("-4", "-6"):
        for route in ip(lab, family, "route", "show", "table", "all"):
            if route["type"] != "unicast":
                continue
            dst = route["dst"]
            if dst == "default":
                dst = "0.0.0.0/0" if family == "-4" else "::/0"
            table = route.get("table")
            key = (dst, tables[table] if table in tables else int(table), route.get("metric", 0))
            shown[key] = route
    assert found.keys() == shown.keys()
    for key, route in found.items():
        theirs = shown[key]
        hops = theirs.get("nexthops") or [theirs]
        assert route.hops == tuple((hop.get("gateway", ""), br0) for hop in hops)
        (metrics,) = theirs.get("metrics") or [{}]
        assert (route.mtu, route.advmss) == (metrics.get("mtu", 0), metrics.get("advmss", 0))
        if "." in key[0]:
            assert route.scope == {"global": 0, "link": 253}[theirs["scope"]]


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("10.9.1.1", ("10.9.1.0/24", "via")),
        ("10.9.1.7", ("10.9.1.7/32", "")),
        ("10.8.0.1", None),
        ("10.7.0.1", None),
        ("2001:db8:9::7", ("2001:db8:9::7/128", "")),
        ("2001:db8:8::7", None),
    ],
)
def test_the_route_to_an_address(
    lab: Any, stack: NetworkStack, address: str, found: tuple[str, str] | None
) -> None:
    """As it stands in the table: with its prefix, not as one for this address alone."""
    lab.ip("link", "add", "br0", "type", "bridge")
    lab.allowed.add("br0")
    lab.ip("link", "set", "br0", "up")
    lab.ip("addr", "add", "10.1.2.1/24", "dev", "br0")
    lab.ip("route", "add", "10.9.1.0/24", "via", "10.1.2.9")
    lab.ip("route", "add", "10.9.1.7", "dev", "br0")
    lab.ip("route", "add", "blackhole", "10.7.0.0/16")
    lab.ip("route", "add", "2001:db8:9::7", "dev", "br0")
    route = stack.route_to(ipaddress.ip_address(address))
    if found is None:
        assert route is None
        return
    assert route is not None
    dst, via = found
    assert route.dst == dst and route.table == 254
    assert route.hops[0][0] == ("10.1.2.9" if via else "")


def test_the_kernels_answers_are_whole_when_there_are_many(lab: Any, stack: NetworkStack) -> None:
    script = "".join(f"link add br{n} type bridge\n" for n in range(150))
    lab.run("ip", "-batch", "-", stdin=script)
    names = {f"br{n}" for n in range(150)}
    lab.allowed |= names
    assert {link.name for link in stack.links()} == names | {"lo"}


def test_sysctls(lab: Any, stack: NetworkStack) -> None:
    key = "net/ipv4/conf/lo/arp_notify"
    assert stack.read_sysctl(key) == "0"
    stack.write_sysctls([(key, "1", False), ("net/ipv6/conf/lo/accept_ra", "0", False)])
    assert stack.read_sysctl(key) == lab.run("cat", f"/proc/sys/{key}").strip() == "1"
    assert stack.read_sysctl("net/no/such") is None
    sandbox = lab.sandbox()
    with NetworkStack(sandbox) as other:
        other.write_sysctls([("net/ipv6/conf/lo/accept_ra", "2", False)])
        assert other.read_sysctl("net/ipv6/conf/lo/accept_ra") == "2"
    assert stack.read_sysctl("net/ipv6/conf/lo/accept_ra") == "0"


def test_a_sysctl_that_is_missing_or_refused(stack: NetworkStack) -> None:
    stack.write_sysctls([("net/no/such", "1", True), ("net/ipv6/conf/lo/mtu", "1", True)])
    with pytest.raises(OSError) as caught:
        stack.write_sysctls([("net/ipv6/conf/lo/accept_ra", "1", False), ("net/no/such", "1", False)])
    assert caught.value.errno == errno.ENOENT and caught.value.filename == "net/no/such"
    assert stack.read_sysctl("net/ipv6/conf/lo/accept_ra") == "1", "what came before is written"


def test_a_value_that_is_there_is_not_written_again(lab: Any, stack: NetworkStack) -> None:
    key = "net/ipv4/conf/lo/arp_notify"
    with lab.host.entered():
        before = os.stat(f"/proc/sys/{key}").st_mtime_ns
    stack.write_sysctls([(key, "0", False)])
    with lab.host.entered():
        assert os.stat(f"/proc/sys/{key}").st_mtime_ns == before


def test_read_only_settings_that_are_right_already(lab: Any, tmp_path: Path) -> None:
    """As in a container whose ``/proc/sys`` is read-only: right values pass, wrong ones are told."""
    script = """
import sys
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.netns import Netns
with NetworkStack(Netns.current()) as stack:
    stack.write_sysctls([("net/ipv4/conf/lo/arp_notify", "0", False)])
    stack.write_sysctls([("net/ipv4/conf/lo/arp_notify", "1", True)])
    try:
        stack.write_sysctls([("net/ipv4/conf/lo/arp_notify", "1", False)])
    except OSError as error:
        print(error.filename)
"""
    import sys

    mount = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"'
    output = lab.run("unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "-c", script)
    assert output.strip() == "net/ipv4/conf/lo/arp_notify"


def test_every_thread_has_a_socket_of_its_own(lab: Any) -> None:
    kernel = Kernel(lab.host)
    assert kernel.host is kernel.host
    others: list[NetworkStack] = []
    thread = threading.Thread(target=lambda: others.append(kernel.host))
    thread.start()
    thread.join()
    assert others[0] is not kernel.host
    assert {link.name for link in others[0].links()} == {"lo"}


def test_a_stack_works_from_any_namespace(lab: Any, stack: NetworkStack) -> None:
    lab.ip("link", "add", "br0", "type", "bridge")
    lab.allowed.add("br0")
    with lab.sandbox().entered():
        assert stack.link("br0") is not None
