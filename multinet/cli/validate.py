"""``multinet validate``: find the faults of manifests and CNI configurations before a pod does."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from multinet.cli.failure import FAILED, OK

if TYPE_CHECKING:
    from multinet.cli.validation.findings import Finding

SUMMARY = "Find faults in Kubernetes manifests and CNI configurations."
EXAMPLE = """\
multinet validate manifests/*.yaml /etc/cni/net.d/*.conflist
kubectl get net-attach-def -A -o yaml | multinet validate -"""
EXIT_CODES = "exit codes: 0 no errors (warnings there may be), 1 errors, 2 wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="manifests (.yaml, .yml, .json) and CNI configurations (.conf, .conflist, .json); - is standard input",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings, one a line, in the order of files and lines."""
    logging.disable()  # delegates' records are of calls, and there are none
    found = _findings(arguments.files)
    order = {file: number for number, file in enumerate(arguments.files)}
    for finding in sorted(found, key=lambda one: (order[one.file], one.line)):
        print(finding)
    errors = sum(finding.severity == "error" for finding in found)
    if found:
        warnings = len(found) - errors
        sys.stdout.flush()  # so that the sum comes last where both streams are one
        sys.stderr.write(f"multinet: {_count(errors, 'error')}, {_count(warnings, 'warning')}\n")
    return FAILED if errors else OK


def _findings(files: Iterable[str]) -> list[Finding]:
    from multinet.cli.validation.documents import Document, Malformed, documents
    from multinet.cli.validation.findings import Finding, Subject
    from multinet.cli.validation.networks import check_network
    from multinet.cli.validation.objects import Objects, object_name
    from multinet.cli.validation.pools import Pools

    found: list[Finding] = []
    pools = Pools()
    objects = Objects(pools)

    def check(file: str, document: Document) -> None:
        raw = document.value
        is_object = isinstance(raw, dict)
        kubernetes = is_object and bool(raw.get("kind"))
        name = object_name(raw) if kubernetes else f"network {raw.get('name')}" if is_object else "document"
        subject = Subject(file, name, document.places, found)
        for path, key in document.places.repeated_keys():
            subject.warning(f"{path}.{key}", f'key "{key}" is written twice: the last one counts')
        if kubernetes:
            objects.check(raw, subject)
        elif is_object and any(key in raw for key in ("plugins", "type", "cniVersion")):
            check_network(raw, subject, pools)
        else:
            subject.error("$", "neither a Kubernetes object (kind) nor a CNI configuration (type, plugins)")

    for file in dict.fromkeys(files):
        try:
            for document in documents(file, _text(file)):
                check(file, document)
        except Malformed as error:
            found.append(Finding(file, error.line, error.column, "error", error.problem))
        except OSError as error:
            found.append(Finding(file, 0, 0, "error", error.strerror or str(error)))
        except UnicodeDecodeError as error:
            found.append(Finding(file, 0, 0, "error", f"is not UTF-8: {error.reason}"))
    objects.warn_of_missing()
    pools.warn_of_overlaps()
    return found


def _text(file: str) -> str:
    if file == "-":
        return sys.stdin.buffer.read().decode()
    with open(file, encoding="utf-8") as opened:
        return opened.read()


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
