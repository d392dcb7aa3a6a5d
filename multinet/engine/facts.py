"""The few facts of the host and the sandbox that a delegate decides from, read when asked for and kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TypeVar

from multinet.adapters.firewalld import firewalld_runs
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import LinkInfo, RouteInfo, RuleInfo
from multinet.cni.addresses import address_of
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import MAIN_TABLE, Place
from multinet.engine.host_files import OWN_FILES, HostFiles, names_in, target_of, text_of
from multinet.npwg.default_routes import DESTINATIONS

T = TypeVar("T")


class Facts:
    """A consistent view for one decision: each fact is read once, so deciding twice gives the same."""

    def __init__(
        self,
        host: NetworkStack,
        sandbox: NetworkStack | None,
        masquerade_backend: Callable[[], str] = lambda: "nftables",
        occupied: frozenset[str] | None = None,
        host_files: HostFiles = OWN_FILES,
    ) -> None:
        """``occupied``: names of the links that the sandbox had before, if they were looked at already."""
        self._occupied = occupied
        self._host_files = host_files
        self._stacks: dict[Place, NetworkStack | None] = {"host": host, "sandbox": sandbox}
        self._known: dict[tuple[str, ...], object] = {}
        self._masquerade_backend = masquerade_backend

    def link(self, name: str, place: Place = "host") -> LinkInfo | None:
        """The link of that name, or None."""
        everything = self._known.get(("links", place))
        if everything is not None:
            return everything.get(name)  # type: ignore[attr-defined, no-any-return]
        return self._once(("link", place, name), lambda: self._stack(place).link(name))

    def link_at(self, index: int, place: Place = "host") -> LinkInfo | None:
        """The link of that index, or None."""
        return self._once(("link at", place, str(index)), lambda: self._stack(place).link_at(index))

    def is_taken(self, name: str) -> bool:
        """Whether the sandbox has a link of that name which this call didn't make."""
        if self._occupied is not None:
            return name in self._occupied
        return self.link(name, "sandbox") is not None

    def master(self, name: str, place: Place = "host") -> LinkInfo:
        """The link to build on; with no name, the one of the first default route.

        Raises CNIError code 7 that names the links there are.
        """
        if name:
            found = self.link(name, place)
            if found is None:
                raise CNIError(
                    Code.INVALID_CONFIG,
                    f'$.master: failed to lookup master "{name}": Link not found in the {place} '
                    f'(links: {", ".join(sorted(self.links(place)))}): set "master" to one of them',
                )
            return found
        by_index = {link.index: link for link in self.links(place).values()}
        for route in self.routes(place):
            if (
                route.dst in DESTINATIONS.values()
                and route.table == MAIN_TABLE
                and route.hops[0][1] in by_index
            ):
                return by_index[route.hops[0][1]]
        raise CNIError(
            Code.INVALID_CONFIG, f'$.master: no default route interface found in the {place}: set "master"'
        )

    def links(self, place: Place = "host") -> dict[str, LinkInfo]:
        """All links by name."""
        return self._once(("links", place), lambda: {link.name: link for link in self._stack(place).links()})

    def addresses(self, link: LinkInfo, place: Place = "host") -> tuple[str, ...]:
        """The permanent addresses of a link (``10.1.2.1/24``), link-local ones left out."""
        return self._once(
            ("addresses", place, link.name),
            lambda: tuple(
                a.cidr for a in self._stack(place).addresses(link.index) if a.permanent and a.scope == 0
            ),
        )

    def routes(self, place: Place = "host") -> list[RouteInfo]:
        """All unicast routes of both families, in all tables."""
        return self._once(("routes", place), lambda: self._stack(place).routes())

    def link_towards(self, address: str, place: Place = "host") -> str | None:
        """Name of the link by which packets to an address leave, None when no route leads there."""

        def look() -> str | None:
            index = self._stack(place).link_towards(address_of(address))
            found = self._stack(place).link_at(index) if index else None
            return found.name if found else None

        return self._once(("towards", place, address), look)

    def rules(self, place: Place = "host") -> list[RuleInfo]:
        """All policy rules of both families that lead to a table."""
        return self._once(("rules", place), lambda: self._stack(place).rules())

    def redirections(self) -> frozenset[int]:
        """Indexes of the host's links through which another one's incoming traffic goes."""

        def look() -> frozenset[int]:
            stack = self._stack("host")
            return frozenset(
                found.redirect_to
                for link in self.links().values()
                for qdisc in stack.qdiscs(link.index)
                if qdisc.kind == "ingress"
                for found in stack.filters(link.index, qdisc.handle)
            )

        return self._once(("redirections",), look)

    @property
    def has_sandbox(self) -> bool:
        """Whether the sandbox is still there (DEL, GC)."""
        return self._stacks["sandbox"] is not None

    def file(self, path: str) -> str | None:
        """The text of a file on the host, None if it isn't there. Raises CNIError code 5 when it can't be read."""
        return self._once(("file", path), lambda: text_of(path))

    def files(self, folder: str) -> tuple[str, ...]:
        """The names in a folder of the host, sorted; none if it isn't there."""
        return self._once(("files", folder), lambda: names_in(folder))

    def etc(self, path: str) -> str | None:
        """The text of a file below the host's ``/etc``, as ``file``."""
        return self.file(f"{self._host_files.etc}/{path}")

    def sys_names(self, path: str) -> tuple[str, ...]:
        """The names in a folder below ``/sys``, as ``files``."""
        return self.files(f"{self._host_files.sys}/{path}")

    def sys_target(self, path: str) -> str | None:
        """The last part of what a symbolic link below ``/sys`` leads to (a device's driver), None if there is none."""
        return self._once(("target", path), lambda: target_of(f"{self._host_files.sys}/{path}"))

    def sysctl(self, key: str, place: Place = "host") -> str | None:
        """The value of ``net/…``, None if the kernel doesn't have it."""
        return self._once(("sysctl", place, key), lambda: self._stack(place).read_sysctl(key))

    def firewalld_runs(self) -> bool:
        """Whether firewalld has the say over what the host forwards."""
        return self._once(("firewalld",), firewalld_runs)

    def program(self, name: str) -> str | None:
        """Where a program is in the PATH, None if it isn't there."""
        return self._once(("program", name), lambda: shutil.which(name))

    def fresh_mac(self, name: str) -> str:
        """A random locally administered MAC for a link still to be made; the same for the same ``name``."""

        def draw() -> str:
            octets = bytearray(os.urandom(6))
            octets[0] = (octets[0] & 0xFC) | 0x02
            return ":".join(f"{octet:02x}" for octet in octets)

        return self._once(("mac", name), draw)

    def masquerade_backend(self) -> str:
        """``nftables`` or ``iptables``, as the host's other rules use."""
        return self._once(("masquerade",), self._masquerade_backend)

    def _stack(self, place: Place) -> NetworkStack:
        stack = self._stacks[place]
        if stack is None:
            raise CNIError(Code.INVALID_NETNS, "the sandbox's network namespace is gone")
        return stack

    def _once(self, key: tuple[str, ...], read: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = read()
        return self._known[key]  # type: ignore[return-value]
