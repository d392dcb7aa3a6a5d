"""A throw-away node: its network, its files, and whatever software runs on it (see ``stage``)."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from multinet.adapters.netns import Netns
from tests.runtime.stage import DISK, cgroup_folders, processes

_numbers = itertools.count(1)


class Node:
    """Use as a context manager. In the end all but its disk is gone, or an AssertionError says what is left."""

    def __init__(self, disk: Path) -> None:
        """A new node boots from the folder ``disk``, which may be another one's that has gone."""
        self.disk = disk
        self.cgroup = f"multinet-test-{os.getpid()}-{next(_numbers)}"
        """Name of the control group, in every hierarchy, that the pods' own are in."""
        self._stage = subprocess.Popen(
            [sys.executable, "-m", "tests.runtime.stage", self.cgroup, str(disk)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._stage.stdout is not None and self._stage.stderr is not None
        if self._stage.stdout.readline() != b"ready\n":
            raise AssertionError(f"no node: {self._stage.stderr.read().decode()}")
        self.pid = self._stage.pid
        self.namespace = os.readlink(f"/proc/{self.pid}/ns/mnt")
        self.netns = Netns.open(f"/proc/{self.pid}/ns/net")

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path(self, inside: str) -> Path:
        """Where we find what the node has at the absolute path ``inside``."""
        if inside.startswith(DISK):
            return Path(f"{self.disk}{inside}")
        # /var/run is a link to /run, and would lead back to our own
        return Path(f"/proc/{self.pid}/root{inside.removeprefix('/var')}")

    def command(self, *words: str | Path) -> list[str]:
        """The command, inside."""
        entered = ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", f"--net=/proc/{self.pid}/ns/net", "--"]
        return [*entered, *map(str, words)]

    def run(self, *words: str | Path, stdin: str = "") -> str:
        """Run it; its standard output."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, input=stdin)
        assert done.returncode == 0, f"{words}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def write(self, inside: str, content: str) -> None:
        """Put a file in place, whole at once, as installers do."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(content)
        beside.rename(path)

    def processes(self) -> set[int]:
        """Who is running inside, without what keeps the node."""
        return processes(self.namespace, self.cgroup) - {self.pid}

    def pod_groups(self) -> Sequence[Path]:
        """The control groups of pods that are there."""
        return cgroup_folders(self.cgroup)

    def close(self) -> None:
        """End everything; safe to repeat."""
        if self._stage.returncode is not None:
            return
        self.netns.close()
        with open(f"/proc/{self.pid}/ns/mnt"):  # held, so that no other namespace gets its number meanwhile
            _, said = self._stage.communicate(timeout=60)
            assert self._stage.returncode == 0, said.decode()
            left = processes(self.namespace, self.cgroup)
        assert not left, f"processes left of {self.namespace}: {left}"
        assert not cgroup_folders(self.cgroup)
