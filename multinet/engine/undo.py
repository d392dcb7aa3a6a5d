"""What to take back when a later step fails."""

from __future__ import annotations

from collections.abc import Callable

from multinet.cni.errors import CNIError


class Undo:
    """A stack of undoings, run last-in first-out; as a context manager it runs them when the body fails.

    Every undoing is tried, whatever fails; the failures end up in ``errors`` (and in the details of a
    CNIError that is passing through), for the operator to see what was left.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], object]]] = []
        self.errors: list[str] = []

    def push(self, what: str, step: Callable[[], object]) -> None:
        """Remember how to take something back; ``what`` names it for a report."""
        self._steps.append((what, step))

    def drop_last(self) -> None:
        """Forget the newest undoing: its step turned out to have done nothing."""
        self._steps.pop()

    def dismiss(self) -> None:
        """All went well: nothing is taken back."""
        self._steps.clear()

    def hand_over(self, to: Undo) -> None:
        """From now on ``to`` takes back what was done here."""
        to._steps += self._steps
        self._steps = []

    def run(self) -> None:
        """Take everything back now."""
        while self._steps:
            what, step = self._steps.pop()
            try:
                step()
            except Exception as error:  # the rest must still be taken back
                self.errors.append(f"{what}: {error}")

    def __enter__(self) -> Undo:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            return
        self.run()
        if self.errors and isinstance(error, CNIError):
            left = "undo failed for " + "; ".join(self.errors)
            error.tell_also(left)
