"""iptables' rules as text: reading a dump, and the names that ours and the reference plugins' go by. Pure."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

import msgspec

from multinet.core.desired import Difference, Owner

__all__ = [
    "Line",
    "Ruleset",
    "chain_name",
    "comment_match",
    "comment_prefix",
    "ensured",
    "kept_chains",
    "line_of",
    "reference_chain_name",
    "rules_difference",
    "value_of",
    "words_of",
]

_LONGEST_COMMENT = 255
_LONGEST_CHAIN = 28


class Line(msgspec.Struct, frozen=True):
    """One rule as ``-S`` prints it, from the chain's name on: text to write back, and words to compare."""

    text: str
    words: tuple[str, ...]


class Ruleset(msgspec.Struct, frozen=True):
    """What ``-S`` said of a table: chains, the kernel's own and users', with their rules."""

    chains: dict[str, list[Line]]

    @classmethod
    def parse(cls, text: str) -> Ruleset:
        """From the output of ``iptables -t nat -S``; chains of others are kept too."""
        chains: dict[str, list[Line]] = {}
        for line in text.splitlines():
            verb, _, rest = line.partition(" ")
            chain = rest.partition(" ")[0]
            if verb in ("-N", "-P"):
                chains[chain] = []
            elif verb == "-A" and chain in chains:
                chains[chain].append(line_of(rest))
        return cls(chains)

    def rules(self, chain: str) -> list[Line]:
        """A chain's rules; none when there is no such chain."""
        return self.chains.get(chain, [])

    def has(self, rule: str) -> bool:
        """Whether a rule is in its chain, by its words."""
        words = line_of(rule).words
        return any(line.words == words for line in self.rules(words[0]))

    def jumps(self, parent: str, chain: str) -> list[Line]:
        """The rules of ``parent`` that lead to ``chain``."""
        return [line for line in self.rules(parent) if value_of(line, "-j") == chain]

    def without(self, chain: str, parent: str) -> list[str]:
        """Lines that remove a chain and the jumps to it from its parent, whichever of them are there."""
        jumps = [f"-D {line.text}" for line in self.jumps(parent, chain)]
        return [*jumps, f"-F {chain}", f"-X {chain}"] if chain in self.chains else jumps


def ensured(rules: Ruleset, chain: str) -> list[str]:
    """The line that makes a chain, if it is absent (it would empty one that is there)."""
    return [] if chain in rules.chains else [f":{chain} - [0:0]"]


def chain_name(owner: Owner) -> str:
    """Our chain for an attachment's masquerade."""
    return _chain("CNI-", f"{owner.network}{owner.container_id}/{owner.ifname}")


def reference_chain_name(network: str, container_id: str, prefix: str = "") -> str:
    """The chain that the reference plugins use, for all attachments of a container to a network."""
    return _chain(f"CNI-{prefix}", network + container_id)


def comment_prefix(network: str) -> str:
    """What the comments of a network's rules begin with, ours and the reference plugins'."""
    return f'name: "{network}" id: "'


def comment_match(text: str) -> str:
    """A comment as a match, as ``-S`` prints it: cut where iptables' limit is."""
    if len(text) > _LONGEST_COMMENT:
        text = text[: _LONGEST_COMMENT - 2] + "..."
        text = text[:_LONGEST_COMMENT]
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'-m comment --comment "{escaped}"'


def kept_chains(network: str, valid: Collection[tuple[str, str]]) -> frozenset[str]:
    """The masquerade chains that valid attachments of a network may have: ours and the reference plugins'."""
    ours = (chain_name(Owner(network, container_id, ifname)) for container_id, ifname in valid)
    return frozenset([*ours, *(reference_chain_name(network, container_id) for container_id, _ in valid)])


def line_of(text: str) -> Line:
    """A rule from its text."""
    try:
        words = shlex.split(text)
    except ValueError:  # a stranger's rule with quotes of its own kind: none of ours is written so
        words = text.split()
    return Line(text, tuple(words))


def words_of(rules: Iterable[str]) -> list[tuple[str, ...]]:
    """The words of rules' texts, for comparison with what was read."""
    return [line_of(rule).words for rule in rules]


def value_of(line: Line, option: str) -> str:
    """The word after an option; empty without it."""
    return next((after for word, after in pairwise(line.words) if word == option), "")


def rules_difference(
    subject: str, want: Sequence[Sequence[str]], have: Sequence[Sequence[str]]
) -> Difference:
    """A chain's rules are not as they should be."""
    return Difference(subject, "rules", _said(want), _said(have))


def _said(rules: Iterable[Sequence[str]]) -> str:
    return "; ".join(shlex.join(words[1:]) for words in rules)


def _chain(prefix: str, text: str) -> str:
    return (prefix + hashlib.sha512(text.encode()).hexdigest())[:_LONGEST_CHAIN]
