"""What is compared: one configuration of one plugin, in one world, and what we do better on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

Json = dict[str, Any]

UPLINK = (
    "ip link add up0 address 02:00:00:00:00:10 type veth peer name wan0 address 02:00:00:00:00:11",
    "ip link set up0 up",
    "ip link set wan0 up",
)
"""Host commands for a link to build on. Its MAC is fixed, so that both worlds show the same."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a world has before the plugin comes: shell commands for host and sandbox, and files."""

    host: tuple[str, ...] = ()
    sandbox: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Path in the world's own directory → content."""

    def __add__(self, other: Setup) -> Setup:
        return Setup(
            host=self.host + other.host,
            sandbox=self.sandbox + other.sandbox,
            files={**self.files, **other.files},
        )


NO_SETUP = Setup()


class Absent:
    """The value of what isn't there."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = Absent()


@dataclass(frozen=True)
class Difference:
    """One leaf of the record that isn't the same in both worlds."""

    path: tuple[str, ...]
    ours: Any
    theirs: Any
    before: Any
    """What both worlds had there before the ADD; for a path of a state only."""

    @property
    def at(self) -> str:
        """The path as a text that improvements are written against."""
        return " > ".join(self.path)

    def __str__(self) -> str:
        return f"{self.at}:\n    ours   {self.ours!r}\n    theirs {self.theirs!r}"


@dataclass(frozen=True)
class Improvement:
    """A difference that is wanted. It stands in docs/reference/differences.md, and it has to show.

    ``section`` and ``subject`` are the heading and the first cell of its row there.
    """

    section: str
    subject: str
    claims: Callable[[Difference], bool]

    def __str__(self) -> str:
        return f"{self.section} | {self.subject}"


def differs(at: str, *, theirs: Any = ..., ours: Any = ...) -> Callable[[Difference], bool]:
    """Claims differences by path (shell pattern over ``Difference.at``) and, unless ``...``, by value.

    A value that is a callable is asked; another has to be equal.
    """

    def fits(wanted: Any, value: Any) -> bool:
        if wanted is ...:
            return True
        return bool(wanted(value)) if callable(wanted) else bool(wanted == value)

    return lambda found: fnmatchcase(found.at, at) and fits(theirs, found.theirs) and fits(ours, found.ours)


def either(*claims: Callable[[Difference], bool]) -> Callable[[Difference], bool]:
    """Claims what one of them claims."""
    return lambda found: any(claim(found) for claim in claims)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One configuration that goes through both plugins.

    In strings of ``conf`` and ``cni_args``, ``{dir}`` stands for the world's directory, ``{netns}`` for the
    sandbox's path.
    """

    plugin: str
    what: str
    conf: Json = field(default_factory=dict)
    version: str = "1.0.0"
    cni_args: str = ""
    ifname: str = "eth0"
    setup: Setup = NO_SETUP
    chain: tuple[Json, ...] = ()
    """Plugins that run before, in both worlds the reference's: their result is ``prevResult``."""
    refused: str = ""
    """Both ADDs fail, and both say this."""
    check: bool = True
    """False: this version's CHECK can't be asked for."""
    needs: tuple[str, ...] = ()
    """Kinds for ``needs_kind``."""
    improvements: tuple[Improvement, ...] = ()

    @property
    def id(self) -> str:
        """Its name in a test run."""
        return f"{self.plugin}-{self.what}-{self.version}".replace(" ", "-")

    @property
    def reads(self) -> tuple[str, ...]:
        """Where the plugin may change something: an address manager has files only."""
        return () if self.plugin in ("host-local", "static") else ("host", "sandbox")

    @property
    def checked(self) -> bool:
        """CHECK is asked for: the specification has it since 0.4.0."""
        return self.check and not self.refused and self.version in ("0.4.0", "1.0.0")

    @property
    def l3(self) -> bool:
        """Addresses are asked for."""
        return bool(self.conf.get("ipam"))

    def better(self, *improvements: Improvement) -> Case:
        """The case with more improvements."""
        return replace(self, improvements=(*self.improvements, *improvements))

    def under(self, *versions: str) -> list[Case]:
        """The case in each of these versions."""
        return [replace(self, version=version) for version in versions]
