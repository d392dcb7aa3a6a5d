"""A resolver configuration file as DNS settings of a result. Source: resolv.conf(5), plugins-ipam 1.6."""

from __future__ import annotations

import os

from multinet.cni.errors import CNIError, Code
from multinet.cni.result import DNS

__all__ = ["read_resolv_conf"]


def read_resolv_conf(path: str) -> DNS:
    """What the file at ``path`` says. Lines that aren't understood are skipped.

    Raises CNIError code 5, ``open PATH: no such file or directory`` and the like.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise CNIError(Code.IO_FAILURE, f"open {path}: {reason}") from None
    return _parse(lines)


def _parse(lines: list[str]) -> DNS:
    nameservers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    domain = ""
    for line in lines:
        keyword, *values = line.split() or [""]
        if not values or keyword.startswith(("#", ";")):
            continue
        if keyword == "nameserver":
            nameservers.append(values[0])
        elif keyword == "domain":
            domain = values[0]
        elif keyword == "search":
            search += values
        elif keyword == "options":
            options += values
    return DNS(tuple(nameservers), domain, tuple(search), tuple(options))
