"""bridge: CHECK notices each single thing that is no longer as ADD made it, and names it.

Every case runs twice: against the record of the ADD, and worked out again from the previous result alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

MAC = "02:00:00:00:00:99"
ROUTES = [
    {"dst": "10.50.0.0/16"},
    {"dst": "10.51.0.0/16", "gw": "10.1.2.77", "priority": 50},
    {"dst": "10.52.0.0/16", "table": 100},
    {"dst": "10.53.0.0/16", "mtu": 1200, "advmss": 1100},
    {"dst": "10.54.0.0/16", "scope": 253},
    {"dst": "2001:db8:50::/48"},
    {"dst": "10.55.0.0/16", "gw": "10.1.2.78"},
    {"dst": "10.55.0.0/16", "gw": "10.1.2.79"},
]


class Scene:
    """An attachment with everything on, and how to disturb it."""

    def __init__(self, bench: Any, conf: Any) -> None:
        self.bench, self.conf = bench, conf
        self.pod = bench.pod("pod-1")
        self.host_end = self.pod.owner(conf).host_ifname
        self.pod.add(conf)

    def host(self, command: str) -> None:
        self.bench.lab.run(*command.format(port=self.host_end).split())

    def inside(self, command: str) -> None:
        self.bench.lab.run(*command.split(), netns=self.pod.netns)

    def nft(self, script: str) -> None:
        self.bench.lab.run("nft", "-f", "-", stdin=script)


def host(command: str) -> Callable[[Scene], None]:
    return lambda scene: scene.host(command)


def inside(command: str) -> Callable[[Scene], None]:
    return lambda scene: scene.inside(command)


def forget_addresses(scene: Scene) -> None:
    for path in (scene.bench.directory / "ipam" / "net").glob("10.*"):
        path.unlink()


def empty_sets_and_maps(scene: Scene) -> None:
    ruleset = scene.bench.lab.run("nft", "-j", "list", "ruleset")
    import json

    script = ""
    for entry in json.loads(ruleset)["nftables"]:
        for kind in ("set", "map"):
            if kind in entry and entry[kind].get("elem"):
                script += (
                    f"flush {kind} {entry[kind]['family']} {entry[kind]['table']} {entry[kind]['name']}\n"
                )
    assert script
    scene.nft(script)


CHANGES: dict[str, tuple[Callable[[Scene], None], str]] = {
    "container link deleted": (inside("ip link del eth0"), "eth0"),
    "container link down": (inside("ip link set eth0 down"), "eth0"),
    "container link of another kind": (
        lambda s: (s.inside("ip link del eth0"), s.inside("ip link add eth0 type bridge")),
        "not of type veth",
    ),
    "container MAC": (inside(f"ip link set eth0 address {MAC}"), MAC),
    "container MTU": (inside("ip link set eth0 mtu 1400"), "1400"),
    "host end deleted": (host("ip link del {port}"), "eth0"),
    "host end down": (host("ip link set {port} down"), "{port}"),
    "host end's MAC": (host(f"ip link set {{port}} address {MAC}"), MAC),
    "host end's MTU": (host("ip link set {port} mtu 1400"), "1400"),
    "host end renamed": (
        lambda s: (
            s.host("ip link set {port} down"),
            s.host("ip link set {port} name other"),
            s.host("ip link set other up"),
        ),
        "{port}",
    ),
    "port taken off the bridge": (host("ip link set {port} nomaster"), "{port}"),
    "port moved to another bridge": (
        lambda s: (s.host("ip link add br9 type bridge"), s.host("ip link set {port} master br9")),
        "{port}",
    ),
    "hairpin off": (host("bridge link set dev {port} hairpin off"), "hairpin"),
    "isolation off": (host("bridge link set dev {port} isolated off"), "isolated"),
    "bridge deleted": (host("ip link del br0"), "br0"),
    "bridge down": (host("ip link set br0 down"), "br0"),
    "bridge's MAC": (host(f"ip link set br0 address {MAC}"), MAC),
    "gateway removed": (host("ip addr del 10.1.2.1/24 dev br0"), "10.1.2.1/24"),
    "gateway's prefix": (
        lambda s: (s.host("ip addr del 10.1.2.1/24 dev br0"), s.host("ip addr add 10.1.2.1/25 dev br0")),
        "10.1.2.1/24",
    ),
    "IPv6 gateway removed": (host("ip addr del 2001:db8:1::1/64 dev br0"), "2001:db8:1::1/64"),
    "IPv4 forwarding off": (host("sysctl -qw net.ipv4.ip_forward=0"), "net/ipv4/ip_forward"),
    "IPv6 forwarding off": (
        host("sysctl -qw net.ipv6.conf.all.forwarding=0"),
        "net/ipv6/conf/all/forwarding",
    ),
    "accept_ra on the bridge": (
        host("sysctl -qw net.ipv6.conf.br0.accept_ra=1"),
        "net/ipv6/conf/br0/accept_ra",
    ),
    "accept_ra on the port": (host("sysctl -qw net.ipv6.conf.{port}.accept_ra=1"), "{port}/accept_ra"),
    "address removed": (inside("ip addr del 10.1.2.2/24 dev eth0"), "10.1.2.2/24"),
    "address with another prefix": (
        lambda s: (
            s.inside("ip addr del 10.1.2.2/24 dev eth0"),
            s.inside("ip addr add 10.1.2.2/25 dev eth0"),
        ),
        "10.1.2.2/24",
    ),
    "address on another link": (
        lambda s: (
            s.inside("ip addr del 10.1.2.2/24 dev eth0"),
            s.inside("ip link add br7 up type bridge"),
            s.inside("ip addr add 10.1.2.2/24 dev br7"),
        ),
        "10.1.2.2/24",
    ),
    "IPv6 address removed": (inside("ip addr del 2001:db8:1::2/64 dev eth0"), "2001:db8:1::2/64"),
    "default route removed": (inside("ip route del default"), "0.0.0.0/0"),
    "default route by another gateway": (inside("ip route replace default via 10.1.2.9"), "0.0.0.0/0"),
    "IPv6 default route removed": (inside("ip -6 route del default"), "::/0"),
    "route removed": (inside("ip route del 10.50.0.0/16"), "10.50.0.0/16"),
    "route's gateway": (inside("ip route replace 10.50.0.0/16 via 10.1.2.9"), "10.50.0.0/16"),
    "route's metric": (
        lambda s: (
            s.inside("ip route del 10.51.0.0/16"),
            s.inside("ip route add 10.51.0.0/16 via 10.1.2.77 metric 51"),
        ),
        "10.51.0.0/16",
    ),
    "route's table": (
        lambda s: (
            s.inside("ip route del 10.52.0.0/16 table 100"),
            s.inside("ip route add 10.52.0.0/16 via 10.1.2.1"),
        ),
        "10.52.0.0/16",
    ),
    "route's MTU": (inside("ip route change 10.53.0.0/16 via 10.1.2.1 mtu 1300 advmss 1100"), "mtu"),
    "route's advmss": (inside("ip route change 10.53.0.0/16 via 10.1.2.1 mtu 1200 advmss 1000"), "advmss"),
    "on-link route by a gateway": (inside("ip route replace 10.54.0.0/16 via 10.1.2.1"), "10.54.0.0/16"),
    "one hop of a multipath route": (inside("ip route replace 10.55.0.0/16 via 10.1.2.78"), "10.55.0.0/16"),
    "IPv6 route removed": (inside("ip -6 route del 2001:db8:50::/48"), "2001:db8:50::/48"),
    "arp_notify": (inside("sysctl -qw net.ipv4.conf.eth0.arp_notify=0"), "arp_notify"),
    "ndisc_notify": (inside("sysctl -qw net.ipv6.conf.eth0.ndisc_notify=0"), "ndisc_notify"),
    "keep_addr_on_down": (inside("sysctl -qw net.ipv6.conf.eth0.keep_addr_on_down=0"), "keep_addr_on_down"),
    "masquerade and guard elements": (empty_sets_and_maps, "10.1.2.2"),
    "nftables flushed": (lambda s: s.nft("flush ruleset"), "10.1.2.2"),
    "address file gone": (forget_addresses, "ipam/net/10.1.2.2"),
}


@pytest.fixture
def scene(bench: Any, make: Any) -> Scene:
    bench.lab.allowed |= {"br0", "br9"}
    conf = make(
        "bridge",
        bridge="br0",
        isDefaultGateway=True,
        hairpinMode=True,
        portIsolation=True,
        macspoofchk=True,
        ipMasq=True,
        ipMasqBackend="nftables",
        ipam=bench.host_local("10.1.2.0/24", "2001:db8:1::/64", routes=ROUTES),
    )
    return Scene(bench, conf)


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_noticed(scene: Scene, refused: Any, what: str) -> None:
    scene.pod.check_both(scene.conf)
    change, named = CHANGES[what]
    change(scene)
    for recorded in (True, False):
        error = refused(102, scene.pod.check, scene.conf, recorded=recorded)
        assert named.format(port=scene.host_end) in str(error), (recorded, str(error))


def test_every_difference_is_in_the_details(scene: Scene, refused: Any) -> None:
    scene.inside("ip addr del 10.1.2.2/24 dev eth0")
    scene.host("bridge link set dev {port} hairpin off")
    scene.inside("ip link set eth0 mtu 1400")
    error = refused(102, scene.pod.check, scene.conf)
    assert all(word in error.details for word in ("10.1.2.2/24", "hairpin", "1400")), error.details
    assert "more)" in error.msg


@pytest.mark.parametrize("mode", ["promisc off"])
def test_promiscuous_mode(bench: Any, make: Any, refused: Any, mode: str) -> None:
    bench.lab.allowed.add("br0")
    pod, conf = bench.pod(), make("bridge", bridge="br0", promiscMode=True)
    pod.add(conf)
    pod.check_both(conf)
    bench.lab.ip("link", "set", "br0", *mode.split())
    for recorded in (True, False):
        assert "Promisc Mode" in refused(102, pod.check, conf, recorded=recorded).msg


HARMLESS: dict[str, Callable[[Scene], None]] = {
    "another address": inside("ip addr add 10.99.0.1/24 dev eth0"),
    "another route": inside("ip route add 10.98.0.0/16 via 10.1.2.1"),
    "another link": inside("ip link add br7 up type bridge"),
    "another metric of a route": inside("ip route add 10.50.0.0/16 via 10.1.2.1 metric 7"),
    "another bridge address": host("ip addr add 10.97.0.1/24 dev br0"),
    "another port": lambda s: (
        s.host("ip link add tmp1 type veth peer name tmp2"),
        s.host("ip link set tmp1 master br0"),
    ),
    "a sniffer on the bridge": host("ip link set br0 promisc on"),
    "another nftables table": lambda s: s.nft("add table inet other"),
    "a neighbour": inside("ip neigh add 10.1.2.9 lladdr 02:00:00:00:00:09 dev eth0"),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_others_add_is_no_difference(scene: Scene, what: str) -> None:
    scene.bench.lab.allowed |= {"tmp1", "tmp2"}
    HARMLESS[what](scene)
    scene.pod.check_both(scene.conf)


def test_a_later_plugin_may_change_mac_and_mtu_if_it_says_so(scene: Scene) -> None:
    scene.inside(f"ip link set eth0 address {MAC}")
    scene.inside("ip link set eth0 mtu 1400")
    for interface in scene.pod.result["interfaces"]:
        if interface["name"] == "eth0":
            interface |= {"mac": MAC, "mtu": 1400}
    scene.pod.check(scene.conf)


def test_the_namespace_must_be_the_one_of_the_result(scene: Scene, refused: Any) -> None:
    for interface in scene.pod.result["interfaces"]:
        if interface["name"] == "eth0":
            interface["sandbox"] = "/var/run/netns/other"
    for recorded in (True, False):
        error = refused(102, scene.pod.check, scene.conf, recorded=recorded)
        assert "doesn't match configured netns" in error.msg


def test_the_namespace_may_be_reached_by_another_path(scene: Scene) -> None:
    scene.pod.check_both(scene.conf, netns=f"/proc/self/fd/{scene.pod.netns.fd}")


def test_check_needs_the_previous_result_and_the_namespace(scene: Scene, refused: Any) -> None:
    error = refused(8, scene.pod.check, scene.conf, netns="/nowhere")
    assert 'failed to open netns "/nowhere"' in error.msg
    scene.pod.result = None
    assert "Required prevResult missing" in refused(7, scene.pod.check, scene.conf).msg
