"""What a request contains that is tolerated but hardly meant: logged with the pod's name, never fatal."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from multinet.core.planned import PlannedAttachment
from multinet.core.selection import capability_warnings, selection_warnings, withheld_capabilities
from multinet.core.settings import Settings, settings_warnings
from multinet.daemon.call import Call
from multinet.daemon.networks import LoadedNetwork
from multinet.ports import Pod

_log = logging.getLogger(__name__)
_TOLD_ROOM = 1000
"""A configuration that is generated anew for each call must not fill the memory."""
_told: set[str] = set()


def warn_once(conf: Mapping[str, Any], texts: Iterable[str]) -> None:
    """Log what the meta-plugin's configuration gets wrong: once, since it comes with every call."""
    for text in texts:
        if text not in _told and len(_told) < _TOLD_ROOM:
            _told.add(text)
            _log.warning("network %s: %s", conf.get("name"), text)


def warn_of(
    call: Call,
    pod: Pod,
    plan: Sequence[PlannedAttachment],
    loaded: Sequence[LoadedNetwork],
    settings: Settings,
) -> tuple[str, ...]:
    """Log unknown keys of the annotations, and requests that no plugin takes; the latter are what is returned.

    Raises CNIError code 105 for those when the settings are strict about capabilities.
    """
    warn_once(call.conf, settings_warnings(call.conf))
    warn_once(call.conf, withheld_capabilities({"plugins": list(loaded[0].network.plugins)}, settings))
    unserved: list[str] = []
    for planned, network in zip(plan, loaded, strict=True):
        unserved += capability_warnings(planned, {"plugins": list(network.network.plugins)}, settings)
    for text in (*selection_warnings(pod.annotations), *unserved):
        _log.warning("pod %s/%s: %s", pod.namespace, pod.name, text)
    return tuple(unserved)
