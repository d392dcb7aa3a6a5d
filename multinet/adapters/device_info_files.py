"""The files that carry device information from device plugin to CNI plugin and on to the network-status.

Source: NPWG device information specification 1.1.0, section 3.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import msgspec

from multinet.cni.errors import CNIError
from multinet.npwg.device_info import (
    CNI_DIRECTORY,
    DEVICE_PLUGIN_DIRECTORY,
    DeviceInfo,
    cni_file,
    device_plugin_file,
)

__all__ = ["DeviceInfoFiles"]

log = logging.getLogger(__name__)

_LONGEST = 1 << 18
"""Bytes; a description of one device has some hundred."""


class DeviceInfoFiles:
    """The two folders. What goes wrong with a file is logged: it is information, and no pod's network fails for it."""

    def __init__(self, device_plugins: str = DEVICE_PLUGIN_DIRECTORY, networks: str = CNI_DIRECTORY) -> None:
        """``device_plugins`` is written by device plugins, ``networks`` for and by CNI plugins."""
        self._device_plugins = device_plugins
        self._networks = networks

    def path(self, network: str, container_id: str, ifname: str) -> str:
        """Of an attachment's file; ``network`` is its display name."""
        return cni_file(network, container_id, ifname, self._networks)

    def copy(self, resource: str, device_id: str, path: str) -> None:
        """Bring what the device plugin says of the device to ``path``, if it says anything."""
        source = device_plugin_file(resource, device_id, self._device_plugins)
        try:
            content = _read(source)
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            _create(path, content)
        except FileNotFoundError:
            return
        except FileExistsError:
            log.warning("Device Information file already exists: %s", path)
        except (OSError, ValueError) as error:
            log.warning("device information of %s is not copied to %s: %s", source, path, error)

    def read(self, path: str) -> dict[str, Any] | None:
        """The device information in ``path`` as the network-status has it; None when there is none."""
        try:
            content = msgspec.json.decode(_read(path))
            return DeviceInfo.from_object(content).to_object()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, msgspec.DecodeError, CNIError) as error:
            log.warning("device information in %s is left out of the network-status: %s", path, error)
            return None

    def remove(self, path: str) -> None:
        """Remove an attachment's file; none is fine. Nothing outside of the folder for them is ever removed."""
        if os.path.dirname(path) != self._networks:
            return
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("device information file %s is not removed: %s", path, error)


def _read(path: str) -> bytes:
    """Raises OSError, and ValueError for a file that is too long."""
    with open(path, "rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST} bytes")
    return content


def _create(path: str, content: bytes) -> None:
    """A new file, whole or not at all. Raises OSError; FileExistsError when there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o444)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o444)  # whatever the umask
            file.write(content)
    except OSError:
        os.unlink(path)
        raise
