"""One call's environment: the ``CNI_*`` variables, checked in the order of the reference skeleton.

Source: CNI specification 1.1.0, "Parameters"; texts and order as the Go library's ``skel``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from multinet.cni.errors import CNIError, Code
from multinet.cni.names import validate_container_id, validate_ifname
from multinet.cni.versions import SUPPORTED

__all__ = [
    "VERBS",
    "Invocation",
    "about",
    "parse_args",
    "require_known_args",
    "require_verb",
    "split_args",
]

_OF_A_CONTAINER = frozenset({"ADD", "CHECK", "DEL"})
_REQUIRED: tuple[tuple[str, frozenset[str]], ...] = (
    ("CNI_CONTAINERID", _OF_A_CONTAINER),
    ("CNI_NETNS", frozenset({"ADD", "CHECK"})),
    ("CNI_IFNAME", _OF_A_CONTAINER),
    ("CNI_PATH", _OF_A_CONTAINER | {"GC", "STATUS"}),
)
"""Which verbs can't do without a variable, in the order in which missing ones are listed."""

VERBS = frozenset({"ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION"})


class Invocation(msgspec.Struct, frozen=True):
    """The ``CNI_*`` variables of one call; what a verb doesn't need may be empty."""

    command: str
    container_id: str = ""
    netns: str = ""
    ifname: str = ""
    args: str = ""
    path: tuple[str, ...] = ()

    @classmethod
    def from_environ(cls, env: Mapping[str, str]) -> Invocation:
        """The call that ``env`` describes: all variables there, container id and interface name valid,
        the verb known. Raises CNIError code 4 (code 3: empty container id).
        """
        invocation = cls.before_verb(env)
        require_verb(invocation.command)
        return invocation

    @classmethod
    def before_verb(cls, env: Mapping[str, str]) -> Invocation:
        """As ``from_environ``, but an unknown verb passes: a plugin faults its standard input first."""
        command = env.get("CNI_COMMAND", "")
        missing = [] if command else ["CNI_COMMAND"]
        missing += [name for name, verbs in _REQUIRED if command in verbs and not env.get(name)]
        if missing:
            raise CNIError(Code.INVALID_ENVIRONMENT, f"required env variables [{','.join(missing)}] missing")
        if command in _OF_A_CONTAINER:
            validate_container_id(env["CNI_CONTAINERID"])
            validate_ifname(env["CNI_IFNAME"])
        return cls(
            command=command,
            container_id=env.get("CNI_CONTAINERID", ""),
            netns=env.get("CNI_NETNS", ""),
            ifname=env.get("CNI_IFNAME", ""),
            args=env.get("CNI_ARGS", ""),
            # An empty element would mean the working directory, which no caller intends.
            path=tuple(folder for folder in env.get("CNI_PATH", "").split(":") if folder),
        )

    def path_after(self, *folders: str) -> tuple[str, ...]:
        """Where executables are looked for when ``folders`` come before the caller's own; "" is no folder."""
        return tuple(dict.fromkeys([*filter(None, folders), *self.path]))

    def environ(self) -> dict[str, str]:
        """The variables for a plugin to start; all six are set, so that none is inherited by mistake."""
        return {
            "CNI_COMMAND": self.command,
            "CNI_CONTAINERID": self.container_id,
            "CNI_NETNS": self.netns,
            "CNI_IFNAME": self.ifname,
            "CNI_ARGS": self.args,
            "CNI_PATH": ":".join(self.path),
        }


def require_verb(command: str) -> None:
    """Raises CNIError code 4 for a verb that isn't in the specification."""
    if command not in VERBS:
        raise CNIError(Code.INVALID_ENVIRONMENT, f"unknown CNI_COMMAND: {command}")


def about(line: str) -> str:
    """What a plugin prints on standard error when it is run with no ``CNI_COMMAND`` (it then exits 0)."""
    return f"{line}\nCNI protocol versions supported: {', '.join(SUPPORTED)}\n"


def split_args(text: str) -> tuple[tuple[str, str], ...]:
    """``CNI_ARGS`` as a runtime sees it: pairs in order, a value may hold ``=``; no pair: skipped."""
    pairs = (pair.partition("=") for pair in text.split(";"))
    return tuple((key, value) for key, sign, value in pairs if sign)


def parse_args(text: str) -> dict[str, str]:
    """``CNI_ARGS`` as a plugin reads it; of a repeated key the last one counts.

    Raises CNIError code 4 for a pair without exactly one ``=``.
    """
    args: dict[str, str] = {}
    for pair in text.split(";") if text else ():
        key, sign, value = pair.partition("=")
        if not sign or "=" in value:
            raise CNIError(
                Code.INVALID_ENVIRONMENT,
                f'ARGS: invalid pair "{pair}"',
                "CNI_ARGS is KEY=VALUE;KEY=VALUE",
            )
        args[key] = value
    return args


def require_known_args(args: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse arguments that nobody reads, unless ``IgnoreUnknown`` is ``1`` or ``true``.

    Raises CNIError code 4.
    """
    ignore = args.get("IgnoreUnknown", "").lower()
    if ignore not in ("", "0", "1", "false", "true"):
        raise CNIError(
            Code.INVALID_ENVIRONMENT, f'ARGS: IgnoreUnknown is "{ignore}", expected 1, 0, true or false'
        )
    unknown = [f'"{key}={value}"' for key, value in args.items() if key not in (*known, "IgnoreUnknown")]
    if unknown and ignore not in ("1", "true"):
        raise CNIError(
            Code.INVALID_ENVIRONMENT,
            f"ARGS: unknown args [{' '.join(unknown)}]",
            f"known: {', '.join(sorted(known)) or 'none'}",
        )
