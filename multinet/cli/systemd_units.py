"""The daemon as a service of systemd: its units, written, found again and removed.

The socket is a unit of its own. It is there before the container runtime starts and stays while the daemon is
exchanged, so that calls wait instead of failing. Source: systemd.socket(5), systemd.service(5), systemd.exec(5).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from multinet.adapters.plugin_directory import InstallationError, PluginDirectory

__all__ = ["UNITS", "compose", "remove", "require_ours", "write"]

_MARK = (
    "# Written by multinet install; multinet uninstall removes it. Change it by a drop-in (systemctl edit).\n"
)

_SOCKET = """\
[Unit]
Description=multinet's socket, for the CNI calls of the container runtime
Before=containerd.service crio.service docker.service kubelet.service

[Socket]
ListenStream={socket}
SocketMode=0600
DirectoryMode=0700
Backlog=1024

[Install]
WantedBy=sockets.target
"""

_SERVICE = """\
[Unit]
Description=multinet: networks of pods and containers
Requires=multinet.socket
After=multinet.socket local-fs.target
Before=containerd.service crio.service docker.service kubelet.service

[Service]
Type=notify
ExecStart={command}
Restart=always
RestartSec=1
# Calls under way are finished; plugins that are left then are ended.
TimeoutStopSec=40
KillMode=mixed
OOMScoreAdjust=-900
LimitNOFILE=65536
# What neither the daemon nor any plugin of the node's that it starts has to do. Not here: kernel tunables, devices
# and namespaces, which are its work. Mounts of the host (network namespaces) still arrive.
NoNewPrivileges=yes
ProtectSystem=yes
ProtectHome=read-only
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
CapabilityBoundingSet=~CAP_SYS_BOOT CAP_SYS_TIME CAP_SYSLOG CAP_SYS_PACCT CAP_SYS_TTY_CONFIG
CapabilityBoundingSet=~CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_AUDIT_CONTROL CAP_WAKE_ALARM CAP_BLOCK_SUSPEND

[Install]
WantedBy=multi-user.target
Also=multinet.socket
"""

UNITS = ("multinet.socket", "multinet.service")


def compose(command: Sequence[str], socket: str) -> dict[str, bytes]:
    """The units' texts, by name. ``command`` starts the daemon; it serves at ``socket``.

    Raises ValueError when a path can't stand in a unit file.
    """
    if any(character in command[0] for character in "$'\"\\"):
        raise ValueError(f"systemd starts no program whose path has quotes, $ or \\: {command[0]}")
    line = " ".join(_word(word) for word in command)
    texts = {
        "multinet.socket": _SOCKET.format(socket=_specifier(socket)),
        "multinet.service": _SERVICE.format(command=line),
    }
    return {name: (_MARK + texts[name]).encode() for name in UNITS}


def require_ours(unit_dir: str) -> None:
    """Raises InstallationError when units of these names are somebody else's."""
    for name in UNITS:
        path = os.path.join(unit_dir, name)
        if os.path.lexists(path) and not _is_ours(path):
            raise InstallationError(f"{path} was not written by multinet install: move it out of the way")


def write(unit_dir: str, units: dict[str, bytes]) -> list[str]:
    """Put the units in place, each whole; their paths. Raises InstallationError."""
    with PluginDirectory.locked(unit_dir) as folder:
        for name, content in units.items():
            folder.replace(name, content, 0o644)
        folder.sync()
        return [folder.path(name) for name in units]


def remove(unit_dir: str) -> list[str]:
    """Take the units away that are ours; their paths. Raises InstallationError."""
    found = [name for name in UNITS if _is_ours(os.path.join(unit_dir, name))]
    if not found:
        return []
    with PluginDirectory.locked(unit_dir) as folder:
        for name in found:
            folder.remove(name)
        folder.sync()
        return [folder.path(name) for name in found]


def _is_ours(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline() == _MARK
    except OSError:
        return False


def _specifier(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} has a character that no unit file can hold")
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """One word of a command line; systemd.service(5), "Command lines"."""
    escaped = _specifier(text).replace("\\", "\\\\").replace("$", "$$").replace('"', '\\"')
    return (
        f'"{escaped}"' if not escaped or any(one.isspace() or one in "\"';\\" for one in escaped) else escaped
    )
