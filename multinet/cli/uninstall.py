"""``multinet uninstall``: take out what ``install`` put in place, and put back what it replaced."""

from __future__ import annotations

import argparse
import os
import socket
from contextlib import suppress

from multinet.cli.failure import OK, Failure
from multinet.cli.parser import add_runtime_folders
from multinet.shim import DEFAULT_SOCKET

SUMMARY = "Take the executables and the configuration away, and restore what they replaced."
EXAMPLE = """\
multinet uninstall
multinet uninstall --purge   # the journal too, once nothing is attached"""

_FILES = ("journal.db", "journal.db-wal", "journal.db-shm", "node.json")
_FOLDERS = ("spool", "turns", "dhcp", "certificates")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where ``install`` installed."""
    add = parser.add_argument
    default = " (default: %(default)s)"
    add_runtime_folders(parser)
    add("--state-dir", metavar="DIR", default="/var/lib/multinet", help="journal and spool" + default)
    add("--socket", metavar="PATH", default=DEFAULT_SOCKET, help="the daemon's socket" + default)
    add("--unit-dir", metavar="DIR", default="/etc/systemd/system", help="where units are" + default)
    add("--purge", action="store_true", help="remove journal and spool too; refused while they are needed")


def run(arguments: argparse.Namespace) -> int:
    """The configuration goes first, so that no runtime looks for executables that are gone."""
    from multinet.adapters.installation import BACKUP_SUFFIX, InstallationError, uninstall
    from multinet.cli import runtime_conf, systemd_units

    if arguments.purge:
        _require_unused(arguments)
    try:
        paths = runtime_conf.remove(arguments.conf_dir, arguments.state_dir)
        done = uninstall(arguments.bin_dir)
        units = systemd_units.remove(arguments.unit_dir)
    except InstallationError as error:
        raise Failure(str(error)) from None
    for path in paths:
        print(f"removed {path}")
    for verb, names in (("removed", done.removed), ("restored", done.restored)):
        if names:
            print(f"{verb} {', '.join(names)} in {arguments.bin_dir}")
    for name in done.left:
        kept = f"; its backup is {name}{BACKUP_SUFFIX}" if _has_backup(arguments.bin_dir, name) else ""
        print(f"left {name} in {arguments.bin_dir}: it is somebody else's by now{kept}")
    for unit in units:
        print(f"removed {unit}")
    if units:
        print("to have systemd forget them: systemctl daemon-reload")
    if not paths and not units and not any((done.removed, done.restored, done.left)):
        print("nothing was installed")
    if arguments.purge:
        _purge(arguments.state_dir)
    else:
        _mention_attachments(arguments.state_dir)
    return OK


def _attachments(state_dir: str) -> list[str]:
    """What the journal records, each as ``pod interface``. Raises CNIError."""
    from multinet.adapters.journal_view import read_attachments

    records = read_attachments(os.path.join(state_dir, "journal.db"))
    return [f"{record.pod or record.container_id} {record.ifname}" for record in records]


def _mention_attachments(state_dir: str) -> None:
    from multinet.cni.errors import CNIError

    try:
        left = len(_attachments(state_dir))
    except CNIError as error:  # no reason not to take the executables away
        print(f"left {state_dir} as it is: {error}")
        return
    if left:
        print(f"attachments still recorded in {state_dir}: {left} (multinet status lists them)")


def _require_unused(arguments: argparse.Namespace) -> None:
    """Raises Failure while anything in the state directory is still needed."""
    from multinet.adapters.spool import Spool

    state_dir = arguments.state_dir
    attachments = _attachments(state_dir)
    if attachments:
        names = ", ".join(attachments[:10]) + (", …" if len(attachments) > 10 else "")
        raise Failure(
            f"--purge: {state_dir} records {len(attachments)} attachments ({names}): delete these pods first"
        )
    waiting = Spool(os.path.join(state_dir, "spool")).pending()
    if waiting:
        raise Failure(
            f"--purge: {len(waiting)} DELs wait in {state_dir}/spool: start multinet daemon to carry them out"
        )
    if _answers(arguments.socket):
        raise Failure(f"--purge: a daemon is serving {arguments.socket}: stop it first")


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _has_backup(bin_dir: str, name: str) -> bool:
    from multinet.adapters.installation import BACKUP_SUFFIX

    return os.path.lexists(os.path.join(bin_dir, name + BACKUP_SUFFIX))


def _purge(state_dir: str) -> None:
    """Remove what multinet put there, and the directories if that leaves them empty."""
    import shutil

    if not os.path.isdir(state_dir):
        return
    for name in _FILES:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(state_dir, name))
    for name in _FOLDERS:
        shutil.rmtree(os.path.join(state_dir, name), ignore_errors=True)
    with suppress(OSError):  # somebody keeps something else there
        os.rmdir(state_dir)
    print(f"removed the state in {state_dir}")
