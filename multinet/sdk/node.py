"""The node as a plugin sees it: kernel, firewall, and other plugins to hand work to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_UN, flock

from multinet.adapters.kernel import Kernel, NetworkStack
from multinet.adapters.netns import Netns
from multinet.cni.chain import Executor, PluginCall
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Owner
from multinet.engine.facts import Facts
from multinet.engine.host_files import OWN_FILES, HostFiles
from multinet.engine.scene import Scene
from multinet.ports import UNMEASURED, Firewall, Measures


def _never() -> bool:
    return False


@dataclass(slots=True)
class Node:
    """What one request may use. ``netns`` is the sandbox that the caller already opened, if it did."""

    kernel: Kernel
    firewall: Firewall
    external: Executor
    masquerade_backend: Callable[[], str]
    netns: Netns | None = None
    sandbox: NetworkStack | None = None
    """The stack of ``netns`` if the caller keeps one for all its attachments."""
    cancelled: Callable[[], bool] = _never
    occupied: frozenset[str] | None = None
    """Names of the sandbox's links, if they are known."""
    waits: list[Callable[[], None]] | None = None
    """Where to leave what is still to be waited for; None: it is waited for at once."""
    host_files: HostFiles = OWN_FILES
    alone: bool = True
    """Whether the caller sees to it that nothing else is attached to ``netns`` meanwhile."""
    measures: Measures = UNMEASURED
    """Who is told how long each plugin in process takes."""

    @contextmanager
    def scene(self, call: PluginCall, owner: Owner) -> Iterator[Scene]:
        """The stage for one attachment. Raises CNIError code 8 when ADD or CHECK has no usable namespace;
        for other verbs the sandbox is None then.
        """
        if self.sandbox is not None:
            yield self._scene(call, owner, self.sandbox)
            return
        netns, opened = self.netns, False
        if netns is None and call.invocation.netns:
            try:
                netns, opened = Netns.open(call.invocation.netns), True
            except CNIError:
                if call.verb in ("ADD", "CHECK"):
                    raise
        stack = self._sandbox(netns, call)
        try:
            yield self._scene(call, owner, stack)
        finally:
            if stack is not None:
                stack.close()
            if opened and netns is not None:
                netns.close()

    @contextmanager
    def turn(self, scene: Scene) -> Iterator[None]:
        """Alone in a sandbox among the plugins that decide by what is there (which table is free): a lock on the
        namespace, as the reference plugin sbr takes it. The daemon's containers have turns of their own, which do
        for attachments that are made one after another.
        """
        in_turn = self.alone and (self.netns is not None or self.sandbox is not None)
        if in_turn or scene.sandbox is None:
            yield
            return
        fd = scene.sandbox.netns.fd
        flock(fd, LOCK_EX)
        try:
            yield
        finally:
            flock(fd, LOCK_UN)

    def _scene(self, call: PluginCall, owner: Owner, sandbox: NetworkStack | None) -> Scene:
        host = self.kernel.host
        facts = self._facts(host, sandbox)
        return Scene(owner, host, sandbox, self.firewall, facts, call.deadline, self.cancelled, self.waits)

    def _sandbox(self, netns: Netns | None, call: PluginCall) -> NetworkStack | None:
        if netns is None:
            return None
        if netns == self.kernel.host_netns:
            if call.verb == "DEL":
                return None  # nothing in the host's own namespace is a sandbox's
            raise CNIError(
                Code.INVALID_NETNS, "plugin's netns and netns from CNI_NETNS should not be the same"
            )
        return self.kernel.open(netns)

    def look_again(self, scene: Scene) -> None:
        """Fresh facts, to decide once more."""
        scene.facts = self._facts(scene.host, scene.sandbox)

    def _facts(self, host: NetworkStack, sandbox: NetworkStack | None) -> Facts:
        return Facts(host, sandbox, self.masquerade_backend, self.occupied, self.host_files)
