"""Removal tries everything, whatever fails; the failures are told in the end."""

from __future__ import annotations

from collections.abc import Callable

from multinet.cni.errors import CNIError

__all__ = ["attempt"]


def attempt(failures: list[CNIError], action: Callable[[], object]) -> None:
    """Do it; a CNIError is added to ``failures`` instead of being raised."""
    try:
        action()
    except CNIError as error:
        failures.append(error)
