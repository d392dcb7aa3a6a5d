"""The daemon's configuration file: Multus' ``daemon-config.json`` as it is, or one with options of our own.

Such a file says three things at once: how the daemon runs and generates the runtime's configuration (these
become options of ``multinet daemon``), and what every call's configuration shall have, whatever it says itself
(``overrides``). An object ``multinet`` in it has options that Multus has no key for. What has no meaning here is
named in a warning, with what to use instead.

Source: multus-cni 4, ``docs/thick-plugin.md`` and ``pkg/server/config``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from multinet.cni.decode import convert, unknown_keys
from multinet.cni.errors import InvalidConfig
from multinet.core.settings import Settings

__all__ = ["GENERATED_NAME", "DaemonConfig", "read_daemon_config"]

GENERATED_NAME = "multus-cni-network"
"""What Multus calls the network that it generates. A runtime finds the DELs of older pods by it: it stays."""
_DEFAULT_SOCKET_DIR = "/run/multus/"
_DEFAULT_CNI_CONFIG_DIR = "/etc/cni/net.d"
_MOST_WORKERS = 8
_HIGHEST_PORT = 65535
_LOG_LEVELS = {"panic": "error", "error": "error", "verbose": "info", "debug": "debug"}
_NOT_OVERRIDDEN = frozenset(
    (
        *("name", "type", "prevResult", "runtimeConfig", "kubeconfig", "capabilities"),
        *("logLevel", "logFile", "logToStderr", "logOptions"),
    )
)
"""Keys of a call's configuration that are the caller's own, or that the daemon has options for."""
_INSTEAD = {
    "logFile": "multinet logs to standard error, which its supervisor keeps and rotates",
    "logOptions": "multinet logs to standard error, which its supervisor keeps and rotates",
    "enablePprof": "there is no profiler inside the daemon: look at it from outside, by py-spy for instance",
    "daemonSocketDir": "shims are told by multinet install --socket where the daemon is",
}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)")


class _Certificate(msgspec.Struct, frozen=True, rename="camel"):
    enabled: bool = False
    bootstrap_kubeconfig: str = ""
    cert_dir: str = ""
    cert_duration: str = "10m"


class _File(msgspec.Struct, frozen=True, rename="camel"):
    socket_dir: str = ""
    chroot_dir: str = ""
    log_file: str = ""
    log_level: str = ""
    log_to_stderr: bool = True
    log_options: dict[str, Any] = {}
    metrics_port: int | None = None
    enable_pprof: bool = False
    connection_limit: int | None = None
    per_node_certificate: _Certificate = _Certificate()
    multus_config_file: str = ""
    multus_autoconfig_dir: str = ""
    multus_master_cni: str = msgspec.field(name="multusMasterCNI", default="")
    cni_config_dir: str = ""
    cni_version: str = ""
    force_cni_version: bool = msgspec.field(name="forceCNIVersion", default=False)
    override_network_name: bool = False
    daemon_socket_dir: str = ""
    cleanup_config_on_exit: bool = False
    capabilities: dict[str, bool] = {}
    readiness_indicator_file: str = msgspec.field(name="readinessindicatorfile", default="")
    kubeconfig: str = ""
    conf_dir: str = ""
    cni_dir: str = ""
    bin_dir: str = ""
    multinet: dict[str, Any] = {}

    @property
    def generates(self) -> bool:
        """Whether it says how the runtime's configuration is made."""
        return bool(self.multus_config_file or self.multus_autoconfig_dir)


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration file comes to."""

    options: Mapping[str, str] = {}
    """Options of ``multinet daemon``, without the hyphens before them."""
    overrides: Mapping[str, Any] = {}
    """Keys that count before those of a call's configuration."""
    slot: Mapping[str, Any] = {}
    """What has no option: fields of the plan by which the runtime's configuration is generated."""
    warnings: tuple[str, ...] = ()
    """What has no effect, each with its path and what to use instead."""


def read_daemon_config(raw: Mapping[str, Any], known: Collection[str]) -> DaemonConfig:
    """The configuration in the object ``raw``; ``known`` are the names of the options that there are.

    Raises InvalidConfig (code 7) with the path of what can't be.
    """
    file = convert(raw, _File)
    overrides = _overrides(raw, file)
    options = {**_node_options(file), **_generator_options(file), **_certificate_options(file)}
    options |= _own_options(file.multinet, known)
    warnings = (*_warnings(raw, file), *_unknown(raw))
    return DaemonConfig(options=options, overrides=overrides, slot=_slot(file), warnings=warnings)


def _node_options(file: _File) -> dict[str, str]:
    limit = file.connection_limit
    if limit is not None and limit <= 0:
        raise InvalidConfig("$.connectionLimit", f"connection limit must be greater than 0, got {limit}")
    port = file.metrics_port or 0
    if not 0 <= port <= _HIGHEST_PORT:
        raise InvalidConfig("$.metricsPort", f"{port} is no port from 1 to {_HIGHEST_PORT}, nor 0 for none")
    socket_dir = file.socket_dir or (_DEFAULT_SOCKET_DIR if file.generates else "")
    found = {
        "multus-socket": f"{socket_dir.rstrip('/')}/multus.sock" if socket_dir else "",
        "host-root": file.chroot_dir,
        "kubeconfig": file.kubeconfig,
        "named-conf-dir": file.conf_dir,
        "multus-cni-dir": file.cni_dir,
        "bin-dir": file.bin_dir,
        "log-level": _LOG_LEVELS.get(file.log_level.lower(), ""),
        "metrics": str(port) if port else "",
        "workers": str(min(limit, _MOST_WORKERS)) if limit else "",
    }
    return {name: value for name, value in found.items() if value}


def _generator_options(file: _File) -> dict[str, str]:
    if not file.generates:
        return {}
    is_auto = file.multus_config_file in ("", "auto")
    if is_auto and not file.multus_autoconfig_dir:
        raise InvalidConfig("$.multusAutoconfigDir", 'is required with "multusConfigFile": "auto"')
    if is_auto and not file.cni_version:
        raise InvalidConfig("$.cniVersion", 'is required with "multusConfigFile": "auto"')
    found = {
        "cni-conf-dir": file.cni_config_dir or _DEFAULT_CNI_CONFIG_DIR,
        "autoconfig-dir": file.multus_autoconfig_dir,
        "primary": file.multus_master_cni,
        "network-name": GENERATED_NAME,
        "cni-version": file.cni_version,
        "readiness-file": file.readiness_indicator_file,
        "slot-at-exit": "remove" if file.cleanup_config_on_exit else "",
        # A file that was written for Multus: pods that take networks of other namespaces still get them.
        "namespace-isolation": "off",
    }
    return {name: value for name, value in found.items() if value}


def _slot(file: _File) -> dict[str, Any]:
    if not file.generates:
        return {}
    is_auto = file.multus_config_file in ("", "auto")
    return {
        "override_network_name": file.override_network_name,
        "force_cni_version": file.force_cni_version,
        "capabilities": file.capabilities,
        "source": "" if is_auto else file.multus_config_file,
    }


def _certificate_options(file: _File) -> dict[str, str]:
    wanted = file.per_node_certificate
    if not wanted.enabled:
        return {}
    if not wanted.bootstrap_kubeconfig or not wanted.cert_dir:
        raise InvalidConfig(
            "$.perNodeCertificate",
            f'failed to configure PerNodeCertificate: enabled: true, BootstrapKubeconfig: "'
            f'{wanted.bootstrap_kubeconfig}", CertDir: "{wanted.cert_dir}"',
        )
    return {
        "kubeconfig": wanted.bootstrap_kubeconfig,
        "certificate-dir": wanted.cert_dir,
        "certificate-seconds": str(max(1, round(_seconds(wanted.cert_duration)))),
    }


def _own_options(given: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """Keys in camelCase, as everywhere in JSON; the options' names have hyphens."""
    options = {}
    for key, value in given.items():
        name = re.sub(r"[A-Z]", lambda letter: f"-{letter[0].lower()}", key)
        path = f"$.multinet.{key}"
        if name not in known:
            import difflib  # for mistakes only

            near = difflib.get_close_matches(name, known, 1)
            hint = f", did you mean --{near[0]}?" if near else ""
            raise InvalidConfig(path, f"multinet daemon has no option --{name}{hint}")
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise InvalidConfig(path, f"expected a text or a number, got {type(value).__name__}")
        options[name] = str(value)
    return options


def _overrides(raw: Mapping[str, Any], file: _File) -> dict[str, Any]:
    """What of the file a call's configuration has too, in the usual spelling of the keys.

    With a generated configuration the readiness file is the generator's business, and is looked at there alone.
    """
    names = {field.encode_name.lower(): field.encode_name for field in msgspec.structs.fields(Settings)}
    found = {
        names[key.lower()]: value for key, value in raw.items() if key.lower() in names and value is not None
    }
    found = {key: value for key, value in found.items() if key not in _NOT_OVERRIDDEN}
    convert(found, Settings)
    if file.generates and file.multus_config_file in ("", "auto"):
        found["readinessindicatorfile"] = ""
    return found


def _warnings(raw: Mapping[str, Any], file: _File) -> list[str]:
    found = [f"$.{key}: has no effect: {text}" for key, text in _INSTEAD.items() if raw.get(key)]
    if not file.log_to_stderr:
        found.append(f"$.logToStderr: has no effect: {_INSTEAD['logFile']}")
    if file.log_level and file.log_level.lower() not in _LOG_LEVELS:
        expected = ", ".join(_LOG_LEVELS)
        found.append(f"$.logLevel: cannot set logging level to {file.log_level} (expected {expected})")
    if file.connection_limit and file.connection_limit > _MOST_WORKERS:
        found.append(
            f"$.connectionLimit: {_MOST_WORKERS} calls are served at the same time, the others wait; set --workers "
            "for more"
        )
    if not file.generates:
        without = ("multusMasterCNI", "cniConfigDir", "forceCNIVersion", "overrideNetworkName")
        found += [
            f"$.{key}: has no effect without multusAutoconfigDir: no configuration is generated"
            for key in (*without, "cleanupConfigOnExit")
            if raw.get(key)
        ]
    return found


def _unknown(raw: Mapping[str, Any]) -> list[str]:
    of_calls = unknown_keys(raw, Settings)
    return [
        f'$: unknown key "{key}"' + (f', did you mean "{near}"?' if near else "")
        for key, near in (
            (key, near or of_calls[key]) for key, near in unknown_keys(raw, _File).items() if key in of_calls
        )
    ]


def _seconds(text: str) -> float:
    """A duration as Go writes it (``1h30m``). Raises InvalidConfig."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidConfig(
            "$.perNodeCertificate.certDuration",
            f'failed to parse certDuration: "{text}" is no duration such as 10m or 1h30m',
        )
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
