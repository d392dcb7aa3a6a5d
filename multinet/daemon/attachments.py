"""One attachment made, compared or taken away: what ADD, DEL, start-up and retries have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import msgspec

from multinet.adapters.device_info_files import DeviceInfoFiles
from multinet.adapters.kernel import Kernel, NetworkStack
from multinet.adapters.netns import Netns
from multinet.cni import chain
from multinet.cni.chain import Executor
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError, Code
from multinet.cni.invocation import Invocation
from multinet.cni.versions import at_least
from multinet.core.record import AttachmentRecord
from multinet.daemon.call import Call
from multinet.daemon.former import FormerPlugins
from multinet.engine.facts import Facts
from multinet.engine.remove import drop_sandbox_links
from multinet.engine.scene import Scene
from multinet.ports import UNMEASURED, Firewall, Measures
from multinet.sdk.executor import DelegateExecutor, runs_in_process
from multinet.sdk.ipam_source import needs_link
from multinet.sdk.node import Node

CLEAN_UP_LIMIT = 30.0
"""Seconds that removing one attachment may take, whatever became of the caller's own deadline."""

_CHECK_SINCE = "0.4.0"


class Attachments:
    """Makes and removes single attachments on this node."""

    def __init__(
        self,
        kernel: Kernel,
        firewall: Firewall,
        external: Executor,
        masquerade_backend: Callable[[], str],
        device_files: DeviceInfoFiles | None = None,
        measures: Measures = UNMEASURED,
    ) -> None:
        self.kernel = kernel
        self._firewall = firewall
        self._external = external
        self._masquerade_backend = masquerade_backend
        self._device_files = device_files or DeviceInfoFiles()
        self._measures = measures

    def node(self, call: Call) -> Node:
        """The node as one call may use it, for one thing after another."""
        node = self._node(call.netns, call.sandbox(self.kernel), call.cancelled)
        node.occupied = call.occupied
        return node

    @contextmanager
    def node_apart(self, call: Call) -> Iterator[Node]:
        """The node for one of several attachments of the call that are made at once, in a thread of its own.

        What is to be waited for is waited for there. Sockets and namespace are this thread's, to its end.
        """
        with ExitStack() as opened:
            opened.callback(self.kernel.leave)
            netns = sandbox = None
            if call.netns is not None:
                netns = opened.enter_context(call.netns.reopened())
                if netns != self.kernel.host_netns:
                    sandbox = opened.enter_context(self.kernel.open(netns))
            node = self._node(netns, sandbox, call.cancelled)
            node.occupied, node.alone = call.occupied, False
            yield node

    def require_free(self, ifnames: Collection[str], call: Call) -> None:
        """None of the names is taken in the sandbox. Raises CNIError code 100.

        Asked before anything is begun: what is begun is removed after a failure, and by its name.
        """
        stack = call.sandbox(self.kernel)
        if stack is None:
            return  # said by the plugin, in its own words
        call.occupied = frozenset(link.name for link in stack.links())
        taken = call.occupied.intersection(ifnames) - {"lo"}
        if taken:
            names = ", ".join(sorted(taken))
            raise CNIError(
                Code.KERNEL,
                f"interface name {names} already exists in {call.invocation.netns}",
                "something else made it there: remove it, or choose another name",
            )

    def attach(
        self,
        record: AttachmentRecord,
        network: NetworkList,
        call: Call,
        node: Node,
        begun: list[AttachmentRecord],
    ) -> None:
        """Make it on ``node``, which is the call's; ``begun`` gets the record, with the result and what was applied.

        Raises CNIError; then the record says how far it came, for ``detach_all``.
        """
        executor = DelegateExecutor(node)
        begun.append(record)
        result: dict[str, Any] | None = None
        try:
            self._tell_device(record)
            made = chain.add(
                network,
                invocation_of(record, "ADD"),
                executor,
                capability_args=record.capability_args,
                env=call.trace,
                deadline=call.deadline,
                cancel_fd=call.cancel_fd,
            )
            result = made.as_version(network.cni_version)
        finally:
            begun[-1] = msgspec.structs.replace(record, applied=executor.applied, result=result)

    def check(self, record: AttachmentRecord, call: Call) -> None:
        """Compare it with what ADD made. Raises CNIError.

        CHECK came with version 0.4.0; plugins in process know it whatever version the configuration is in.
        """
        network = network_of(record)
        if not at_least(network.cni_version, _CHECK_SINCE):
            if record.foreign or not all(runs_in_process(plugin) for plugin in network.plugins):
                return
            network = msgspec.structs.replace(network, cni_version=_CHECK_SINCE)
        chain.check(
            network,
            invocation_of(record, "CHECK"),
            _executor(record, self.node(call)),
            record.result,
            capability_args=record.capability_args,
            env=call.trace,
            deadline=call.deadline,
            cancel_fd=call.cancel_fd,
        )

    def devices(self, records: Sequence[AttachmentRecord]) -> dict[str, dict[str, Any]]:
        """Interface name → what is known of its device, of those that have one and of which anything is known."""
        read = {
            record.ifname: self._device_files.read(device_info_file(record))
            for record in records
            if device_info_file(record)
        }
        return {ifname: info for ifname, info in read.items() if info is not None}

    def detach(self, record: AttachmentRecord, node: Node) -> None:
        """Remove it, by what ADD recorded; without a sandbox in ``node``, that is gone. Raises CNIError."""
        chain.delete(
            network_of(record),
            invocation_of(record, "DEL", node.netns),
            _executor(record, node),
            record.result,
            capability_args=record.capability_args,
            deadline=time.monotonic() + CLEAN_UP_LIMIT,
        )
        file = device_info_file(record)
        if file:
            self._device_files.remove(file)

    def detach_all(self, records: Sequence[AttachmentRecord], netns: Netns | None) -> dict[str, CNIError]:
        """Remove all of a container's attachments, the last made first; interface name → why it failed.

        If all run in process, their links go in one delete, before anything else (but not when an address is
        given back over a link).
        """
        with self._opened(netns) as stack:
            plugins = [plugin for record in records for plugin in network_of(record).plugins]
            if stack is not None and all(runs_in_process(p) and not needs_link(p) for p in plugins):
                with suppress(CNIError):  # each link is looked for again, one by one
                    self._drop_links(records, stack)
            return self._detach_each(records, self._node(netns, stack))

    def detach_some(self, records: Sequence[AttachmentRecord], netns: Netns | None) -> dict[str, CNIError]:
        """As ``detach_all``, while the container keeps others: their links are in the same group."""
        with self._opened(netns) as stack:
            return self._detach_each(records, self._node(netns, stack))

    def _detach_each(self, records: Sequence[AttachmentRecord], node: Node) -> dict[str, CNIError]:
        failures: dict[str, CNIError] = {}
        for record in sorted(records, key=lambda record: -record.position):
            try:
                self.detach(record, node)
            except CNIError as error:
                failures[record.ifname] = error
        return failures

    @contextmanager
    def sandbox_of(
        self, records: Sequence[AttachmentRecord], offered: Netns | None = None
    ) -> Iterator[Netns | None]:
        """The namespace that the attachments were made in: ``offered``, or by its path, if it is still that one.

        A path or descriptor of another namespace is nobody's: then None, and only the host is cleaned.
        """
        wanted = records[0].netns_identity if records else (0, 0)
        if offered is not None and offered.identity == wanted:
            yield offered
            return
        opened = None
        with suppress(CNIError):
            opened = Netns.open(records[0].netns) if records and records[0].netns else None
        try:
            yield opened if opened is not None and opened.identity == wanted else None
        finally:
            if opened is not None:
                opened.close()

    @contextmanager
    def _opened(self, netns: Netns | None) -> Iterator[NetworkStack | None]:
        """The sandbox's stack; None without a sandbox, or when it is the host itself."""
        if netns is None or netns == self.kernel.host_netns:
            yield None
            return
        with self.kernel.open(netns) as stack:
            yield stack

    def _tell_device(self, record: AttachmentRecord) -> None:
        """Leave what the device plugin says of the device where the attachment's plugins find it."""
        file = device_info_file(record)
        if file and record.device_id:
            self._device_files.copy(record.resource_name, record.device_id, file)

    def _drop_links(self, records: Sequence[AttachmentRecord], sandbox: NetworkStack) -> None:
        for owner in {record.owner.group: record.owner for record in records}.values():
            host = self.kernel.host
            facts = Facts(host, sandbox, self._masquerade_backend)
            drop_sandbox_links(Scene(owner, host, sandbox, self._firewall, facts))

    def _node(
        self,
        netns: Netns | None,
        sandbox: NetworkStack | None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Node:
        return Node(
            self.kernel,
            self._firewall,
            self._external,
            self._masquerade_backend,
            netns,
            sandbox,
            cancelled,
            measures=self._measures,
        )


def device_info_file(record: AttachmentRecord) -> str:
    """The attachment's device information file; "" when it has none, as the default network never has."""
    path: Any = record.capability_args.get("CNIDeviceInfoFile") if record.position else None
    return path if isinstance(path, str) else ""


def _executor(record: AttachmentRecord, node: Node) -> Executor:
    """Who knows the attachment: those who made it."""
    return FormerPlugins(node) if record.foreign else DelegateExecutor(node, record.applied)


def network_of(record: AttachmentRecord) -> NetworkList:
    """The network as ADD used it."""
    return NetworkList.from_bytes(record.network)


def invocation_of(record: AttachmentRecord, verb: str, netns: Netns | None = None) -> Invocation:
    """The CNI variables of an attachment; on DEL the namespace is named only while it exists."""
    path = record.netns if verb != "DEL" or netns is not None else ""
    return Invocation(
        command=verb,
        container_id=record.container_id,
        netns=path,
        ifname=record.ifname,
        args=record.args,
        path=record.path,
    )
