"""``multinet migrate``: take over a node from Multus, its configuration and the pods that run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from multinet.cli.failure import FAILED, OK, Failure
from multinet.cli.parser import add_runtime_folders

if TYPE_CHECKING:
    import argparse

    from multinet.core.record import AttachmentRecord

SUMMARY = "Take over a node from Multus: its configuration, and the pods that run."
EXAMPLE = """\
multinet migrate --dry-run
multinet migrate --daemon-config multus-daemonset-thick.yml
multinet daemon --config /etc/multinet/daemon-config.json"""
EXIT_CODES = (
    "exit codes: 0 done, 1 failed, or a pod's files are damaged (the others are taken over), 2 wrong usage"
)

_SHORT_ID = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where Multus left things, and where ours go."""
    add = parser.add_argument
    default = " (default: %(default)s)"
    add_runtime_folders(parser)
    add(
        "--daemon-config",
        metavar="FILE",
        default="",
        help="Multus' daemon-config.json, or a manifest with its ConfigMap "
        "(default: multus.d/daemon-config.json in --conf-dir, if it is there)",
    )
    add("--cni-dir", metavar="DIR", default="", help="Multus' cniDir (default: as configured)")
    add("--state-dir", metavar="DIR", default="/var/lib/multinet", help="journal" + default)
    add(
        "--output",
        metavar="FILE",
        default="/etc/multinet/daemon-config.json",
        help="where to write the configuration for multinet daemon --config" + default,
    )
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")


def run(arguments: argparse.Namespace) -> int:
    """The configuration first: nothing is written when it can't be."""
    from multinet.cli.config_file import KNOWN_OPTIONS
    from multinet.cni.errors import InvalidConfig
    from multinet.core.daemon_config import read_daemon_config

    content = _configuration(arguments)
    try:
        config = read_daemon_config(content, KNOWN_OPTIONS)
    except InvalidConfig as error:
        raise Failure(f"Multus' configuration: {error}") from None
    for text in config.warnings:
        sys.stderr.write(f"multinet: Multus' configuration: {text}\n")
    _write_configuration(content, arguments)
    cni_dir = arguments.cni_dir or config.options.get("multus-cni-dir", "/var/lib/cni/multus")
    bin_dir = config.options.get("bin-dir", arguments.bin_dir)
    return _take_over(cni_dir, tuple(dict.fromkeys((bin_dir, arguments.bin_dir))), arguments)


def _configuration(arguments: argparse.Namespace) -> dict[str, Any]:
    from multinet.adapters.multus_files import read_daemon_file, read_multus_files
    from multinet.cni.errors import InvalidConfig
    from multinet.core.multus_installation import daemon_configuration

    found = read_multus_files(arguments.conf_dir)
    path = arguments.daemon_config or found.daemon_config
    if not path and found.plugin is None:
        raise Failure(
            f"no configuration of Multus in {arguments.conf_dir}: name its folder by --conf-dir, or its daemon's "
            "configuration by --daemon-config"
        )
    daemon = read_daemon_file(path) if path else {}
    for source in filter(None, (path, found.plugin_path)):
        print(f"read {source}")
    try:
        return daemon_configuration(
            daemon, found.plugin, os.path.abspath(arguments.conf_dir), found.primaries
        )
    except InvalidConfig as error:
        raise Failure(f"{found.plugin_path}: {error}") from None


def _write_configuration(content: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    text = json.dumps(content, indent=2) + "\n"
    if arguments.dry_run:
        print(f"would write {arguments.output}:\n{text}", end="")
        return
    folder, name = os.path.split(os.path.abspath(arguments.output))
    os.makedirs(folder, exist_ok=True)
    from multinet.adapters.plugin_directory import InstallationError, PluginDirectory

    try:
        with PluginDirectory.locked(folder) as directory:
            directory.replace(name, text.encode(), 0o600)
            directory.sync()
    except InstallationError as error:
        raise Failure(str(error)) from None
    print(f"wrote {arguments.output}")


def _take_over(cni_dir: str, path: tuple[str, ...], arguments: argparse.Namespace) -> int:
    """Each pod on its own: one whose files are damaged doesn't hold up the others."""
    from multinet.adapters.journal import SqliteJournal
    from multinet.adapters.journal_view import read_attachments
    from multinet.adapters.multus_cache import MultusCache
    from multinet.cni.errors import CNIError
    from multinet.daemon.inherited import left_by_multus

    journal_file = os.path.join(arguments.state_dir, "journal.db")
    cache = MultusCache(cni_dir)
    known = {record.container_id for record in read_attachments(journal_file)}
    journal = None if arguments.dry_run else SqliteJournal(journal_file)
    taken = damaged = 0
    for container_id, found in left_by_multus(cache, known, path):
        if isinstance(found, CNIError):
            damaged += 1
            sys.stderr.write(f"multinet: container {container_id}: {found}\n")
            continue
        taken += 1
        print(f"{'would take' if journal is None else 'took'} over {_description(container_id, found)}")
        if journal is not None:
            journal.ready(found)
            if not cache.has(container_id):  # the pod was deleted meanwhile, and with it its files
                journal.forget(found)
    if journal is not None:
        journal.close()
    print(f"{taken} pods of {cni_dir} {'would be' if journal is None else 'were'} taken over", end="")
    print(f"; {len(known)} are in the journal already" if known else "")
    return FAILED if damaged else OK


def _description(container_id: str, records: Sequence[AttachmentRecord]) -> str:
    pod = next((record.pod for record in records if record.pod), "a pod without a name")
    networks = ", ".join(f"{record.ifname} ({record.name})" for record in records)
    return f"{pod}, container {container_id[:_SHORT_ID]}: {networks}"
