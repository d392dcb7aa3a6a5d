"""Throw-away network namespaces for every test: the "host" is one too, so tests run side by side."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.kernel import Kernel, NetworkStack
from multinet.adapters.kernel_values import LinkInfo
from multinet.adapters.netns import Netns

pytest_plugins = ["tests.vm.plugin"]

_CLONE_NEWNET = 0x40000000


def new_netns() -> Netns:
    """A fresh network namespace with ``lo`` up, held by its descriptor alone."""
    opened: list[int | OSError] = []

    def unshare() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:
            opened.append(OSError(ctypes.get_errno(), "unshare"))
            return
        opened.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=unshare)
    thread.start()
    thread.join()
    if isinstance(opened[0], OSError):
        raise opened[0]
    return Netns(opened[0], f"/proc/{os.getpid()}/fd/{opened[0]}")


@dataclass
class Lab:
    """A host of its own, and as many sandboxes as a test wants."""

    host: Netns
    kernel: Kernel
    directory: Path
    allowed: set[str] = field(default_factory=lambda: {"lo"})
    """Host links that may be there in the end (bridges stay by design)."""
    _made: list[Netns] = field(default_factory=list)

    def sandbox(self) -> Netns:
        """One more network namespace."""
        netns = new_netns()
        self._made.append(netns)
        return netns

    def run(self, *command: str, netns: Netns | None = None, check: bool = True, stdin: str = "") -> str:
        """A command inside the host's namespace, or ``netns``; its standard output."""
        inside = netns or self.host
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{os.getpid()}/fd/{inside.fd}", *command],
            capture_output=True,
            text=True,
            input=stdin,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def ip(self, *arguments: str, netns: Netns | None = None) -> str:
        """``ip …`` inside the host's namespace, or ``netns``."""
        return self.run("ip", *arguments, netns=netns)

    def links(self, netns: Netns | None = None) -> dict[str, LinkInfo]:
        """Links by name."""
        with NetworkStack(netns or self.host) as stack:
            return {link.name: link for link in stack.links()}

    def close(self) -> None:
        """Give all namespaces back."""
        for netns in self._made:
            netns.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A host namespace; the test fails if it leaves a link there."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    host = new_netns()
    lab = Lab(host, Kernel(host), tmp_path)
    lab._made.append(host)
    lab.ip("link", "set", "lo", "up")
    try:
        yield lab
        left = set(lab.links()) - lab.allowed
        assert not left, f"links left on the host: {left}"
    finally:
        lab.close()


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Tests that use a lab are kernel tests; the reference plugins may be missing."""
    present = Path("/usr/lib/cni/bridge").exists()
    for item in items:
        if "lab" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kernel)
        if item.get_closest_marker("reference") and not present:
            item.add_marker(pytest.mark.skip(reason="containernetworking-plugins is not installed"))
