"""``multinet explain``: why a pod of this node has, or lacks, each of its interfaces."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from multinet.cli.failure import FAILED, OK, UsageError
from multinet.cli.parser import add_state_places

if TYPE_CHECKING:
    from multinet.core.explanation import Finding, PodExplanation

SUMMARY = "Tell why a pod of this node has, or lacks, each of its interfaces."
EXAMPLE = """\
multinet explain default/web
multinet explain web -o json"""
EXIT_CODES = "exit codes: 0 the pod has all that it asks for, 1 something is wrong, 2 wrong usage"

_MARKS = {"attached": "✓", "changed": "!", "attaching": "…", "removing": "…", "missing": "✗"}
_SHORT_ID = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which pod, asked where."""
    parser.add_argument("pod", metavar="[NAMESPACE/]POD", help="the pod; without a namespace: default")
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="form (default: %(default)s)"
    )
    add_state_places(parser, "journal, read when there is no daemon to ask")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    import msgspec

    namespace, name = _pod(arguments.pod)
    found = _asked(arguments.socket, namespace, name) or _by_journal(arguments, namespace, name)
    if arguments.output == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        print("\n".join(_lines(found, time.time())))
    return OK if found.is_well and not found.node_problem else FAILED


def _pod(text: str) -> tuple[str, str]:
    namespace, slash, name = text.rpartition("/")
    if not name or "/" in namespace or (slash and not namespace):
        raise UsageError(f'expected [NAMESPACE/]POD, got "{text}"')
    return namespace or "default", name


def _asked(socket: str, namespace: str, name: str) -> PodExplanation | None:
    from multinet.daemon.inquiry import ask
    from multinet.wire.client import Unreachable

    try:
        return ask(socket, namespace, name)
    except Unreachable:
        return None


def _by_journal(arguments: argparse.Namespace, namespace: str, name: str) -> PodExplanation:
    """What is on disk, when no daemon runs: what it says is that, and what had been attached."""
    from multinet.adapters.journal_view import read_attachments
    from multinet.core.explanation import PodExplanation, findings

    journal = os.path.join(arguments.state_dir, "journal.db")
    records = [one for one in read_attachments(journal) if one.pod == f"{namespace}/{name}"]
    return PodExplanation(
        namespace=namespace,
        name=name,
        uid=records[0].pod_uid if records else "",
        interfaces=findings((), records, {}, ""),
        node_problem=f"no daemon is running at {arguments.socket}: pods that start now have to wait for one "
        "(shown is what the journal has; nothing was compared)",
    )


def _lines(found: PodExplanation, now: float) -> Iterator[str]:
    yield f"pod {found.namespace}/{found.name}" + (f" (uid {found.uid})" if found.uid else "")
    for key, value in found.annotations.items():
        yield f"  {key}: {' '.join(value.split())}"
    if found.problem:
        yield f"  {_MARKS['missing']} {_one_line(found.problem)}"
    for one in found.interfaces:
        yield ""
        yield from _interface(one, now)
    last = found.last_failure
    if last is not None:
        yield ""
        reason = f", event {last.reason}" if last.reason else ""
        container = last.container_id[:_SHORT_ID]
        yield (
            f"the last ADD, {_age(now - last.at)} ago for container {container}, failed with code "
            f"{last.code}{reason}:"
        )
        yield f"  {_one_line(last.message)}"
    if found.node_problem:
        yield ""
        yield f"this node: {_one_line(found.node_problem)}"


def _interface(one: Finding, now: float) -> Iterator[str]:
    by = one.by or "nobody asks for it now"
    yield f"{_MARKS[one.state]} {one.ifname}  {one.network}  ({by})"
    if one.created:
        plugins = "+".join(one.plugins)
        addresses = ", ".join(one.addresses) or "no address"
        yield f"    {one.state}, made {_age(now - one.created)} ago by {plugins}: {addresses}"
        device = f", device {one.device}" if one.device else ""
        yield f"    in container {one.container_id[:_SHORT_ID]}{device}"
    if one.reason:
        prefix = "missing: " if one.state == "missing" else ""
        yield f"    {prefix}{_one_line(one.reason)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _age(seconds: float) -> str:
    from multinet.cli.status import age

    return age(seconds)
