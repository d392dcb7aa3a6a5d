"""A frame: the fixed part of multinet's own nftables that elements of one kind need, in nft's own words. Pure.

In words, not JSON: libnftables' JSON of 1.0.6 can't make a map that gives two values.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from multinet.adapters.firewall_tables import TABLE, Family, layout_of

__all__ = ["Chain", "Frame", "frame"]

_LAYOUT = "multinet layout 1"


class Chain(msgspec.Struct, frozen=True):
    """A chain and its rules, each a remark and its words.

    ``hook`` (``type nat hook output priority -90``) is empty for a chain that is only jumped to. A chain that
    isn't ``filled`` here is others' to fill, and never flushed.
    """

    name: str
    rules: tuple[tuple[str, str], ...] = ()
    hook: str = ""
    filled: bool = True

    @property
    def comments(self) -> list[str]:
        """By which the rules are known again, in their order."""
        return [f"{_LAYOUT}: {remark}" for remark, _ in self.rules]

    def commands(self, table: str) -> list[str]:
        """Makes it, with these rules alone."""
        name = f"{table} {self.name}"
        body = f" {{ {self.hook}; policy accept; }}" if self.hook else ""
        flush = [f"flush chain {name}"] if self.filled else []
        rules = zip(self.comments, self.rules, strict=True)
        return [
            f"add chain {name}{body}",
            *flush,
            *(f'add rule {name} {words} comment "{text}"' for text, (_, words) in rules),
        ]


class Frame(msgspec.Struct, frozen=True):
    """Sets, chains and rules, made together."""

    family: Family
    sets: tuple[str, ...]
    chains: tuple[Chain, ...]
    commands: tuple[str, ...]
    """Makes all of it; repeating it, from several processes too, changes nothing."""


def frame(family: Family, sets: Sequence[str], chains: Sequence[Chain]) -> Frame:
    """A frame of sets by name (their layouts are known) and chains; those jumped to come first."""
    table = f"{family} {TABLE}"
    commands = [f"add table {table}"]
    for name in sets:
        layout = layout_of(family, name)
        if layout is None:
            raise ValueError(f"set {table} {name} is not of a known layout")
        kind, values = ("map", f" : {' . '.join(layout.data)}") if layout.data else ("set", "")
        commands.append(f"add {kind} {table} {name} {{ type {' . '.join(layout.key)}{values}; }}")
    for chain in chains:
        commands += chain.commands(table)
    return Frame(family, tuple(sets), tuple(chains), tuple(commands))
