"""Put multinet's executables into a CNI plugin directory, and take them out again.

One file serves under many names (hard links), each put in place by a rename: a runtime that starts a plugin
meanwhile gets the old or the new one, whole. What another project had installed under such a name is kept
beside it as ``{name}.before-multinet``, and a manifest records all that, so that uninstalling puts the
directory back to what it was. A crash at any point leaves a directory that either call can go on from:
backups come before the manifest, the manifest before the first replaced file, and it goes last.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from multinet import __version__
from multinet.adapters.plugin_directory import InstallationError, PluginDirectory, read_source
from multinet.shim import SETTINGS_FILE
from multinet.shim.script import python_script

__all__ = ["BACKUP_SUFFIX", "MANIFEST", "InstallationError", "Installed", "Uninstalled"]
__all__ += ["install", "others_name", "standalone_script", "uninstall", "write_standalone"]

MANIFEST = ".multinet-installed.json"
BACKUP_SUFFIX = ".before-multinet"


class Installed(msgspec.Struct, frozen=True):
    """What ``install`` did."""

    names: tuple[str, ...]
    saved: tuple[str, ...]
    """Names that were another project's executable, now kept as a backup."""


class Uninstalled(msgspec.Struct, frozen=True):
    """What ``uninstall`` did; all are names of executables."""

    removed: tuple[str, ...]
    restored: tuple[str, ...]
    left: tuple[str, ...]
    """Replaced by somebody else after the installation, so not multinet's to remove."""


class _Manifest(msgspec.Struct):
    """``digests`` (SHA-256, hex) tell our executables, of this and earlier installations, from others."""

    version: str = __version__
    digests: list[str] = []
    files: dict[str, str | None] = {}
    """Name of the executable → name of its backup, if it has one."""


def install(
    names: Sequence[str],
    bin_dir: str | os.PathLike[str],
    source: bytes | Path,
    socket: str,
    spool: str,
    time_limit: float | None = None,
    check: Callable[[str], None] | None = None,
) -> Installed:
    """Put the executable ``source`` (its bytes, or its path) into ``bin_dir`` under each of ``names``.

    ``socket``, ``spool`` and ``time_limit`` (seconds; None: the shim's default) go into the shim's settings
    file; the paths are as the runtime sees them. May be repeated, for a new version or for more names.

    ``check`` gets the path of the new file, which stands in ``bin_dir`` by then but has no name yet; if it
    raises (InstallationError), nothing has changed. Raises InstallationError, ValueError (no name, one that
    can't be a plugin's, or a path with a line break).
    """
    names = tuple(dict.fromkeys(names))
    if not names:
        raise ValueError("no name to install under")
    for name in names:
        _require_plugin_name(name)
    settings = _settings(socket, spool, time_limit)
    content = source if isinstance(source, bytes) else read_source(source)
    digest = hashlib.sha256(content).hexdigest()
    with PluginDirectory.locked(bin_dir) as folder:
        staged = folder.stage(names[0], content, 0o755)
        if check is not None:
            check(staged)
        manifest = _load(folder) or _Manifest()
        foreign = tuple(name for name in names if _is_foreign(folder, name, manifest, digest))
        manifest.files |= {name: manifest.files.get(name) for name in names}
        manifest.files |= {name: name + BACKUP_SUFFIX for name in foreign}
        manifest.digests = list(dict.fromkeys([*manifest.digests, digest]))
        manifest.version = __version__
        folder.replace(MANIFEST, _encode(manifest), 0o644)
        for name in foreign:
            _save(folder, name, digest)
        folder.replace(SETTINGS_FILE, settings, 0o644)
        folder.sync()
        folder.switch(names[0])
        for name in names[1:]:
            folder.link(names[0], name)
        folder.sync()
    return Installed(names, foreign)


def uninstall(bin_dir: str | os.PathLike[str]) -> Uninstalled:
    """Take out what ``install`` put in and put back what it replaced; nothing installed is success.

    An executable that somebody else has put there since then stays, and so does its backup, if it has one.
    Raises InstallationError.
    """
    outcomes: dict[str, list[str]] = {"removed": [], "restored": [], "left": []}
    if os.path.isdir(bin_dir):
        with PluginDirectory.locked(bin_dir) as folder:
            manifest = _load(folder)
            if manifest is not None:
                for name, backup in manifest.files.items():
                    outcomes[_take_out(folder, name, backup, manifest.digests)].append(name)
                folder.remove(SETTINGS_FILE)
                folder.sync()
                folder.remove(MANIFEST)
                folder.sync()
    return Uninstalled(**{outcome: tuple(names) for outcome, names in outcomes.items()})


def standalone_script(plugin_type: str) -> bytes:
    """An executable that is the plugin ``plugin_type`` all by itself, in its own process, without a daemon.

    Raises ValueError: no script can name the interpreter, or ``plugin_type`` can't be a plugin's name.
    """
    _require_plugin_name(plugin_type)
    return python_script(f"from multinet.cli.plugin import main\n\nmain({plugin_type!r})\n", "-I")


def write_standalone(path: str | os.PathLike[str], plugin_type: str) -> None:
    """Write ``standalone_script`` to ``path``, whole or not at all. Raises InstallationError, ValueError."""
    script = standalone_script(plugin_type)
    parent, name = os.path.split(os.path.abspath(path))
    with PluginDirectory.locked(parent) as folder:
        folder.replace(name, script, 0o755)
        folder.sync()


def _require_plugin_name(name: str) -> None:
    reserved = name.startswith(".") or name.endswith(BACKUP_SUFFIX)
    if not name or reserved or "/" in name or not name.isprintable():
        raise ValueError(f"{name!r} cannot be the name of a plugin")


def _settings(socket: str, spool: str, time_limit: float | None) -> bytes:
    lines = [f"socket={socket}", f"spool={spool}"]
    if time_limit is not None:
        lines.append(f"timeout={time_limit:.3f}")
    for line in lines:
        if "\n" in line or "\0" in line:
            raise ValueError(f"{line!r} has a line break or a null character")
    return os.fsencode("\n".join(lines) + "\n")


def _load(folder: PluginDirectory) -> _Manifest | None:
    raw = folder.read(MANIFEST)
    if raw is None:
        return None
    try:
        manifest = msgspec.json.decode(raw, type=_Manifest)
        for name in manifest.files:
            _require_plugin_name(name)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InstallationError(
            f"{folder.path(MANIFEST)} is damaged ({error}): mend it, or remove it and what it names"
        ) from None
    return manifest


def others_name(bin_dir: str, name: str) -> str | None:
    """What another project's executable ``name`` is called in ``bin_dir``: its own name, or its backup's where ours
    has taken the place; None when only ours is there, or nobody can tell.
    """
    try:
        with open(os.path.join(bin_dir, MANIFEST), "rb") as file:
            files = msgspec.json.decode(file.read(), type=_Manifest).files
    except FileNotFoundError:
        return name
    except (OSError, msgspec.MsgspecError):
        return None
    return files.get(name, name)


def _encode(manifest: _Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _is_foreign(folder: PluginDirectory, name: str, manifest: _Manifest, digest: str) -> bool:
    """Whether a file that isn't ours has the name. ``digest`` is of what is going to be installed."""
    present = folder.fingerprint(name)
    if present is None or (name in manifest.files and present in manifest.digests):
        return False
    saved = folder.fingerprint(name + BACKUP_SUFFIX)
    if saved not in (None, present) and present != digest and manifest.files.get(name) is None:
        # The record is lost: the file under the name may be ours, and the backup the only original.
        raise InstallationError(
            f"{folder.path(name + BACKUP_SUFFIX)} exists, and {MANIFEST} doesn't know of it: "
            f"if {name} there is multinet's, rename the backup to {name}, else remove the backup"
        )
    return True


def _save(folder: PluginDirectory, name: str, digest: str) -> None:
    """Keep a foreign file by a second link to it: the name itself never goes missing."""
    backup = name + BACKUP_SUFFIX
    present, saved = folder.fingerprint(name), folder.fingerprint(backup)
    if saved is None or present not in (saved, digest):
        folder.link(name, backup)


def _take_out(folder: PluginDirectory, name: str, backup: str | None, digests: list[str]) -> str:
    """Remove our file and put the backup back; what came of it, as a field of ``Uninstalled``."""
    present = folder.fingerprint(name)
    saved = None if backup is None else folder.fingerprint(backup)
    if present is not None and present not in digests:
        if backup is None or saved not in (None, present):
            return "left"
        # an earlier call got as far as this, or the installation didn't get as far as replacing it
        folder.remove(backup)
        return "restored"
    if backup is not None and saved is not None:
        folder.rename(backup, name)
        return "restored"
    folder.remove(name)
    return "removed"
