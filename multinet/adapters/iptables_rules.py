"""iptables' nat rules as text: reading a dump, and the names that ours and the reference plugins' go by. Pure."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Collection
from itertools import pairwise

import msgspec

from multinet.core.desired import Owner

__all__ = [
    "Line",
    "Ruleset",
    "accepted",
    "chain_name",
    "comment_prefix",
    "kept_chains",
    "line_of",
    "reference_chain_name",
    "value_of",
    "without",
]


class Line(msgspec.Struct, frozen=True):
    """One rule as ``-S`` prints it, from the chain's name on: text to write back, and words to compare."""

    text: str
    words: tuple[str, ...]


class Ruleset(msgspec.Struct, frozen=True):
    """What ``-S`` said of the nat table: user chains with their rules, and POSTROUTING's."""

    chains: dict[str, list[Line]]
    postrouting: list[Line]

    @classmethod
    def parse(cls, text: str) -> Ruleset:
        """From the output of ``iptables -t nat -S``; chains of others are kept too."""
        chains: dict[str, list[Line]] = {}
        postrouting: list[Line] = []
        for line in text.splitlines():
            verb, _, rest = line.partition(" ")
            chain = rest.partition(" ")[0]
            if verb == "-N":
                chains[chain] = []
            elif verb == "-A" and chain == "POSTROUTING":
                postrouting.append(line_of(rest))
            elif verb == "-A" and chain in chains:
                chains[chain].append(line_of(rest))
        return cls(chains, postrouting)

    def jumps(self, chain: str) -> list[Line]:
        """POSTROUTING's rules that lead to the chain."""
        return [line for line in self.postrouting if value_of(line, "-j") == chain]


def chain_name(owner: Owner) -> str:
    """Our chain for an attachment."""
    return _chain(f"{owner.network}{owner.container_id}/{owner.ifname}")


def reference_chain_name(network: str, container_id: str) -> str:
    """The chain that the reference plugins use, for all attachments of a container to a network."""
    return _chain(network + container_id)


def comment_prefix(network: str) -> str:
    """What the comments of a network's rules begin with, ours and the reference plugins'."""
    return f'name: "{network}" id: "'


def kept_chains(network: str, valid: Collection[tuple[str, str]]) -> frozenset[str]:
    """The chains that valid attachments of a network may have: ours and the reference plugins'."""
    ours = (chain_name(Owner(network, container_id, ifname)) for container_id, ifname in valid)
    return frozenset([*ours, *(reference_chain_name(network, container_id) for container_id, _ in valid)])


def without(rules: Ruleset, chain: str) -> list[str]:
    """Lines that remove a chain and the jumps to it, whichever of them are there."""
    jumps = [f"-D {line.text}" for line in rules.jumps(chain)]
    return [*jumps, f"-F {chain}", f"-X {chain}"] if chain in rules.chains else jumps


def accepted(rules: Ruleset, chain: str) -> list[str]:
    """The networks that a chain lets through unchanged."""
    return [value_of(line, "-d") for line in rules.chains.get(chain, []) if value_of(line, "-j") == "ACCEPT"]


def line_of(text: str) -> Line:
    """A rule from its text."""
    try:
        words = shlex.split(text)
    except ValueError:  # a stranger's rule with quotes of its own kind: none of ours is written so
        words = text.split()
    return Line(text, tuple(words))


def value_of(line: Line, option: str) -> str:
    """The word after an option; empty without it."""
    return next((after for word, after in pairwise(line.words) if word == option), "")


def _chain(text: str) -> str:
    return "CNI-" + hashlib.sha512(text.encode()).hexdigest()[:24]
