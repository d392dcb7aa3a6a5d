"""CNI specification versions: which are spoken, how they compare, how one is chosen.

Source: CNI specification 1.1.0, "Version considerations" and "VERSION"; spellings as libcni reads them
(``1.0`` and ``1`` are ``1.0.0``, four parts are no version).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from multinet.cni.errors import CNIError, Code, InvalidConfig

__all__ = [
    "LATEST",
    "SUPPORTED",
    "at_least",
    "negotiate",
    "parse_version",
    "read_version_output",
    "require_supported",
    "version_output",
]

SUPPORTED: tuple[str, ...] = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Every released version of the specification, oldest first."""

LATEST = SUPPORTED[-1]
UNSTATED = SUPPORTED[0]
"""What an absent or empty ``cniVersion`` means in a configuration."""


@lru_cache(maxsize=64)
def parse_version(version: str) -> tuple[int, int, int]:
    """``major.minor.micro`` as numbers; the last two may be left out, and "" is 0.1.0.

    Raises CNIError code 1 on anything else.
    """
    parts = (version or UNSTATED).split(".")
    if len(parts) > 3:
        raise CNIError(Code.INCOMPATIBLE_VERSION, f'invalid version "{version}": too many parts')
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise CNIError(Code.INCOMPATIBLE_VERSION, f'invalid version "{version}": not numbers and dots')
    major, minor, micro = (*(int(part) for part in parts), 0, 0)[:3]
    return major, minor, micro


def at_least(version: str, other: str) -> bool:
    """Whether ``version`` is ``other`` or newer. Raises CNIError code 1 when either is no version."""
    return parse_version(version) >= parse_version(other)


_BY_NUMBERS = {parse_version(version): version for version in SUPPORTED}


def require_supported(version: str) -> str:
    """The usual spelling of a version that multinet speaks; absent ("") is 0.1.0.

    Raises CNIError code 1, `incompatible CNI versions`, when it isn't one.
    """
    try:
        return _BY_NUMBERS[parse_version(version)]
    except (KeyError, CNIError):
        supported = " ".join(f'"{known}"' for known in SUPPORTED)
        raise CNIError(
            Code.INCOMPATIBLE_VERSION,
            "incompatible CNI versions",
            f'config is "{version}", plugin supports [{supported}]',
        ) from None


def negotiate(stated: str, offered: Iterable[str]) -> str:
    """The version of a list with ``cniVersion`` ``stated`` ("" if absent) and ``cniVersions`` ``offered``:
    the highest that isn't above the newest known one. Nothing usable offered: ``stated``, or 0.1.0.

    Raises CNIError code 1 on what is no version.
    """
    candidates = [version for version in (*offered, stated) if version and not _too_new(version)]
    chosen = max(candidates, key=parse_version, default=stated or UNSTATED)
    return _BY_NUMBERS.get(parse_version(chosen), chosen)  # plugins know only the three-part spelling


def _too_new(version: str) -> bool:
    return parse_version(version) > parse_version(LATEST)


def version_output() -> dict[str, Any]:
    """The object that a plugin prints for VERSION."""
    return {"cniVersion": LATEST, "supportedVersions": list(SUPPORTED)}


def read_version_output(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The versions that a plugin says it speaks in its answer to VERSION.

    Without ``supportedVersions``, 0.2.0 means 0.1.0 and 0.2.0 (that was before the key existed).
    Raises CNIError code 6 when the answer isn't one.
    """
    version = raw.get("cniVersion")
    if not isinstance(version, str) or not version:
        raise InvalidConfig("$.cniVersion", "missing in the answer to VERSION", Code.DECODING_FAILURE)
    supported = raw.get("supportedVersions")
    if supported is None and version == "0.2.0":
        return ("0.1.0", "0.2.0")
    if not isinstance(supported, list) or not all(isinstance(item, str) for item in supported):
        raise InvalidConfig("$.supportedVersions", "expected a list of strings", Code.DECODING_FAILURE)
    return tuple(supported)
