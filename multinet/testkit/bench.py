"""A bench for delegates: plugins run in process against a lab's host and sandboxes.

``bench.pod()`` is a container; ``pod.add(conf)`` and its like run one verb for it and remember what was
applied. ``bench.snapshot()`` is everything that could be left behind, as a value that compares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multinet.adapters.firewall import HostFirewall, choose_backend
from multinet.adapters.netns import Netns
from multinet.adapters.nftables_netlink import NftablesSocket
from multinet.cni.errors import CNIError, Code
from multinet.cni.execution import ExecutableRunner
from multinet.cni.invocation import Invocation
from multinet.cni.plugin_call import PluginCall
from multinet.core.desired import AnyItem, Owner
from multinet.engine.scene import Scene
from multinet.sdk import registry
from multinet.sdk.node import Node
from multinet.sdk.plugin import Plugin
from multinet.testkit.namespaces import Lab
from multinet.testkit.snapshot import namespace_state

__all__ = ["Bench", "Pod"]

Json = dict[str, Any]


def _never() -> bool:
    return False


class _InNamespace:
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
        """Whose the attachment is."""
        return Owner(conf["name"], self.container_id, self.ifname)

    def call(self, verb: str, conf: Json, **terms: Any) -> PluginCall:
        """One call; ``terms``: args, netns (a path), deadline, path (folders of executables)."""
        invocation = Invocation(
            command=verb,
            container_id=self.container_id,
            netns=terms.get("netns", self.netns.path),
            ifname=self.ifname,
            args=terms.get("args", ""),
            path=terms.get("path", ("/usr/lib/cni",)),
        )
        return PluginCall(verb, conf["type"], conf, invocation, deadline=terms.get("deadline"))

    def add(self, conf: Json, *, cancelled: Callable[[], bool] = _never, **terms: Any) -> Json:
        """ADD; the result object. A chained delegate's ``conf`` has its ``prevResult``. Raises CNIError."""
        outcome = _plugin(conf).add(self.call("ADD", conf, **terms), self.bench.node(cancelled))
        self.items, self.result, self.attached = outcome.items, outcome.result, conf
        return outcome.result

    def check(self, conf: Json, *, recorded: bool = True, **terms: Any) -> None:
        """CHECK, by what was recorded or else by what configuration and result say. Raises CNIError."""
        call = self.call("CHECK", {**conf, "prevResult": self.result}, **terms)
        _plugin(conf).check(call, self.bench.node(), self.items if recorded else None)

    def check_both(self, conf: Json, **terms: Any) -> None:
        """By the record, and worked out again from the previous result."""
        self.check(conf, recorded=True, **terms)
        self.check(conf, recorded=False, **terms)

    def delete(self, conf: Json, *, recorded: bool = True, **terms: Any) -> None:
        """DEL, with what was recorded or without."""
        call = self.call("DEL", conf, **terms)
        _plugin(conf).delete(call, self.bench.node(), self.items if recorded else None)
        self.attached = None

    def ip(self, *arguments: str) -> Any:
        """``ip -j …`` in the sandbox, decoded."""
        return self.bench.ip(*arguments, netns=self.netns)

    def link(self, name: str = "") -> Json:
        """A link of the sandbox, as ``ip -j -d link`` shows it; by default the attachment's."""
        return self.bench.link(name or self.ifname, self.netns)

    def addresses(self, name: str = "") -> list[str]:
        """Global addresses of the interface."""
        return self.bench.addresses(name or self.ifname, self.netns)

    def ping(self, address: str, count: int = 1) -> bool:
        """Whether ``address`` answers the pod."""
        return self.bench.ping(address, self.netns, count)


@dataclass
class Bench:
    """A node with pods."""

    lab: Lab
    firewall: HostFirewall
    directory: Path
    pods: list[Pod] = field(default_factory=list)

    def node(self, cancelled: Callable[[], bool] = _never) -> Node:
        """The node as one call may use it."""
        host = self.lab.host
        external = _InNamespace(host)
        return Node(
            self.lab.kernel, self.firewall, external, lambda: choose_backend(host), cancelled=cancelled
        )

    @contextmanager
    def scene(self, pod: Pod, conf: Json) -> Iterator[Scene]:
        """The stage of a pod's attachment, for the engine itself."""
        with self.node().scene(pod.call("CHECK", conf), pod.owner(conf)) as scene:
            yield scene

    def pod(self, container_id: str = "", ifname: str = "eth0", netns: Netns | None = None) -> Pod:
        """A container with a namespace of its own, ``lo`` up in it."""
        if netns is None:
            netns = self.lab.sandbox()
            self.lab.raise_link("lo", netns)
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
        rules = self.rules()
        assert not [mark for mark in marks if mark in rules]

    def ip(self, *arguments: str, netns: Netns | None = None) -> Any:
        """``ip -j …`` on the host or in ``netns``, decoded."""
        return json.loads(self.lab.run("ip", "-j", *arguments, netns=netns) or "[]")

    def bridge_port(self, name: str) -> Json:
        """Port flags as ``bridge -j -d link`` shows them."""
        found: Json = json.loads(self.lab.run("bridge", "-j", "-d", "link", "show", "dev", name))[0]
        return found

    def link(self, name: str, netns: Netns | None = None) -> Json:
        """A link as ``ip -j -d link`` shows it."""
        found: Json = self.ip("-d", "link", "show", "dev", name, netns=netns)[0]
        return found

    def addresses(self, name: str, netns: Netns | None = None) -> list[str]:
        """Global addresses of a link."""
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
        peer = ("peer", "name", "wan0", "mtu", str(mtu), "netns", beyond.path)
        self.lab.ip("link", "add", name, "mtu", str(mtu), "type", "veth", *peer)
        self.lab.raise_link(name)
        for link in ("wan0", "lo"):
            self.lab.raise_link(link, beyond)
        return beyond

    def rules(self) -> str:
        """The host's packet rules as ``nft`` lists them."""
        with closing(NftablesSocket(self.lab.host)) as question:
            if not question.tables():
                return ""  # a process less
        return self.lab.run("nft", "list", "ruleset")

    def leases(self) -> list[str]:
        """Address files of host-local in the bench's directory."""
        root = self.directory / "ipam"
        found = [p.relative_to(root) for p in root.rglob("*") if p.is_file()]
        return sorted(str(p) for p in found if p.name[0].isdigit() or ":" in p.name)

    def files(self) -> list[str]:
        """All files below the bench's directory but host-local's housekeeping."""
        found = (p for p in self.directory.rglob("*") if p.is_file())
        return sorted(
            str(p.relative_to(self.directory))
            for p in found
            if p.name != "lock" and not p.name.startswith("last_reserved_ip")
        )

    def snapshot(self, *sandboxes: Netns) -> Json:
        """Links, addresses, routes, rules, queueing and sysctls of host and sandboxes, files: all that may be left."""
        return {
            "host": namespace_state(self.lab, None),
            "rules": self.rules(),
            "files": self.files(),
            **{netns.path: namespace_state(self.lab, netns) for netns in sandboxes},
        }

    def host_local(self, *subnets: str, **more: Any) -> Json:
        """An ``ipam`` object of host-local, one range set a subnet."""
        ranges = [[{"subnet": subnet}] for subnet in subnets or ("10.1.2.0/24",)]
        return {"type": "host-local", "dataDir": str(self.directory / "ipam"), "ranges": ranges, **more}


def _plugin(conf: Json) -> Plugin:
    found = registry.plugin(conf["type"])
    if found is None:
        raise CNIError(Code.INVALID_CONFIG, f'no delegate "{conf["type"]}" is registered')
    return found
