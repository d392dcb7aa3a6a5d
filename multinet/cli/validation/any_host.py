"""A host on which every link exists: what a delegate decides there is wrong on every host."""

from __future__ import annotations

from multinet.adapters.kernel_values import LinkInfo
from multinet.core.desired import Place
from multinet.engine.facts import Facts

__all__ = ["AnyHost"]

_LARGEST_MTU = 65535


class AnyHost(Facts):
    """Facts that allow as much as any real host could."""

    def __init__(self) -> None:
        """Without the namespaces that real facts are read from."""

    def link(self, name: str, place: Place = "host") -> LinkInfo | None:
        """None: whatever is to be made has not been made yet."""
        return None

    def master(self, name: str, place: Place = "host") -> LinkInfo:
        """A link of that name, with the largest MTU there can be."""
        return LinkInfo(index=1, name=name or "eth0", mac=self.fresh_mac(name), mtu=_LARGEST_MTU, up=True)

    def links(self, place: Place = "host") -> dict[str, LinkInfo]:
        """None."""
        return {}

    def addresses(self, link: LinkInfo, place: Place = "host") -> tuple[str, ...]:
        """None."""
        return ()

    def sysctl(self, key: str, place: Place = "host") -> str | None:
        """The kernel has it, and it is off."""
        return "0"

    def fresh_mac(self, name: str) -> str:
        """Always the same."""
        return "02:00:00:00:00:01"

    def masquerade_backend(self) -> str:
        """The newer one."""
        return "nftables"
