"""What kubelet does for a DaemonSet, with ``ctr``: its containers as the manifest has them, on a throw-away node."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.runtime.containerd import SOCKET
from tests.runtime.node import Node
from tests.runtime.worker import wait_for

CTR = ("ctr", "-a", SOCKET, "-n", "k8s.io")
_numbers = itertools.count(1)


class Container:
    """One that was started."""

    def __init__(self, node: Node, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self._node, self._process, self._log = node, process, log
        self.name = name

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait(self) -> int:
        """Its exit code."""
        return self._process.wait(120)

    def probe(self, command: Sequence[str]) -> bool:
        """An exec probe."""
        number = f"probe{next(_numbers)}"
        words = [*CTR, "task", "exec", "--exec-id", number, self.name, *command]
        return subprocess.run(self._node.command(*words), capture_output=True).returncode == 0

    def until(self, command: Sequence[str]) -> None:
        """Wait until a probe succeeds."""
        wait_for(lambda: self._process.poll() is not None or self.probe(command))
        assert self._process.poll() is None, self.log

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self._node.run(*CTR, "task", "kill", "--signal", "SIGTERM", self.name)
        return self.wait()


def run(
    node: Node,
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    image: str,
    log: Path,
    more: Sequence[str] = (),
    volumes: Mapping[str, str] | None = None,
) -> Container:
    """Start a container of the pod's. ``volumes``: folders of the node for volumes that aren't of it."""
    name = f"{container['name']}-{next(_numbers)}"
    words = [*CTR, "run", "--rm", "--net-host", "--cgroup", f"/{node.cgroup}/{name}"]
    words += _security(container["securityContext"]) + _environment(container)
    paths = {**_host_paths(node, pod), **(volumes or {})}
    for mount in container.get("volumeMounts", ()):
        words += ["--mount", _mount(mount, paths)]
    if pod.get("hostPID"):
        words += ["--with-ns", f"pid:/proc/{node.pid}/ns/pid"]
    words += ["--memory-limit", str(_bytes(container["resources"]["limits"]["memory"]))]
    words += [image, name, *container["command"], *container.get("args", ()), *more]
    with log.open("ab") as output:
        process = subprocess.Popen(node.command(*words), stdout=output, stderr=output)
    return Container(node, name, process, log)


def _security(context: Mapping[str, Any]) -> list[str]:
    assert context["runAsUser"] == 0 and context["readOnlyRootFilesystem"] is True
    if context.get("privileged"):
        return ["--read-only", "--privileged"]
    # ctr begins with the usual set of capabilities
    usual = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE"
    usual += " SYS_CHROOT KILL AUDIT_WRITE"
    kept = context["capabilities"]["add"]
    assert context["capabilities"]["drop"] == ["ALL"]
    dropped = [one for one in usual.split() if one not in kept]
    return ["--read-only", *(word for one in dropped for word in ("--cap-drop", f"CAP_{one}"))]


def _environment(container: Mapping[str, Any]) -> list[str]:
    values = {one["name"]: one.get("value", "n1") for one in container.get("env", ())}
    return [word for name, value in values.items() for word in ("--env", f"{name}={value}")]


def _host_paths(node: Node, pod: Mapping[str, Any]) -> dict[str, str]:
    """The node's paths of its volumes, which are made if they should be."""
    found = {}
    for volume in pod["volumes"]:
        if source := volume.get("hostPath"):
            found[volume["name"]] = source["path"]
            if source["type"] == "DirectoryOrCreate":
                node.run("mkdir", "-p", source["path"])
            elif source["type"] == "FileOrCreate":
                node.run("touch", source["path"])
    return found


def _mount(mount: Mapping[str, Any], paths: Mapping[str, str]) -> str:
    name = mount["name"]
    if name == "tmp":
        return f"type=tmpfs,dst={mount['mountPath']},options=rw"
    access = "ro" if mount.get("readOnly") else "rw"
    arriving = "rslave" if mount.get("mountPropagation") == "HostToContainer" else "rprivate"
    return f"type=bind,src={paths[name]},dst={mount['mountPath']},options=rbind:{access}:{arriving}"


def _bytes(quantity: str) -> int:
    assert quantity.endswith("Mi")
    return int(quantity.removesuffix("Mi")) << 20
