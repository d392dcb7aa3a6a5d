"""Ours and the reference Go plugins on one host: each checks and deletes what the other made, and address managers
and plugins of both kinds are mixed. That equal configurations give equal results is in tests/differential.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from multinet.adapters.installation import write_standalone
from multinet.cni.conf import NetworkList
from multinet.cni.runtime import Container, Runtime

GO = "/usr/lib/cni"
Json = dict[str, Any]
V4, V6 = "10.1.2.0/24", "2001:db8:1::/64"
MAC = "02:00:00:00:00:77"
DNS = {"nameservers": ["10.0.0.53"], "domain": "example", "search": ["a.example"], "options": ["ndots:2"]}

pytestmark = pytest.mark.reference


class Failed(Exception):
    """A plugin printed an error."""


class Executables:
    """Plugins as processes on one host of the lab."""

    def __init__(self, bench: Any, folders: str = GO) -> None:
        self.bench, self.folders = bench, folders

    def run(self, verb: str, pod: Any, conf: Json, args: str = "", plugin: str = "") -> Json:
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": pod.container_id,
            "CNI_IFNAME": pod.ifname,
            "CNI_NETNS": pod.netns.path,
            "CNI_PATH": self.folders,
            "CNI_ARGS": args,
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        executable = plugin or f"{GO}/{conf['type']}"
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.bench.lab.host.fd}", executable],
            input=json.dumps(conf).encode(),
            env=environ,
            capture_output=True,
        )
        output: Json = json.loads(done.stdout) if done.stdout.strip() else {}
        if done.returncode:
            raise Failed(output.get("msg", "") + output.get("details", ""))
        return output


def static(*addresses: str, **more: Any) -> Json:
    listed = []
    for address in addresses:
        cidr, _, gateway = address.partition(" ")
        listed.append({"address": cidr} | ({"gateway": gateway} if gateway else {}))
    return {"type": "static", "addresses": listed, **more}


def ranges(*subnets: str, **more: Any) -> Json:
    return {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in subnets], **more}


ROUTES = [{"dst": "10.50.0.0/16"}, {"dst": "10.51.0.0/16", "gw": "10.1.2.9"}, {"dst": "0.0.0.0/0"}]
BRIDGE: dict[str, Json] = {
    "L2": {},
    "v4": {"ipam": ranges(V4)},
    "v6": {"ipam": ranges(V6)},
    "dual": {"ipam": ranges(V4, V6)},
    "gateway v4": {"isGateway": True, "ipam": ranges(V4)},
    "gateway v6": {"isGateway": True, "ipam": ranges(V6)},
    "default gateway": {"isDefaultGateway": True, "ipam": ranges(V4)},
    "default gateway dual": {"isDefaultGateway": True, "ipam": ranges(V4, V6)},
    "default gateway with default route": {
        "isDefaultGateway": True,
        "ipam": ranges(V4, routes=[{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}]),
    },
    "routes": {"ipam": ranges(V4, routes=ROUTES)},
    "routes and gateway": {"isGateway": True, "ipam": ranges(V4, routes=ROUTES)},
    "several ranges": {"ipam": ranges(V4, "10.9.0.0/16")},
    "static": {"ipam": static("10.1.2.33/24 10.1.2.1", routes=[{"dst": "0.0.0.0/0"}])},
    "static twice": {"isGateway": True, "ipam": static("10.1.2.33/24", "10.1.2.34/24")},
    "static dual": {
        "isDefaultGateway": True,
        "ipam": static("10.1.2.33/24 10.1.2.254", "2001:db8:1::33/64"),
    },
    "own dns": {"dns": DNS, "ipam": static("10.1.2.33/24", dns={"domain": "other"})},
    "own dns L2": {"dns": DNS},
    "empty dns": {
        "dns": {"nameservers": [], "search": [], "options": []},
        "ipam": static("10.1.2.33/24", dns=DNS),
    },
    "mtu": {"mtu": 1400, "ipam": ranges(V4)},
    "hairpin": {"hairpinMode": True, "ipam": ranges(V4)},
    "promisc": {"promiscMode": True, "ipam": ranges(V4)},
    "mac": {"runtimeConfig": {"mac": MAC}, "ipam": ranges(V4)},
    "mac by argument": {"+args": f"IgnoreUnknown=1;MAC={MAC}", "ipam": ranges(V4)},
    "any case": {"ISGATEWAY": True, "RuntimeConfig": {"mac": MAC}, "ipam": ranges(V4)},
    "masquerade": {"isGateway": True, "ipMasq": True, "ipam": ranges(V4)},
    "bridge that is there": {
        "+before": ["ip link add br0 up type bridge"],
        "isGateway": True,
        "ipam": ranges(V4),
    },
    "gateway that is there": {
        "+before": ["ip link add br0 up type bridge", "ip addr add 10.1.2.1/24 dev br0"],
        "isGateway": True,
        "ipam": ranges(V4),
    },
    "forced address": {
        "+before": ["ip link add br0 up type bridge", "ip addr add 10.7.0.1/16 dev br0"],
        "isGateway": True,
        "forceAddress": True,
        "ipam": ranges(V4),
    },
}
MACVLAN: dict[str, Json] = {
    "L2": {},
    **{
        f"mode {mode}": {"mode": mode, "ipam": ranges(V4)}
        for mode in ("bridge", "private", "vepa", "passthru")
    },
    "v6": {"ipam": ranges(V6)},
    "dual": {"ipam": ranges(V4, V6)},
    "routes": {"ipam": ranges(V4, routes=ROUTES)},
    "static": {"ipam": static("10.1.2.33/24 10.1.2.1", "10.9.0.3/16", routes=[{"dst": "0.0.0.0/0"}])},
    "mtu": {"mtu": 1400, "ipam": ranges(V4)},
    "mac": {"mac": MAC, "ipam": ranges(V4)},
    "mac by runtime": {"mac": "02:00:00:00:00:01", "runtimeConfig": {"mac": MAC}, "ipam": ranges(V4)},
    "mac by argument": {"+args": f"IgnoreUnknown=1;MAC={MAC}", "ipam": ranges(V4)},
    "own dns": {"dns": DNS, "ipam": ranges(V4)},
    "default route's master": {"master": "", "+before": ["ip route add default dev up0"], "ipam": ranges(V4)},
}
CROSSED = [("bridge", what) for what in BRIDGE if "ipam" in BRIDGE[what]]
CROSSED += [("macvlan", what) for what in MACVLAN if "ipam" in MACVLAN[what]]


class Case:
    """One configuration on one host."""

    def __init__(self, bench: Any, kind: str, what: str, version: str) -> None:
        options = {"bridge": BRIDGE, "macvlan": MACVLAN}.get(kind, {}).get(what, {})
        self.bench, self.args = bench, options.get("+args", "")
        bench.lab.allowed.add("br0")
        bench.uplink("up0")
        for command in options.get("+before", ()):
            bench.lab.run(*command.split())
        own = {"bridge": {"bridge": "br0"}, "macvlan": {"master": "up0"}}.get(kind, {})
        chosen = {key: value for key, value in options.items() if not key.startswith("+")}
        self.conf: Json = {"cniVersion": version, "name": "net", "type": kind, **own, **chosen}
        if self.conf.get("ipam", {}).get("type") == "host-local":
            self.conf["ipam"] = {**self.conf["ipam"], "dataDir": str(bench.directory / "ipam")}
        netns = bench.lab.sandbox()
        if kind != "loopback":
            bench.lab.ip("link", "set", "lo", "up", netns=netns)
        self.pod = bench.pod("c-1", "eth0" if kind != "loopback" else "lo", netns)


@pytest.mark.parametrize(("kind", "what"), CROSSED, ids=lambda value: value.replace(" ", "-"))
def test_they_check_and_delete_what_we_made(bench: Any, kind: str, what: str) -> None:
    case, go = Case(bench, kind, what, "1.0.0"), Executables(bench)
    result = case.pod.add(case.conf, args=case.args)
    if "routes" not in what:
        go.run("CHECK", case.pod, case.conf | {"prevResult": result}, case.args)
    try:
        go.run("DEL", case.pod, case.conf, case.args)
    except Failed as error:  # our rules are in nftables, theirs in iptables; it misses its chain once
        assert what == "masquerade" and "CNI-" in str(error)
        go.run("DEL", case.pod, case.conf, case.args)
    assert set(bench.lab.links()) <= {"lo", "br0", "up0"} and set(bench.lab.links(case.pod.netns)) == {"lo"}
    assert bench.leases() == []
    case.pod.delete(case.conf, args=case.args)  # what the reference doesn't know of, as our rules


@pytest.mark.parametrize(("kind", "what"), CROSSED, ids=lambda value: value.replace(" ", "-"))
def test_we_delete_what_they_made(bench: Any, kind: str, what: str) -> None:
    """A node that is switched over: pods of the old plugins are removed by the new."""
    case, go = Case(bench, kind, what, "1.0.0"), Executables(bench)
    go.run("ADD", case.pod, case.conf, case.args)
    case.pod.delete(case.conf, recorded=False, args=case.args)
    assert set(bench.lab.links()) <= {"lo", "br0", "up0"} and set(bench.lab.links(case.pod.netns)) == {"lo"}
    assert bench.leases() == []
    assert "c-1" not in bench.lab.run("nft", "list", "ruleset")


@pytest.mark.parametrize("pinned", [True, "host-local", f"{GO}/host-local"])
def test_their_address_manager_under_our_bridge(bench: Any, pinned: Any) -> None:
    case = Case(bench, "bridge", "default gateway dual", "1.0.0")
    case.conf["ipam"]["multinet/executable"] = pinned
    case.pod.add(case.conf)
    assert case.pod.addresses() == ["10.1.2.2/24", "2001:db8:1::2/64"]
    assert bench.addresses("br0") == ["10.1.2.1/24", "2001:db8:1::1/64"]
    assert bench.leases() == ["net/10.1.2.2", "net/2001:db8:1::2"]
    case.pod.check_both(case.conf)
    case.pod.delete(case.conf)
    assert bench.leases() == []


def test_a_pinned_executable_outside_the_plugin_folders_is_refused(bench: Any, refused: Any) -> None:
    case = Case(bench, "bridge", "v4", "1.0.0")
    case.conf["ipam"]["multinet/executable"] = "/bin/true"
    before = bench.snapshot(case.pod.netns)
    assert "/bin/true" in refused(7, case.pod.add, case.conf).msg
    assert bench.snapshot(case.pod.netns) == before


def test_their_full_address_manager_under_our_bridge_leaves_nothing(bench: Any, refused: Any) -> None:
    case = Case(bench, "bridge", "v4", "1.0.0")
    case.conf["ipam"] |= {"multinet/executable": True, "ranges": [[{"subnet": "10.5.5.0/30"}]]}
    bench.pod("holder").add(case.conf)
    before = bench.snapshot(case.pod.netns)
    refused(999, case.pod.add, case.conf)
    assert bench.snapshot(case.pod.netns) == before


def test_our_standalone_address_manager_under_their_bridge(bench: Any) -> None:
    folder = bench.directory / "bin"
    folder.mkdir()
    write_standalone(folder / "host-local", "host-local")
    case = Case(bench, "bridge", "default gateway dual", "1.0.0")
    go = Executables(bench, str(folder))
    result = go.run("ADD", case.pod, case.conf)
    assert [ip["address"] for ip in result["ips"]] == ["10.1.2.2/24", "2001:db8:1::2/64"]
    assert case.pod.addresses() == ["10.1.2.2/24", "2001:db8:1::2/64"]
    go.run("CHECK", case.pod, case.conf | {"prevResult": result})
    go.run("DEL", case.pod, case.conf)
    assert bench.leases() == []


def test_our_standalone_bridge_under_a_runtime(bench: Any) -> None:
    """The CNI runtime library runs our bridge and our host-local as executables, in one folder with Go's."""
    folder = bench.directory / "bin"
    folder.mkdir()
    for kind in ("bridge", "host-local"):
        write_standalone(folder / kind, kind)
    case = Case(bench, "bridge", "default gateway", "1.0.0")
    tuning = {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.log_martians": "1"}}
    network = NetworkList.from_object(
        {"cniVersion": "1.0.0", "name": "net", "plugins": [case.conf, tuning]}, "test"
    )
    from multinet.cni.cache import ResultCache

    runtime = Runtime((str(folder), GO), ResultCache(str(bench.directory / "cache")))
    container = Container("c-1", case.pod.netns.path, "eth0")
    before = set(bench.lab.links())
    with bench.lab.host.entered():
        result = runtime.add(network, container)
        runtime.check(network, container)
        assert [ip.address for ip in result.ips] == ["10.1.2.2/24"]
        assert case.pod.addresses() == ["10.1.2.2/24"] and case.pod.ping("10.1.2.1")
        runtime.delete(network, container)
        runtime.delete(network, container)
    assert set(bench.lab.links()) == before | {"br0"} and bench.leases() == []
