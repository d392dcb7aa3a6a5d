"""A container runtime's side of CNI: networks attached, checked and detached, with the results kept between.

What libcni's ``CNIConfig`` is in Go. Differences, all of them on the safe side: a failed ADD is undone, and a
second ADD of the same attachment is refused before it does anything; DEL and CHECK use the configuration
that ADD used, if it is still known; operations on one container take turns, and GC excludes all others
(within this process); GC without a list deletes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from multinet.cni import chain
from multinet.cni.cache import CachedAttachment, ResultCache
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, Code
from multinet.cni.execution import ExecutableRunner
from multinet.cni.invocation import Invocation
from multinet.cni.plugin_call import Executor
from multinet.cni.result import Result
from multinet.cni.turns import Turns

__all__ = ["Container", "Runtime"]


class Container(msgspec.Struct, frozen=True):
    """What is attached to a network: a container's namespace, and the name of the interface in it."""

    container_id: str
    netns: str = ""
    """Path of the network namespace; empty (for DEL only) when it is gone."""
    ifname: str = "eth0"
    args: tuple[tuple[str, str], ...] = ()
    """``CNI_ARGS``, in order."""
    capability_args: Mapping[str, Any] = {}
    """Capability name (``portMappings``) to its argument."""


class Runtime:
    """Attaches containers to networks. One object serves any number of threads.

    ``path`` are the folders with the plugins' executables, ``cache`` keeps the results, ``executor`` runs the
    plugins. A ``deadline`` is monotonic time in seconds; None is no limit.
    """

    def __init__(
        self,
        path: Sequence[str] = ("/opt/cni/bin",),
        cache: ResultCache | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.cache = cache or ResultCache()
        self._path = tuple(path)
        self._executor = executor or ExecutableRunner()
        self._turns = Turns()

    def add(self, network: NetworkList, container: Container, deadline: float | None = None) -> Result:
        """Attach a container, and record the result. After a failure nothing of it is left.

        Raises CNIError; code 4 when the interface is attached to the network already.
        """
        with self._turns.of(container.container_id, deadline):
            if self._recorded(network, container) is not None:
                # Running it would fail as well, and undoing that would take down the first one.
                raise CNIError(
                    Code.INVALID_ENVIRONMENT,
                    f'interface "{container.ifname}" of container "{container.container_id}" is attached '
                    f'to network "{network.name}" already: DEL it first',
                )
            return chain.add_or_undo(
                network,
                self._invocation(container),
                self._executor,
                accept=lambda raw: self._record(network, container, raw),
                capability_args=container.capability_args,
                deadline=deadline,
            )

    def check(self, network: NetworkList, container: Container, deadline: float | None = None) -> None:
        """Ask each plugin whether the attachment is still what ADD made. Raises CNIError if not."""
        with self._turns.of(container.container_id, deadline):
            known = self._recorded(network, container)
            chain.check(
                (known and known.network) or network,
                self._invocation(container),
                self._executor,
                known.result if known else None,
                capability_args=container.capability_args,
                deadline=deadline,
            )

    def delete(self, network: NetworkList, container: Container, deadline: float | None = None) -> None:
        """Detach a container, and forget the result; any number of times. Raises CNIError."""
        with self._turns.of(container.container_id, deadline):
            self._detach(network, container, deadline)

    def gc(
        self,
        network: NetworkList,
        valid: Collection[tuple[str, str]] | None,
        deadline: float | None = None,
    ) -> None:
        """Remove what is left of attachments that aren't in ``valid``: (container id, interface name).

        Each one recorded gets a DEL, then each plugin a GC (from version 1.1.0 on). None as the list deletes
        nothing. Raises one CNIError for all failures, with the code of the first.
        """
        if network.disable_gc:
            return
        failures: list[CNIError] = []
        with self._turns.alone(deadline):
            for stale in self._stale(network, valid):
                try:
                    self._detach(network, stale, deadline)
                except CNIError as error:
                    what = f"{stale.container_id} {stale.ifname}"
                    failures.append(error.prefixed(f"failed to delete stale attachment {what}: "))
            try:
                chain.gc(network, Invocation("GC", path=self._path), self._executor, valid, deadline=deadline)
            except CNIError as error:
                failures.append(error)
        if failures:
            raise CNIError(failures[0].code, "\n".join(str(error) for error in failures))

    def status(self, network: NetworkList, deadline: float | None = None) -> None:
        """Ask each plugin whether it could serve an ADD now. Raises the first CNIError as it is (50, 51)."""
        chain.status(network, Invocation("STATUS", path=self._path), self._executor, deadline=deadline)

    def _detach(self, network: NetworkList, container: Container, deadline: float | None) -> None:
        known = self._recorded(network, container)
        chain.delete(
            (known and known.network) or network,
            self._invocation(container),
            self._executor,
            known.result if known else None,
            capability_args=container.capability_args,
            deadline=deadline,
        )
        self.cache.remove(network.name, container.container_id, container.ifname)

    def _stale(self, network: NetworkList, valid: Collection[tuple[str, str]] | None) -> list[Container]:
        if valid is None:
            return []
        return [
            Container(entry.container_id, entry.netns, entry.ifname, entry.args, entry.capability_args)
            for entry in self.cache.attachments(network.name)
            if (entry.container_id, entry.ifname) not in valid
        ]

    def _recorded(self, network: NetworkList, container: Container) -> CachedAttachment | None:
        return self.cache.get(network.name, container.container_id, container.ifname)

    def _record(self, network: NetworkList, container: Container, raw: Mapping[str, Any]) -> None:
        self.cache.put(
            CachedAttachment(
                network_name=network.name,
                container_id=container.container_id,
                ifname=container.ifname,
                config=network.raw,
                netns=container.netns,
                args=container.args,
                capability_args=container.capability_args,
                result=raw,
            )
        )

    def _invocation(self, container: Container) -> Invocation:
        return Invocation(
            command="",  # each call names its own verb
            container_id=container.container_id,
            netns=container.netns,
            ifname=container.ifname,
            args=";".join(f"{key}={value}" for key, value in container.args),
            path=self._path,
        )
