"""``multinet install``: put executables and the runtime's configuration in place."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import NamedTuple

from multinet.cli.failure import OK, Failure, UsageError
from multinet.cli.parser import add_runtime_folders
from multinet.shim import CNI_VERSIONS, DEFAULT_SOCKET

SUMMARY = "Install the executables and the runtime's configuration, or upgrade them."
EXAMPLE = """\
multinet install --plugins bridge,host-local
multinet install --systemd --manifests /etc/multinet/manifests
multinet install --inline --manifests /etc/multinet/manifests   # no daemon at all"""

META_PLUGIN = "multinet"
UNIT_DIR = "/etc/systemd/system"


class _Part(NamedTuple):
    """One executable, and the names it serves under."""

    names: tuple[str, ...]
    content: bytes
    what: str
    check: Callable[[str], None] | None = None
    """Tries the new file out before it takes the old one's place. Raises InstallationError."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to install, what, and how it finds the daemon."""
    add = parser.add_argument
    default = " (default: %(default)s)"
    add_runtime_folders(parser)
    add(
        "--plugins",
        metavar="NAMES",
        default="none",
        help="delegates to install beside multinet: all, none, or names with commas between" + default,
    )
    add("--standalone", action="store_true", help="delegates that need no daemon (Python scripts)")
    add("--shim", metavar="FILE", default="", help="a shim compiled before (default: it is compiled now)")
    add("--systemd", action="store_true", help="units for the daemon too; needs --manifests or --kubeconfig")
    add("--unit-dir", metavar="DIR", default=UNIT_DIR, help="where units go" + default)
    add("--inline", action="store_true", help="a multinet that needs no daemon either; needs --manifests")
    add(
        "--manifests",
        metavar="DIR",
        default="",
        help="the manifests that an inline multinet, or the unit's, reads",
    )
    add("--kubeconfig", metavar="FILE", default="", help="how the unit's daemon reaches Kubernetes")
    add("--socket", metavar="PATH", default=DEFAULT_SOCKET, help="the daemon's socket" + default)
    add("--state-dir", metavar="DIR", default="/var/lib/multinet", help="journal and spool" + default)
    add("--no-conf", action="store_true", help="leave the runtime's configuration alone")
    add("--name", metavar="NAME", default="multinet", help="the network's name for the runtime" + default)
    add(
        "--cni-version",
        choices=CNI_VERSIONS[3:],
        default="1.0.0",
        help="version of the runtime's configuration" + default,
    )


def run(arguments: argparse.Namespace) -> int:
    """Everything that can fail without touching the node comes first, the configuration last."""
    from multinet.adapters.installation import InstallationError
    from multinet.cli import runtime_conf

    _require_sense(arguments)
    try:
        parts = _parts(arguments)
        if not arguments.no_conf:
            runtime_conf.require_ours(arguments.conf_dir)
        units = _units(arguments) if arguments.systemd else {}
        done = _install(parts, units, arguments)
    except (InstallationError, ValueError) as error:
        raise Failure(str(error)) from None
    print("\n".join(done))
    return OK


def _require_sense(arguments: argparse.Namespace) -> None:
    if arguments.inline and not arguments.manifests:
        raise UsageError("--inline needs --manifests DIR: with no daemon nobody watches Kubernetes")
    if arguments.inline and arguments.shim:
        raise UsageError("--shim doesn't go with --inline: a multinet that needs no daemon has no shim")
    if arguments.systemd and arguments.inline:
        raise UsageError("--systemd doesn't go with --inline: there is no daemon to start")
    if arguments.systemd and bool(arguments.manifests) == bool(arguments.kubeconfig):
        raise UsageError(
            "--systemd needs --manifests DIR or --kubeconfig FILE: where the daemon learns of pods"
        )
    if arguments.kubeconfig and not arguments.systemd:
        raise UsageError("--kubeconfig goes with --systemd; a daemon has an option of its own for it")
    if arguments.manifests and not arguments.inline and not arguments.systemd:
        raise UsageError(
            "--manifests goes with --inline or --systemd; a daemon has an option of its own for it"
        )
    from multinet.cni.errors import CNIError
    from multinet.cni.names import validate_network_name

    try:
        validate_network_name(arguments.name)
    except CNIError as error:
        raise UsageError(f"--name: {error}") from None


def _parts(arguments: argparse.Namespace) -> list[_Part]:
    """The executables to install, made but not yet installed."""
    from multinet.cli import executables

    delegates = _delegates(arguments.plugins)
    own_process = arguments.standalone or arguments.inline
    parts = []
    if arguments.inline:
        options = {
            "manifests": os.path.abspath(arguments.manifests),
            "state_dir": os.path.abspath(arguments.state_dir),
            "conf_dir": os.path.abspath(arguments.conf_dir),
            "bin_dir": os.path.abspath(arguments.bin_dir),
        }
        script = executables.inline_meta_plugin(options)
        parts.append(_Part((META_PLUGIN,), script, "a script that needs no daemon"))
    else:
        content, what = executables.shim(arguments.shim)
        names = (META_PLUGIN, *(() if own_process else delegates))
        parts.append(_Part(names, content, what, executables.require_this_version))
    if own_process and delegates:
        content = executables.standalone_delegates()
        parts.append(_Part(delegates, content, "a script that needs no daemon"))
    return parts


def _delegates(plugins: str) -> tuple[str, ...]:
    from multinet.sdk import registry

    known = registry.types()
    if plugins in ("all", "none"):
        return known if plugins == "all" else ()
    names = tuple(dict.fromkeys(name.strip() for name in plugins.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f'no delegate "{unknown[0]}"' if unknown else "no name given"
        raise UsageError(f"--plugins: {what} (there are {', '.join(known)}; or all, none)")
    return names


def _units(arguments: argparse.Namespace) -> dict[str, bytes]:
    """The units, made but not yet written. Raises InstallationError, ValueError."""
    import sys

    from multinet.cli import systemd_units

    systemd_units.require_ours(arguments.unit_dir)
    options = ("socket", "state_dir", "conf_dir", "bin_dir", "manifests", "kubeconfig")
    given = {name: getattr(arguments, name) for name in options}
    command = [sys.executable, "-I", "-m", "multinet", "daemon"]
    command += [f"--{name.replace('_', '-')}={os.path.abspath(path)}" for name, path in given.items() if path]
    return systemd_units.compose(command, os.path.abspath(arguments.socket))


def _install(parts: list[_Part], units: dict[str, bytes], arguments: argparse.Namespace) -> list[str]:
    """What was done; a first installation that fails midway is taken out again."""
    from multinet.adapters.installation import MANIFEST, uninstall
    from multinet.cli import systemd_units

    is_upgrade = os.path.exists(os.path.join(arguments.bin_dir, MANIFEST))
    try:
        done = [line for part in parts for line in _put(part, arguments)]
        if units:
            done += [f"wrote {path}" for path in systemd_units.write(arguments.unit_dir, units)]
            done.append("to start it: systemctl daemon-reload && systemctl enable --now multinet.service")
        return done if arguments.no_conf else done + _configure(arguments)
    except BaseException:
        if not is_upgrade:
            uninstall(arguments.bin_dir)
            if units:
                systemd_units.remove(arguments.unit_dir)
        raise


def _put(part: _Part, arguments: argparse.Namespace) -> list[str]:
    from multinet.adapters.installation import BACKUP_SUFFIX, install

    spool = os.path.join(os.path.abspath(arguments.state_dir), "spool")
    socket = os.path.abspath(arguments.socket)
    installed = install(part.names, arguments.bin_dir, part.content, socket, spool, check=part.check)
    return [
        f"installed {', '.join(part.names)} in {arguments.bin_dir}: {part.what}",
        *(f"kept the {name} that was there as {name}{BACKUP_SUFFIX}" for name in installed.saved),
    ]


def _configure(arguments: argparse.Namespace) -> list[str]:
    from multinet.cli import runtime_conf

    cluster = runtime_conf.cluster_network(arguments.conf_dir)
    content = runtime_conf.compose(arguments.name, arguments.cni_version, cluster)
    wrote = f"wrote {runtime_conf.write(arguments.conf_dir, content)}"
    if cluster is None:
        nothing = f"no other network is configured in {arguments.conf_dir}"
        return [wrote, f"{nothing}: no pod can start until there is one"]
    return [wrote, f"the pods' first network is {cluster.path}"]
