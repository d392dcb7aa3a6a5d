"""A node to try the daemon on: its own host namespace, cluster directory, leases, journal and plugins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.netns import Netns
from multinet.core.record import AttachmentRecord
from multinet.daemon.application import Application
from multinet.daemon.options import Options
from multinet.npwg.selection import NETWORK_STATUS
from multinet.shim.build import build
from multinet.wire.frame import Request, Response

GO_PLUGINS = "/usr/lib/cni"

# Keeps what it was asked, holds while there is a FIFO, fails while there is a file that says how.
RECORDER = """#!/bin/sh
d='{folder}'
me=${{0##*/}}
at="$d/$(date +%s%N)-$$.$me.$CNI_COMMAND"
cat >"$at.tmp"
env >"$at.env"
mv "$at.tmp" "$at.stdin"
[ -p "$d/$me.$CNI_COMMAND.hold" ] && cat "$d/$me.$CNI_COMMAND.hold" >/dev/null
if [ -e "$d/$me.$CNI_COMMAND.fail" ]; then cat "$d/$me.$CNI_COMMAND.fail"; exit 1; fi
[ "$CNI_COMMAND" = ADD ] || exit 0
if [ -e "$d/$me.result" ]; then cat "$d/$me.result"; exit 0; fi
printf '{{"cniVersion":"1.0.0","interfaces":[{{"name":"%s","sandbox":"%s"}}],' "$CNI_IFNAME" "$CNI_NETNS"
printf '"ips":[{{"address":"10.99.0.2/24","interface":0}}]}}'
"""


class Recorded:
    """One call of a recorder."""

    def __init__(self, stdin_file: Path) -> None:
        self.plugin, self.verb = stdin_file.name.rsplit(".", 3)[1:3]
        self.stdin = stdin_file.read_bytes()
        lines = stdin_file.with_suffix(".env").read_text().splitlines()
        self.env = dict(line.split("=", 1) for line in lines if "=" in line)

    @property
    def conf(self) -> dict[str, Any]:
        conf: dict[str, Any] = json.loads(self.stdin)
        return conf

    def __repr__(self) -> str:
        return f"{self.plugin} {self.verb} {self.env.get('CNI_IFNAME')}"


class Recorders:
    """External plugins that write down what they are asked, and do as they are told."""

    def __init__(self, bin_dir: Path, folder: Path) -> None:
        self.bin_dir, self.folder = bin_dir, folder
        folder.mkdir()

    def make(self, name: str, result: Mapping[str, Any] | None = None) -> str:
        """A plugin of that type; what its ADD prints, if not one address on its interface."""
        file = self.bin_dir / name
        file.write_text(RECORDER.format(folder=self.folder))
        file.chmod(0o755)
        if result is not None:
            (self.folder / f"{name}.result").write_text(json.dumps(result))
        return name

    def fail(self, name: str, verb: str, output: str = '{"code": 123, "msg": "told to fail"}') -> None:
        (self.folder / f"{name}.{verb}.fail").write_text(output)

    def succeed(self, name: str, verb: str) -> None:
        (self.folder / f"{name}.{verb}.fail").unlink()

    def hold(self, name: str, verb: str) -> Callable[[], None]:
        """The verb waits until the returned function is called; later calls don't."""
        fifo = self.folder / f"{name}.{verb}.hold"
        os.mkfifo(fifo)

        def release() -> None:
            opened = os.open(fifo, os.O_RDWR)  # never blocks, and whoever waits for a writer has one
            fifo.unlink()
            os.close(opened)

        return release

    @property
    def calls(self) -> list[Recorded]:
        """What was asked, in order."""
        return [Recorded(file) for file in sorted(self.folder.glob("*.stdin"))]

    def asked(self, *verbs: str) -> list[tuple[str, str, str]]:
        """(plugin, verb, interface) in order."""
        wanted = verbs or ("ADD", "CHECK", "DEL", "GC", "STATUS")
        return [(c.plugin, c.verb, c.env["CNI_IFNAME"]) for c in self.calls if c.verb in wanted]

    def clear(self) -> None:
        for file in [*self.folder.glob("*.stdin"), *self.folder.glob("*.env")]:
            file.unlink()


class Site:
    """One node's files, and calls to what serves it."""

    def __init__(self, lab: Any, short: Path) -> None:
        self.lab = lab
        root = lab.directory
        self.state, self.manifests, self.leases = root / "state", root / "manifests", root / "leases"
        self.conf_dir, self.named_dir, self.bin_dir = root / "net.d", root / "named.d", root / "bin"
        for folder in (self.manifests, self.conf_dir, self.named_dir, self.bin_dir):
            folder.mkdir()
        self.recorders = Recorders(self.bin_dir, root / "recorded")
        self.options = Options(
            socket=str(short / "s"),
            state_dir=str(self.state),
            manifests=str(self.manifests),
            conf_dir=str(self.conf_dir),
            named_conf_dir=str(self.named_dir),
        )
        self.conf: dict[str, Any] = {"cniVersion": "1.0.0", "name": "multinet", "type": "multinet"}
        self.path = f"{self.bin_dir}:{GO_PLUGINS}"
        self._application: Application | None = None
        lab.allowed |= {"cni0", "br1"}

    # --- the cluster and the node's configuration

    def default_network(
        self, *plugins: Mapping[str, Any], version: str = "1.0.0", name: str = "cbr0"
    ) -> None:
        """The default network's file; a bridge with host-local in both families if nothing is said."""
        chain = list(plugins) or [self.bridge("10.244.0.0/24", "fd00:244::/64")]
        conf = {"cniVersion": version, "name": name, "plugins": chain}
        (self.conf_dir / "10-default.conflist").write_text(json.dumps(conf))

    def bridge(self, *subnets: str, bridge: str = "cni0", **more: Any) -> dict[str, Any]:
        ipam = {
            "type": "host-local",
            "dataDir": str(self.leases),
            "ranges": [[{"subnet": s}] for s in subnets],
        }
        base = {"type": "bridge", "bridge": bridge, "isDefaultGateway": True, "ipMasq": True, "ipam": ipam}
        return {**base, **more}

    def pod(self, name: str = "web", networks: Any = None, uid: str = "", **annotations: str) -> None:
        if networks is not None:
            text = networks if isinstance(networks, str) else json.dumps(networks)
            annotations["k8s.v1.cni.cncf.io/networks"] = text
        metadata = {"name": name, "namespace": "default", "annotations": annotations}
        if uid:
            metadata["uid"] = uid
        self.manifest(f"pod-{name}", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata})

    def nad(self, name: str, conf: Any, namespace: str = "default", **annotations: str) -> None:
        spec = {} if conf is None else {"config": conf if isinstance(conf, str) else json.dumps(conf)}
        self.manifest(
            f"nad-{namespace}-{name}",
            {
                "apiVersion": "k8s.cni.cncf.io/v1",
                "kind": "NetworkAttachmentDefinition",
                "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
                "spec": spec,
            },
        )

    def manifest(self, file: str, content: Mapping[str, Any]) -> None:
        (self.manifests / f"{file}.json").write_text(json.dumps(content))

    def forget_manifest(self, file: str) -> None:
        (self.manifests / f"{file}.json").unlink()

    def status(self, name: str = "web") -> str:
        """The network-status that was published."""
        saved = json.loads((self.manifests / ".status" / "default" / f"{name}.json").read_text())
        text: str = saved["metadata"]["annotations"][NETWORK_STATUS]
        return text

    # --- calls

    @property
    def app(self) -> Application:
        if self._application is None:
            self._application = Application(self.options, self.lab.host)
        return self._application

    def restart(self) -> Application:
        """As a daemon that starts anew: what was begun is finished or undone."""
        self.close()
        self.app.handler.recover()
        return self.app

    def request(
        self,
        verb: str,
        container: str = "c1",
        netns: Netns | str | None = None,
        conf: Mapping[str, Any] | bytes | None = None,
        pod: str = "web",
        program: str = "multinet",
        time_limit_ms: int | None = None,
        **env: str,
    ) -> Request:
        args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod};K8S_POD_INFRA_CONTAINER_ID={container}"
        given = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": netns.path if isinstance(netns, Netns) else netns or "",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": self.path,
            "CNI_ARGS": args if pod else "",
        }
        stdin = conf if isinstance(conf, bytes) else json.dumps({**self.conf, **(conf or {})}).encode()
        return Request(program, given | env, stdin, time_limit_ms)

    def call(
        self, verb: str, container: str = "c1", netns: Netns | str | None = None, **more: Any
    ) -> Response:
        return self.app.service.answer(self.request(verb, container, netns, **more), None, lambda: False)

    def ok(
        self, verb: str, container: str = "c1", netns: Netns | str | None = None, **more: Any
    ) -> dict[str, Any]:
        response = self.call(verb, container, netns, **more)
        assert response.exit_code == 0, response.stdout.decode()
        result: dict[str, Any] = json.loads(response.stdout) if response.stdout else {}
        return result

    def fails(
        self, verb: str, container: str = "c1", netns: Netns | str | None = None, **more: Any
    ) -> tuple[int, str]:
        """The code, and message and details."""
        return failure(self.call(verb, container, netns, **more))

    # --- what is there

    @property
    def rows(self) -> list[AttachmentRecord]:
        return self.app.journal.all()

    def lease_files(self) -> list[str]:
        """Addresses given out, as ``network/address``."""
        found = (p for p in self.leases.rglob("*") if p.is_file()) if self.leases.exists() else ()
        internal = ("lock", "last_reserved_ip", ".")
        return sorted(f"{p.parent.name}/{p.name}" for p in found if not p.name.startswith(internal))

    def rules(self) -> str:
        return self.lab.run("nft", "list", "ruleset")

    def routes(self, netns: Netns) -> set[tuple[str, str, str]]:
        """(destination, gateway, interface) of the main table."""
        with NetworkStack(netns) as stack:
            names = {link.index: link.name for link in stack.links()}
            return {
                (route.dst, gateway, names[index])
                for route in stack.routes()
                if route.table == 254
                for gateway, index in route.hops
            }

    def defaults(self, netns: Netns) -> set[tuple[str, str, str]]:
        return {route for route in self.routes(netns) if route[0].endswith("/0")}

    def assert_clean(self, *sandboxes: Netns) -> None:
        """Nothing of any attachment is left: links, addresses, rules, leases, rows."""
        assert self.rows == []
        assert self.lease_files() == []
        left = {name for name in self.lab.links() if name.startswith("veth")}
        assert left == set()
        assert "multinet:" not in self.rules()
        assert "CNI-" not in self.rules()  # the reference plugins'
        for sandbox in sandboxes:
            assert set(self.lab.links(sandbox)) == {"lo"}

    @staticmethod
    def wait_for(condition: Callable[[], object]) -> None:
        wait_for(condition)

    def close(self) -> None:
        if self._application is not None:
            self._application.close()
            self._application = None


def failure(response: Response) -> tuple[int, str]:
    """The code of an error, and its message and details."""
    assert response.exit_code == 1, response.stdout.decode()
    error = json.loads(response.stdout)
    return error["code"], "; ".join(filter(None, (error["msg"], error.get("details"))))


@pytest.fixture
def site(lab: Any) -> Iterator[Site]:
    """A node with a default network and the pod ``default/web``."""
    # not below tmp_path: its length may exceed what a socket's address holds
    with tempfile.TemporaryDirectory(prefix="mn-") as short:
        site = Site(lab, Path(short))
        site.default_network()
        site.pod()
        try:
            yield site
        finally:
            site.close()


@pytest.fixture(scope="session")
def shim_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim."""
    return build(tmp_path_factory.mktemp("shim") / "multinet")


class Daemon:
    """``multinet daemon`` as a process on the site's host, and shims that call it."""

    def __init__(self, site: Site, shim: Path) -> None:
        self.site = site
        self._shim = shim
        self._process: subprocess.Popen[bytes] | None = None
        self.log = site.lab.directory / "daemon.log"
        self.install("multinet")

    def install(self, name: str) -> str:
        """The shim under a name, in the site's folder of plugins."""
        path = self.site.bin_dir / name
        path.write_bytes(self._shim.read_bytes())
        path.chmod(0o755)
        return str(path)

    def command(self, *more: str) -> list[str]:
        options = self.site.options
        flags = [
            f"--socket={options.socket}",
            f"--state-dir={options.state_dir}",
            f"--manifests={options.manifests}",
            f"--conf-dir={options.conf_dir}",
            f"--named-conf-dir={options.named_conf_dir}",
        ]
        inside = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.site.lab.host.fd}"]
        return [*inside, sys.executable, "-m", "multinet", "daemon", *flags, *more]

    def start(self, *more: str) -> None:
        environment = {**os.environ, **self.environment}
        before = self.served
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command(*more), stderr=log, env=environment)
        wait_for(lambda: self.served > before or self._process is None or self._process.poll() is not None)
        assert self._process.poll() is None, self.log.read_text()

    @property
    def environment(self) -> dict[str, str]:
        """Where shims find their daemon; plugins that the daemon starts inherit it."""
        return {"MULTINET_SOCKET": self.site.options.socket, "MULTINET_SPOOL": self.site.options.spool}

    @property
    def served(self) -> int:
        """How often a daemon got so far as to serve."""
        return self.log.read_text().count("serving on") if self.log.exists() else 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def terminate(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = 30) -> int:
        assert self._process is not None
        code = self._process.wait(timeout)
        self._process = None
        return code

    def stop(self) -> None:
        if self._process is not None:
            self.terminate()
            assert self.wait() == 0, self.log.read_text()

    def shim(self, verb: str, container: str = "c1", netns: Any = None, **more: Any) -> Response:
        """A call by the compiled shim."""
        process = self.begin(verb, container, netns, **more)
        out, err = process.communicate(timeout=120)
        return Response(process.returncode, out, err)

    def begin(
        self, verb: str, container: str = "c1", netns: Any = None, time_limit: int | None = None, **more: Any
    ) -> subprocess.Popen[bytes]:
        """As ``shim``, but it isn't waited for."""
        request = self.site.request(verb, container, netns, **more)
        env = {**request.env, **self.environment}
        if time_limit is not None:
            env["MULTINET_TIMEOUT"] = str(time_limit)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(request.stdin)
            stdin.seek(0)
            return subprocess.Popen(
                [self.site.bin_dir / request.program],
                env=env,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )

    def ok(self, verb: str, container: str = "c1", netns: Any = None, **more: Any) -> dict[str, Any]:
        response = self.shim(verb, container, netns, **more)
        assert response.exit_code == 0, (response.stdout, response.stderr, self.log.read_text())
        result: dict[str, Any] = json.loads(response.stdout) if response.stdout else {}
        return result

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


@pytest.fixture
def daemon(site: Site, shim_file: Path) -> Iterator[Daemon]:
    """A daemon that isn't running yet; ended in any case."""
    daemon = Daemon(site, shim_file)
    try:
        yield daemon
    finally:
        daemon.close()


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Until ``condition`` holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s in vain"
        time.sleep(0.01)
