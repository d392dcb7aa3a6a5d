"""The short form of the network selection annotation: ``[namespace/]name[@interface], …``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from multinet.cni.errors import CNIError, Code
from multinet.npwg.network_selection import IFNAME_RULE, NetworkSelection, is_ifname

__all__ = ["parse_comma_form"]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_BLANKS = " \t\n\v\f\r"
_WHO = "parsePodNetworkObjectName: "
_GRAMMAR = "expected [namespace/]name[@interface]"


def parse_comma_form(text: str) -> list[NetworkSelection]:
    """The elements in order, namespace "" where none is written; items that are all blank are passed over.

    Raises CNIError code 7 with the item's number and the column (from 1) of the fault.
    """
    return [_Item(text, number, start, end).parse() for number, start, end in _items(text)]


def _items(text: str) -> Iterator[tuple[int, int, int]]:
    """(number from 1, start, end) of each item that isn't blank, without the blanks around it."""
    start = 0
    for number, item in enumerate(text.split(","), start=1):
        body = item.strip(_BLANKS)
        if body:
            begin = start + item.index(body)
            yield number, begin, begin + len(body)
        start += len(item) + 1


class _Item:
    """One item of the text, which knows where it stands."""

    def __init__(self, text: str, number: int, start: int, end: int) -> None:
        self._number = number
        self._start = start
        self._text = text[start:end]

    def parse(self) -> NetworkSelection:
        self._at_most_one("/", self._text)
        self._at_most_one("@", self._text)
        network, _, ifname = self._text.partition("@")
        namespace, slash, name = network.rpartition("/")
        namespace, name, ifname = (part.strip(_BLANKS) for part in (namespace, name, ifname))
        for label in (namespace, name):
            if label and not _LABEL.fullmatch(label):
                raise self._fault(
                    "Failed to parse: one or more items did not match comma-delimited format (must consist "
                    "of lower case alphanumeric characters). Must start and end with an alphanumeric "
                    f"character), mismatch @ '{label}'",
                    self._text.index(label),
                )
        if not name:
            raise self._fault("the network has no name", len(slash and network))
        self._check_ifname(ifname)
        return NetworkSelection(name=name, namespace=namespace, interface=ifname)

    def _at_most_one(self, mark: str, text: str) -> None:
        if text.count(mark) > 1:
            second = text.index(mark, text.index(mark) + 1)
            raise self._fault(f"Invalid network object (failed at '{mark}')", second)

    def _check_ifname(self, ifname: str) -> None:
        if ifname and not is_ifname(ifname):
            raise self._fault(
                "Failed to parse interface name: must be less than 15 chars and not contain '/' or spaces. "
                f"interface name '{ifname}'",
                self._text.index("@") + 1,
                f"expected {IFNAME_RULE}",
            )

    def _fault(self, problem: str, offset: int, expected: str = _GRAMMAR) -> CNIError:
        where = f"item {self._number}, column {self._start + offset + 1}"
        return CNIError(Code.INVALID_CONFIG, f"{_WHO}{problem} ({where}: {expected})")
