"""What the virtual machine is there for really works in it."""

from __future__ import annotations

import pytest


@pytest.mark.needs_kind("dummy")
def test_dummy(lab):
    lab.ip("link", "add", "d0", "type", "dummy")
    assert "d0" in lab.links()
    lab.ip("link", "delete", "d0")
