"""Files in which a delegate keeps what it must find again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial

from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Difference, Place, StateFile
from multinet.engine.kinds.base import Kind
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import Act, Step
from multinet.engine.views import Views


class StateFileKind(Kind[StateFile]):
    """State files: written before anything that they are to take back."""

    def create(self, item: StateFile, stage: Stage) -> Iterable[tuple[Place, Step | Act]]:
        """Whole, or not at all; one that is there already stays (if it isn't to be replaced), also when this
        attachment is undone.
        """
        if not item.replaces and os.path.exists(item.path):
            return
        failure = f'failed to save file "{item.path}"'
        yield "host", Act(partial(_write, item), failure, undo=partial(_unlink, item.path))

    def compare(self, item: StateFile, views: Views) -> Iterator[Difference]:
        """It is there; what it holds is the first ADD's."""
        if not os.path.exists(item.path):
            yield Difference(f"file {item.path}", "file", "present", "")

    def remove(self, item: StateFile, scene: Scene) -> None:
        """Away."""
        try:
            _unlink(item.path)
        except OSError as error:
            raise CNIError(
                Code.IO_FAILURE, f'failed to remove file "{item.path}": {error.strerror}'
            ) from None


def _write(item: StateFile) -> None:
    """By a temporary file and a rename: a reader never sees half of it."""
    os.makedirs(os.path.dirname(item.path), mode=0o700, exist_ok=True)
    temporary = f"{item.path}.{os.getpid()}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, item.mode)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(item.content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, item.path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
