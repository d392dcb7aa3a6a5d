"""Fixtures of delegates' tests are the product's own test kit; here are only those that nobody else needs."""

from __future__ import annotations

import time

import pytest

_SECONDS = 60.0


@pytest.fixture
def soon() -> float:
    """A deadline that isn't reached."""
    return time.monotonic() + _SECONDS
