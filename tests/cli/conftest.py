"""Real processes: ``python -m multinet …``, and nodes whose host is a throw-away namespace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Done = subprocess.CompletedProcess[str]
Cli = Callable[..., Done]

BASE_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "base",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cli0",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.91.0.0/24"}]]},
            "capabilities": {"mac": True, "ips": False},
        }
    ],
}
NETWORK = {"cniVersion": "1.0.0", "type": "bridge", "bridge": "cli1", "ipam": {"type": "static"}}
MANIFESTS = f"""
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {{name: lan}}
spec:
  config: '{json.dumps({**NETWORK, "ipam": {"type": "static", "addresses": [{"address": "10.92.0.5/24"}]}})}'
---
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    k8s.v1.cni.cncf.io/networks: lan
"""


def environment(**more: str) -> dict[str, str]:
    """Of a process that finds this checkout, and no CNI or multinet variables of ours."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("CNI_", "MULTINET_"))}
    return {**inherited, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **more}


def nsenter(netns: Any) -> list[str]:
    """The beginning of a command that runs inside ``netns``."""
    return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{netns.fd}"]


def run_multinet(*arguments: object, stdin: str = "", inside: Any = None, **env: str) -> Done:
    """``python -m multinet …``, from outside the repository, inside a namespace if one is given."""
    return subprocess.run(
        [*(nsenter(inside) if inside else ()), sys.executable, "-m", "multinet", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(**env),
        cwd="/",
    )


@pytest.fixture
def multinet() -> Cli:
    return run_multinet


@dataclass
class NodeFiles:
    """The directories of a node, none of them the machine's."""

    root: Path
    short: Path
    """For the socket: its path must fit into a socket address."""
    bin_dir: Path = field(init=False)
    conf_dir: Path = field(init=False)
    state_dir: Path = field(init=False)
    manifests: Path = field(init=False)
    socket: Path = field(init=False)

    def __post_init__(self) -> None:
        for name in ("bin_dir", "conf_dir", "state_dir", "manifests"):
            path = self.root / name
            setattr(self, name, path)
            if name != "state_dir":
                path.mkdir()
        self.socket = self.short / "s"
        base = json.loads(json.dumps(BASE_NETWORK))
        base["plugins"][0]["ipam"]["dataDir"] = str(self.root / "addresses")
        (self.conf_dir / "10-base.conflist").write_text(json.dumps(base))
        (self.manifests / "all.yaml").write_text(MANIFESTS)

    @property
    def folders(self) -> list[str]:
        return ["--bin-dir", str(self.bin_dir), "--conf-dir", str(self.conf_dir)]

    @property
    def state(self) -> list[str]:
        return ["--state-dir", str(self.state_dir), "--socket", str(self.socket)]

    def install(self, *more: str) -> Done:
        return run_multinet("install", *self.folders, *self.state, *more)

    def uninstall(self, *more: str) -> Done:
        return run_multinet("uninstall", *self.folders, *self.state, *more)

    def status(self, *more: str) -> Done:
        return run_multinet("status", *self.state, *more)

    def attachments(self) -> list[dict[str, Any]]:
        done = self.status("-o", "json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)["attachments"]
        return found

    def snapshot(self) -> dict[str, tuple[str, bytes]]:
        """Every entry of the two installation folders: mode and content."""
        return {
            str(path.relative_to(self.root)): (oct(path.lstat().st_mode), path.read_bytes())
            for folder in (self.bin_dir, self.conf_dir)
            for path in folder.rglob("*")
        }


@pytest.fixture
def files(tmp_path: Path) -> Iterator[NodeFiles]:
    with tempfile.TemporaryDirectory(prefix="mn-") as short:
        yield NodeFiles(tmp_path, Path(short))


class Node:
    """A node in a lab: its files, its daemon, and calls as a runtime makes them."""

    def __init__(self, files: NodeFiles, lab: Any) -> None:
        self.files = files
        self.lab = lab
        self.daemon: subprocess.Popen[bytes] | None = None
        self.errors = files.root / "daemon.err"

    def start(self, *python: str, cluster: Sequence[str] = (), **env: str) -> None:
        """The daemon, serving; with options of ``python``, and those that name the cluster."""
        files = self.files
        command = [sys.executable, *python, "-m", "multinet", "daemon", *files.state]
        command += cluster or ["--manifests", str(files.manifests)]
        command += ["--conf-dir", str(files.conf_dir)]
        with self.errors.open("a") as errors:
            self.daemon = subprocess.Popen(
                [*nsenter(self.lab.host), *command], env=environment(**env), stderr=errors, cwd="/"
            )
        limit = time.monotonic() + 60
        while not files.socket.exists():
            assert self.daemon.poll() is None, self.errors.read_text()
            assert time.monotonic() < limit, "the daemon doesn't serve"
            time.sleep(0.02)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        code = self.daemon.wait(60)
        self.daemon = None
        return code

    def environment(self, verb: str, netns: str, **more: str) -> dict[str, str]:
        return environment(
            CNI_COMMAND=verb,
            CNI_CONTAINERID=more.pop("container", "c1"),
            CNI_NETNS=netns,
            CNI_IFNAME="eth0",
            CNI_PATH=str(self.files.bin_dir),
            CNI_ARGS=more.pop("args", "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web"),
            **more,
        )

    def network(self) -> dict[str, Any]:
        """The configuration that the runtime would send, from the installed file."""
        written = json.loads((self.files.conf_dir / "00-multinet.conflist").read_text())
        return {"cniVersion": written["cniVersion"], "name": written["name"], **written["plugins"][0]}

    def begin(self, verb: str, netns: str, program: str = "multinet", **more: Any) -> subprocess.Popen[str]:
        """A call, under way."""
        conf = {**self.network(), **more.pop("conf", {})}
        call = subprocess.Popen(
            [*nsenter(self.lab.host), str(self.files.bin_dir / program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(verb, netns, **more),
            text=True,
        )
        assert call.stdin is not None
        call.stdin.write(json.dumps(conf))
        call.stdin.close()
        call.stdin = None
        return call

    def call(self, verb: str, netns: str, program: str = "multinet", **more: Any) -> tuple[int, Any]:
        """A call; exit code, and what it printed as an object."""
        call = self.begin(verb, netns, program, **more)
        out, errors = call.communicate(timeout=120)
        return call.returncode, json.loads(out) if out else errors

    def close(self) -> None:
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait(60)


@pytest.fixture
def node(files: NodeFiles, lab: Any) -> Iterator[Node]:
    lab.allowed |= {"cli0", "cli1"}
    node = Node(files, lab)
    try:
        yield node
    finally:
        node.close()


@pytest.fixture
def shell_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a shell in which ``multinet`` is a command."""
    folder = tmp_path_factory.mktemp("path")
    program = folder / "multinet"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m multinet "$@"\n')
    program.chmod(0o755)
    env = environment()
    return {**env, "PATH": f"{folder}:{env['PATH']}"}
