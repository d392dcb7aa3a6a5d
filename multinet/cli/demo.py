"""``multinet demo``: a node and three pods, for real, in namespaces of their own."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from multinet.cli.failure import OK, Failure

if TYPE_CHECKING:
    from multinet.demo.report import Report
    from multinet.demo.steps import Story

SUMMARY = "Show multinet at work: a node and three pods in throw-away namespaces (needs root)."
EXAMPLE = "multinet demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None that a user needs."""
    # For tests: what the demo does when a manifest is wrong.
    parser.add_argument("--examples", metavar="DIR", default="", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Play it. This process leaves the machine's namespaces for good, so it must end soon after."""
    if os.geteuid() != 0:
        raise Failure("the demo makes network and mount namespaces, which needs root: run it with sudo")
    from pathlib import Path

    from multinet.demo.report import Report
    from multinet.demo.steps import EXAMPLES, Story

    signal.signal(signal.SIGTERM, _interrupt)
    out = Report(sys.stdout)
    out.heading(
        "multinet demo: a node, its daemon and three pods; nothing of it touches this machine's network."
    )
    started = time.monotonic()
    story = Story(out, Path(os.path.abspath(arguments.examples)) if arguments.examples else EXAMPLES)
    try:
        _play(story, out)
    finally:
        story.close()
    out.heading(f"\nAll of it worked, in {time.monotonic() - started:.1f} s.")
    return OK


def _play(story: Story, out: Report) -> None:
    """Raises Failure, which names the step, after the end of the daemon's log is printed."""
    from multinet.cni.errors import CNIError
    from multinet.demo.failure import DemoFailure

    try:
        story.play()
    except KeyboardInterrupt:
        raise Failure(f"demo: interrupted in {out.step_name or 'its beginning'}") from None
    except (DemoFailure, CNIError, OSError) as error:
        out.failed(str(error))
        log = story.log_tail()
        if log:
            out.say(f"the end of the daemon's log:\n{log}")
        raise Failure(f"demo: {out.step_name} failed: {error}") from None


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
