"""The meta-plugin's own configuration, as it comes on standard input (``type: multinet``, ``multus``, …).

Keys and defaults are those of Multus 4, but for one: networks of type ``multinet`` keep pods to their own
namespaces unless told otherwise. What has no effect in a call is told by ``settings_warnings``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from multinet.cni.decode import convert, unknown_keys
from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.cni.result import Result
from multinet.core.settings_keys import OF_NO_CONCERN, WITHOUT_EFFECT
from multinet.npwg.network_object import check_network_object

__all__ = ["LogOptions", "Settings", "settings_warnings"]

_LOG_LEVELS = ("panic", "error", "verbose", "debug")
_AS_MULTUS = ("multus", "multus-shim")
"""Types whose configurations were written for Multus, where every pod may take every network by default."""


class LogOptions(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Rotation of the log file."""

    max_age: int = 5
    """Days."""
    max_size: int = 100
    """Megabytes."""
    max_backups: int = 5
    compress: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What governs one request."""

    cni_version: str = ""
    name: str = ""
    type: str = ""
    cluster_network: str = ""
    """The default network: a path (with ``/``), else a definition or a configuration by name."""
    default_networks: tuple[str, ...] = ()
    """Further networks for every pod outside ``system_namespaces``; as ``cluster_network``."""
    delegates: tuple[dict[str, Any], ...] = ()
    """Networks in line, the first is the default; only without ``cluster_network``."""
    kubeconfig: str = ""
    conf_dir: str = "/etc/cni/multus/net.d"
    """Where configurations that are named, not given, are found."""
    cni_dir: str = "/var/lib/cni/multus"
    """Where Multus' records of its pods are, which are taken over; what multinet attaches is in its journal."""
    bin_dir: str = "/opt/cni/bin"
    """Searched for plugins before the caller's ``CNI_PATH``."""
    readiness_indicator_file: str = msgspec.field(name="readinessindicatorfile", default="")
    namespace_isolation: bool = False
    """Pods take networks of their own namespace and of the open ones only. When it isn't said, ``from_config``
    has it on for the type ``multinet``, off for Multus' types.
    """
    global_namespaces: str = "default"
    """Comma list of namespaces that every pod may take networks from, in spite of isolation."""
    system_namespaces: tuple[str, ...] = ("kube-system",)
    multus_namespace: str = "kube-system"
    """Home of definitions that are named without a namespace in this configuration."""
    capabilities: dict[str, bool] = {}
    runtime_config: dict[str, Any] = {}
    retry_delete_on_error: bool = False
    """Always as if it were true: what can't be removed stays in the journal and is tried again."""
    auxiliary_chain: str = msgspec.field(name="auxiliaryCNIChainName", default="")
    """Folder beside the cluster network's file: its ``*.conf`` are chained as one more network, the last."""
    strict_capabilities: bool = False
    """An attachment fails when no plugin declares a capability that its element asks for."""
    strict_devices: bool = False
    """An attachment fails when its network names a resource and the pod has no device left of it; without, only
    those fail whose plugins can do nothing without a device.
    """
    sequential_attachments: bool = False
    """External plugins of a pod's networks run one after another, in the order of the networks; without, those of
    networks that don't name one another's interfaces run at once.
    """
    log_level: str = "panic"
    log_file: str = ""
    log_to_stderr: bool = True
    log_options: LogOptions = LogOptions()
    prev_result: dict[str, Any] | None = None

    @classmethod
    def from_config(cls, raw: Mapping[str, Any]) -> Settings:
        """The settings in the configuration object; an empty text or null counts as absent.

        Raises InvalidConfig (code 7) with the path of each fault.
        """
        given = {key: value for key, value in raw.items() if value not in ("", None)}
        if "cniConf" in given:  # what an earlier generator wrote for confDir
            given.setdefault("confDir", given["cniConf"])
        given.setdefault("namespaceIsolation", given.get("type") not in (None, *_AS_MULTUS))
        settings = convert(given, cls)
        if not settings.cluster_network and not settings.delegates:
            raise CNIError(
                Code.INVALID_CONFIG,
                "LoadNetConf: at least one delegate/clusterNetwork must be specified" + _misspelt(given),
            )
        for index, delegate in enumerate(settings.delegates if not settings.cluster_network else ()):
            try:
                check_network_object(delegate, f"$.delegates[{index}]")
            except CNIError as error:
                text = f"LoadNetConf: failed to load delegate {index} config: "
                raise error.prefixed(text) from None
        settings._require_path_for_auxiliary_chain()
        settings._require_readable_result()
        return settings

    @classmethod
    def of_call(cls, conf: Mapping[str, Any], defaults: Mapping[str, Any]) -> Settings:
        """The settings of one call: what its configuration says, else the node's ``defaults``.

        Networks in line (``delegates``) count before a cluster network that only the defaults name. Raises as
        ``from_config``.
        """
        said = {key: value for key, value in conf.items() if value not in ("", None)}
        given = {**defaults, **said}
        if said.get("delegates") and "clusterNetwork" not in said:
            given.pop("clusterNetwork", None)
        return cls.from_config(given)

    @property
    def open_namespaces(self) -> frozenset[str]:
        """``global_namespaces`` as a set."""
        names = (name.strip() for name in self.global_namespaces.split(","))
        return frozenset(name for name in names if name)

    def _require_path_for_auxiliary_chain(self) -> None:
        if self.auxiliary_chain and self.cluster_network and "/" not in self.cluster_network:
            raise InvalidConfig(
                "$.auxiliaryCNIChainName",
                "auxiliary chain used but ClusterNetwork must be a path, and it is not a path: "
                + self.cluster_network,
            )

    def _require_readable_result(self) -> None:
        if self.prev_result is None:
            return
        try:
            Result.from_json(self.prev_result, self.cni_version or "0.1.0")
        except CNIError as error:
            raise error.prefixed("LoadNetConf: could not parse prevResult: ") from None


def settings_warnings(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """What is tolerated in the configuration but has no effect, or hardly the meant one."""
    found = [
        f'$: unknown key "{key}"' + (f', did you mean "{near}"?' if near else "")
        for key, near in _unknown(raw).items()
    ]
    found += [f"$.{key}: {why}" for key, why in WITHOUT_EFFECT.items() if raw.get(key) not in (None, "")]
    level = raw.get("logLevel")
    if isinstance(level, str) and level and level.lower() not in _LOG_LEVELS:
        expected = ", ".join(_LOG_LEVELS)
        found.append(f"$.logLevel: multus logging: cannot set logging level to {level} (expected {expected})")
    if raw.get("clusterNetwork") and raw.get("delegates"):
        found.append("$.delegates: has no effect beside clusterNetwork")
    if raw.get("delegates") and not raw.get("clusterNetwork"):
        found += [
            f"$.{key}: has no effect without clusterNetwork"
            for key in ("defaultNetworks", "auxiliaryCNIChainName")
            if raw.get(key)
        ]
    return tuple(found)


def _unknown(raw: Mapping[str, Any]) -> dict[str, str | None]:
    """Keys that nobody reads. Those with a dot are the runtime's (``cni.dev/…``) or other people's."""
    strange = unknown_keys(raw, Settings)
    return {
        key: near
        for key, near in strange.items()
        if key not in OF_NO_CONCERN and key not in WITHOUT_EFFECT and "." not in key
    }


def _misspelt(raw: Mapping[str, Any]) -> str:
    for key, near in _unknown(raw).items():
        if near in ("delegates", "clusterNetwork"):
            return f' (did you mean "{near}" by "{key}"?)'
    return ""
