"""The daemon's options about being the runtime's network, and about pods that run without theirs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse

    from multinet.daemon.safety import SafetyPlan
    from multinet.daemon.slot.plan import SlotPlan

__all__ = ["SAFETY_FLAGS", "add_safety_arguments", "safety_plan"]


class _Flag(NamedTuple):
    name: str
    metavar: str | None
    meaning: str
    default: str = ""
    choices: tuple[str, ...] | None = None


SAFETY_FLAGS = (
    _Flag(
        "cni_conf_dir",
        "DIR",
        "keep the runtime's configuration in this folder (default: leave that to others)",
    ),
    _Flag("autoconfig_dir", "DIR", "where the node's own network is found (default: --cni-conf-dir)"),
    _Flag("primary", "FILE", "name of its file there (default: the first one)"),
    _Flag("slot_file", "FILE", "name of the file that is kept", "00-multinet.conflist"),
    _Flag("network_name", "NAME", "the network's name for the runtime", "multinet"),
    _Flag(
        "cni_version", "VERSION", "version of the file that is kept (default: that of the node's own network)"
    ),
    _Flag("readiness_file", "FILE", "the node's own network is ready once this exists"),
    _Flag("slot_at_exit", None, "what becomes of the file at the daemon's end", "keep", ("keep", "remove")),
    _Flag(
        "unserved",
        None,
        "what is done about pods that run without the networks that they ask for "
        "(default: report; with --manifests off, unless --runtime-socket is given)",
        choices=("off", "report", "repair", "evict"),
    ),
    _Flag(
        "runtime_socket",
        "PATH",
        "the container runtime's CRI socket (default: containerd's or CRI-O's usual one)",
    ),
    _Flag(
        "remove_taint", "KEY", "taint to take off the node once all is in place, as multinet.dev/not-ready"
    ),
)


def add_safety_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    for flag in SAFETY_FLAGS:
        meaning = flag.meaning + (" (default: %(default)s)" if flag.default else "")
        parser.add_argument(
            f"--{flag.name.replace('_', '-')}",
            metavar=flag.metavar,
            default=flag.default,
            choices=flag.choices,
            help=meaning,
        )


def safety_plan(arguments: argparse.Namespace) -> SafetyPlan:
    """What the options ask for. Raises UsageError for what doesn't go together."""
    from multinet.daemon.boot.plan import BootPlan
    from multinet.daemon.safety import SafetyPlan

    policy = arguments.unserved
    if not policy:
        policy = "off" if arguments.manifests and not arguments.runtime_socket else "report"
    return SafetyPlan(
        slot=_slot(arguments),
        slot_at_exit=arguments.slot_at_exit,
        boot=BootPlan(policy=policy, runtime_socket=arguments.runtime_socket) if policy != "off" else None,
        taint=arguments.remove_taint,
    )


def _slot(arguments: argparse.Namespace) -> SlotPlan | None:
    from multinet.cli.failure import UsageError
    from multinet.cni.errors import InvalidConfig
    from multinet.daemon.slot.plan import SlotPlan

    if not arguments.cni_conf_dir:
        for name in ("autoconfig_dir", "primary", "readiness_file"):
            if getattr(arguments, name):
                raise UsageError(f"--{name.replace('_', '-')} goes with --cni-conf-dir")
        return None
    file = arguments.slot_file
    if os.path.basename(file) != file:
        raise UsageError(f'--slot-file: "{file}" is no file name')
    if not file.endswith((".conflist", ".conf")):
        raise UsageError(f'--slot-file: runtimes don\'t read "{file}": end it in .conflist or .conf')
    try:
        return SlotPlan(
            config_dir=os.path.abspath(arguments.cni_conf_dir),
            autoconfig_dir=os.path.abspath(arguments.autoconfig_dir or arguments.cni_conf_dir),
            primary=arguments.primary,
            file=file,
            name=arguments.network_name,
            cni_version=arguments.cni_version,
            readiness_file=arguments.readiness_file,
        )
    except InvalidConfig as error:
        raise UsageError(f"--primary: {error.problem}") from None
