"""The story: what happens to a node and three pods, step by step. A step that isn't as told raises."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from multinet.adapters.cluster_directory import DirectoryCluster
from multinet.demo import look
from multinet.demo.daemon_process import DaemonProcess, multinet_command
from multinet.demo.failure import DemoFailure
from multinet.demo.look import PodInterface
from multinet.demo.report import Report
from multinet.demo.runtime import BIN_DIR, CONF_DIR, ContainerRuntime, Sandbox
from multinet.demo.stage import NODE_ADDRESS, STORAGE_ADDRESS, STORAGE_SERVER, build_node, run, run_in
from multinet.demo.traffic import ping
from multinet.npwg.selection import NETWORK_STATUS

__all__ = ["EXAMPLES", "Story"]

EXAMPLES = Path(__file__).with_name("manifests")
"""The demo's own manifests, and in ``net.d`` the node's network configuration."""

_MANIFESTS = "/etc/multinet/manifests"
_NAMESPACE = "default"
_STORAGE_POD, _WEB, _DATABASE = "multi-network-pod", "web", "database"
_EXPECTED = {
    _STORAGE_POD: {"eth0": "veth", "net1": "macvlan bridge"},
    _WEB: {"eth0": "veth", "net1": "veth"},
    _DATABASE: {"eth0": "veth", "backend": "veth"},
}
_LOG_LINES = 15


class Story:
    """One run of the demo. It moves the process out of the machine's namespaces for good."""

    def __init__(self, out: Report, examples: Path) -> None:
        self._out = out
        self._examples = examples
        self._daemon = DaemonProcess("--manifests", _MANIFESTS)
        self._runtime: ContainerRuntime
        self._pods: dict[str, Sandbox] = {}

    def play(self) -> None:
        """All steps. Raises DemoFailure, CNIError, OSError; ``Report.step_name`` tells in which."""
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("a node of its own", lambda: build_node(self._out)),
            ("a cluster: pods and networks as manifests", self._write_manifests),
            ("install multinet in front of the node's network", self._install),
            ("start the daemon", self._start_daemon),
            ("ADD: three pods get their interfaces", self._add_pods),
            ("the interfaces, as the kernel has them", self._show_interfaces),
            ("the network-status that was written", self._show_status),
            ("pings", self._send_pings),
            ("CHECK: everything is still as ADD made it", self._check_pods),
            ("what multinet holds for the pods", self._show_holdings),
            ("the daemon is stopped, and a DEL comes in", self._delete_without_daemon),
            ("the daemon is back: it does the DEL before anything else", self._catch_up),
            ("DEL: the other two pods go", self._delete_pods),
            ("stop the daemon and uninstall", self._uninstall),
            ("a look round: nothing is left", self._look_round),
        )
        for number, (title, act) in enumerate(steps, 1):
            with self._out.step(number, title):
                act()

    def close(self) -> None:
        """End the daemon, if it runs."""
        with suppress(DemoFailure):  # it is dead even then
            self._daemon.stop()

    def log_tail(self) -> str:
        """The end of the daemon's log."""
        return self._daemon.log_tail(_LOG_LINES)

    def _write_manifests(self) -> None:
        shutil.copytree(self._examples, _MANIFESTS, ignore=shutil.ignore_patterns("net.d"))
        shutil.copytree(self._examples / "net.d", CONF_DIR)
        for folder in (_MANIFESTS, CONF_DIR):
            self._out.say(f"{folder}: {', '.join(sorted(os.listdir(folder)))}")
        self._out.done("the daemon will read this directory where it would ask an apiserver")

    def _install(self) -> None:
        self._out.say(self._multinet("install", "--cni-version", "1.1.0"))
        self._runtime = ContainerRuntime(heard=self._out.say)
        self._out.done(f"the runtime's configuration is {self._runtime.conf_file} now")

    def _start_daemon(self) -> None:
        self._out.command(f"multinet daemon --manifests {_MANIFESTS} &")
        self._daemon.start(self._runtime.status)
        self._out.done(f"process {self._daemon.pid} answers STATUS")

    def _stop_daemon(self) -> None:
        self._out.command(f"kill -TERM {self._daemon.pid}")
        code = self._daemon.stop()
        if code != 0:
            raise DemoFailure(f"the daemon ended with exit code {code}")

    def _add_pods(self) -> None:
        for pod in _EXPECTED:
            sandbox = self._pods[pod] = self._runtime.create(_NAMESPACE, pod)
            self._out.command(self._runtime.call_text("ADD", sandbox))
            elapsed = self._runtime.add(sandbox)
            self._out.done(f"{pod}: {elapsed:.1f} ms")

    def _show_interfaces(self) -> None:
        rows = []
        for pod in self._pods:
            found = self._interfaces(pod)
            kinds = {name: interface.kind for name, interface in found.items()}
            if kinds != _EXPECTED[pod]:
                raise DemoFailure(f"pod {pod} should have {_EXPECTED[pod]}, the kernel has {kinds}")
            for one in found.values():
                addresses = ", ".join(one.addresses)
                rows.append((pod, one.name, one.kind, addresses, one.mac, str(one.mtu), one.uplink))
        self._out.table(("POD", "INTERFACE", "KIND", "ADDRESS", "MAC", "MTU", "AT THE NODE"), rows)
        self._out.done(f"{len(rows)} interfaces in {len(self._pods)} pods")

    def _show_status(self) -> None:
        cluster = DirectoryCluster(_MANIFESTS)
        for pod in self._pods:
            text = cluster.pod(_NAMESPACE, pod).annotations.get(NETWORK_STATUS, "")
            if pod == _STORAGE_POD:
                self._out.say(f"{pod}, annotation {NETWORK_STATUS}:")
                self._out.say(text)
            told = {entry["interface"]: (entry["mac"], entry["ips"]) for entry in json.loads(text or "[]")}
            real = {one.name: (one.mac, [one.ip]) for one in self._interfaces(pod).values()}
            if told != real:
                raise DemoFailure(f"pod {pod}: its network-status says {told}, the kernel {real}")
        self._out.done("all three pods' statuses agree with the kernel")

    def _send_pings(self) -> None:
        storage_pod, database = self._interfaces(_STORAGE_POD), self._interfaces(_DATABASE)
        self._ping(_WEB, "eth0", _STORAGE_POD, storage_pod["eth0"].ip, "the default network")
        self._ping(_WEB, "net1", _DATABASE, database["backend"].ip, "the network that these two share")
        self._ping(_STORAGE_POD, "net1", STORAGE_SERVER, STORAGE_ADDRESS, "macvlan")
        self._out.say(
            "dev-network gives pods no default route; to see its ipMasq, one of them gets a way out:"
        )
        way_out = ("ip", "route", "add", "192.168.100.0/24", "via", "10.244.0.1")
        self._out.command(shlex.join(("nsenter", f"--net={self._pods[_WEB].netns}", *way_out)))
        run_in(self._pods[_WEB].netns, *way_out)
        self._ping(_WEB, "eth0", STORAGE_SERVER, STORAGE_ADDRESS, f"masqueraded as {NODE_ADDRESS}")

    def _ping(self, pod: str, interface: str, target: str, address: str, remark: str) -> None:
        mean = ping(self._pods[pod].netns, interface, address)
        self._out.done(f"{pod} {interface} to {target} {address}: {mean:.3f} ms ({remark})")

    def _check_pods(self) -> None:
        for pod, sandbox in self._pods.items():
            self._out.done(f"{pod}: {self._runtime.check(sandbox):.1f} ms")

    def _show_holdings(self) -> None:
        self._out.say(self._multinet("status"))
        for what, where, found in look.holdings().items():
            if not found and where != look.SPOOL:
                raise DemoFailure(f"no {what} are found ({where}), though three pods are attached")
            self._out.done(f"{what}: {len(found)} ({where})")

    def _delete_without_daemon(self) -> None:
        self._stop_daemon()
        pod = self._pods[_WEB]
        self._out.command(self._runtime.call_text("DEL", pod))
        self._out.done(
            f"answered with success in {self._runtime.delete(pod):.1f} ms: the runtime need not wait"
        )
        waiting = look.spooled()
        if len(waiting) != 1:
            raise DemoFailure(f"{look.SPOOL} should hold the DEL, it holds {waiting or 'nothing'}")
        self._out.done(f"kept in {waiting[0]} ({os.path.getsize(waiting[0])} bytes)")
        self._runtime.remove(pod)
        held = look.leases(pod.container_id)
        if not held:
            raise DemoFailure(f"{look.LEASES} should still hold addresses of {_WEB}")
        self._out.done(f"the pod's namespace is gone; its addresses are still reserved: {', '.join(held)}")

    def _catch_up(self) -> None:
        self._start_daemon()
        pod = self._pods.pop(_WEB)
        if look.spooled():
            raise DemoFailure(f"{look.SPOOL} still holds {look.spooled()}")
        self._out.done("the spool is empty")
        left = [
            *look.leases(pod.container_id),
            *(row for row in look.holdings().journal if f"/{_WEB} " in row),
        ]
        if left:
            raise DemoFailure(f"of {_WEB} there is still {', '.join(left)}")
        self._out.done(f"{_WEB}'s addresses are free, the journal knows nothing of it")

    def _delete_pods(self) -> None:
        while self._pods:
            pod, sandbox = self._pods.popitem()
            elapsed = self._runtime.delete(sandbox)
            inside = look.pod_interfaces(sandbox.netns)
            if inside:
                raise DemoFailure(f"pod {pod} still has {', '.join(one.name for one in inside)}")
            self._runtime.remove(sandbox)
            self._out.done(f"{pod}: {elapsed:.1f} ms, no interface is left in it")

    def _uninstall(self) -> None:
        self._stop_daemon()
        self._out.say(self._multinet("uninstall"))
        left = os.listdir(BIN_DIR)
        if left:
            raise DemoFailure(f"{BIN_DIR} still holds {', '.join(left)}")
        self._out.done(f"{BIN_DIR} is empty again")

    def _look_round(self) -> None:
        remains = []
        for what, where, found in look.holdings().items():
            if found:
                remains.append(f"{what} in {where}: {', '.join(found)}")
            else:
                self._out.done(f"{what}: none ({where})")
        if remains:
            raise DemoFailure("; ".join(remains))
        self._out.say(f"The bridges stay by design, for the next pod: {', '.join(look.bridges())}.")
        self._out.say("They, and this node, go with its namespace when this process ends.")

    def _interfaces(self, pod: str) -> dict[str, PodInterface]:
        return {interface.name: interface for interface in look.pod_interfaces(self._pods[pod].netns)}

    def _multinet(self, *arguments: str) -> str:
        self._out.command(shlex.join(("multinet", *arguments)))
        return run(multinet_command(*arguments))
