"""Options of bandwidth, and what they come to."""

from __future__ import annotations

import msgspec

from multinet.cni.addresses import prefix_of
from multinet.cni.decode import convert
from multinet.cni.errors import InvalidConfig
from multinet.delegates.bandwidth_numbers import Limit
from multinet.sdk import DelegateConf
from multinet.sdk.ipam import member

_LARGEST_RATE = 1 << 64
_LARGEST_BURST = 0xFFFF_FFFF
"""Bytes."""


class BandwidthConf(DelegateConf, frozen=True, kw_only=True):
    """Options of bandwidth. Any of the four limits in the configuration itself, even 0, puts those of
    ``runtimeConfig.bandwidth`` (which has the same four) aside as a whole.
    """

    ingress_rate: int | None = None
    """Bits per second towards the pod; 0 or absent: no limit. Needs ``ingressBurst``."""
    ingress_burst: int | None = None
    """Bits that may arrive at once after a pause."""
    egress_rate: int | None = None
    """Bits per second from the pod; 0 or absent: no limit. Needs ``egressBurst``."""
    egress_burst: int | None = None
    """Bits that may leave at once after a pause."""
    max_burst: int = 0
    """Bits; larger bursts are cut to it. Runtimes often fill in 256 MB, which short connections never use up."""
    shaped_subnets: tuple[str, ...] = ()
    """Only traffic to and from these subnets is limited."""
    unshaped_subnets: tuple[str, ...] = ()
    """Traffic to and from these subnets isn't limited; not with ``shapedSubnets``."""


class _Asked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``runtimeConfig.bandwidth``."""

    ingress_rate: int | None = None
    ingress_burst: int | None = None
    egress_rate: int | None = None
    egress_burst: int | None = None


class Limits(msgspec.Struct, frozen=True):
    """Both directions, seen from the pod."""

    ingress: Limit = Limit()
    egress: Limit = Limit()

    def __bool__(self) -> bool:
        return bool(self.ingress.rate or self.egress.rate)


def limits_of(conf: BandwidthConf) -> Limits:
    """The limits that count. Raises InvalidConfig."""
    if conf.max_burst < 0 or 0 < conf.max_burst < 8:
        raise InvalidConfig("$.maxBurst", f"{conf.max_burst} is less than a byte (8 bits)")
    by_runtime = member(conf.runtime_config, "bandwidth")
    asked: BandwidthConf | _Asked = conf
    path = "$"
    if not _says_anything(conf) and by_runtime is not None:
        path = "$.runtimeConfig.bandwidth"
        asked = convert(by_runtime, _Asked, path)
    elif by_runtime is not None:
        _warn("runtimeConfig.bandwidth is ignored: the configuration has limits of its own", conf.name)
    ingress = _limit(asked.ingress_rate, asked.ingress_burst, f"{path}.ingress")
    egress = _limit(asked.egress_rate, asked.egress_burst, f"{path}.egress")
    return Limits(_capped(ingress, conf.max_burst), _capped(egress, conf.max_burst))


def subnets_of(conf: BandwidthConf) -> tuple[str, ...]:
    """The subnets that decide, if there are any. Raises InvalidConfig."""
    if conf.shaped_subnets and conf.unshaped_subnets:
        raise InvalidConfig(
            "$.unshapedSubnets",
            "unshapedSubnets and shapedSubnets cannot be both specified, one of them should be discarded",
        )
    name = "shapedSubnets" if conf.shaped_subnets else "unshapedSubnets"
    return tuple(
        _subnet(subnet, f"$.{name}[{at}]")
        for at, subnet in enumerate(conf.shaped_subnets or conf.unshaped_subnets)
    )


def _says_anything(conf: BandwidthConf) -> bool:
    said = (conf.ingress_rate, conf.ingress_burst, conf.egress_rate, conf.egress_burst)
    return any(value is not None for value in said)


def _limit(rate: int | None, burst: int | None, path: str) -> Limit:
    """``path`` lacks the word at its end."""
    limit = Limit(rate or 0, burst or 0)
    for number, word in ((limit.rate, "Rate"), (limit.burst, "Burst")):
        if not 0 <= number < _LARGEST_RATE:
            raise InvalidConfig(f"{path}{word}", f"{number} is outside 0..{_LARGEST_RATE - 1}")
    if limit.rate and not limit.burst:
        raise InvalidConfig(f"{path}Burst", "if rate is set, burst must also be set")
    if limit.burst and not limit.rate:
        raise InvalidConfig(f"{path}Rate", "if burst is set, rate must also be set")
    if limit.burst // 8 >= _LARGEST_BURST:
        raise InvalidConfig(f"{path}Burst", "burst cannot be more than 4GB")
    for number, word in ((limit.rate, "Rate"), (limit.burst, "Burst")):
        if 0 < number < 8:
            raise InvalidConfig(f"{path}{word}", f"{number} bits are less than a byte: at least 8")
    return limit


def _capped(limit: Limit, most: int) -> Limit:
    return Limit(limit.rate, min(limit.burst, most)) if most else limit


def _subnet(text: str, path: str) -> str:
    try:
        if "/" not in text:
            raise ValueError(f"invalid CIDR address: {text}")
        return str(prefix_of(text))
    except ValueError as problem:
        raise InvalidConfig(path, f'bad subnet "{text}" provided, details {problem}') from None


def _warn(text: str, network: str) -> None:
    import logging  # milliseconds at start, for a line that is hardly ever written

    logging.getLogger(__name__).warning("%s (network %s)", text, network)
