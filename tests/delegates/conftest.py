"""A bench for interface delegates: plugins run in process against a lab's host and sandboxes.

``bench.pod()`` is a container; ``pod.add(conf)`` and its like run one verb for it and remember what was
applied. ``bench.snapshot()`` is everything that could be left behind, as a value that compares.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.firewall import HostFirewall, choose_backend
from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError
from multinet.cni.execution import ExecutableRunner
from multinet.cni.invocation import Invocation
from multinet.cni.plugin_call import PluginCall
from multinet.core.desired import AnyItem, Owner
from multinet.sdk import registry
from multinet.sdk.node import Node

Json = dict[str, Any]
_SYSCTL_ROOTS = ("net/ipv4/conf", "net/ipv6/conf")
_SYSCTLS = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
_WATCHED = ("arp_notify", "ndisc_notify", "accept_ra", "accept_dad", "enhanced_dad", "disable_ipv6")
_WATCHED += ("keep_addr_on_down", "forwarding")
_SECONDS = 60.0


class InNamespace:
    """Runs executables inside a namespace, as a runtime on that host would."""

    def __init__(self, netns: Netns) -> None:
        self._netns = netns
        self._runner = ExecutableRunner(heard=lambda call, output: None)

    def run(self, call: PluginCall) -> Json | None:
        with self._netns.entered():
            return self._runner.run(call)


@dataclass
class Pod:
    """One container of the lab, and the plugin calls that are made for it."""

    bench: Bench
    container_id: str
    ifname: str
    netns: Netns
    items: tuple[AnyItem, ...] | None = None
    """What the last ADD applied."""
    result: Json = field(default_factory=dict)
    attached: Json | None = None
    """The configuration of an ADD that has had no DEL yet."""

    def owner(self, conf: Json) -> Owner:
        return Owner(conf["name"], self.container_id, self.ifname)

    def call(self, verb: str, conf: Json, **terms: Any) -> PluginCall:
        """``terms``: args, netns (path), deadline, path."""
        invocation = Invocation(
            command=verb,
            container_id=self.container_id,
            netns=terms.get("netns", self.netns.path),
            ifname=self.ifname,
            args=terms.get("args", ""),
            path=terms.get("path", ("/usr/lib/cni",)),
        )
        return PluginCall(verb, conf["type"], conf, invocation, deadline=terms.get("deadline"))

    def add(self, conf: Json, *, cancelled: Callable[[], bool] = lambda: False, **terms: Any) -> Json:
        plugin = registry.plugin(conf["type"])
        assert plugin is not None
        outcome = plugin.add(self.call("ADD", conf, **terms), self.bench.node(cancelled))
        self.items, self.result, self.attached = outcome.items, outcome.result, conf
        return outcome.result

    def check(self, conf: Json, *, recorded: bool = True, **terms: Any) -> None:
        plugin = registry.plugin(conf["type"])
        assert plugin is not None
        call = self.call("CHECK", {**conf, "prevResult": self.result}, **terms)
        plugin.check(call, self.bench.node(), self.items if recorded else None)

    def check_both(self, conf: Json, **terms: Any) -> None:
        """By the record, and worked out again from the previous result."""
        self.check(conf, recorded=True, **terms)
        self.check(conf, recorded=False, **terms)

    def delete(self, conf: Json, *, recorded: bool = True, **terms: Any) -> None:
        plugin = registry.plugin(conf["type"])
        assert plugin is not None
        plugin.delete(self.call("DEL", conf, **terms), self.bench.node(), self.items if recorded else None)
        self.attached = None

    def ip(self, *arguments: str) -> Any:
        """``ip -j …`` in the sandbox, decoded."""
        return self.bench.ip(*arguments, netns=self.netns)

    def link(self, name: str = "") -> Json:
        return self.bench.link(name or self.ifname, self.netns)

    def addresses(self, name: str = "") -> list[str]:
        """Global addresses of the interface."""
        return self.bench.addresses(name or self.ifname, self.netns)

    def ping(self, address: str, count: int = 1) -> bool:
        return self.bench.ping(address, self.netns, count)


@dataclass
class Bench:
    lab: Any
    firewall: HostFirewall
    directory: Path
    pods: list[Pod] = field(default_factory=list)

    def node(self, cancelled: Callable[[], bool] = lambda: False) -> Node:
        host = self.lab.host
        external = InNamespace(host)
        return Node(
            self.lab.kernel, self.firewall, external, lambda: choose_backend(host), cancelled=cancelled
        )

    def pod(self, container_id: str = "", ifname: str = "eth0", netns: Netns | None = None) -> Pod:
        """A container with a namespace of its own, ``lo`` up in it."""
        if netns is None:
            netns = self.lab.sandbox()
            self.lab.ip("link", "set", "lo", "up", netns=netns)
        pod = Pod(self, container_id or f"container-{len(self.pods)}", ifname, netns)
        self.pods.append(pod)
        return pod

    def close(self) -> None:
        """Detach what a test left attached; then no address and no rule may be left."""
        for pod in self.pods:
            if pod.attached is not None:
                pod.delete(pod.attached)
        assert self.leases() == []
        marks = [f"/{pod.container_id}/" for pod in self.pods]
        assert not [mark for mark in marks if mark in self.lab.run("nft", "list", "ruleset")]

    def ip(self, *arguments: str, netns: Netns | None = None) -> Any:
        return json.loads(self.lab.run("ip", "-j", *arguments, netns=netns) or "[]")

    def bridge_port(self, name: str) -> Json:
        """Port flags as ``bridge -j -d link`` shows them."""
        found: Json = json.loads(self.lab.run("bridge", "-j", "-d", "link", "show", "dev", name))[0]
        return found

    def link(self, name: str, netns: Netns | None = None) -> Json:
        found: Json = self.ip("-d", "link", "show", "dev", name, netns=netns)[0]
        return found

    def addresses(self, name: str, netns: Netns | None = None) -> list[str]:
        (found,) = self.ip("addr", "show", "dev", name, netns=netns)
        return [f"{a['local']}/{a['prefixlen']}" for a in found["addr_info"] if a["scope"] == "global"]

    def ping(self, address: str, netns: Netns | None = None, count: int = 1) -> bool:
        """Whether ``address`` answers within a few tries (a path may need a moment to be learnt)."""
        for _ in range(8):
            output = self.lab.run(
                "ping", "-n", "-c", str(count), "-W", "1", address, netns=netns, check=False
            )
            if f"{count} received" in output:
                return True
        return False

    def uplink(self, name: str = "up0", mtu: int = 1500) -> Netns:
        """A link of the host to a namespace beyond it, both ends up; the namespace."""
        beyond = self.lab.sandbox()
        self.lab.allowed.add(name)
        peer = ("peer", "name", "wan0", "netns", beyond.path)
        self.lab.ip("link", "add", name, "mtu", str(mtu), "type", "veth", *peer)
        self.lab.ip("link", "set", name, "up")
        self.lab.ip("link", "set", "wan0", "mtu", str(mtu), "up", netns=beyond)
        self.lab.ip("link", "set", "lo", "up", netns=beyond)
        return beyond

    def leases(self) -> list[str]:
        """Address files of host-local in the bench's directory."""
        root = self.directory / "ipam"
        found = [p.relative_to(root) for p in root.rglob("*") if p.is_file()]
        return sorted(str(p) for p in found if p.name[0].isdigit() or ":" in p.name)

    def snapshot(self, *sandboxes: Netns) -> Json:
        """Links, addresses, routes, sysctls of host and sandboxes, rules, leases: all that may be left."""
        return {
            "host": _state(self, None),
            "rules": self.lab.run("nft", "list", "ruleset"),
            "leases": self.leases(),
            **{netns.path: _state(self, netns) for netns in sandboxes},
        }

    def host_local(self, *subnets: str, **more: Any) -> Json:
        """An ``ipam`` object of host-local, one range set a subnet."""
        ranges = [[{"subnet": subnet}] for subnet in subnets or ("10.1.2.0/24",)]
        return {"type": "host-local", "dataDir": str(self.directory / "ipam"), "ranges": ranges, **more}


def _state(bench: Bench, netns: Netns | None) -> Json:
    """What is configured; what the kernel derives in its own time (carrier, DAD, its routes) is left out."""
    links = {}
    for link in bench.ip("-d", "link", netns=netns):
        kept = (
            "ifindex",
            "mtu",
            "address",
            "master",
            "link",
            "link_index",
            "group",
            "ifalias",
            "promiscuity",
        )
        flags = sorted({"UP", "PROMISC", "NOARP", "ALLMULTI"}.intersection(link["flags"]))
        kind = link.get("linkinfo", {}).get("info_kind", "")
        links[link["ifname"]] = {key: link.get(key) for key in kept} | {"flags": flags, "kind": kind}
    addresses = {
        link["ifname"]: sorted(
            f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link"
        )
        for link in bench.ip("addr", netns=netns)
    }
    routes = []
    for family in ("-4", "-6"):
        found = bench.ip(family, "route", "show", "table", "all", netns=netns)
        routes += sorted(json.dumps(r, sort_keys=True) for r in found if r.get("protocol") != "kernel")
    settings = sysctls(netns or bench.lab.host)
    return {"links": links, "addresses": addresses, "routes": routes, "sysctls": settings}


def sysctls(netns: Netns) -> dict[str, str]:
    found = {}
    with netns.entered():
        keys = list(_SYSCTLS)
        for root in _SYSCTL_ROOTS:
            for name in os.listdir(f"/proc/sys/{root}"):
                keys += [f"{root}/{name}/{key}" for key in _WATCHED]
        for key in keys:
            try:
                found[key] = Path("/proc/sys", key).read_text().strip()
            except FileNotFoundError:
                continue
    return found


def conf(kind: str, version: str = "1.1.0", **more: Any) -> Json:
    """A request configuration; ``name`` is ``net`` unless said."""
    return {"cniVersion": version, "name": "net", "type": kind, **more}


@pytest.fixture
def bench(lab: Any, tmp_path: Path) -> Iterator[Bench]:
    firewall = HostFirewall(lab.host)
    for key in _SYSCTLS:  # a new namespace takes them over from the machine's own
        lab.run("sysctl", "-qw", f"{key.replace('/', '.')}=0")
    try:
        bench = Bench(lab, firewall, tmp_path)
        yield bench
        bench.close()
    finally:
        firewall.close()


def changes(before: Any, after: Any, at: str = "") -> list[str]:
    """Where two snapshots differ, path by path: for messages."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after})
        return [line for key in keys for line in changes(before.get(key), after.get(key), f"{at}.{key}")]
    return [f"{at}: {before!r} → {after!r}"]


@pytest.fixture
def unchanged() -> Callable[[Json, Json], None]:
    """``unchanged(before, after)``: two snapshots are equal, or the test fails and says where they aren't."""

    def compare(before: Json, after: Json) -> None:
        assert not changes(before, after)

    return compare


@pytest.fixture
def make() -> Callable[..., Json]:
    """``make("bridge", bridge="br0", …)``: a request configuration."""
    return conf


@pytest.fixture
def soon() -> float:
    """A deadline that isn't reached."""
    return time.monotonic() + _SECONDS


@pytest.fixture
def refused() -> Callable[..., CNIError]:
    """``refused(code, call, …)``: the CNIError that the call must raise."""

    def expect(code: int, call: Callable[..., object], *args: Any, **kwargs: Any) -> CNIError:
        with pytest.raises(CNIError) as caught:
            call(*args, **kwargs)
        assert caught.value.code == code, caught.value
        return caught.value

    return expect
