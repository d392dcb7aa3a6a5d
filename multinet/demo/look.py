"""What there is, read from the kernel and the disk: by netlink and from files, not from what multinet says."""

from __future__ import annotations

import ipaddress
import os
import subprocess
from collections.abc import Iterator

import msgspec

from multinet.adapters.journal_view import read_attachments
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import AddressInfo, LinkInfo
from multinet.adapters.netns import Netns
from multinet.adapters.nftables_netlink import NftablesSocket, NoNftables
from multinet.adapters.spool import Spool
from multinet.demo.stage import UPLINK

__all__ = [
    "LEASES",
    "SPOOL",
    "Holdings",
    "PodInterface",
    "bridges",
    "holdings",
    "leases",
    "pod_interfaces",
    "spooled",
]

LEASES = "/var/lib/cni/networks"
"""host-local's default store: a folder a network, in it a file an address."""
JOURNAL = "/var/lib/multinet/journal.db"
SPOOL = "/var/lib/multinet/spool"
_TABLE = "multinet"


class PodInterface(msgspec.Struct, frozen=True, kw_only=True):
    """An interface in a pod, without loopback."""

    name: str
    kind: str
    mac: str
    mtu: int
    addresses: tuple[str, ...]
    """IPv4, with prefix length."""
    uplink: str
    """What it hangs on at the node: ``veth1a2b on cni0``, ``eth1``."""

    @property
    def ip(self) -> str:
        """Its first address without prefix length. LookupError if it has none."""
        return self.addresses[0].partition("/")[0]


class Holdings(msgspec.Struct, frozen=True, kw_only=True):
    """All that multinet keeps on the node for pods, each as a list of names."""

    links: tuple[str, ...]
    """Host links, without loopback, the storage uplink and bridges."""
    addresses: tuple[str, ...]
    """Reserved addresses (host-local's files)."""
    rules: tuple[str, ...]
    """Masquerade entries in the firewall."""
    journal: tuple[str, ...]
    """Rows of the journal."""
    spool: tuple[str, ...]
    """DELs that wait for the daemon."""

    def items(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """What it is, where it was looked for, what is there."""
        yield "host links", "netlink", self.links
        yield "reserved addresses", LEASES, self.addresses
        yield "firewall entries", "nftables", self.rules
        yield "journal rows", JOURNAL, self.journal
        yield "spooled DELs", SPOOL, self.spool


def pod_interfaces(netns: str) -> list[PodInterface]:
    """The interfaces in the namespace at the path ``netns``. Raises CNIError, OSError."""
    with Netns.open(netns) as sandbox, NetworkStack(sandbox) as inside, _node() as node:
        host = {link.index: link for link in node.links()}
        addresses = inside.addresses()
        links = sorted(inside.links(), key=lambda link: link.index)
        return [_interface(link, addresses, host) for link in links if link.name != "lo"]


def holdings() -> Holdings:
    """All that there is now. Raises CNIError, OSError."""
    with _node() as node:
        links = [link.name for link in node.links() if link.kind != "bridge"]
    return Holdings(
        links=tuple(name for name in links if name not in ("lo", UPLINK)),
        addresses=tuple(leases()),
        rules=tuple(_firewall_entries()),
        journal=tuple(f"{r.pod} {r.ifname} ({r.phase})" for r in read_attachments(JOURNAL)),
        spool=tuple(spooled()),
    )


def bridges() -> list[str]:
    """The node's bridges, by name."""
    with _node() as node:
        return sorted(link.name for link in node.links() if link.kind == "bridge")


def leases(container_id: str = "") -> list[str]:
    """Reserved addresses as ``network/address``: all, or those of one container."""
    found = []
    for folder, _, names in os.walk(LEASES):
        for name in filter(_is_address, names):
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as lease:
                if container_id in lease.read():
                    found.append(f"{os.path.basename(folder)}/{name}")
    return sorted(found)


def spooled() -> list[str]:
    """Paths of the DELs in the spool, oldest first."""
    return Spool(SPOOL).pending()


def _node() -> NetworkStack:
    netns = Netns.current()
    try:
        return NetworkStack(netns)
    finally:
        netns.close()  # the socket stays in the namespace by itself


def _interface(link: LinkInfo, addresses: list[AddressInfo], host: dict[int, LinkInfo]) -> PodInterface:
    uplink = host.get(link.parent)
    bridge = host.get(uplink.master) if uplink else None
    return PodInterface(
        name=link.name,
        kind=f"{link.kind} {link.mode}".strip(),
        mac=link.mac,
        mtu=link.mtu,
        addresses=tuple(a.cidr for a in addresses if a.index == link.index and ":" not in a.cidr),
        uplink=" on ".join(at.name for at in (uplink, bridge) if at is not None),
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _firewall_entries() -> list[str]:
    """Set elements in multinet's nftables; chains of its in iptables on a kernel without nftables."""
    netns = Netns.current()
    try:
        nftables = NftablesSocket(netns)
        try:
            return [
                f"{family} {name} {element.comment or element.key.hex()}"
                for family, table in sorted(nftables.tables())
                if table == _TABLE
                for name in nftables.sets(family, table)
                for element in nftables.elements(family, table, name)
            ]
        finally:
            nftables.close()
    except NoNftables:
        rules = subprocess.run(["iptables", "-t", "nat", "-S"], capture_output=True, text=True, check=True)
        return [line for line in rules.stdout.splitlines() if line.startswith("-A CNI-")]
    finally:
        netns.close()
