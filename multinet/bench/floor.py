"""The bare kernel: the least that the same links, addresses and routes can cost."""

from __future__ import annotations

import shutil

from multinet.bench.contenders import Pod, label
from multinet.bench.driver import Job, Step
from multinet.bench.lab import UPLINK, Lab
from multinet.bench.networks import Network, pod_networks

__all__ = ["Floor", "GroupFloor"]

_GROUP = 77
"""Link group of a pod's links, for deleting them by one request."""


class Floor:
    """The least that could do: the same links, addresses and routes by two ``ip -batch`` processes.

    DEL removes the three links one by one, as whoever works through a list of plugins must.
    """

    name = "floor"
    _node = 3

    def __init__(self, lab: Lab) -> None:
        self._folder = lab.memory_folder(f"floor{self._node}")
        self._networks = pod_networks(self._node)
        self._ip = shutil.which("ip") or "/sbin/ip"
        bridges = [one for one in self._networks if one.bridge]
        lab.ip(*(f"link add {one.bridge} up type bridge" for one in bridges))
        lab.ip(*(f"addr add {one.prefix}.0.1/16 dev {one.bridge}" for one in bridges if one.gateway))

    def add(self, pod: Pod) -> Job:
        """See Contender."""
        host = [self._link(pod, number, one) for number, one in enumerate(self._networks)]
        sandbox = [line for one in self._networks for line in self._addressing(pod, one)]
        steps = (self._step(pod, "host", host), self._step(pod, "sandbox", sandbox, pod.netns))
        return Job(label(self, "ADD", pod), steps)

    def delete(self, pod: Pod) -> Job:
        """See Contender."""
        lines = [f"link del {one.ifname}" for one in reversed(self._networks)]
        return Job(label(self, "DEL", pod), (self._step(pod, "delete", lines, pod.netns),))

    def _link(self, pod: Pod, number: int, network: Network) -> str:
        inside = f"name {network.ifname} netns {pod.netns} group {_GROUP}"
        if network.plugin == "macvlan":
            return f"link add link {UPLINK} {inside} type macvlan mode bridge"
        outside = f"f{self._node}p{pod.slot}n{number}"
        return f"link add {outside} master {network.bridge} up type veth peer {inside}"

    def _addressing(self, pod: Pod, network: Network) -> list[str]:
        high, low = divmod(pod.slot + 2, 256)
        lines = [
            f"link set {network.ifname} up",
            f"addr add {network.prefix}.{high}.{low}/16 brd + dev {network.ifname}",
        ]
        if network.gateway:
            lines.append(f"route add default via {network.prefix}.0.1 dev {network.ifname}")
        return lines

    def _step(self, pod: Pod, what: str, lines: list[str], netns: str = "") -> Step:
        batch = self._folder / f"{pod.slot}.{what}"
        batch.write_text("\n".join(lines) + "\n")
        output = batch.with_name(batch.name + ".out")
        return Step((self._ip, "-batch", "-"), {}, str(batch), str(output), netns)


class GroupFloor(Floor):
    """As ``Floor``, but all links go by one request, which names their group."""

    name = "floor_by_group"
    _node = 4

    def delete(self, pod: Pod) -> Job:
        """See Contender."""
        step = self._step(pod, "delete", [f"link del group {_GROUP}"], pod.netns)
        return Job(label(self, "DEL", pod), (step,))
