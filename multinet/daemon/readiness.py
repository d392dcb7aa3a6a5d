"""Whether the default network is ready: it says so by a file, if the configuration names one."""

from __future__ import annotations

import os

from multinet.cni.errors import CNIError, Code
from multinet.core.settings import Settings


def require_ready(settings: Settings, code: Code) -> None:
    """Raises CNIError with ``code`` while ``readinessindicatorfile`` isn't there.

    It isn't waited for: the runtime tries again, and a worker that waits would hold up a DEL.
    """
    path = settings.readiness_indicator_file
    if path and not os.path.exists(path):
        raise CNIError(
            code,
            "have you checked that your default network is ready? "
            f"still waiting for readinessindicatorfile @ {path}",
        )
