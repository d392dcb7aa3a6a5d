"""The words of port mappings in iptables: names, rules and entries as ``-S`` prints them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from multinet.adapters.firewall_holdings import TranslatedPort, translated
from multinet.adapters.iptables_rules import (
    Line,
    comment_match,
    comment_prefix,
    reference_chain_name,
    value_of,
)
from multinet.cni.addresses import interface_of
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Owner, PortMapping

__all__ = [
    "DNAT",
    "MASQ",
    "SETMARK",
    "Target",
    "chain_of",
    "comment_of",
    "entries",
    "network_mark",
    "port_of",
    "rules_for",
    "shared_rules",
    "target_of",
]

DNAT, SETMARK, MASQ = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"

_PORTS_AN_ENTRY = 15
"""What ``-m multiport`` takes."""

_ANY_HOST = {4: "0.0.0.0", 6: "::"}


class Target(msgspec.Struct, frozen=True):
    """What a DNAT rule says; ``host`` is empty for any of the host's addresses."""

    protocol: str
    host_port: str
    host: str
    pod: str
    pod_port: str

    def translated(self, version: int) -> TranslatedPort:
        """The same for both back ends."""
        host = self.host or _ANY_HOST[version]
        return TranslatedPort(version, self.protocol, host, self.host_port, self.pod, self.pod_port)


def chain_of(owner: Owner) -> str:
    """An attachment's chain: the reference's, which is one for a container and network, for its first interface."""
    container = owner.container_id if owner.ifname == "eth0" else f"{owner.container_id}/{owner.ifname}"
    return reference_chain_name(owner.network, container, "DN-")


def network_mark(network: str) -> str:
    """What the comments of a network's entries begin with, ours and the reference plugin's."""
    return f"dnat {comment_prefix(network)}"


def comment_of(owner: Owner, ifname: str) -> str:
    """The comment of an attachment's entries: the reference's, and the interface."""
    return f'{network_mark(owner.network)}{owner.container_id}" if: "{ifname}"'


def shared_rules(items: Iterable[PortMapping]) -> list[tuple[str, bool]]:
    """The rules that all mappings share, and whether each belongs at the head of its chain."""
    rules: dict[str, bool] = {}
    for item in items:
        if item.snat and not item.set_mark_chain:
            mark = f"{1 << item.mark_bit:#x}/{1 << item.mark_bit:#x}"
            set_mark, masq = (
                comment_match(f"CNI portfwd {text}") for text in ("masquerade mark", "requiring masquerade")
            )
            rules[f"{SETMARK} {set_mark} -j MARK --set-xmark {mark}"] = False
            rules[f"{MASQ} -m mark --mark {mark} -j MASQUERADE"] = False
            rules[f"POSTROUTING {masq} -j {MASQ}"] = True  # ahead of the interface plugins' masquerade
    for parent in ("PREROUTING", "OUTPUT"):  # at the end: kube-proxy's rules come first (CVE-2019-9946)
        rules[f"{parent} -m addrtype --dst-type LOCAL -j {DNAT}"] = False
    return list(rules.items())


def rules_for(item: PortMapping) -> list[str]:
    """The rules of one mapping in its attachment's chain."""
    port = translated(item)
    pod = interface_of(item.container_cidr)
    chain = chain_of(item.owner)
    host = f" -d {port.host}/{pod.max_prefixlen}" if item.host_ip else ""
    base = f"{host} -p {port.protocol} -m {port.protocol} --dport {port.host_port}"
    marking = item.set_mark_chain or SETMARK
    sources: list[str] = []
    if item.snat and item.masquerade_all:
        sources = [""]
    elif item.snat:
        network = str(pod.network)
        # Not in the words: a source of everything, which iptables leaves out.
        sources = ["" if network.endswith("/0") else f" -s {network}"]
        if port.version == 4:
            sources.append(" -s 127.0.0.1/32")
    target = f"[{port.pod}]" if port.version == 6 else port.pod
    return [
        *(f"{chain}{source}{base} -j {marking}" for source in sources),
        f"{chain}{base} -j DNAT --to-destination {target}:{port.pod_port}",
    ]


def entries(owner: Owner, targets: Iterable[Target], conditions: Sequence[str]) -> list[str]:
    """What leads to an attachment's chain: by host address and protocol, at most 15 ports each."""
    ports: dict[tuple[bool, str, str], dict[str, None]] = {}
    for target in targets:
        ports.setdefault((not target.host, target.host, target.protocol), {})[target.host_port] = None
    comment = comment_match(comment_of(owner, owner.ifname))
    further = "".join(f" {_word(condition)}" for condition in conditions)
    found = []
    for (_, host, protocol), numbers in sorted(ports.items(), key=lambda entry: entry[0]):
        listed = list(numbers)
        for start in range(0, len(listed), _PORTS_AN_ENTRY):
            some = ",".join(listed[start : start + _PORTS_AN_ENTRY])
            destination = f" -d {host}/{128 if ':' in host else 32}" if host else ""
            found.append(
                f"{DNAT}{destination} -p {protocol} {comment} -m multiport --dports {some}{further}"
                f" -j {chain_of(owner)}"
            )
    return found


def target_of(item: PortMapping) -> Target:
    """What an item's DNAT rule says."""
    port = translated(item)
    return Target(port.protocol, port.host_port, port.host if item.host_ip else "", port.pod, port.pod_port)


def port_of(line: Line) -> Target | None:
    """What a DNAT rule of an attachment's chain says; None for one that marks."""
    target = value_of(line, "--to-destination")
    if not target:
        return None
    pod, _, pod_port = target.rpartition(":")
    host = value_of(line, "-d").partition("/")[0]
    return Target(value_of(line, "-p"), value_of(line, "--dport"), host, pod.strip("[]"), pod_port)


def _word(text: str) -> str:
    """A condition's word for iptables-restore. Raises CNIError for one that would begin another line."""
    if any(not character.isprintable() for character in text):
        raise CNIError(Code.INVALID_CONFIG, f"port mapping condition {text!r}: only printable characters")
    if not text or " " in text or '"' in text:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return text
