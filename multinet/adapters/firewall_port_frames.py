"""The frames of port mappings: where connections are translated, and where they are masqueraded. Pure.

**Whose traffic.** Only connections to an address of the node itself are looked up (``fib daddr type local``),
so what passes through to the same port of another machine is left alone (CVE-2025-67499).

**When.** All NAT chains of a hook run in the order of their priorities until one of them translates the
connection; iptables' are among them, at -100. kube-proxy, in iptables and nftables both, is there at -100. Of
chains with one priority the kernel runs the newest first, so at -100 we would take precedence over the rules of
Services (CVE-2019-9946) or not by the order of start-up. At -90 a Service's translation, a node port say, always
comes first, and a mapping gets what no Service claims.

**In what order.** A host address of its own before "any of them": the first look-up is by the packet's
destination, the second by that destination with all bits masked away. Mappings with conditions have rules of
their own ahead of the look-up of the same rank.

**Masquerade.** A connection to be masqueraded must be one that a mapping translated, and by its two ends alone
one to a Service looks the same (port 80, pod, port 80). So connections to the node get a label before they are
looked up: a bit of 128 that conntrack keeps for such notes, unlike marks, which routing and others' rules use.
Source NAT runs one earlier than others', which know nothing of what came in here.

**Loopback.** 127.0.0.1 reaches pods through ``route_localnet``, which lets neighbours on that link address the
node's 127.0.0.1 as well. The chain ``localnet`` drops what comes so without having been translated
(CVE-2020-8558).
"""

from __future__ import annotations

import ipaddress

from multinet.adapters.firewall_frame import Chain, Frame, frame

__all__ = ["CONDITIONAL", "hairpin_frame", "ports_frame"]

CONDITIONAL = {"exact": "conditional-exact", "any": "conditional-any"}
"""The chains of mappings with conditions: with a host address of their own, and without."""

_LABEL = 113
_PROTOCOLS = ("tcp", "udp", "sctp")
_FAMILIES = {4: ("ip", "0.0.0.0"), 6: ("ip6", "::")}


def ports_frame() -> Frame:
    """Maps of both families, and everything that translates."""
    rules = []
    for rank, which in (("exact", "a host address of their own"), ("any", "any host address")):
        rules.append((f"conditional, {which}", f"jump {CONDITIONAL[rank]}"))
        rules += [(f"{which}, IPv{version}", _translation(version, rank)) for version in _FAMILIES]
    to_node = (("connections to the node", f"fib daddr type local ct label set {_LABEL} jump host-ports"),)
    foreign = 'iifname != "lo" ip daddr 127.0.0.0/8 ct state new ct status ! dnat counter drop'
    chains = (
        *(Chain(name, filled=False) for name in CONDITIONAL.values()),
        Chain("host-ports", tuple(rules)),
        Chain("ports-prerouting", to_node, "type nat hook prerouting priority -90"),
        Chain("ports-output", to_node, "type nat hook output priority -90"),
        Chain(
            "localnet",
            (("loopback addresses from elsewhere", foreign),),
            "type filter hook input priority 0",
        ),
    )
    return frame("inet", ("ports4", "ports6", "holders"), chains)


def hairpin_frame(version: int, length: int) -> Frame:
    """Masquerade for sources of /length networks."""
    ip, nothing = _FAMILIES[version]
    mask = ipaddress.ip_network(f"{nothing}/{length}").netmask
    name = f"hairpin{version}-{length}"
    rules = []
    for protocol in _PROTOCOLS:  # nft knows the original port's type only with the protocol
        for host, which in (("", "a host address"), (f" & {nothing}", "any")):
            key = (
                f"ct original {ip} daddr{host} . meta l4proto . ct original proto-dst"
                f" . {ip} daddr . {ip} saddr & {mask}"
            )
            words = f"meta l4proto {protocol} {key} @{name} masquerade"
            rules.append((f"{protocol} by {which}, from /{length}", words))
    translated = f"ct label {_LABEL} ct status dnat jump {name}-rules"
    chains = (
        Chain(f"{name}-rules", tuple(rules)),
        Chain(
            name,
            (("translated connections", translated),),
            "type nat hook postrouting priority 99",
        ),
    )
    return frame("inet", (name, "holders"), chains)


def _translation(version: int, rank: str) -> str:
    ip, nothing = _FAMILIES[version]
    host = f"{ip} daddr" if rank == "exact" else f"{ip} daddr & {nothing}"
    return f"dnat {ip} to {host} . meta l4proto . th dport map @ports{version}"
