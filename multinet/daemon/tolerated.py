"""What a request contains that is tolerated but hardly meant: logged with the pod's name, never fatal."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from multinet.core.planned import PlannedAttachment
from multinet.core.selection import capability_warnings, selection_warnings
from multinet.core.settings import Settings, settings_warnings
from multinet.daemon.call import Call
from multinet.daemon.networks import LoadedNetwork
from multinet.ports import Pod

_log = logging.getLogger(__name__)


def warn_of(
    call: Call,
    pod: Pod,
    plan: Sequence[PlannedAttachment],
    loaded: Sequence[LoadedNetwork],
    settings: Settings,
) -> None:
    """Log unknown keys of configuration and annotations, and requests that no plugin takes.

    Raises CNIError code 105 for the latter when the settings are strict about capabilities.
    """
    found = [*settings_warnings(call.conf), *selection_warnings(pod.annotations)]
    for planned, network in zip(plan, loaded, strict=True):
        found += capability_warnings(planned, {"plugins": list(network.network.plugins)}, settings)
    for text in found:
        _log.warning("pod %s/%s: %s", pod.namespace, pod.name, text)
