"""Throw-away network namespaces: a "host" and its sandboxes, so that tests run side by side and touch nothing."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from multinet.adapters.kernel import Kernel, NetworkStack
from multinet.adapters.kernel_messages import set_link
from multinet.adapters.kernel_values import LinkInfo
from multinet.adapters.netns import Netns
from multinet.adapters.rtnetlink import IFF_UP

__all__ = ["Lab", "new_netns"]

_CLONE_NEWNET = 0x40000000


def new_netns() -> Netns:
    """A fresh network namespace, held by its descriptor alone. Raises OSError (root is needed)."""
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
    (made,) = opened
    if isinstance(made, OSError):
        raise made
    return Netns(made, f"/proc/{os.getpid()}/fd/{made}")


@dataclass
class Lab:
    """A host of its own, and as many sandboxes as a test wants."""

    host: Netns
    kernel: Kernel
    directory: Path
    allowed: set[str] = field(default_factory=lambda: {"lo"})
    """Host links that may be there in the end (bridges stay by design)."""
    _made: list[Netns] = field(default_factory=list)

    @classmethod
    def opened(cls, directory: Path) -> Lab:
        """A new host with ``lo`` up; ``directory`` is for the test's files."""
        host = new_netns()
        lab = cls(host, Kernel(host), directory)
        lab._made.append(host)
        lab.raise_link("lo")
        return lab

    def sandbox(self) -> Netns:
        """One more network namespace."""
        netns = new_netns()
        self._made.append(netns)
        return netns

    def run(self, *command: str, netns: Netns | None = None, check: bool = True, stdin: str = "") -> str:
        """A command inside the host's namespace, or ``netns``; its standard output."""
        with (netns or self.host).entered():
            done = subprocess.run(command, capture_output=True, text=True, input=stdin)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def ip(self, *arguments: str, netns: Netns | None = None) -> str:
        """``ip …`` inside the host's namespace, or ``netns``."""
        return self.run("ip", *arguments, netns=netns)

    def raise_link(self, name: str, netns: Netns | None = None) -> None:
        """Set a link up, with no process: under emulation one costs a tenth of a second."""
        with NetworkStack(netns or self.host) as stack:
            link = stack.link(name)
            assert link is not None, f"no link {name}"
            (refusal,) = stack.send([set_link(link.index, IFF_UP, IFF_UP)])
            assert refusal is None, refusal

    def links(self, netns: Netns | None = None) -> dict[str, LinkInfo]:
        """Links by name."""
        with NetworkStack(netns or self.host) as stack:
            return {link.name: link for link in stack.links()}

    def left(self) -> set[str]:
        """Host links that shouldn't be there any more."""
        return set(self.links()) - self.allowed

    def close(self) -> None:
        """Give all namespaces back."""
        for netns in self._made:
            netns.close()
