"""What delegates with rules in iptables need of the host."""

from __future__ import annotations

from multinet.cni.errors import CNIError, Code
from multinet.engine.facts import Facts

__all__ = ["require_iptables"]


def require_iptables(host: Facts) -> None:
    """Raises CNIError code 50 when the back end was chosen and its program isn't there."""
    if host.program("iptables") is None:
        raise CNIError(
            Code.NOT_AVAILABLE, 'no iptables in the PATH: install it, or set "backend" to "nftables"'
        )
