"""tuning's options, what ``args`` make of them, and which sysctls may be set."""

from __future__ import annotations

import posixpath
import re

import msgspec

from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.core.desired import LinkAttributes
from multinet.sdk import DelegateConf, Facts
from multinet.sdk.ipam import member
from multinet.sdk.mac import parse_mac

__all__ = ["Tuning", "TuningConf", "require_allowed", "sysctl_path", "tuning_of"]

_ALLOW_LIST = "cni/tuning/allowlist.conf"
_HIGHEST = (1 << 31) - 1


class TuningConf(DelegateConf, frozen=True, kw_only=True):
    """Options of tuning. ``args.cni`` has the same keys (but ``dataDir``) and wins; ``sysctl`` is merged key by key."""

    sysctl: dict[str, str] = msgspec.field(default_factory=dict)
    """Kernel settings below ``net``: ``net.ipv4.conf.IFNAME.arp_filter`` → value; ``IFNAME`` is the interface."""
    mac: str = ""
    """MAC of the interface; one that is asked for by CNI_ARGS or the runtime wins."""
    mtu: int = 0
    """0: as it is."""
    promisc: bool = False
    """Takes all frames in; false: as it is."""
    allmulti: bool | None = None
    """Takes all multicast frames in, or not any more; absent: as it is."""
    tx_queue_len: int | None = msgspec.field(name="txQLen", default=None)
    """Length of the transmit queue in packets, 0 for none; absent: as it is."""
    data_dir: str = "/run/cni/tuning"
    """Folder for what was before."""


class _Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """``args.cni``."""

    sysctl: dict[str, str] = {}
    mac: str = ""
    mtu: int | None = None
    promisc: bool | None = None
    allmulti: bool | None = None
    tx_queue_len: int | None = msgspec.field(name="txQLen", default=None)


class Tuning(msgspec.Struct, frozen=True):
    """What is to be changed."""

    sysctl: dict[str, str]
    """As written; ``sysctl_path`` says which file."""
    link: LinkAttributes

    @property
    def changes_link(self) -> bool:
        """Whether any attribute of the link is wanted."""
        return self.link != LinkAttributes()

    @property
    def changes_anything(self) -> bool:
        """Whether there is anything to put back later."""
        return self.changes_link or bool(self.sysctl)


def tuning_of(conf: TuningConf, requested_mac: str) -> Tuning:
    """Configuration and arguments together. Raises InvalidConfig."""
    if not conf.data_dir.startswith("/"):
        raise InvalidConfig("$.dataDir", f'"{conf.data_dir}" is not an absolute path')
    raw = member(conf.args, "cni")
    over = convert(raw, _Overrides, "$.args.cni") if raw is not None else _Overrides()
    mac = parse_mac(over.mac, "$.args.cni.mac") if over.mac else requested_mac
    mac = mac or (parse_mac(conf.mac, "$.mac") if conf.mac else "")
    mtu = _number("mtu", conf.mtu, over.mtu)
    queue = _number("txQLen", conf.tx_queue_len, over.tx_queue_len)
    promisc = conf.promisc if over.promisc is None else over.promisc
    allmulti = conf.allmulti if over.allmulti is None else over.allmulti
    link = LinkAttributes(
        mac=mac or None, mtu=mtu or None, promisc=promisc or None, allmulti=allmulti, tx_queue_len=queue
    )
    return Tuning({**conf.sysctl, **over.sysctl}, link)


def require_allowed(keys: dict[str, str], host: Facts) -> None:
    """Every key, as written, has a match in the host's allow-list, if there is one. Raises CNIError code 7.

    Each line is a regular expression that may match anywhere; blank lines count for nothing.
    """
    text = host.etc(_ALLOW_LIST)
    if text is None:
        return
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        allowed = [re.compile(line) for line in lines]
    except re.error as error:
        raise CNIError(
            Code.INVALID_CONFIG, f"/etc/{_ALLOW_LIST}: {error.pattern!r} is no regular expression: {error}"
        ) from None
    for key in keys:
        if not any(pattern.search(key) for pattern in allowed):
            raise CNIError(
                Code.INVALID_CONFIG,
                f"Sysctl {key} is not allowed. Only the following sysctls are allowed: [{' '.join(lines)}]",
                f"the list is /etc/{_ALLOW_LIST} on the host",
            )


def sysctl_path(key: str, ifname: str) -> str:
    """The file of a key, below ``/proc/sys``. Dots separate; the first ``IFNAME`` is the interface, whose own dots
    stay. Raises CNIError code 7 for one that isn't below ``net``.
    """
    raw = key.replace(".", "/").replace("IFNAME", ifname, 1)
    path = posixpath.normpath(f"/{raw}").lstrip("/")
    if not path.startswith("net/") or "\0" in path:
        raise CNIError(Code.INVALID_CONFIG, f'invalid net sysctl key: "{key.replace("IFNAME", ifname, 1)}"')
    return path


def _number(name: str, configured: int | None, argument: int | None) -> int | None:
    path, value = ("$.", configured) if argument is None else ("$.args.cni.", argument)
    if value is not None and not 0 <= value <= _HIGHEST:
        raise InvalidConfig(f"{path}{name}", f"{value} is outside 0..{_HIGHEST}")
    return value
