"""What a request contains that is tolerated but hardly meant: logged with the pod's name, never fatal."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from multinet.core.planned import PlannedAttachment
from multinet.core.selection import capability_warnings, selection_warnings
from multinet.core.settings import Settings, settings_warnings
from multinet.daemon.call import Call
from multinet.daemon.networks import LoadedNetwork
from multinet.ports import Pod

_log = logging.getLogger(__name__)
_TOLD_ROOM = 1000
"""A configuration that is generated anew for each call must not fill the memory."""
_told: set[str] = set()


def warn_of_settings(conf: Mapping[str, Any]) -> None:
    """Log what has no effect in the meta-plugin's configuration: once, since it comes with every call."""
    for text in settings_warnings(conf):
        if text not in _told and len(_told) < _TOLD_ROOM:
            _told.add(text)
            _log.warning("network %s: %s", conf.get("name"), text)


def warn_of(
    call: Call,
    pod: Pod,
    plan: Sequence[PlannedAttachment],
    loaded: Sequence[LoadedNetwork],
    settings: Settings,
) -> None:
    """Log unknown keys of the annotations, and requests that no plugin takes.

    Raises CNIError code 105 for the latter when the settings are strict about capabilities.
    """
    warn_of_settings(call.conf)
    found = [*selection_warnings(pod.annotations)]
    for planned, network in zip(plan, loaded, strict=True):
        found += capability_warnings(planned, {"plugins": list(network.network.plugins)}, settings)
    for text in found:
        _log.warning("pod %s/%s: %s", pod.namespace, pod.name, text)
