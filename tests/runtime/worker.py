"""A worker of a cluster: containerd, our shim and daemon, installed and run as on a real node."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from multinet.adapters.journal import SqliteJournal
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.netns import Netns
from multinet.core.record import AttachmentRecord
from multinet.npwg.selection import NETWORKS
from tests.daemon.conftest import Recorders
from tests.runtime.clusters import Cluster
from tests.runtime.containerd import Containerd
from tests.runtime.cri import PodSpec, SandboxView
from tests.runtime.node import Node

Json = dict[str, Any]
CONF_DIR, BIN_DIR, STATE = "/etc/cni/net.d", "/opt/cni/bin", "/var/lib/multinet"
SOCKET = "/run/multinet/multinet.sock"
LEASES = "/var/lib/cni/networks"
CONF_FILE = f"{CONF_DIR}/00-multinet.conflist"
DEFAULT_FILE = f"{CONF_DIR}/10-cbr0.conflist"
CAPABILITIES = ("portMappings", "bandwidth", "io.kubernetes.cri.pod-annotations")


def bridge(*subnets: str, name: str = "cni0", **more: Any) -> Json:
    """A bridge with addresses out of the subnets."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in subnets]}
    return {"type": "bridge", "bridge": name, "isGateway": True, "ipam": ipam, **more}


def single(**plugin: Any) -> Json:
    """A network of one plugin."""
    return {"cniVersion": "1.0.0", **plugin}


class Pod:
    """One that was started."""

    def __init__(self, worker: Worker, spec: PodSpec, sandbox: str) -> None:
        self.worker, self.spec, self.id = worker, spec, sandbox
        self.netns_path = self.view.netns

    @property
    def view(self) -> SandboxView:
        return self.worker.cri.view(self.id)

    @property
    def status(self) -> list[Json]:
        """Its network-status."""
        return self.worker.cluster.status(self.spec.name, self.spec.namespace)

    def netns(self) -> Netns:
        """Its network namespace; the caller closes it."""
        return Netns.open(str(self.worker.node.path(self.netns_path)))

    def run(self, *words: str) -> str:
        """A command in its network namespace."""
        return self.worker.node.run("nsenter", f"--net={self.netns_path}", *words)

    def links(self) -> set[str]:
        return {link["ifname"] for link in json.loads(self.run("ip", "-j", "link"))}

    def addresses(self, ifname: str) -> set[str]:
        """``address/length`` of global scope."""
        shown = json.loads(self.run("ip", "-j", "address", "show", "dev", ifname))[0]["addr_info"]
        return {f"{one['local']}/{one['prefixlen']}" for one in shown if one["scope"] == "global"}

    def defaults(self, family: int = 4) -> set[tuple[str, str]]:
        """(gateway, interface) of its default routes."""
        shown = json.loads(self.run("ip", f"-{family}", "-j", "route", "show", "default"))
        return {(route.get("gateway", ""), route["dev"]) for route in shown}

    def sysctl(self, key: str) -> str:
        return self.run("cat", f"/proc/sys/{key.replace('.', '/')}").strip()

    def stop(self) -> None:
        self.worker.cri.stop(self.id)

    def remove(self) -> None:
        """Stopped and removed, as kubelet does it."""
        self.stop()
        self.worker.cri.remove(self.id)


class Worker:
    """Everything runs inside ``node``; in the beginning nothing is started."""

    def __init__(self, node: Node, cluster: Cluster, folder: Path) -> None:
        self.node, self.cluster = node, cluster
        self.containerd = Containerd(node, folder)
        self._options = cluster.prepare(node)
        self.log = folder / "daemon.log"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._listener: socket.socket | None = None
        self.conf: Json = {}
        node.path(CONF_DIR).mkdir(parents=True, exist_ok=True)
        node.path(BIN_DIR).mkdir(parents=True, exist_ok=True)
        self.recorders = Recorders(node.path(BIN_DIR), folder / "recorded")

    @property
    def cri(self) -> Any:
        return self.containerd.cri

    # --- configuration

    def default_network(
        self, *plugins: Mapping[str, Any], version: str = "1.0.0", name: str = "cbr0"
    ) -> None:
        """The node's network: without a word a bridge with both families, portmap and bandwidth."""
        chain = list(plugins) or [
            bridge("10.244.0.0/16", "fd00:244:1::/64", isDefaultGateway=True, ipMasq=True),
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
            {"type": "bandwidth", "capabilities": {"bandwidth": True}},
        ]
        self.node.write(DEFAULT_FILE, json.dumps({"cniVersion": version, "name": name, "plugins": chain}))

    def install(self, version: str = "1.0.0") -> None:
        """The shim, by ``multinet install``, and a configuration that declares all capabilities."""
        self.multinet("install", "--cni-version", version, "--plugins", "loopback")
        installed = json.loads(self.node.path(CONF_FILE).read_text())
        (self.conf,) = installed["plugins"]
        self.configure(version, capabilities=dict.fromkeys(CAPABILITIES, True))

    def configure(self, version: str = "1.0.0", **more: Any) -> None:
        """Change the meta-plugin's configuration; the runtime notices by itself."""
        self.conf = {**self.conf, **more}
        self.node.write(
            CONF_FILE, json.dumps({"cniVersion": version, "name": "multinet", "plugins": [self.conf]})
        )

    def cni_config(self) -> str:
        """The configuration that the runtime works with."""
        return self.cri.cni_config()

    def multinet(self, *arguments: str) -> str:
        """The command, on the node."""
        return self.node.run(sys.executable, "-m", "multinet", *arguments)

    # --- the daemon

    def daemon_command(self, *more: str) -> list[str]:
        return self.node.command(sys.executable, "-m", "multinet", "daemon", *self._options, *more)

    def start_daemon(self, *more: str) -> None:
        """Start it, and wait until it serves."""
        before = self._served
        command, handed_over = self.daemon_command(*more), ()
        if self._listener is not None:
            fd = self._listener.fileno()
            with_socket = f'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&{fd}'
            command, handed_over = ["bash", "-c", with_socket, "bash", *command], (fd,)
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, stderr=log, pass_fds=handed_over)
        self._daemon = process
        wait_for(lambda: self._served > before or process.poll() is not None)
        assert process.poll() is None, self.log.read_text()

    def hold_socket(self) -> None:
        """Do what a service manager does: keep the listening socket, and hand it to each daemon from now on."""
        ours, theirs = socket.socketpair()
        script = (
            "import os, socket, sys\n"
            f"os.makedirs(os.path.dirname({SOCKET!r}), 0o700, exist_ok=True)\n"
            f"held = socket.socket(socket.AF_UNIX); held.bind({SOCKET!r}); held.listen(128)\n"
            "socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b'x'], [held.fileno()])"
        )
        with ours, theirs:
            inside = self.node.command(sys.executable, "-c", script, str(theirs.fileno()))
            subprocess.run(inside, check=True, pass_fds=(theirs.fileno(),))
            _, (fd,), _, _ = socket.recv_fds(ours, 1, 1)
        self._listener = socket.socket(fileno=fd)

    @property
    def _served(self) -> int:
        return self.log.read_text().count("serving on") if self.log.exists() else 0

    @property
    def daemon_pid(self) -> int:
        assert self._daemon is not None
        return self._daemon.pid

    def daemon_peak_memory(self) -> int:
        """The most memory that it has had, in bytes."""
        lines = Path(f"/proc/{self.daemon_pid}/status").read_text().splitlines()
        (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
        return int(peak) << 10

    def end_daemon(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self._daemon is not None
        self._daemon.send_signal(number)
        code = self._daemon.wait(60)
        assert code == (0 if number == signal.SIGTERM else -number), self.log.read_text()
        self._daemon = None

    # --- pods

    def create(self, name: str, networks: Any = None, **more: Any) -> PodSpec:
        """The pod in the cluster, and what kubelet will tell the runtime of it."""
        annotations = dict(more.pop("annotations", {}))
        if networks is not None:
            annotations[NETWORKS] = networks if isinstance(networks, str) else json.dumps(networks)
        spec = PodSpec(name, annotations=annotations, **more)
        self.cluster.pod(name, annotations, spec.uid, spec.namespace)
        return spec

    def run(self, spec: PodSpec) -> Pod:
        """Its sandbox; Refused if the runtime can't."""
        return Pod(self, spec, self.cri.run(spec))

    def start(self, name: str, networks: Any = None, **more: Any) -> Pod:
        """Created and run."""
        return self.run(self.create(name, networks, **more))

    # --- CNI as a runtime calls it

    def call(
        self,
        verb: str,
        container: str = "",
        netns: str = "",
        conf: Mapping[str, Any] | None = None,
        args: str = "",
    ) -> tuple[int, Json]:
        """The installed shim with its configuration, by a runtime of CNI 1.1; exit code and what it printed."""
        installed = json.loads(self.node.path(CONF_FILE).read_text())
        (plugin,) = installed["plugins"]
        stdin = {"cniVersion": "1.1.0", "name": installed["name"], **plugin, **(conf or {})}
        variables = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": netns,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": BIN_DIR,
            "CNI_ARGS": args,
        }
        given = [f"{key}={value}" for key, value in variables.items()]
        done = subprocess.run(
            self.node.command("env", *given, f"{BIN_DIR}/multinet"),
            input=json.dumps(stdin).encode(),
            capture_output=True,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else {}

    # --- what is there

    @property
    def rows(self) -> list[AttachmentRecord]:
        """What the journal has."""
        journal = SqliteJournal(str(self.node.path(f"{STATE}/journal.db")))
        try:
            return journal.all()
        finally:
            journal.close()

    def spooled(self) -> list[str]:
        """Names of the spooled DELs that wait; what a dying runtime left half said is set aside as ``.bad``."""
        return sorted(file.name for file in self.node.path(f"{STATE}/spool").glob("*.del"))

    def leases(self) -> list[str]:
        """Addresses given out, as ``network/address``."""
        path = self.node.path(LEASES)
        found = (file for file in path.rglob("*") if file.is_file()) if path.exists() else ()
        internal = ("lock", "last_reserved_ip", ".")
        return sorted(f"{one.parent.name}/{one.name}" for one in found if not one.name.startswith(internal))

    def links(self) -> set[str]:
        """Names of the node's links."""
        with NetworkStack(self.node.netns) as stack:
            return {link.name for link in stack.links()}

    def assert_clean(self) -> None:
        """Nothing of any pod is left: sandboxes, records, addresses, links, rules, namespaces, control groups."""
        assert not (known := self.cri.ids()), f"sandboxes: {known}"
        self.assert_no_networks()
        netns_dir = self.node.path("/run/netns")
        assert not netns_dir.exists() or not (found := os.listdir(netns_dir)), f"namespaces: {found}"
        groups = [path for path in self.node.pod_groups() if path.name != self.node.cgroup]
        assert not groups, f"control groups: {groups}"

    def assert_no_networks(self) -> None:
        """Nothing of any pod's networks is left."""
        assert not (rows := self.rows), f"records: {rows}"
        assert not (spooled := self.spooled()), f"spooled: {spooled}"
        assert not (leases := self.leases()), f"addresses: {leases}"
        links = {name for name in self.links() if name.startswith(("veth", "ifb", "bwp"))}
        assert not links, f"links: {links}"
        rules = self.node.run("nft", "list", "ruleset")
        assert "multinet:" not in rules, rules

    def close(self) -> None:
        """End what runs; the node goes afterwards."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
        if self._listener is not None:
            self._listener.close()
        self.containerd.close()


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Until ``condition`` holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s in vain"
        time.sleep(0.01)
