"""ptp: a pair to the host, which routes; what each address and gateway makes of it, and traffic through it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multinet.sdk import registry

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
V4, V6 = "10.1.2.0/24", "2001:db8:1::/64"
GATEWAYS = {V4: "10.1.2.1", V6: "2001:db8:1::1"}
MAC = "02:00:00:00:00:99"


def static(*addresses: Any, **more: Any) -> dict[str, Any]:
    """An ``ipam`` object of static; an address is a text, or a pair with its gateway."""
    given = [
        {"address": one} if isinstance(one, str) else {"address": one[0], "gateway": one[1]}
        for one in addresses
    ]
    return {"type": "static", "addresses": given, **more}


def host_end(pod: Any, conf: Any) -> str:
    return str(pod.owner(conf).host_ifname)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("subnets", [(V4,), (V6,), (V4, V6)], ids=["v4", "v6", "dual"])
def test_the_result_in_every_version(bench: Any, make: Any, version: str, subnets: tuple[str, ...]) -> None:
    pod = bench.pod(ifname="net1")
    conf = make("ptp", version, ipam=bench.host_local(*subnets))
    result = pod.add(conf)
    if version not in ("0.1.0", "0.2.0"):
        outer, inner = result["interfaces"]
        assert outer["name"] == host_end(pod, conf) and "sandbox" not in outer
        assert outer["mac"] == bench.link(outer["name"])["address"]
        assert (inner["name"], inner["sandbox"]) == ("net1", pod.netns.path)
        assert inner["mac"] == pod.link()["address"]
        assert [(ip["interface"], ip["gateway"]) for ip in result["ips"]] == [
            (1, GATEWAYS[subnet]) for subnet in subnets
        ]
    assert all(pod.ping(GATEWAYS[subnet]) for subnet in subnets)
    if version >= "0.4.0":
        pod.check_both(conf)
    pod.delete(conf)
    assert set(bench.lab.links(pod.netns)) == {"lo"} and bench.leases() == []
    for family in ("-4", "-6"):
        assert "10.1.2" not in str(bench.ip(family, "route")) and "db8:1:" not in str(
            bench.ip(family, "route")
        )


@pytest.mark.parametrize("subnet", ["10.1.2.0/24", "10.1.2.0/30", "2001:db8:1::/64", "2001:db8:1::/66"])
def test_every_address_reaches_its_gateway_and_other_pods(bench: Any, make: Any, subnet: str) -> None:
    conf = make("ptp", mtu=5000, ipam=bench.host_local(subnet))
    one, two = bench.pod(), bench.pod()
    first = one.add(conf)["ips"][0]
    assert one.ping(first["gateway"]) and one.link()["mtu"] == 5000
    if subnet.endswith("/30"):
        return
    second = two.add(conf)["ips"][0]
    assert one.ping(second["address"].partition("/")[0])
    assert two.ping(first["address"].partition("/")[0])
    one.check_both(conf)


@pytest.mark.parametrize(
    ("address", "gateway"),
    [("10.9.9.9/32", "169.254.1.1"), ("2001:db8:9::9/128", "fe80::1"), ("10.9.9.9/24", "169.254.1.1")],
)
def test_an_address_without_gateway_has_a_link_local_one(
    bench: Any, make: Any, address: str, gateway: str
) -> None:
    default = "::/0" if ":" in address else "0.0.0.0/0"
    conf = make("ptp", ipam=static(address, routes=[{"dst": default}]))
    pod = bench.pod()
    result = pod.add(conf)
    assert result["ips"] == [{"address": address, "gateway": gateway, "interface": 1}]
    assert pod.addresses() == [address]
    host = "2001:db8:77::1" if ":" in address else "10.77.0.1"
    bench.lab.ip("addr", "add", host, "dev", "lo")
    assert pod.ping(host)
    assert bench.ping(address.partition("/")[0])
    pod.check_both(conf)


def test_several_pods_have_the_same_link_local_gateway(bench: Any, make: Any) -> None:
    pods = [bench.pod() for _ in range(3)]
    for number, pod in enumerate(pods):
        routes = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
        pod.add(
            make(
                "ptp", ipam=static(f"10.9.9.{number + 1}/32", f"2001:db8:9::{number + 1}/128", routes=routes)
            )
        )
    for pod in pods:
        assert pod.ping("10.9.9.3") and pod.ping("2001:db8:9::3")


def test_two_addresses_with_one_gateway(bench: Any, make: Any) -> None:
    conf = make(
        "ptp",
        ipam=static(("10.1.2.5/24", "10.1.2.1"), ("10.1.2.6/24", "10.1.2.1"), ("10.3.0.7/16", "10.1.2.1")),
    )
    pod = bench.pod()
    pod.add(conf)
    assert bench.addresses(host_end(pod, conf)) == ["10.1.2.1/32"]
    assert pod.ping("10.1.2.1")
    assert all(bench.ping(address) for address in ("10.1.2.5", "10.1.2.6", "10.3.0.7"))
    pod.check_both(conf)


def test_the_pods_routes(bench: Any, make: Any) -> None:
    """As the reference plugin makes them: the own subnet, too, is behind the gateway."""
    pod = bench.pod()
    conf = make("ptp", ipam=bench.host_local(V4, V6, routes=[{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]))
    pod.add(conf)
    routes = {route["dst"]: route for route in pod.ip("-4", "route")}
    assert set(routes) == {"default", "10.1.2.0/24", "10.1.2.1"}
    assert routes["10.1.2.1"]["scope"] == "link" and routes["10.1.2.1"]["prefsrc"] == "10.1.2.2"
    assert routes["10.1.2.0/24"]["gateway"] == "10.1.2.1" and routes["10.1.2.0/24"]["prefsrc"] == "10.1.2.2"
    assert routes["default"]["gateway"] == "10.1.2.1"
    routes = {route["dst"]: route for route in pod.ip("-d", "-6", "route") if route["protocol"] == "boot"}
    assert set(routes) == {"default", "2001:db8:1::/64", "2001:db8:1::1"}
    assert routes["2001:db8:1::/64"]["gateway"] == "2001:db8:1::1"


def test_the_hosts_end(bench: Any, make: Any) -> None:
    pod, conf = bench.pod(), make("ptp", ipam=bench.host_local(V4, V6))
    pod.add(conf)
    name = host_end(pod, conf)
    assert bench.addresses(name) == ["10.1.2.1/32", "2001:db8:1::1/128"]
    (route,) = bench.ip("-4", "route", "show", "10.1.2.2")
    assert route["dev"] == name and route["scope"] == "host"
    assert bench.ip("-6", "route", "show", "2001:db8:1::2")[0]["dev"] == name
    settings = bench.snapshot()["host"]["sysctls"]
    assert settings[f"net/ipv6/conf/{name}/accept_ra"] == "0"
    assert settings["net/ipv4/ip_forward"] == settings["net/ipv6/conf/all/forwarding"] == "1"


def test_the_gateways_mac_needs_no_asking(bench: Any, make: Any) -> None:
    pod, conf = bench.pod(), make("ptp", ipam=bench.host_local(V4, V6))
    pod.add(conf)
    mac = bench.link(host_end(pod, conf))["address"]
    found = {
        one["dst"]: (one["lladdr"], one["state"]) for one in pod.ip("neigh") if "PERMANENT" in one["state"]
    }
    assert found == {gateway: (mac, ["PERMANENT"]) for gateway in GATEWAYS.values()}


def test_a_stale_route_to_the_address_is_replaced(bench: Any, make: Any) -> None:
    bench.uplink("up0")
    bench.lab.ip("route", "add", "10.1.2.2", "dev", "up0")
    bench.lab.ip("route", "add", "2001:db8:1::2", "dev", "up0")
    pod, conf = bench.pod(), make("ptp", ipam=bench.host_local(V4, V6))
    pod.add(conf)
    for family, address in (("-4", "10.1.2.2"), ("-6", "2001:db8:1::2")):
        (route,) = bench.ip(family, "route", "show", address)
        assert route["dev"] == host_end(pod, conf)
        assert bench.ping(address)


def test_ipv6_is_ready_at_once(bench: Any, make: Any) -> None:
    """There is nobody on the link to have the address, too."""
    pod = bench.pod()
    pod.add(make("ptp", ipam=bench.host_local(V6)))
    (link,) = pod.ip("addr", "show", "eth0")
    assert [a.get("nodad") for a in link["addr_info"] if a["scope"] == "global"] == [True]
    assert "1 received" in bench.lab.run("ping", "-c1", "-W2", "2001:db8:1::1", netns=pod.netns)


@pytest.mark.parametrize("ipam", [{}, {"ipam": {}}, {"ipam": {"type": ""}}])
def test_without_ipam_a_pair_and_nothing_else(bench: Any, make: Any, ipam: dict[str, Any]) -> None:
    pod, conf = bench.pod(), make("ptp") | ipam
    result = pod.add(conf)
    assert "ips" not in result and len(result["interfaces"]) == 2
    assert "UP" in pod.link()["flags"] and "UP" in bench.link(host_end(pod, conf))["flags"]
    assert pod.addresses() == [] and bench.snapshot()["host"]["sysctls"]["net/ipv4/ip_forward"] == "0"
    pod.check_both(conf)
    pod.delete(conf)


@pytest.mark.parametrize("backend", ["nftables", "iptables", ""])
def test_masquerading(bench: Any, make: Any, backend: str) -> None:
    beyond = bench.uplink("up0")
    bench.lab.ip("addr", "add", "192.0.2.1/24", "dev", "up0")
    bench.lab.ip("addr", "add", "2001:db8:2::1/64", "dev", "up0", "nodad")
    bench.lab.ip("addr", "add", "192.0.2.9/24", "dev", "wan0", netns=beyond)
    bench.lab.ip("addr", "add", "2001:db8:2::9/64", "dev", "wan0", "nodad", netns=beyond)
    ipam = bench.host_local(V4, V6, routes=[{"dst": "0.0.0.0/0"}, {"dst": "::/0"}])
    pod, conf = bench.pod(), make("ptp", ipMasq=True, ipMasqBackend=backend, ipam=ipam)
    pod.add(conf)
    assert pod.ping("192.0.2.9") and pod.ping(
        "2001:db8:2::9"
    )  # no route leads back: the host's address is used
    pod.check_both(conf)
    pod.delete(conf, netns="", recorded=False)
    assert "10.1.2.2" not in bench.lab.run("nft", "list", "ruleset")


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "MTU too small": ({"mtu": -1}, "$.mtu: invalid MTU -1"),
    "MTU too big": ({"mtu": 65536}, "$.mtu: invalid MTU 65536"),
    "MTU's type": ({"mtu": "x"}, "$.mtu"),
    "backend": ({"ipMasqBackend": "ipchains"}, '$.ipMasqBackend: unknown ipmasq backend "ipchains"'),
    "backend's type": ({"ipMasqBackend": 7}, "$.ipMasqBackend"),
    "masquerading's type": ({"ipMasq": "yes"}, "$.ipMasq"),
    "its own gateway": ({"ipam": static(("10.1.2.5/24", "10.1.2.5"))}, "$.ipam: 10.1.2.5/24 cannot be"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_bad_input(bench: Any, make: Any, refused: Any, unchanged: Any, what: str) -> None:
    options, words = FAULTS[what]
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    assert words in refused(7, pod.add, make("ptp") | {"ipam": bench.host_local(V4)} | options).msg
    unchanged(before, bench.snapshot(pod.netns))


CHANGES = {
    "link deleted": ("inside ip link del eth0", "Cannot find container link eth0"),
    "link down": ("inside ip link set eth0 down", "eth0"),
    "MAC": (f"inside ip link set eth0 address {MAC}", f"doesn't match container Mac: {MAC}"),
    "MTU": ("inside ip link set eth0 mtu 1400", "1400"),
    "kind": ("inside ip link del eth0;inside ip link add eth0 type bridge", "eth0 not of type veth"),
    "address": ("inside ip addr del 10.1.2.2/24 dev eth0", "10.1.2.2/24"),
    "IPv6 address": ("inside ip addr del 2001:db8:1::2/64 dev eth0", "2001:db8:1::2/64"),
    "subnet's route": ("inside ip route del 10.1.2.0/24 via 10.1.2.1", "10.1.2.0/24"),
    "gateway's route": ("inside ip route del 10.1.2.1", "10.1.2.1/32"),
    "source address": ("inside ip route change 10.1.2.1 dev eth0 scope link", "route 10.1.2.1/32: source"),
    "kernel's own route": (
        "inside ip addr del 10.1.2.2/24 dev eth0;inside ip addr add 10.1.2.2/24 dev eth0",
        "route to 10.1.2.0/24 by address 10.1.2.2/24",
    ),
    "neighbour": ("inside ip neigh del 10.1.2.1 dev eth0", "neighbour 10.1.2.1"),
    "neighbour's MAC": (f"inside ip neigh replace 10.1.2.1 dev eth0 lladdr {MAC} nud permanent", MAC),
    "neighbour's state": ("inside ip neigh change 10.1.2.1 dev eth0 nud reachable lladdr {peer}", "learnt"),
    "host's end down": ("host ip link set {host} down", "{host}"),
    "host's MTU": ("host ip link set {host} mtu 1400", "1400"),
    "host's MAC": (f"host ip link set {{host}} address {MAC}", MAC),
    "host's route": ("host ip route del 10.1.2.2", "10.1.2.2/32"),
    "host's IPv6 route": ("host ip route del 2001:db8:1::2", "2001:db8:1::2/128"),
    "gateway's address": ("host ip addr del 10.1.2.1/32 dev {host}", "10.1.2.1/32"),
    "forwarding": ("host sysctl -qw net.ipv4.ip_forward=0", "ip_forward"),
    "accept_ra": ("host sysctl -qw net.ipv6.conf.{host}.accept_ra=1", "accept_ra"),
    "masquerading": ("host nft flush ruleset", "10.1.2.2"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_check_notices(bench: Any, make: Any, refused: Any, what: str) -> None:
    pod = bench.pod()
    conf = make("ptp", ipMasq=True, ipMasqBackend="nftables", ipam=bench.host_local(V4, V6))
    pod.add(conf)
    pod.check_both(conf)
    names = {"host": host_end(pod, conf), "peer": bench.link(host_end(pod, conf))["address"]}
    commands, named = CHANGES[what]
    for command in commands.split(";"):
        where, *words = command.format(**names).split()
        bench.lab.run(*words, netns=pod.netns if where == "inside" else None)
    for recorded in (True, False):
        found = str(refused(102, pod.check, conf, recorded=recorded))
        assert named.format(**names) in found, recorded


def test_every_field_is_compared(bench: Any, make: Any, every_field_is_checked: Any) -> None:
    pod = bench.pod()
    conf = make("ptp", ipMasq=True, ipam=bench.host_local(V4, V6, routes=[{"dst": "10.50.0.0/16"}]))
    pod.add(conf)
    assert every_field_is_checked(pod, conf) > 30


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("netns", [None, "", "/gone"], ids=["there", "empty", "gone"])
def test_del(bench: Any, make: Any, recorded: bool, netns: str | None) -> None:
    pod = bench.pod()
    conf = make("ptp", ipMasq=True, ipMasqBackend="nftables", ipam=bench.host_local(V4, V6))
    pod.delete(conf)
    pod.add(conf)
    terms = {} if netns is None else {"netns": netns}
    for _ in range(2):
        pod.delete(conf | {"mtu": "bad"}, recorded=recorded, **terms)
        assert set(bench.lab.links()) == set(bench.lab.links(pod.netns)) == {"lo"}
        assert bench.leases() == [] and "10.1.2.2" not in bench.lab.run("nft", "list", "ruleset")


@pytest.mark.parametrize("stale", [False, True])
def test_whichever_step_fails(bench: Any, make: Any, whichever_step_fails: Any, stale: bool) -> None:
    conf = make("ptp", ipam=bench.host_local(V4, V6, routes=[{"dst": "10.50.0.0/16"}]))
    if stale:
        bench.uplink("up0")
        bench.lab.ip("addr", "add", "192.0.2.1/24", "dev", "up0")
        bench.lab.ip("route", "add", "10.1.2.2", "via", "192.0.2.9", "mtu", "1300", "src", "192.0.2.1")
        bench.lab.ip("route", "add", "2001:db8:1::2", "dev", "up0")
    assert whichever_step_fails(bench.pod(), conf) > 15


def test_wherever_it_dies(bench: Any, make: Any, wherever_it_dies: Any) -> None:
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        bench.lab.run("sysctl", "-qw", f"{key}=1")  # the host's, and stays
    assert wherever_it_dies(bench.pod(), make("ptp", ipam=bench.host_local(V4, V6))) >= 15


@pytest.mark.parametrize("where", ["host", "inside"])
def test_a_name_that_is_taken(bench: Any, make: Any, refused: Any, unchanged: Any, where: str) -> None:
    pod, conf = bench.pod(), make("ptp", ipam=bench.host_local(V4))
    name = "eth0" if where == "inside" else host_end(pod, conf)
    bench.lab.ip("link", "add", name, "type", "bridge", netns=pod.netns if where == "inside" else None)
    bench.lab.allowed.add(name)
    before = bench.snapshot(pod.netns)
    assert name in refused(100, pod.add, conf).msg
    unchanged(before, bench.snapshot(pod.netns))


def test_status_and_gc(bench: Any, make: Any, refused: Any) -> None:
    plugin, pod, gone = registry.plugin("ptp"), bench.pod(), bench.pod()
    assert plugin is not None
    conf = make("ptp", ipMasq=True, ipMasqBackend="nftables", ipam=bench.host_local(V4))
    plugin.status(pod.call("STATUS", conf, netns=""), bench.node())
    refused(50, plugin.status, pod.call("STATUS", conf | {"mtu": -1}, netns=""), bench.node())
    pod.add(conf)
    gone.add(conf)
    listed = {"cni.dev/valid-attachments": [{"containerID": pod.container_id, "ifname": "eth0"}]}
    plugin.gc(pod.call("GC", conf | listed, netns=""), bench.node())
    pod.check_both(conf)
    assert set(bench.lab.links()) == {"lo", host_end(pod, conf)}
    assert bench.leases() == ["net/10.1.2.2"]
    rules = bench.lab.run("nft", "list", "ruleset")
    assert "10.1.2.2" in rules and "10.1.2.3" not in rules


def test_a_tuned_mac_does_not_cut_the_pod_off(bench: Any, make: Any) -> None:
    """The host asks for the pod's MAC: a plugin later in the chain may have changed it."""
    pod = bench.pod()
    pod.add(make("ptp", ipam=bench.host_local(V4)))
    bench.lab.ip("link", "set", "eth0", "address", MAC, netns=pod.netns)
    assert pod.ping("10.1.2.1")


def test_dns_is_the_configurations_or_else_ipams(bench: Any, make: Any) -> None:
    conf = make("ptp", ipam=static("10.1.2.9/24", dns={"nameservers": ["10.0.0.1"]}))
    assert bench.pod().add(conf)["dns"] == {"nameservers": ["10.0.0.1"]}
    other = conf | {"dns": {"domain": "example"}, "ipam": static("10.1.2.10/24")}
    assert bench.pod().add(other)["dns"] == {"domain": "example"}
    assert json.dumps(other)
