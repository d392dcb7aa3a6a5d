"""Findings: where, how bad, on what, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from multinet.cli.failure import one_line
from multinet.cli.validation.places import Places
from multinet.cni.errors import CNIError, InvalidConfig

__all__ = ["Finding", "Severity", "Subject", "faults_of"]

Severity = Literal["error", "warning"]


class Finding(msgspec.Struct, frozen=True):
    """One line of the output: ``web.yaml:12: error: Pod default/web: $.metadata…: problem``."""

    file: str
    line: int
    """From 1; 0: not known."""
    column: int
    """From 1; 0: not known."""
    severity: Severity
    text: str

    def __str__(self) -> str:
        place = "".join(f":{number}" for number in (self.line, self.column) if number)
        return f"{self.file}{place}: {self.severity}: {one_line(self.text)}"


class Subject:
    """One object of a file, on which findings are collected; ``base`` is put before their JSON paths."""

    def __init__(
        self, file: str, name: str, places: Places, findings: list[Finding], base: str = "$"
    ) -> None:
        self.file = file
        self.name = name
        self.places = places
        self._findings = findings
        self._base = base

    def below(self, path: str) -> Subject:
        """The same object, seen from the part at ``path``."""
        return Subject(self.file, self.name, self.places, self._findings, self._base + path[1:])

    def embedded(self, path: str, text: str) -> Subject:
        """The JSON in the text at ``path``: its JSON paths start anew, its lines are still the file's."""
        places = self.places.embedded(self._base + path[1:], text)
        return Subject(self.file, self.name, places, self._findings)

    def error(self, path: str, problem: str) -> None:
        """Something that would make an ADD fail."""
        self._add("error", path, problem)

    def warning(self, path: str, problem: str) -> None:
        """Something that is tolerated, though hardly meant."""
        self._add("warning", path, problem)

    def faults(self, error: CNIError) -> None:
        """Every fault that ``error`` tells of."""
        for path, problem in faults_of(error):
            self.error(path, problem)

    def malformed(self, line: int, column: int, problem: str) -> None:
        """Text that can't be parsed; ``line`` (from 1) counts from this object's beginning."""
        line = self.places.line_in_text(line)
        self._findings.append(Finding(self.file, line, column, "error", f"{self.name}: {problem}"))

    def _add(self, severity: Severity, path: str, problem: str) -> None:
        whole = self._base + path[1:] if path.startswith("$") else self._base
        text = f"{self.name}: {whole}: {problem}"
        self._findings.append(Finding(self.file, self.places.line(whole), 0, severity, text))


def faults_of(error: CNIError) -> Iterator[tuple[str, str]]:
    """Path and problem of each fault; configuration faults tell several, joined by ``; $…: ``."""
    if not isinstance(error, InvalidConfig):
        yield "$", str(error)
        return
    path, rest = error.path, error.problem
    while True:
        problem, further, behind = rest.partition("; $")
        yield path, problem
        if not further:
            return
        path, _, rest = f"${behind}".partition(": ")
