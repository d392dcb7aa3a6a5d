"""What a kernel can do, found out by doing it once in a throw-away network namespace."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
from collections.abc import Iterable

_SCTP = 132
"""IPPROTO_SCTP, RFC 9260 section 3; the ``socket`` module names it only where libc's headers did."""

_TRAFFIC_CLASS = "tc qdisc add dev p ingress; tc filter add dev p parent ffff: protocol all"

_SCRIPTS = {
    "bond": "ip link add x type bond mode active-backup",
    "bridge_ct": "nft 'add table bridge t; add chain bridge t c { type filter hook forward priority 0; };"
    " add rule bridge t c ct state established accept'",
    "bridge_meta": "nft 'add table bridge t; add chain bridge t c { type filter hook forward priority 0; };"
    " add rule bridge t c meta ibrname br0 drop'",
    "dummy": "ip link add x type dummy",
    "flower": f"{_TRAFFIC_CLASS} flower action drop",
    "fq_codel": "tc qdisc add dev p root fq_codel",
    "gact": f"{_TRAFFIC_CLASS} u32 match u32 0 0 action drop",
    "ifb": "ip link add x type ifb",
    "ipvlan": "ip link add link p name x type ipvlan mode l2",
    "macvlan": "ip link add link p name x type macvlan mode bridge",
    "macvtap": "ip link add link p name x type macvtap",
    "matchall": f"{_TRAFFIC_CLASS} matchall action drop",
    "netem": "tc qdisc add dev p root netem delay 1ms",
    "police": f"{_TRAFFIC_CLASS} u32 match u32 0 0 action police rate 1mbit burst 10k",
    "tap": "ip tuntap add dev x mode tap",
    "team": "ip link add x type team",
    "vlan": "ip link add link p name x type vlan id 5",
    # A kernel without it takes "vlan_filtering 1" without a word; a VLAN on a port it refuses.
    "vlan_filtering": "ip link add x type bridge vlan_filtering 1; ip link set p master x; bridge vlan add dev p vid 5",
    "vrf": "ip link add x type vrf table 100",
    "vxlan": "ip link add x type vxlan id 5 dev p dstport 4789",
}

KINDS = frozenset(_SCRIPTS) | {"sctp"}
"""Names a test may ask for with ``@pytest.mark.needs_kind``."""

_BEFORE = "ip link add p type veth peer name q; ip link set p up;"


def lacking(kinds: Iterable[str]) -> dict[str, str]:
    """Those of ``kinds`` that this kernel lacks, each with the kernel's words.

    Raises ``LookupError`` for a kind nobody knows, ``RuntimeError`` if the kernel can't be asked.
    """
    return {kind: refusal for kind in kinds if (refusal := _refusal(kind))}


@functools.cache
def _refusal(kind: str) -> str:
    """Why this kernel doesn't do ``kind``; empty if it does. Asked once a process."""
    if kind not in KINDS:
        raise LookupError(f"no such kind: {kind!r}; known are {', '.join(sorted(KINDS))}")
    if kind == "sctp":
        return _sctp_refusal()
    if os.geteuid() != 0:
        return "only root can ask"
    probe = _in_throw_away_namespace(_BEFORE + _SCRIPTS[kind])
    if probe.returncode == 0:
        return ""
    said = " ".join(probe.stderr.split()) or f"exit {probe.returncode}"
    if probe.returncode == 127 or _in_throw_away_namespace(_BEFORE).returncode != 0:
        raise RuntimeError(f"can't ask this kernel for {kind}: {said}")
    return said


def _in_throw_away_namespace(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["unshare", "--net", "sh", "-ec", script], capture_output=True, text=True)


def _sctp_refusal() -> str:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, _SCTP).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""
