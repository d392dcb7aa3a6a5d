"""Fixtures for the packet rules, and for what speaks to an apiserver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.kubernetes_config import KubernetesConfig
from multinet.adapters.kubernetes_session import Session
from tests.adapters.apiserver import APIServer
from tests.adapters.node import Node
from tests.adapters.objects import write_kubeconfig


@pytest.fixture
def node(lab: Any) -> Iterator[Node]:
    node = Node(lab)
    try:
        yield node
    finally:
        node.close()


@pytest.fixture
def server() -> Iterator[APIServer]:
    with APIServer() as running:
        yield running


@pytest.fixture
def session(tmp_path: Path, server: APIServer) -> Iterator[Session]:
    """Node n1's way to ``server``."""
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server.url)
    session = Session(KubernetesConfig(node="n1", kubeconfig=str(kubeconfig)))
    yield session
    session.close()
