"""A kernel that can do everything: Debian's own, unpacked beside the sources, never installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.debian.turns import alone

_METAPACKAGE = "linux-image-amd64"
"""Depends on Debian's newest kernel for ordinary machines (neither the real-time nor the cloud one)."""


class Unavailable(Exception):
    """Why there is no virtual machine here."""


@dataclass(frozen=True)
class DebianKernel:
    """An unpacked kernel package; its modules are in ``lib/modules`` beside ``boot``."""

    release: str
    image: Path


def debian_kernel(cache: Path) -> DebianKernel:
    """The kernel kept in ``cache``; fetched if there is none. Raises ``Unavailable``."""
    with alone(cache / "lock", "waiting for another run to fetch the kernel"):
        images = sorted(cache.glob("linux-image-*/boot/vmlinuz-*"), key=lambda path: path.stat().st_mtime)
        image = images[-1] if images else _fetched(_newest_package(), cache)
    return DebianKernel(image.name.removeprefix("vmlinuz-"), image)


def _fetched(package: str, cache: Path) -> Path:
    """The image out of ``package``, unpacked into ``cache`` as a whole or not at all."""
    print(f"fetching {package} for the virtual machine", file=sys.stderr, flush=True)
    release = package.removeprefix("linux-image-")
    unpacking = cache / "unpacking"
    shutil.rmtree(unpacking, ignore_errors=True)
    unpacking.mkdir()
    # apt-get would give the download to a user that can't read this folder.
    _run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package, inside=unpacking)
    archive = next(unpacking.glob("*.deb"))
    _run("dpkg", "-x", str(archive), str(unpacking))
    archive.unlink()
    _run("depmod", "-b", str(unpacking), release)
    unpacking.rename(cache / package)
    return cache / package / "boot" / f"vmlinuz-{release}"


def _newest_package() -> str:
    if not shutil.which("apt-cache"):
        raise Unavailable("not a Debian system: no kernel package to boot")
    pattern = re.compile(r"Depends: (linux-image-\d\S+)")
    depends = pattern.search(_run("apt-cache", "depends", _METAPACKAGE))
    if depends is None:
        _run("apt-get", "update", "-qq")
        depends = pattern.search(_run("apt-cache", "depends", _METAPACKAGE))
    if depends is None:
        raise Unavailable(f"apt offers no {_METAPACKAGE}")
    return depends[1]


def _run(*command: str, inside: Path | None = None) -> str:
    done = subprocess.run(command, cwd=inside, capture_output=True, text=True)
    if done.returncode != 0 and command[0] != "apt-cache":  # it also fails where lists were never fetched
        raise Unavailable(f"{' '.join(command)}: {' '.join((done.stderr or done.stdout).split())[-300:]}")
    return done.stdout
