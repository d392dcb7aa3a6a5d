"""The IPAM dhcp under bridge and macvlan, with real servers and with one that misbehaves."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multinet.cni.errors import CNIError
from multinet.core.desired import Owner
from multinet.delegates.dhcp import dhcp
from multinet.delegates.dhcp_conf import load
from multinet.delegates.dhcp_interface import PodInterfaces
from multinet.dhcp.client_values import Pace
from multinet.dhcp.keeper import Keeper
from multinet.ports import IpamRequest
from multinet.sdk import registry

from ..dhcp.servers import Dnsmasq, Kea, Script, ToldServer, lease, obliging, until

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
FIRST, LAST = "10.7.0.50", "10.7.0.60"
PACE = Pace(first=0.4, longest=1.0, jitter=0.1)


class Network:
    """What is at the other end of the host's ``up0``, and the keeper of leases, which can be restarted."""

    def __init__(self, bench: Any, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        self.netns = bench.uplink("up0")
        bench.lab.ip("addr", "add", "10.7.0.1/24", "dev", "wan0", netns=self.netns)
        self.servers: list[Any] = []
        self.keeper: Keeper | None = None
        self.start_keeper()

    def start_keeper(self) -> Keeper:
        self.keeper = Keeper(str(self.folder / "dhcp"), PodInterfaces(), PACE)
        self.keeper.start()
        dhcp.serve(self.keeper)
        return self.keeper

    def stop_keeper(self) -> None:
        dhcp.serve(None)
        if self.keeper is not None:
            self.keeper.stop()
            self.keeper = None

    def dnsmasq(self, *options: str, first: str = FIRST, last: str = LAST) -> Dnsmasq:
        return self._serving(
            Dnsmasq(self.netns, self.folder / f"dnsmasq{len(self.servers)}", "wan0", first, last, *options)
        )

    def kea(self, lifetime: int = 8, pool: str = f"{FIRST} - {LAST}", **more: Any) -> Kea:
        folder = self.folder / f"kea{len(self.servers)}"
        return self._serving(Kea(self.netns, folder, "wan0", "10.7.0.0/24", pool, lifetime, **more))

    def told(self, script: Script) -> ToldServer:
        return self._serving(ToldServer(self.netns, "wan0", script))

    def _serving(self, server: Any) -> Any:
        self.servers.append(server)
        return server

    def files(self) -> list[Path]:
        return sorted((self.folder / "dhcp").glob("*")) if (self.folder / "dhcp").exists() else []

    def record(self) -> Any:
        (file,) = [path for path in self.files() if path.suffix == ".json"]  # one may be in the making
        return json.loads(file.read_text())["record"]

    def close(self) -> None:
        for pod in self.bench.pods:
            if pod.attached is not None:
                pod.delete(pod.attached)
        assert self.files() == []
        self.stop_keeper()
        for server in self.servers:
            server.stop()


@pytest.fixture
def net(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    monkeypatch.setenv("MULTINET_SOCKET", str(tmp_path / "no.sock"))
    monkeypatch.setenv("MULTINET_SPOOL", str(tmp_path / "spool"))
    network = Network(bench, tmp_path)
    try:
        yield network
    finally:
        network.close()


@pytest.fixture
def macvlan(make: Any) -> Callable[..., Any]:
    def conf(version: str = "1.1.0", **ipam: Any) -> Any:
        return make("macvlan", version, master="up0", ipam={"type": "dhcp", **ipam})

    return conf


def bridged(net: Network, make: Any, **more: Any) -> Any:
    """A bridge's configuration; the bridge is the lab's own, with ``up0`` as a port."""
    lab = net.bench.lab
    lab.allowed.add("br0")
    lab.ip("link", "add", "br0", "type", "bridge")
    lab.ip("link", "set", "br0", "up")
    lab.ip("link", "set", "up0", "master", "br0")
    return make("bridge", bridge="br0", ipam={"type": "dhcp"}, **more)


def owner(pod: Any) -> Owner:
    return Owner("net", pod.container_id, pod.ifname)


def no_lease(net: Network, pod: Any) -> None:
    """Nothing is left of a failed ADD."""
    assert net.files() == [] and net.keeper is not None and net.keeper.held(owner(pod)) is None
    assert set(net.bench.lab.links(pod.netns)) == {"lo"}


# A lease and its life


@pytest.mark.parametrize("version", VERSIONS)
def test_the_result_in_every_version(net: Network, macvlan: Any, version: str) -> None:
    server = net.dnsmasq(
        "--dhcp-option=option:dns-server,10.7.0.9", "--dhcp-option=option:domain-search,a.example,b.a.example"
    )
    pod, conf = net.bench.pod(ifname="net1"), macvlan(version)
    result = pod.add(conf)
    (address,) = server.leases()
    routes = [{"dst": "0.0.0.0/0", "gw": "10.7.0.1"}]
    if version in ("0.1.0", "0.2.0"):
        assert result["ip4"] == {"ip": f"{address}/24", "gateway": "10.7.0.1", "routes": routes}
    else:
        (ip,) = result["ips"]
        assert (ip["address"], ip["gateway"], ip["interface"]) == (f"{address}/24", "10.7.0.1", 0)
        assert result["routes"] == routes
    assert result["dns"] == {"nameservers": ["10.7.0.9"], "search": ["a.example", "b.a.example"]}
    assert pod.addresses() == [f"{address}/24"] and pod.ping("10.7.0.1")
    if version >= "0.4.0":
        pod.check_both(conf)
    (file,) = net.files()
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    pod.delete(conf)
    until(lambda: server.leases() == [], "the RELEASE to arrive")
    no_lease(net, pod)
    pod.delete(conf)
    pod.delete(conf, netns="")


def test_a_bridge_and_each_interface_its_own_lease(net: Network, make: Any) -> None:
    server, conf = net.dnsmasq(), bridged(net, make, isDefaultGateway=False)
    first = net.bench.pod("same", "net1")
    second = net.bench.pod("same", "net2", netns=first.netns)
    first.add(conf)
    second.add(conf)
    assert sorted(server.leases()) == sorted([first.addresses()[0][:-3], second.addresses()[0][:-3]])
    assert first.ping("10.7.0.1")
    first.check_both(conf)
    first.delete(conf)
    until(lambda: server.leases() == [second.addresses()[0][:-3]], "one RELEASE")
    second.check_both(conf)


def test_an_add_repeated_is_answered_from_what_is_held(net: Network, macvlan: Any, bench: Any) -> None:
    server, pod, conf = net.told(obliging()), bench.pod(), macvlan()
    pod.add(conf)
    assert server.kinds() == ["DISCOVER", "REQUEST"]
    ipam_call = pod.call("ADD", {**conf, "type": "dhcp"})
    plugin = registry.plugin("dhcp")
    assert plugin is not None
    outcome = plugin.add(ipam_call, bench.node())
    assert outcome.result["ips"][0]["address"] == "10.7.0.50/24" and "interfaces" not in outcome.result
    assert server.kinds() == ["DISCOVER", "REQUEST"]


def test_renewed_by_unicast(net: Network, macvlan: Any) -> None:
    server, pod, conf = net.told(obliging(lease(4))), net.bench.pod(), macvlan()
    pod.add(conf)
    before = net.record()["lease"]["expiry"]
    renewal = until(lambda: server.seen[2:3], "a renewal")[0]
    assert (renewal.kind, renewal.ciaddr, renewal.from_ip) == ("REQUEST", "10.7.0.50", "10.7.0.50")
    assert (renewal.to_ip, renewal.to_mac) == ("10.7.0.1", server.mac)
    assert 50 not in renewal.options and 54 not in renewal.options
    until(lambda: net.record()["lease"]["expiry"] > before, "a later expiry on disk")
    assert net.keeper is not None and net.keeper.held(owner(pod)) is not None
    pod.check_both(conf)


def test_kea_renews_and_gets_the_release(net: Network, macvlan: Any) -> None:
    server, pod, conf = net.kea(lifetime=4), net.bench.pod(), macvlan()
    pod.add(conf)
    (address,) = server.leases()
    time.sleep(6)
    assert server.leases() == [address] and pod.addresses() == [f"{address}/24"]
    assert server.log.read_text().count("DHCP4_LEASE_ALLOC") >= 3
    pod.check_both(conf)
    pod.delete(conf)
    until(lambda: "DHCP4_RELEASE " in server.log.read_text(), "the RELEASE to arrive")
    assert server.leases() == []


def test_rebound_when_another_server_takes_over(net: Network, macvlan: Any) -> None:
    first, pod, conf = net.kea(lifetime=8), net.bench.pod(), macvlan()
    pod.add(conf)
    before = pod.addresses()
    first.stop()
    second = net.dnsmasq("--dhcp-authoritative")
    until(lambda: second.leases() == [before[0][:-3]], "the second server to extend the lease")
    assert pod.addresses() == before
    pod.check_both(conf)


def test_another_address_is_set_in_place_of_the_old(net: Network, make: Any) -> None:
    """The next server has another pool and says NAK; the default route is the bridge plugin's own."""
    conf = bridged(net, make, isDefaultGateway=False)
    first, pod = net.told(obliging(lease(4, o3=socket.inet_aton("10.7.0.1")))), net.bench.pod()
    pod.add(conf)
    pod.ip("route", "add", "192.0.2.0/24", "via", "10.7.0.1", "metric", "7")

    def moved(server: ToldServer, seen: Any) -> None:
        if seen.kind == "REQUEST" and seen.ciaddr == "10.7.0.50":
            server.answer(seen, 6, {56: b"not here any more"})
        else:
            obliging(lease(60, o3=socket.inet_aton("10.7.0.2")), address="10.7.0.70")(server, seen)

    first.script = moved
    until(lambda: pod.addresses() == ["10.7.0.70/24"], "the new address")
    routes = {(r["dst"], r.get("gateway")) for r in pod.ip("-4", "route")}
    assert routes == {
        ("default", "10.7.0.2"),
        ("192.0.2.0/24", "10.7.0.2"),
        ("10.7.0.0/24", None),
    }
    with pytest.raises(CNIError) as caught:
        pod.check(conf)
    assert caught.value.code == 102 and "10.7.0.70/24" in str(caught.value)


def test_the_address_goes_when_the_lease_ends_and_comes_back(net: Network, macvlan: Any) -> None:
    server, pod, conf = (
        net.told(obliging(lease(3, o3=socket.inet_aton("10.7.0.1")))),
        net.bench.pod(),
        macvlan(),
    )
    pod.add(conf)
    server.script = lambda server, seen: None
    until(lambda: pod.addresses() == [], "the address to go")
    assert net.record()["lease"] is None
    with pytest.raises(CNIError) as caught:
        pod.check(conf)
    assert "another is being asked for" in str(caught.value)
    server.script = obliging(lease(60, o3=socket.inet_aton("10.7.0.1")))
    until(lambda: pod.addresses() == ["10.7.0.50/24"], "the address to come back")
    pod.check_both(conf)


@pytest.mark.parametrize("asleep", [0.0, 4.0])
def test_a_restart_takes_leases_up_again(net: Network, macvlan: Any, asleep: float) -> None:
    """While they run they are renewed; ended ones are asked for again (INIT-REBOOT)."""
    server, pod, conf = net.told(obliging(lease(3))), net.bench.pod(), macvlan()
    pod.add(conf)
    net.stop_keeper()
    heard = len(server.seen)
    time.sleep(asleep)
    assert len(server.seen) == heard
    net.start_keeper()
    again = until(lambda: server.seen[heard:], "a renewal")[0]
    assert again.kind == "REQUEST" and (50 in again.options) == bool(asleep)
    until(lambda: net.record()["lease"] and pod.addresses(), "the lease")
    pod.check_both(conf)
    pod.delete(conf)
    assert until(lambda: "RELEASE" in server.kinds(), "a RELEASE")


def test_a_restart_drops_what_is_gone(net: Network, macvlan: Any) -> None:
    net.told(obliging())
    pod, conf = net.bench.pod(), macvlan()
    pod.add(conf)
    net.stop_keeper()
    net.bench.lab.ip("link", "del", pod.ifname, netns=pod.netns)
    net.start_keeper()
    assert net.files() == []
    pod.delete(conf)


def test_a_link_that_goes_ends_the_lease(net: Network, macvlan: Any) -> None:
    net.told(obliging(lease(2)))
    pod, conf = net.bench.pod(), macvlan()
    pod.add(conf)
    net.bench.lab.ip("link", "del", pod.ifname, netns=pod.netns)
    until(lambda: net.files() == [], "the lease to be dropped")
    pod.delete(conf)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_mac_that_changes_later(net: Network, make: Any, restarted: bool) -> None:
    """As a chained tuning plugin changes it: it is the same interface, since it has the address."""
    server, pod, conf = net.told(obliging(lease(3))), net.bench.pod(), bridged(net, make)
    pod.add(conf)
    pod.ip("link", "set", "eth0", "address", "02:00:00:00:00:77")
    if restarted:
        net.stop_keeper()
        net.start_keeper()
    before = net.record()["lease"]["expiry"]
    until(lambda: net.record()["lease"]["expiry"] > before, "a renewal")
    renewal = server.seen[2]
    assert renewal.message[28:34] == bytes.fromhex("020000000077") and renewal.from_mac == "02:00:00:00:00:77"
    assert net.record()["place"]["mac"] == "02:00:00:00:00:77"


def test_gc_gives_back_what_is_not_valid(net: Network, make: Any) -> None:
    server, conf = net.dnsmasq(), bridged(net, make)
    kept, stale = net.bench.pod(), net.bench.pod()
    kept.add(conf)
    stale.add(conf)
    ipam = {
        **conf,
        "type": "dhcp",
        "cni.dev/valid-attachments": [{"containerID": kept.container_id, "ifname": "eth0"}],
    }
    plugin = registry.plugin("dhcp")
    assert plugin is not None
    plugin.gc(kept.call("GC", ipam), net.bench.node())
    until(lambda: server.leases() == [kept.addresses()[0][:-3]], "one lease to be left")
    other = {**ipam, "name": "another", "cni.dev/valid-attachments": []}
    plugin.gc(kept.call("GC", other), net.bench.node())
    kept.check_both(conf)


# What goes wrong


def test_a_silent_server(net: Network, macvlan: Any, refused: Any) -> None:
    server, pod = net.told(lambda server, seen: None), net.bench.pod()
    error = refused(11, pod.add, macvlan(), deadline=time.monotonic() + 3)
    assert "no more tries" in error.msg and "eth0" in error.msg and "heard nothing" in error.msg
    assert "DISCOVER" in error.msg and set(server.kinds()) == {"DISCOVER"} and len(server.seen) > 1
    assert len({seen.xid for seen in server.seen}) == 1
    no_lease(net, pod)


@pytest.mark.parametrize(
    "rubbish", ["no End", "wrong xid", "wrong chaddr", "no server", "no address", "noise"]
)
def test_rubbish_is_not_taken_for_an_offer(net: Network, macvlan: Any, refused: Any, rubbish: str) -> None:
    def script(server: ToldServer, seen: Any) -> None:
        match rubbish:
            case "no End":
                server.answer(seen, 2, lease(), end=False)
            case "wrong xid":
                server.answer(seen, 2, lease(), xid=b"\1\2\3\4")
            case "wrong chaddr":
                server.answer(seen, 2, lease(), mac="02:00:00:00:00:01")
            case "no server":
                server.answer(seen, 2, {**lease(), 54: None})  # type: ignore[dict-item]
            case "no address":
                server.answer(seen, 2, lease(), address="0.0.0.0")
            case "noise":
                server.answer(seen, 2, {**lease(), 43: os.urandom(200)}, end=False, xid=os.urandom(4))

    server, pod = net.told(script), net.bench.pod()
    error = refused(11, pod.add, macvlan(), deadline=time.monotonic() + 2)
    assert set(server.kinds()) == {"DISCOVER"}
    if rubbish in ("no End", "noise"):
        assert "malformed messages" in error.msg
    no_lease(net, pod)


def test_an_ack_of_another_server_or_without_a_mask(net: Network, macvlan: Any, refused: Any) -> None:
    def script(server: ToldServer, seen: Any) -> None:
        if seen.kind == "DISCOVER":
            server.answer(seen, 2, lease())
        elif seen.kind == "REQUEST":
            server.answer(seen, 5, lease(), server="10.7.0.99", address="10.7.0.66")
            server.answer(seen, 5, {51: b"\0\0\1\0"})

    server, pod = net.told(script), net.bench.pod()
    error = refused(101, pod.add, macvlan())
    assert "DHCP option Subnet Mask not found in DHCPACK" in error.msg
    until(lambda: "RELEASE" in server.kinds(), "a RELEASE")
    no_lease(net, pod)


def test_a_nak_is_told(net: Network, macvlan: Any, refused: Any) -> None:
    def script(server: ToldServer, seen: Any) -> None:
        server.answer(seen, 2 if seen.kind == "DISCOVER" else 6, {**lease(), 56: b"go away"})

    server, pod = net.told(script), net.bench.pod()
    error = refused(11, pod.add, macvlan(), deadline=time.monotonic() + 3)
    assert "server 10.7.0.1 answered NAK: go away" in error.msg
    assert server.kinds().count("REQUEST") >= 2 and "RELEASE" not in server.kinds()
    no_lease(net, pod)


def test_a_caller_that_hangs_up(net: Network, macvlan: Any, refused: Any) -> None:
    gone = threading.Event()
    server, pod = net.told(lambda server, seen: gone.set()), net.bench.pod()
    refused(108, pod.add, macvlan(), cancelled=gone.is_set)
    heard = len(server.seen)
    no_lease(net, pod)
    time.sleep(1.5)
    assert len(server.seen) == heard


def test_a_del_ends_an_acquisition(net: Network, macvlan: Any, refused: Any) -> None:
    server, pod, conf = net.told(lambda server, seen: None), net.bench.pod(), macvlan()
    thread = threading.Thread(target=lambda: (until(lambda: server.seen, "a DISCOVER"), pod.delete(conf)))
    thread.start()
    error = refused(108, pod.add, conf)
    thread.join()
    assert "DEL" in error.msg
    no_lease(net, pod)


def test_del_without_namespace_and_of_strangers(net: Network, macvlan: Any) -> None:
    server, pod, conf = net.told(obliging()), net.bench.pod(), macvlan()
    pod.add(conf)
    pod.delete({**conf, "ipam": {"type": "dhcp", "provide": "rubbish"}}, netns="", recorded=False)
    assert net.files() == []
    until(lambda: "RELEASE" in server.kinds(), "a RELEASE")
    net.bench.lab.ip("link", "del", "eth0", netns=pod.netns)  # nobody could say which namespace it was in
    stranger = net.bench.pod()
    stranger.delete(conf)
    stranger.delete(conf)


def test_a_lease_that_cannot_be_written(net: Network, macvlan: Any, refused: Any) -> None:
    """Nobody would renew it after a restart, so nobody gets it."""
    server, pod = net.told(obliging()), net.bench.pod()
    (net.folder / "dhcp").write_text("a file where a folder should be")
    try:
        assert "cannot be written" in refused(5, pod.add, macvlan()).msg
    finally:
        (net.folder / "dhcp").unlink()
    until(lambda: "RELEASE" in server.kinds(), "a RELEASE")
    no_lease(net, pod)


def test_a_path_that_leads_elsewhere_here(net: Network, macvlan: Any, tmp_path: Path) -> None:
    """The daemon has the namespace by its descriptor only: it keeps it as long as the lease."""
    server, pod, conf = net.told(obliging(lease(3))), net.bench.pod(), macvlan()
    node = net.bench.node()
    node.netns = pod.netns
    plugin = registry.plugin("macvlan")
    assert plugin is not None
    outcome = plugin.add(pod.call("ADD", conf, netns=str(tmp_path / "unknown")), node)
    until(lambda: len(server.seen) > 3, "renewals")
    plugin.delete(pod.call("DEL", conf, netns=""), node, outcome.items)
    until(lambda: "RELEASE" in server.kinds(), "a RELEASE")


def test_concurrent_dels(net: Network, macvlan: Any) -> None:
    server, pod, conf = net.told(obliging()), net.bench.pod(), macvlan()
    pod.add(conf)
    request = {"recorded": False}
    threads = [threading.Thread(target=pod.delete, args=(conf,), kwargs=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: server.kinds().count("RELEASE") == 1, "one RELEASE")
    no_lease(net, pod)


# What the server sees


def test_what_is_sent(net: Network, macvlan: Any) -> None:
    server, pod = net.told(obliging()), net.bench.pod(ifname="net1")
    conf = macvlan(
        provide=[
            {"option": "host-name", "value": "x", "fromArg": "K8S_POD_NAME"},
            {"option": "user-class", "hex": "03:61:62:63"},
            {"option": "60", "value": "multinet", "fromArg": "ABSENT"},
            {"option": "43", "fromArg": "ABSENT"},
        ],
        request=[{"option": "42"}, {"option": "routers"}],
    )
    pod.add(conf, args="IgnoreUnknown=1;K8S_POD_NAME=web-0")
    discover, request = server.seen
    wanted = bytes((42, 3, 121, 249, 1, 33, 6, 15, 26, 119))
    ident = b"\0" + f"{pod.container_id}/net/net1".encode()
    shared = {55: wanted, 61: ident, 12: b"web-0", 77: b"\3abc", 60: b"multinet", 57: b"\x05\xdc"}
    assert discover.options == {53: b"\1", **shared}
    assert request.options == {
        53: b"\3",
        50: socket.inet_aton("10.7.0.50"),
        54: socket.inet_aton("10.7.0.1"),
        **shared,
    }
    assert list(request.options) == sorted(request.options) and len(request.message) >= 300
    assert request.xid == discover.xid
    assert (request.to_ip, request.from_ip, request.to_mac) == (
        "255.255.255.255",
        "0.0.0.0",
        "ff:ff:ff:ff:ff:ff",
    )
    assert discover.flags == 0
    pod.delete(conf)
    until(lambda: server.kinds() == ["DISCOVER", "REQUEST", "RELEASE"], "a RELEASE")
    release = server.seen[2]
    assert release.options == {53: b"\7", 54: socket.inet_aton("10.7.0.1"), 61: ident}
    assert (release.ciaddr, release.to_ip, release.to_mac) == ("10.7.0.50", "10.7.0.1", server.mac)


def test_the_id_that_was_provided_is_released(net: Network, macvlan: Any) -> None:
    server, pod = net.told(obliging()), net.bench.pod()
    conf = macvlan(provide=[{"option": "dhcp-client-identifier", "value": "me"}], broadcast=True)
    pod.add(conf)
    pod.delete(conf)
    until(lambda: len(server.seen) == 3, "a RELEASE")
    assert [seen.options[61] for seen in server.seen] == [b"me"] * 3
    assert [seen.flags for seen in server.seen] == [0x8000, 0x8000, 0]


@pytest.mark.parametrize("kind", ["mac", "pod"])
def test_other_ids(net: Network, macvlan: Any, kind: str) -> None:
    server, pod = net.told(obliging()), net.bench.pod()
    pod.add(macvlan(clientId=kind), args="IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0")
    by_mac = b"\1" + bytes.fromhex(pod.link()["address"].replace(":", ""))
    assert server.seen[0].options[61] == (by_mac if kind == "mac" else b"\0default/web-0/net/eth0")


def test_routes_mtu_and_priority(net: Network, macvlan: Any) -> None:
    classless = bytes((24, 192, 0, 2, 10, 7, 0, 9, 0, 10, 7, 0, 8, 16, 172, 20, 0, 0, 0, 0))
    options = lease(o3=socket.inet_aton("10.7.0.1"), o249=classless, o26=b"\x05\x14", o33=b"\1" * 8)
    net.told(obliging(options))
    pod, conf = net.bench.pod(), macvlan(priority=77)
    result = pod.add(conf)
    assert result["routes"] == [
        {"dst": "192.0.2.0/24", "gw": "10.7.0.9", "priority": 77, "mtu": 1300},
        {"dst": "0.0.0.0/0", "gw": "10.7.0.8", "priority": 77, "mtu": 1300},
        {"dst": "172.20.0.0/16", "gw": "0.0.0.0", "priority": 77, "mtu": 1300, "scope": 253},
    ]
    routes = {(r["dst"], r.get("gateway"), r.get("metric")) for r in pod.ip("-4", "route")}
    assert routes >= {
        ("192.0.2.0/24", "10.7.0.9", 77),
        ("default", "10.7.0.8", 77),
        ("172.20.0.0/16", None, 77),
    }
    pod.check_both(conf)


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0"])
def test_check_of_a_route_on_the_link(net: Network, macvlan: Any, version: str) -> None:
    """Results before 1.0.0 have the router 0.0.0.0 and no scope to say so."""
    net.told(obliging(lease(o121=bytes((16, 172, 20, 0, 0, 0, 0)))))
    pod, conf = net.bench.pod(), macvlan(version)
    result = pod.add(conf)
    assert result["routes"][0]["gw"] == "0.0.0.0"
    pod.check_both(conf)
    pod.ip("route", "del", "172.20.0.0/16")
    with pytest.raises(CNIError, match=r"172\.20\.0\.0/16"):
        pod.check(conf, recorded=False)


def test_an_option_that_is_needed(net: Network, macvlan: Any, refused: Any) -> None:
    net.told(obliging())
    error = refused(101, net.bench.pod().add, macvlan(request=[{"option": "42", "optional": False}]))
    assert "options 42" in error.msg


def ipvlan_or_not(kind: str, said: bool | None) -> bool:
    conf = {"cniVersion": "1.1.0", "name": "net", "ipam": {"type": "dhcp"}}
    if said is not None:
        conf["ipam"]["broadcast"] = said  # type: ignore[index]
    plan = load(IpamRequest(conf=conf, owner=Owner("net", "c", "eth0")))
    return plan.identity("02:00:00:00:00:01", kind, 1500).broadcast


@pytest.mark.parametrize(
    ("kind", "said", "broadcast"),
    [
        ("veth", None, False),
        ("macvlan", None, False),
        ("ipvlan", None, True),
        ("ipvlan", False, False),
        ("veth", True, True),
    ],
)
def test_who_shares_a_mac_asks_for_broadcasts(kind: str, said: bool | None, broadcast: bool) -> None:
    assert ipvlan_or_not(kind, said) is broadcast


@pytest.mark.needs_kind("ipvlan")
def test_two_leases_over_one_mac(net: Network, make: Any) -> None:
    server, results = net.dnsmasq(), []
    plugin = registry.plugin("dhcp")
    assert plugin is not None
    pods = [net.bench.pod(), net.bench.pod()]
    conf = make("dhcp", ipam={"type": "dhcp"})
    for number, pod in enumerate(pods):
        lab = net.bench.lab
        lab.ip(
            "link",
            "add",
            f"ipv{number}",
            "link",
            "up0",
            "netns",
            pod.netns.path,
            "type",
            "ipvlan",
            "mode",
            "l2",
        )
        lab.ip("link", "set", f"ipv{number}", "name", "eth0", netns=pod.netns)
        results.append(plugin.add(pod.call("ADD", conf), net.bench.node()).result["ips"][0]["address"])
    assert len(set(results)) == 2 and sorted(server.leases()) == sorted(r[:-3] for r in results)
    for pod in pods:
        plugin.delete(pod.call("DEL", conf), net.bench.node(), None)
    until(lambda: server.leases() == [], "both to be given back")


def test_long_ids_stay_apart() -> None:
    """The reference plugin cuts the interface's name off."""
    ids = set()
    for ifname in ("net1", "net2"):
        request = IpamRequest(conf={"ipam": {"type": "dhcp"}}, owner=Owner("n" * 300, "c", ifname))
        found = load(request).client_id
        assert found is not None and len(found) <= 255
        ids.add(found)
    assert len(ids) == 2


def test_nothing_is_asked_for_but_what_is_listed() -> None:
    def wanted(*entries: Any) -> bytes:
        conf = {"ipam": {"type": "dhcp", "request": list(entries)}}
        return load(IpamRequest(conf=conf, owner=Owner("net", "c", "eth0"))).wanted

    assert wanted({"option": "routers", "skipDefault": True}, {"option": "42"}, {"option": "3"}) == bytes(
        (3, 42)
    )
    assert wanted({"skipDefault": True}) == b""
    assert wanted({"skipDefault": False}) == wanted() == bytes((121, 249, 1, 3, 33, 6, 15, 26, 119))


# Configurations


BAD = {
    "provide": [("$.ipam.provide", "rubbish"), ("$.ipam.provide[0].option", [{"option": 12}])]
    + [
        ("$.ipam.provide[0].option", [{"option": name, "value": "x"}])
        for name in ("nope", "0", "255", "256", "", "53", "54", "-1")
    ]
    + [("$.ipam.provide[0].option", [{"value": "x"}])]
    + [("$.ipam.provide[0].value", [{"option": "12", "value": 1}])]
    + [("$.ipam.provide[0]", [{"option": "12", "value": "x" * 256}])]
    + [("$.ipam.provide[0].hex", [{"option": "12", "hex": digits}]) for digits in ("0", "xy", "::")]
    + [("$.ipam.provide[0].hex", [{"option": "12", "hex": "00", "value": "x"}])]
    + [("$.ipam.provide[0].hex", [{"option": "12", "hex": "00", "fromArg": "x"}])]
    + [("$.ipam.provide[1].option", [{"option": "12", "value": "x"}, {"option": "host-name", "value": "y"}])],
    "request": [
        ("$.ipam.request", {}),
        ("$.ipam.request[0].option", [{"option": "dns"}]),
        ("$.ipam.request[0].option", [{"option": 6}]),
        ("$.ipam.request[0].option", [{"option": "256"}]),
        ("$.ipam.request[0].skipDefault", [{"skipDefault": "yes"}]),
        ("$.ipam.request[0].optional", [{"optional": False}]),
    ],
    "priority": [("$.ipam.priority", value) for value in (-1, 1 << 32, "1", 1.5)],
    "broadcast": [("$.ipam.broadcast", "yes")],
    "clientId": [("$.ipam.clientId", "hash"), ("$.ipam.clientId", 1), ("$.ipam.clientId", "pod")],
    "daemonSocketPath": [("$.ipam.daemonSocketPath", 1)],
}


@pytest.mark.parametrize(
    ("key", "path", "value"), [(key, *case) for key, cases in BAD.items() for case in cases]
)
def test_faults_name_their_place(
    net: Network, macvlan: Any, refused: Any, key: str, path: str, value: Any
) -> None:
    server, pod = net.told(obliging()), net.bench.pod()
    error = refused(7, pod.add, macvlan(**{key: value}))
    assert error.msg.startswith(f"{path}: "), error.msg
    assert server.seen == []
    no_lease(net, pod)


def test_the_text_for_an_unknown_option(net: Network, macvlan: Any, refused: Any) -> None:
    error = refused(7, net.bench.pod().add, macvlan(request=[{"option": "x"}]))
    words = 'Can not parse option "x": Can not parse option: strconv.ParseUint: parsing "x": invalid syntax'
    assert words in error.msg


def test_no_ipam_object(net: Network, bench: Any, make: Any, refused: Any) -> None:
    plugin, pod = registry.plugin("dhcp"), bench.pod()
    assert plugin is not None
    conf = make("dhcp")
    assert "IPAM config missing 'ipam' key" in refused(7, plugin.add, pod.call("ADD", conf), bench.node()).msg
    missing = {**conf, "ipam": {"type": "dhcp"}}
    assert '"eth0" not found' in refused(100, plugin.add, pod.call("ADD", missing), bench.node()).msg


# Who keeps the lease


def test_status(net: Network, macvlan: Any, refused: Any) -> None:
    plugin, pod = registry.plugin("dhcp"), net.bench.pod()
    assert plugin is not None
    call = pod.call("STATUS", {**macvlan(), "type": "dhcp"})
    plugin.status(call, net.bench.node())
    net.stop_keeper()
    assert "multinet daemon" in refused(50, plugin.status, call, net.bench.node()).msg


def test_outside_the_daemon_there_is_no_keeper(net: Network, macvlan: Any, refused: Any) -> None:
    net.told(obliging())
    pod, conf = net.bench.pod(), macvlan()
    net.stop_keeper()
    error = refused(11, pod.add, conf)
    assert "nobody would renew" in error.msg and 'start it with "multinet daemon"' in error.msg
    assert set(net.bench.lab.links(pod.netns)) == {"lo"}
    pod.delete(conf)
    assert len(list((net.folder / "spool").iterdir())) == 2  # the undo's and this one
    net.start_keeper()


def test_a_plain_executable_hands_its_work_to_the_daemon(net: Network, macvlan: Any, tmp_path: Path) -> None:
    """The daemon and ``bridge``'s like as processes of the lab's host."""
    server = net.dnsmasq()
    net.stop_keeper()
    path = str(tmp_path / "d.sock")
    (tmp_path / "manifests").mkdir()
    inside = ("nsenter", f"--net={net.bench.lab.host.path}")
    env = {**os.environ, "MULTINET_SOCKET": path, "PYTHONPATH": os.getcwd()}
    log = tmp_path / "daemon.log"

    def start() -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", "multinet", "daemon", "--socket", path)
        folders = ("--state-dir", str(tmp_path / "state"), "--manifests", str(tmp_path / "manifests"))
        log.write_text("")
        with log.open("ab") as output:
            daemon = subprocess.Popen([*inside, *command, *folders], env=env, stdout=output, stderr=output)
        until(lambda: "serving on" in log.read_text() or daemon.poll() is not None, "the daemon to serve")
        assert daemon.poll() is None, log.read_text()
        return daemon

    daemon = start()
    try:
        pod, conf = net.bench.pod(), macvlan()

        def call(verb: str, conf: Any) -> Any:
            variables = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
            variables |= {"CNI_NETNS": pod.netns.path, "CNI_PATH": "/nowhere"}
            program = "from multinet.cli.plugin import main; main('macvlan')"
            done = subprocess.run(
                [*inside, sys.executable, "-c", program],
                env={**env, **variables},
                input=json.dumps(conf),
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr + log.read_text()
            return json.loads(done.stdout) if done.stdout else None

        result = call("ADD", conf)
        (address,) = server.leases()
        assert result["ips"][0]["address"] == f"{address}/24"
        assert len(list((tmp_path / "state" / "dhcp").iterdir())) == 1
        call("CHECK", {**conf, "prevResult": result})
        daemon.kill()
        daemon.wait()
        daemon = start()
        assert "1 leases taken up again" in log.read_text()
        call("CHECK", {**conf, "prevResult": result})
        call("DEL", conf)
        until(lambda: server.leases() == [], "the RELEASE to arrive")
        assert list((tmp_path / "state" / "dhcp").iterdir()) == []
    finally:
        daemon.terminate()
        daemon.wait()
        net.start_keeper()
