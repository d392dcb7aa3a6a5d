"""Options of sbr."""

from __future__ import annotations

from multinet.cni.addresses import address_of
from multinet.cni.errors import InvalidConfig
from multinet.npwg.default_routes import Family
from multinet.sdk import DelegateConf


class SbrConf(DelegateConf, frozen=True, kw_only=True):
    """Options of sbr."""

    table: int | None = None
    """The routing table for all addresses; only rules are made then, the routes are somebody else's."""
    gateways: tuple[str, ...] = ()
    """Gateways of the default routes, one of each family at most; default: the ones that the addresses came with."""
    add_source_hints: bool = False
    """Routes to the interface's own subnets stay in the main table, with its addresses as source."""


def configured_gateways(conf: SbrConf) -> dict[Family, str]:
    """By family. Raises InvalidConfig."""
    if conf.table is not None:
        if not 0 < conf.table < 1 << 32:
            raise InvalidConfig("$.table", f"{conf.table} is outside 1..4294967295")
        return {}
    if len(conf.gateways) > 2:
        raise InvalidConfig(
            "$.gateways", "gateways list cannot contain more than 2 entries (one IPv4, one IPv6)"
        )
    found: dict[Family, str] = {}
    for at, text in enumerate(conf.gateways):
        try:
            gateway = address_of(text)
        except ValueError:
            raise InvalidConfig(f"$.gateways[{at}]", f"invalid static gateway IP address: {text}") from None
        if gateway.version in found:
            raise InvalidConfig(
                "$.gateways",
                f"gateways list contains multiple IPv{gateway.version} addresses: "
                f"{found[gateway.version]} and {gateway}",
            )
        found[gateway.version] = str(gateway)
    return found
