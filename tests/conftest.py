"""Every test's network namespaces are throw-away ones, the "host" included (see multinet.testkit)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from multinet.testkit.namespaces import Lab, new_netns

__all__ = ["Lab", "new_netns"]

# Nothing here is judged by its speed: a busy machine is no fault.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

pytest_plugins = ["multinet.testkit.plugin", "tests.vm.plugin"]


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Tests that use a lab are kernel tests; the reference plugins may be missing."""
    present = Path("/usr/lib/cni/bridge").exists()
    for item in items:
        if "lab" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kernel)
        if item.get_closest_marker("reference") and not present:
            item.add_marker(pytest.mark.skip(reason="containernetworking-plugins is not installed"))
