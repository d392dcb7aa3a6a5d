"""The executable that a CNI runtime starts: a C program, its build, and its twin in Python.

Both speak the protocol of ``multinet.wire`` and behave alike, to the byte of what they print; the constants
here are the twin's and, through ``multinet.shim.build``, the C program's.

================  ===================  ================  ================================
setting           environment          settings file     otherwise
================  ===================  ================  ================================
daemon's socket   ``MULTINET_SOCKET``  ``socket=PATH``   ``/run/multinet/multinet.sock``
DEL spool         ``MULTINET_SPOOL``   ``spool=PATH``    ``/var/lib/multinet/spool``
time limit, in s  ``MULTINET_TIMEOUT`` ``timeout=115``   115
================  ===================  ================  ================================

The settings file is ``.multinet-shim`` beside the executable: an installation can write it, while a plugin's
environment is the runtime's. The environment wins; an empty variable counts as none.
"""

from __future__ import annotations

__all__ = [
    "CNI_VERSIONS",
    "DEFAULT_SOCKET",
    "DEFAULT_SPOOL",
    "DEFAULT_TIME_LIMIT_MS",
    "SETTINGS_FILE",
    "SETTINGS_LIMIT",
    "TIME_LIMIT_MAX_MS",
]

CNI_VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""What VERSION answers; ``multinet.cni.versions.SUPPORTED`` again, which the twin has no time to import."""
DEFAULT_SOCKET = "/run/multinet/multinet.sock"
DEFAULT_SPOOL = "/var/lib/multinet/spool"
DEFAULT_TIME_LIMIT_MS = 115_000
"""Below the two minutes after which kubelet gives a sandbox up: the caller should get the answer."""
TIME_LIMIT_MAX_MS = 86_400_000
SETTINGS_FILE = ".multinet-shim"
SETTINGS_LIMIT = 16 << 10
"""Bytes of the settings file that are read."""
