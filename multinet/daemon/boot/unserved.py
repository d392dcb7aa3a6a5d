"""Which pods run without the networks that they ask for. Pure.

A node that boots starts its pods again in new sandboxes, and the container runtime takes whatever network it
finds first: pods that begin before the meta-plugin is in place get the main network alone. Their network-status
is no witness: it is still that of the sandbox from before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from multinet.adapters.cluster_objects import belongs
from multinet.cni.errors import CNIError
from multinet.npwg.selection import (
    DEFAULT_NETWORK,
    NETWORK_STATUS,
    NETWORKS,
    parse_default_network,
    parse_networks,
)
from multinet.ports import Pod, PodSandbox

__all__ = ["Suspects", "Unserved", "asked_networks", "find_unserved"]


class Unserved(msgspec.Struct, frozen=True, kw_only=True):
    """A pod, its running sandbox, and what it asks for and hasn't got."""

    pod: Pod
    sandbox: PodSandbox
    networks: tuple[str, ...]

    @property
    def who(self) -> str:
        """``namespace/name`` of the pod."""
        return f"{self.pod.namespace}/{self.pod.name}"


def find_unserved(
    pods: Iterable[Pod],
    sandboxes: Iterable[PodSandbox],
    attached: Collection[str],
    links: Callable[[PodSandbox], Collection[str]],
) -> list[Unserved]:
    """The pods with a running sandbox that has nothing of what they ask for.

    ``attached``: container ids of secondary attachments in the journal, in whatever phase. ``links`` gives the
    names of the interfaces in a sandbox; it is asked only where the network-status of the pod says that all is
    there (another meta-plugin may have served it). Left alone are pods in the host's network and pods that are
    being deleted.
    """
    running: dict[tuple[str, str], list[PodSandbox]] = {}
    for sandbox in sandboxes:
        if sandbox.ready and sandbox.netns:
            running.setdefault((sandbox.namespace, sandbox.name), []).append(sandbox)
    found = []
    for pod in pods:
        networks = () if pod.deleting else asked_networks(pod)
        if not networks:
            continue
        for sandbox in running.get((pod.namespace, pod.name), ()):
            if belongs(pod, sandbox.uid) and not _is_served(pod, sandbox, networks, attached, links):
                found.append(Unserved(pod=pod, sandbox=sandbox, networks=networks))
    return found


def asked_networks(pod: Pod) -> tuple[str, ...]:
    """The networks that the pod's annotations name; an annotation that can't be read stands for itself."""
    asked: list[str] = []
    default, others = (pod.annotations.get(key, "").strip() for key in (DEFAULT_NETWORK, NETWORKS))
    if default:
        asked.append(_named(default, lambda: [parse_default_network(default, pod.namespace)])[0])
    if others:
        asked += _named(others, lambda: parse_networks(others, pod.namespace))
    return tuple(asked)


class Suspects:
    """Pods that were seen unserved; one that still is after a while is no longer just being added."""

    def __init__(self, grace: float) -> None:
        """``grace`` in seconds, between the first time seen and the one that counts."""
        self._grace = grace
        self._since: dict[str, float] = {}

    def confirm(self, found: Sequence[Unserved], now: float) -> list[Unserved]:
        """Those of ``found`` that were found ``grace`` ago already, and at every look since."""
        self._since = {
            one.sandbox.container_id: self._since.get(one.sandbox.container_id, now) for one in found
        }
        return [one for one in found if now - self._since[one.sandbox.container_id] >= self._grace]


def _is_served(
    pod: Pod,
    sandbox: PodSandbox,
    networks: Sequence[str],
    attached: Collection[str],
    links: Callable[[PodSandbox], Collection[str]],
) -> bool:
    if sandbox.container_id in attached:
        return True
    stated = _stated(pod)
    others = [entry.get("interface") for entry in stated if not entry.get("default")]
    expected = len(networks) - bool(pod.annotations.get(DEFAULT_NETWORK, "").strip())
    if not stated or len(others) < expected:
        return False
    there = links(sandbox)
    return all(not ifname or ifname in there for ifname in others)


def _stated(pod: Pod) -> list[Mapping[str, Any]]:
    """The entries of the pod's network-status; none when it can't be read."""
    try:
        entries = msgspec.json.decode(pod.annotations.get(NETWORK_STATUS, ""))
    except msgspec.DecodeError:
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _named(text: str, parse: Callable[[], Iterable[Any]]) -> list[str]:
    try:
        return [f"{one.namespace}/{one.name}" for one in parse()]
    except CNIError:
        return [text]
