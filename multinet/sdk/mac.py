"""MACs as configurations and arguments write them."""

from __future__ import annotations

from typing import Any

from multinet.cni.errors import InvalidConfig
from multinet.npwg.element_rules import parse_hardware_address
from multinet.sdk.delegate import DelegateConf
from multinet.sdk.ipam import member


def requested_mac(conf: DelegateConf, argument: str) -> str:
    """What was asked for: by ``runtimeConfig``, else ``args.cni``, else ``CNI_ARGS`` (``argument``); "" for none.

    Raises InvalidConfig that names the place.
    """
    for path, value in (
        ("$.runtimeConfig.mac", member(conf.runtime_config, "mac")),
        ("$.args.cni.mac", member(member(conf.args, "cni"), "mac")),
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
