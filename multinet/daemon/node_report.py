"""What the node daemon found out about its node, on disk for ``multinet status``: slot, and pods without networks."""

from __future__ import annotations

import os
import threading
from typing import Any

import msgspec

from multinet.cni.errors import CNIError, Code
from multinet.daemon.slot.report import SlotReport

__all__ = ["NodeReport", "ReportFile", "UnservedPod", "read_report"]

_NAME = "node.json"


class UnservedPod(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A pod that runs without networks that it asks for."""

    namespace: str
    name: str
    container_id: str = msgspec.field(name="containerID")
    networks: tuple[str, ...]


class NodeReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As the daemon last knew it; what it doesn't look at is None."""

    slot: SlotReport | None = None
    unserved: tuple[UnservedPod, ...] | None = None


_DECODER = msgspec.json.Decoder(NodeReport)


class ReportFile:
    """The report of one daemon; several of its threads may change their part."""

    def __init__(self, state_dir: str) -> None:
        """What an earlier daemon reported is forgotten: it says nothing about now."""
        self._path = os.path.join(state_dir, _NAME)
        self._lock = threading.Lock()
        self._report = NodeReport()
        self.update()

    @property
    def report(self) -> NodeReport:
        """The report as it is now."""
        return self._report

    def update(self, **parts: Any) -> None:
        """Change the parts named. Raises CNIError code 5 when the file can't be written."""
        temporary = f"{self._path}.tmp"
        with self._lock:
            self._report = msgspec.structs.replace(self._report, **parts)
            try:
                with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    file.write(msgspec.json.encode(self._report))
                os.rename(temporary, self._path)
            except OSError as error:
                raise CNIError(Code.IO_FAILURE, f"cannot write {self._path}: {error.strerror}") from None


def read_report(state_dir: str) -> NodeReport:
    """The report as the daemon left it; empty without one, or when it is of another version."""
    try:
        with open(os.path.join(state_dir, _NAME), "rb") as file:
            return _DECODER.decode(file.read())
    except (OSError, msgspec.DecodeError):
        return NodeReport()
