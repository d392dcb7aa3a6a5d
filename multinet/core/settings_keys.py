"""Keys of Multus' configurations that have no effect in a call's, each with what to use instead."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["OF_NO_CONCERN", "WITHOUT_EFFECT"]

OF_NO_CONCERN = frozenset(("args", "cniVersions", "disableCheck", "disableGC", "dns", "ipam", "cniConf"))
"""Keys that any plugin's object may have, and an alias that is read: nothing to tell."""

_LOG = "the daemon logs for all pods alike: set its own --log-level"
_LOG_PLACE = "the daemon logs to standard error, which its supervisor keeps and rotates"
_DAEMON = "is a key of the daemon's configuration, not of a network's"
_GENERATOR = f"{_DAEMON}: it says how the runtime's configuration is generated"

WITHOUT_EFFECT: Mapping[str, str] = {
    "logLevel": _LOG,
    "logFile": _LOG_PLACE,
    "logToStderr": _LOG_PLACE,
    "logOptions": _LOG_PLACE,
    "kubeconfig": "the daemon reaches the cluster by its own credentials: set its --kubeconfig",
    "daemonSocketDir": "the shim finds the daemon by the file beside it: install with --socket",
    "socketDir": f"{_DAEMON}: set its --multus-socket",
    "chrootDir": f"{_DAEMON}: set its --host-root",
    "connectionLimit": f"{_DAEMON}: set its --workers",
    "metricsPort": f"{_DAEMON}: set its --metrics",
    "enablePprof": "there is no profiler inside the daemon: look at it from outside, by py-spy for instance",
    "perNodeCertificate": _DAEMON,
    "multusConfigFile": _GENERATOR,
    "multusAutoconfigDir": _GENERATOR,
    "multusMasterCNI": _GENERATOR,
    "cniConfigDir": _GENERATOR,
    "forceCNIVersion": _GENERATOR,
    "overrideNetworkName": _GENERATOR,
    "cleanupConfigOnExit": _GENERATOR,
    "defaultnetworkfile": "was given up by Multus, too: use readinessindicatorfile",
    "defaultnetworkwaitseconds": "was given up by Multus, too: use readinessindicatorfile",
    "allowTryDeleteOnErr": "a removal that fails is always tried again until it works",
}
"""Key → why it has no effect, and what has. ``retryDeleteOnError`` isn't here: it always is as if it were true."""
