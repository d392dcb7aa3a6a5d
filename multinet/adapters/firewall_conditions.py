"""Port mappings with conditions in nftables: a rule each, ahead of the maps, the newest first.

A condition is the administrator's own words, so such a mapping can't be an element. Its rule's comment is the
owner and a digest of the rule: that tells whether it is there as it should be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from multinet.adapters.firewall_holdings import translated
from multinet.adapters.firewall_port_frames import CONDITIONAL
from multinet.adapters.firewall_tables import TABLE, bounded, digest, network_prefix
from multinet.adapters.nftables import Conflict, Nftables
from multinet.adapters.nftables_netlink import NftablesSocket, Rule
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Difference, Owner, PortMapping

__all__ = ["ConditionalPorts"]

_TRIES = 8
_CONTAINER_LIMIT = 40  # with a digest beside the owner, comments need room
_SEPARATORS = re.compile(r"[;\n\r#\\]")
_PLACES = tuple(CONDITIONAL.values())


class ConditionalPorts:
    """The rules of mappings with conditions. Not for use by two threads at once."""

    def __init__(self, nft: Nftables, socket: NftablesSocket) -> None:
        self._nft = nft
        self._socket = socket

    def apply(self, items: Sequence[PortMapping]) -> None:
        """Make the rules that are missing; an owner's rule for the same port with other words goes."""
        wanted = [(_chain(item), _comment(item), _rule(item)) for item in items]

        def decide() -> list[str]:
            there = self._rules()
            comments = {rule.comment for _, rule in there}
            stale = {comment.rpartition("/")[0] for _, comment, _ in wanted}
            current = {comment for _, comment, _ in wanted}
            outdated = [
                (chain, rule)
                for chain, rule in there
                if rule.comment.rpartition("/")[0] in stale and rule.comment not in current
            ]
            made = [
                f'insert rule inet {TABLE} {chain} {words} comment "{comment}"'
                for chain, comment, words in wanted
                if comment not in comments
            ]
            return [*_deletions(outdated), *made]

        self._transact(decide)

    def remove(self, items: Sequence[PortMapping]) -> None:
        """Remove the items' rules; ones that are gone are no failure."""
        comments = {_comment(item) for item in items}
        self._delete(lambda comment: comment in comments)

    def sweep(self, owner: Owner) -> None:
        """Remove every rule of the owner."""
        prefix = f"{_owner(owner)}/"
        self._delete(lambda comment: comment.startswith(prefix))

    def collect(self, network: str, valid: Collection[tuple[str, str]]) -> None:
        """Remove every rule of the network whose owner isn't in ``valid``."""
        keep = tuple(f"{_owner(Owner(network, cid, ifname))}/" for cid, ifname in valid)
        prefix = network_prefix(network)
        self._delete(lambda comment: comment.startswith(prefix) and not comment.startswith(keep))

    def compare(self, items: Sequence[PortMapping]) -> list[Difference]:
        """Rules that are missing."""
        there = {(chain, rule.comment) for chain, rule in self._rules()}
        return [
            Difference(f"nftables chain inet {TABLE} {_chain(item)}", "rule", _rule(item), "")
            for item in items
            if (_chain(item), _comment(item)) not in there
        ]

    def _rules(self) -> list[tuple[str, Rule]]:
        return [(chain, rule) for chain in _PLACES for rule in self._socket.rules("inet", TABLE, chain)]

    def _delete(self, doomed: Callable[[str], bool]) -> None:
        self._transact(
            lambda: _deletions([(chain, rule) for chain, rule in self._rules() if doomed(rule.comment)])
        )

    def _transact(self, decide: Callable[[], list[str]]) -> None:
        for attempt in range(_TRIES):
            try:
                commands = decide()
                if commands:
                    self._nft.run_script(commands)
                return
            except Conflict:
                if attempt == _TRIES - 1:
                    raise


def _deletions(rules: Sequence[tuple[str, Rule]]) -> list[str]:
    return [f"delete rule inet {TABLE} {chain} handle {rule.handle}" for chain, rule in rules]


def _chain(item: PortMapping) -> str:
    return CONDITIONAL["exact" if item.host_ip else "any"]


def _rule(item: PortMapping) -> str:
    """The rule's words. Raises CNIError when the conditions could be taken for another command."""
    for condition in item.conditions:
        if _SEPARATORS.search(condition):
            problem = f"port mapping condition {condition!r}: line breaks and any of ; # \\ aren't allowed"
            raise CNIError(Code.INVALID_CONFIG, problem)
    port = translated(item)
    family = "ip6" if port.version == 6 else "ip"
    target = f"[{port.pod}]" if port.version == 6 else port.pod
    destination = f" {family} daddr {port.host}" if item.host_ip else ""
    conditions = " ".join(item.conditions)
    return (
        f"meta nfproto ipv{port.version}{destination} {port.protocol} dport {port.host_port}"
        f" {conditions} dnat {family} to {target}:{port.pod_port}"
    )


def _comment(item: PortMapping) -> str:
    return f"{_owner(item.owner)}/{digest(_rule(item))}"


def _owner(owner: Owner) -> str:
    return f"{network_prefix(owner.network)}{bounded(owner.container_id, _CONTAINER_LIMIT)}/{owner.ifname}"
