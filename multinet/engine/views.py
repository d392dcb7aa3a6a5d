"""What the kernel holds, as a comparison sees it: each table of a namespace is read once, when asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import AddressInfo, LinkInfo, RouteInfo
from multinet.core.desired import Place
from multinet.engine.scene import Scene

T = TypeVar("T")


class View:
    """One namespace."""

    def __init__(self, stack: NetworkStack) -> None:
        self.stack = stack
        self._known: dict[tuple[object, ...], object] = {}

    def link(self, name: str) -> LinkInfo | None:
        """The link of that name, or None."""
        return self.once(("link", name), lambda: self.stack.link(name))

    def addresses(self, link: LinkInfo) -> dict[str, AddressInfo]:
        """A link's addresses by their text."""
        return self.once(
            ("addresses", link.index), lambda: {a.cidr: a for a in self.stack.addresses(link.index)}
        )

    def routes(self) -> list[RouteInfo]:
        """All unicast routes."""
        return self.once(("routes",), self.stack.routes)

    def once(self, key: tuple[object, ...], read: Callable[[], T]) -> T:
        """What ``read`` gives, read the first time only."""
        if key not in self._known:
            self._known[key] = read()
        return self._known[key]  # type: ignore[return-value]


class Views(dict[Place, View]):
    """The host and, while it exists, the sandbox."""

    def __init__(self, scene: Scene) -> None:
        super().__init__({"host": View(scene.host)})
        if scene.sandbox is not None:
            self["sandbox"] = View(scene.sandbox)
