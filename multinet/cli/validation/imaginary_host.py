"""Hosts that there could be: what a delegate refuses on all of them is wrong wherever it is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from multinet.adapters.kernel_values import LinkInfo, RouteInfo, RuleInfo
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Place
from multinet.engine.facts import Facts

__all__ = ["ImaginaryHost", "Links", "imaginary_hosts"]

Links = Mapping[tuple[Place, str], LinkInfo]
"""Links by place and name."""

_LARGEST_MTU = 65535
_KINDS = (None, "", "veth", "bridge", "vrf")
_FILES = {"/proc/net/psched": "000003e8 00000040 000f4240 3b9aca00\n"}
"""What every kernel says."""
_INDEX = 1000


def imaginary_hosts(made: Links) -> Iterator[ImaginaryHost]:
    """Hosts and sandboxes with the links ``made``: one with no others, and one for each kind that others may be of."""
    return (ImaginaryHost(made, others) for others in _KINDS)


class ImaginaryHost(Facts):
    """Facts that allow as much as any real host could."""

    def __init__(self, made: Links, others: str | None) -> None:
        """Links that aren't ``made`` are all there and of the kind ``others``; with None there are none."""
        self._made = made
        self._others = others

    def link(self, name: str, place: Place = "host") -> LinkInfo | None:
        """One that was made, or another one."""
        found = self._made.get((place, name))
        if found is not None or self._others is None or not name:
            return found
        return LinkInfo(_INDEX, name, self._others, self.fresh_mac(name), _LARGEST_MTU, True)

    def link_at(self, index: int, place: Place = "host") -> LinkInfo | None:
        """One that was made."""
        return next((link for link in self._made_in(place).values() if link.index == index), None)

    def is_taken(self, name: str) -> bool:
        """No."""
        return False

    def master(self, name: str, place: Place = "host") -> LinkInfo:
        """A link of that name, with the largest MTU there can be."""
        return LinkInfo(_INDEX, name or "eth0", mac=self.fresh_mac(name), mtu=_LARGEST_MTU, up=True)

    def links(self, place: Place = "host") -> dict[str, LinkInfo]:
        """Those that were made. Raises CNIError code 999 for a host with others: which, nobody knows."""
        if place == "host" and self._others is not None:
            raise CNIError(Code.INTERNAL, "the host's links are known on a node only")
        return self._made_in(place)

    def addresses(self, link: LinkInfo, place: Place = "host") -> tuple[str, ...]:
        """None."""
        return ()

    def routes(self, place: Place = "host") -> list[RouteInfo]:
        """None."""
        return []

    def link_towards(self, address: str, place: Place = "host") -> str | None:
        """None."""
        return None

    def rules(self, place: Place = "host") -> list[RuleInfo]:
        """None."""
        return []

    def redirections(self) -> frozenset[int]:
        """None."""
        return frozenset()

    @property
    def has_sandbox(self) -> bool:
        """Yes."""
        return True

    def file(self, path: str) -> str | None:
        """The kernel's own; there are no others."""
        return _FILES.get(path)

    def files(self, folder: str) -> tuple[str, ...]:
        """None."""
        return ()

    def etc(self, path: str) -> str | None:
        """None: nothing is forbidden."""
        return None

    def sys_names(self, path: str) -> tuple[str, ...]:
        """One, where there are other links."""
        return () if self._others is None else ("eth0",)

    def sys_target(self, path: str) -> str | None:
        """None."""
        return None

    def sysctl(self, key: str, place: Place = "host") -> str | None:
        """The kernel has it, and it is off."""
        return "0"

    def firewalld_runs(self) -> bool:
        """No."""
        return False

    def program(self, name: str) -> str | None:
        """It is there."""
        return f"/usr/sbin/{name}"

    def fresh_mac(self, name: str) -> str:
        """Always the same."""
        return "02:00:00:00:00:01"

    def masquerade_backend(self) -> str:
        """The newer one."""
        return "nftables"

    def _made_in(self, place: Place) -> dict[str, LinkInfo]:
        return {name: link for (where, name), link in self._made.items() if where == place}
