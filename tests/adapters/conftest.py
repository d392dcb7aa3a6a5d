"""Fixtures for the packet rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.node import Node


@pytest.fixture
def node(lab: Any) -> Iterator[Node]:
    node = Node(lab)
    try:
        yield node
    finally:
        node.close()
