"""Single changes with what to say when one fails, what counts as fine, and how to take one back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from multinet.adapters.kernel import NetworkStack
from multinet.adapters.netlink import NetlinkError
from multinet.cni.errors import CNIError, Code
from multinet.engine.undo import Undo

EXISTS = (errno.EEXIST,)
GONE = (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)


class Step(NamedTuple):
    """One netlink message. ``failure`` is the sentence that the kernel's reason completes."""

    message: bytes
    failure: str
    fine: tuple[int, ...] = ()
    """Refusals that mean: it is so already."""
    undo: Callable[[], object] | None = None
    subject: object = None
    explain: Callable[[int], str] | None = None
    """What an errno means here and what to do about it, where the kernel's own words say too little; "" if they do."""


class Act(NamedTuple):
    """One change that isn't a netlink message (an ioctl, a file). ``failure`` as in ``Step``."""

    run: Callable[[], object]
    """May raise OSError, or CNIError when it knows better words."""
    failure: str
    undo: Callable[[], object] | None = None


def perform(steps: Sequence[Step | Act], stack: NetworkStack, undo: Undo) -> list[Step]:
    """Do all steps in order, messages that follow one another in one send; the messages that changed something.

    The kernel goes on after a refusal, so whatever succeeded is pushed on ``undo`` before the first failure
    is raised as a CNIError (code 100).
    """
    done: list[Step] = []
    batch: list[Step] = []
    for step in steps:
        if isinstance(step, Step):
            batch.append(step)
            continue
        done += _send(batch, stack, undo)
        batch = []
        _act(step, undo)
    return done + _send(batch, stack, undo)


def _send(steps: Sequence[Step], stack: NetworkStack, undo: Undo) -> list[Step]:
    if not steps:
        return []
    outcome = stack.send([step.message for step in steps])
    done = [step for step, error in zip(steps, outcome, strict=True) if error is None]
    for step in done:
        if step.undo is not None:
            undo.push(step.failure.removeprefix("failed to "), step.undo)
    for step, error in zip(steps, outcome, strict=True):
        if error is not None and error.errno not in step.fine:
            raise refusal(step, error)
    return done


def _act(act: Act, undo: Undo) -> None:
    try:
        act.run()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CNIError(Code.KERNEL, f"{act.failure}: {reason}") from error
    if act.undo is not None:
        undo.push(act.failure.removeprefix("failed to "), act.undo)


def refusal(step: Step, error: NetlinkError) -> CNIError:
    """The kernel's refusal as a CNI error, with its reason in words and its own note."""
    reason = os.strerror(error.errno or 0).lower()
    note = f" ({error.note})" if error.note else ""
    hint = step.explain(error.errno or 0) if step.explain else ""
    failure = CNIError(Code.KERNEL, f"{step.failure}: {reason}{note}{': ' if hint else ''}{hint}")
    failure.__cause__ = error
    return failure
