"""MACs as configurations and arguments write them."""

from __future__ import annotations

from typing import Any

from multinet.cni.errors import InvalidConfig
from multinet.npwg.element_rules import parse_hardware_address
from multinet.sdk.delegate import DelegateConf


def requested_mac(conf: DelegateConf, argument: str) -> str:
    """What was asked for: by ``runtimeConfig``, else ``args.cni``, else ``CNI_ARGS`` (``argument``); "" for none.

    Raises InvalidConfig that names the place.
    """
    cni_args = conf.args.get("cni")
    by_args = cni_args.get("mac") if isinstance(cni_args, dict) else None
    for path, value in (
        ("$.runtimeConfig.mac", conf.runtime_config.get("mac")),
        ("$.args.cni.mac", by_args),
        ("CNI_ARGS MAC", argument),
    ):
        if value:
            return parse_mac(value, path)
    return ""


def parse_mac(value: Any, path: str) -> str:
    """A MAC in its usual spelling (``02:00:…``). Raises InvalidConfig that names ``path``."""
    raw = parse_hardware_address(value) if isinstance(value, str) else None
    if raw is None or len(raw) != 6:
        raise InvalidConfig(path, f"invalid args {value} for MAC addr: address {value}: invalid MAC address")
    if raw[0] & 1 or not any(raw):
        raise InvalidConfig(path, f"invalid args {value} for MAC addr: not a unicast address")
    return ":".join(f"{octet:02x}" for octet in raw)
