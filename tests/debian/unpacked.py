"""A program out of Debian packages, unpacked beside the sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.debian.turns import alone

CACHE = Path(__file__).parents[2] / ".cache"


class Unavailable(Exception):
    """Why it can't be had here."""


def unpacked(name: str, packages: Sequence[str]) -> Path:
    """The folder in which ``packages`` are unpacked as in ``/``; fetched the first time. Raises Unavailable."""
    if not shutil.which("apt-get"):
        raise Unavailable(f"not a Debian system: no packages of {name}")
    root = CACHE / name
    with alone(CACHE / f"{name}.lock", f"waiting for another run to fetch {name}"):
        if not root.exists():
            _fetch(name, packages, root)
    return root


def _fetch(name: str, packages: Sequence[str], root: Path) -> None:
    print(f"fetching {name} and what it needs", file=sys.stderr, flush=True)
    unpacking = root.with_suffix(".unpacking")
    shutil.rmtree(unpacking, ignore_errors=True)
    unpacking.mkdir(parents=True)
    # apt-get would give the download to a user that can't read this folder.
    _run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *packages, inside=unpacking)
    for archive in sorted(unpacking.glob("*.deb")):
        _run("dpkg", "-x", str(archive), str(unpacking))
        archive.unlink()
    unpacking.rename(root)


def _run(*command: str, inside: Path | None = None) -> None:
    done = subprocess.run(command, cwd=inside, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(command)}: {' '.join((done.stderr or done.stdout).split())[-300:]}")
