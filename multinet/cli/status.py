"""``multinet status``: what this node has attached, read from the journal, with or without a daemon."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multinet.cli.failure import OK, UsageError
from multinet.cli.parser import add_state_places

if TYPE_CHECKING:
    from multinet.adapters.spool import Spool
    from multinet.core.record import AttachmentRecord
    from multinet.daemon.node_report import NodeReport

SUMMARY = "Show the attachments of this node's pods, and removals that failed."
EXAMPLE = """\
multinet status --pod default/web
multinet status -o json"""

_HEADINGS = ("POD", "CONTAINER", "INTERFACE", "NETWORK", "PHASE", "ADDRESSES", "AGE")
_SHORT_ID = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which node state, which pods, in which form."""
    add = parser.add_argument
    default = " (default: %(default)s)"
    add(
        "-o",
        "--output",
        choices=("table", "json", "yaml"),
        default="table",
        help="form of the output" + default,
    )
    add("--pod", metavar="NAMESPACE/NAME", default="", help="only this pod")
    add_state_places(parser, "journal and spool")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    import msgspec

    from multinet.adapters.journal_view import read_attachments
    from multinet.adapters.spool import Spool
    from multinet.daemon.node_report import read_report

    pod = _pod(arguments.pod)
    journal = os.path.join(arguments.state_dir, "journal.db")
    records = [record for record in read_attachments(journal) if not pod or record.pod == pod]
    problem = _daemon_problem(arguments.socket)
    spool = Spool(os.path.join(arguments.state_dir, "spool"))
    spooled, aside = len(spool.pending()), len(spool.set_aside_entries())
    node = read_report(arguments.state_dir)
    if arguments.output == "table":
        _print_table(records)
        sys.stdout.flush()  # so that notes come last where both streams are one
        for note in [
            *_notes(records, problem, spooled, arguments),
            *_notes_of_aside(spool, aside),
            *_notes_of_node(node),
        ]:
            sys.stderr.write(f"multinet: {note}\n")
        return OK
    daemon = {"socket": arguments.socket, "running": not problem}
    report = {
        "daemon": daemon,
        "stateDir": arguments.state_dir,
        "spooledRemovals": spooled,
        "setAsideRemovals": aside,
        "attachments": [_described(record) for record in records],
        **msgspec.to_builtins(node),
    }
    sys.stdout.write(_as_json(report) if arguments.output == "json" else _as_yaml(report))
    return OK


def _pod(text: str) -> str:
    if text and (text.count("/") != 1 or not all(text.split("/"))):
        raise UsageError(f'--pod: expected NAMESPACE/NAME, got "{text}"')
    return text


def _daemon_problem(path: str) -> str:
    """Why the daemon can't be reached; empty when it can."""
    import socket

    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return ""


def _notes_of_aside(spool: Spool, aside: int) -> list[str]:
    """What will never be carried out."""
    if not aside:
        return []
    return [f"removals set aside in {spool.directory} (*.bad), forgotten after a day: {aside}"]


def _print_table(records: Sequence[AttachmentRecord]) -> None:
    now = time.time()
    rows = [_HEADINGS, *(_row(record, now) for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(record: AttachmentRecord, now: float) -> tuple[str, ...]:
    return (
        record.pod or "-",
        record.container_id[:_SHORT_ID],
        record.ifname,
        record.name,
        record.phase,
        ",".join(_addresses(record)) or "-",
        age(now - record.created),
    )


def _notes(
    records: Sequence[AttachmentRecord], problem: str, spooled: int, arguments: argparse.Namespace
) -> list[str]:
    """What a table has no room for."""
    from multinet.cli.failure import one_line

    notes = [
        f"removing {record.ifname} of {record.pod or record.container_id} failed: {one_line(record.failure)}"
        for record in records
        if record.failure
    ]
    if spooled:
        notes.append(f"removals waiting for the daemon in {arguments.state_dir}/spool: {spooled}")
    if problem:
        notes.append(f"no daemon is running at {arguments.socket} ({problem})")
    return notes


def _notes_of_node(node: NodeReport) -> list[str]:
    """What the daemon, when it last looked, found wrong with its node."""
    notes = [node.slot.problem] if node.slot and node.slot.problem else []
    return notes + [
        f"pod {pod.namespace}/{pod.name} runs without networks that it asks for: {', '.join(pod.networks)}"
        for pod in node.unserved or ()
    ]


def _addresses(record: AttachmentRecord) -> list[str]:
    return [ip.address for ip in record.parsed_result().ips]


def age(seconds: float) -> str:
    """How long ago, in one unit: ``5s``, ``7m``, ``3h``, ``12d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def _described(record: AttachmentRecord) -> dict[str, Any]:
    """One attachment as JSON and YAML have it; ``docs/reference/cli.md`` explains the keys."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
    return {
        "pod": {"namespace": record.pod_namespace, "name": record.pod_name, "uid": record.pod_uid},
        "containerID": record.container_id,
        "netns": record.netns,
        "interface": record.ifname,
        "network": record.name,
        "networkName": record.network_name,
        "phase": record.phase,
        "addresses": _addresses(record),
        "created": created,
        "failure": record.failure,
        "result": record.result,
    }


def _as_json(report: dict[str, Any]) -> str:
    import json

    return json.dumps(report, indent=2) + "\n"


def _as_yaml(report: dict[str, Any]) -> str:
    import yaml  # only those who ask for it pay for its import

    return str(yaml.safe_dump(report, sort_keys=False))
