"""Where a TCP server listens, as it is written: ``9090``, ``127.0.0.1:9090``, ``[::1]:9090``."""

from __future__ import annotations

from ipaddress import ip_address

__all__ = ["listening_address"]

_HIGHEST_PORT = 65535


def listening_address(text: str) -> tuple[str, int]:
    """Address ("" for all) and port; port 0 leaves the choice to the kernel. Raises ValueError."""
    address, separator, port = text.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        raise ValueError(f'"{text}": write an IPv6 address in brackets: [{address}]:{port}')
    if not (port.isascii() and port.isdigit() and int(port) <= _HIGHEST_PORT):
        raise ValueError(f'"{text}" is no PORT and no ADDRESS:PORT')
    if separator:
        try:
            ip_address(address)
        except ValueError:
            raise ValueError(f'"{text}": "{address}" is no IP address') from None
    return address, int(port)
