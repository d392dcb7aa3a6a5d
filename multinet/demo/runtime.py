"""The container runtime's part: a network namespace a pod, and CNI calls to the installed executable."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Callable

import msgspec

from multinet.cni.conf import conf_files, load_file
from multinet.cni.execution import ExecutableRunner, find_executable
from multinet.cni.runtime import Container, Runtime
from multinet.demo.isolation import make_netns, remove_netns

__all__ = ["BIN_DIR", "CONF_DIR", "ContainerRuntime", "Sandbox"]

BIN_DIR = "/opt/cni/bin"
CONF_DIR = "/etc/cni/net.d"
_CALL_LIMIT = 30.0
"""Seconds for one CNI call."""


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """A pod's network namespace and its name for the plugins."""

    namespace: str
    pod: str
    container_id: str
    netns: str

    @property
    def container(self) -> Container:
        """What CNI is called with: the pod's name as containerd and CRI-O give it."""
        args = (("K8S_POD_NAMESPACE", self.namespace), ("K8S_POD_NAME", self.pod))
        return Container(self.container_id, self.netns, "eth0", args)


class ContainerRuntime:
    """What containerd does for pods' networks; it takes the first configuration in its folder."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        """``heard`` gets what the executable says beside its answer. Raises CNIError: no valid configuration."""
        self.conf_file = next(iter(conf_files(CONF_DIR)), "")
        self._network = load_file(self.conf_file)
        self._runtime = Runtime(
            (BIN_DIR,), executor=ExecutableRunner(heard=lambda _, said: heard(said.decode()))
        )

    def create(self, namespace: str, pod: str) -> Sandbox:
        """A pod's namespace, empty as yet. Raises OSError."""
        container_id = secrets.token_hex(6)
        return Sandbox(namespace=namespace, pod=pod, container_id=container_id, netns=make_netns(pod))

    def add(self, sandbox: Sandbox) -> float:
        """ADD; milliseconds. A failed one is undone, as runtimes do. Raises CNIError."""
        return _timed(lambda: self._runtime.add(self._network, sandbox.container, _deadline()))

    def check(self, sandbox: Sandbox) -> float:
        """CHECK, with the result of the ADD; milliseconds. Raises CNIError."""
        return _timed(lambda: self._runtime.check(self._network, sandbox.container, _deadline()))

    def delete(self, sandbox: Sandbox) -> float:
        """DEL, with the result of the ADD; milliseconds. Raises CNIError."""
        return _timed(lambda: self._runtime.delete(self._network, sandbox.container, _deadline()))

    def remove(self, sandbox: Sandbox) -> None:
        """The pod's namespace goes, and with it whatever is left in it. Raises OSError."""
        remove_netns(sandbox.netns)

    def status(self) -> None:
        """STATUS. Raises CNIError when an ADD would fail now."""
        self._runtime.status(self._network, _deadline())

    def call_text(self, verb: str, sandbox: Sandbox) -> str:
        """The call as a shell would make it (CHECK and DEL get the ADD's result as ``prevResult`` too)."""
        variables = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": sandbox.container_id,
            "CNI_NETNS": sandbox.netns,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": BIN_DIR,
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in sandbox.container.args),
        }
        words = [f"{key}={shlex.quote(value)}" for key, value in variables.items()]
        executable = find_executable(self._network.plugins[0]["type"], (BIN_DIR,))
        return " ".join([*words, executable, "<", self.conf_file])


def _deadline() -> float:
    return time.monotonic() + _CALL_LIMIT


def _timed(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return (time.monotonic() - started) * 1000
