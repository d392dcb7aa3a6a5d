"""The slot's file on disk: read, written, given up. Every write is whole, on disk, and one rename."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress

from multinet.adapters.plugin_directory import PluginDirectory
from multinet.cni.conf import conf_files, load_file
from multinet.cni.errors import CNIError
from multinet.daemon.networks import is_meta

__all__ = ["earlier_files", "force_version", "primary_of", "read", "remove", "renamed_to", "write"]

_MODE = 0o600


def read(path: str) -> bytes | None:
    """The content; None: there is no file. Raises OSError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(path: str, content: bytes) -> None:
    """Put the file in place for root alone; its folder is made if it is missing. Raises InstallationError."""
    folder, name = os.path.split(path)
    with PluginDirectory.locked(folder) as directory:
        directory.replace(name, content, _MODE)
        directory.sync()


def remove(path: str) -> bool:
    """Take the file away; whether it was ours and there. Raises InstallationError."""
    if not _is_ours(path):
        return False
    folder, name = os.path.split(path)
    with PluginDirectory.locked(folder) as directory:
        directory.remove(name)
        directory.sync()
    return True


def primary_of(path: str) -> str:
    """The primary's path that the file in place names; empty: it names none, or there is no file of ours."""
    with suppress(CNIError):
        network = load_file(path)
        if is_meta(network):
            named = network.plugins[0].get("clusterNetwork")
            return named if isinstance(named, str) and "/" in named else ""
    return ""


def renamed_to(path: str, content: bytes) -> str:
    """The name by which the file now is kept in its folder (``….cilium_bak``); empty: by none."""
    folder, name = os.path.split(path)
    with suppress(OSError):
        for other in sorted(os.listdir(folder)):
            if other.startswith(f"{name}.") and read(os.path.join(folder, other)) == content:
                return other
    return ""


def earlier_files(path: str) -> tuple[str, ...]:
    """Names of others' valid configurations that the runtime takes before ours. Raises CNIError code 5."""
    folder, own = os.path.split(path)
    names = (os.path.basename(found) for found in conf_files(folder))
    return tuple(name for name in names if os.fsencode(name) < os.fsencode(own) and _is_valid(folder, name))


def force_version(path: str, version: str) -> bool:
    """Rewrite a configuration so that it states ``version``; whether that was a change. Raises InstallationError.

    ``path`` must be valid; its mode and everything else in it stay.
    """
    folder, name = os.path.split(os.path.realpath(path))
    with PluginDirectory.locked(folder) as directory:
        content = json.loads(directory.read(name) or b"{}")
        if not content or content.get("cniVersion") == version:
            return False
        mode = stat.S_IMODE(os.stat(directory.path(name)).st_mode)
        directory.replace(
            name, json.dumps({**content, "cniVersion": version}, indent=2).encode() + b"\n", mode
        )
        directory.sync()
    return True


def _is_ours(path: str) -> bool:
    with suppress(CNIError):
        return is_meta(load_file(path))
    return False


def _is_valid(folder: str, name: str) -> bool:
    with suppress(CNIError):
        load_file(os.path.join(folder, name))
        return True
    return False
