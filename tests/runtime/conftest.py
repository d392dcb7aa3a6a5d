"""Workers for the tests: each test has one (or more) of its own, which takes a third of a second."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.runtime.clusters import Api, Cluster, Folder
from tests.runtime.containerd import missing
from tests.runtime.node import Node
from tests.runtime.worker import Worker

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the runtime."""
    problem = missing() if os.geteuid() == 0 else "needs root"
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.runtime)
            if problem:
                item.add_marker(pytest.mark.skip(reason=problem))


@pytest.fixture
def make_worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """``make_worker(cluster)``: containerd and our daemon run on it. In the end nothing may be left of any."""
    with ExitStack() as stack:
        made: list[Worker] = []

        def make(cluster: Cluster | None = None, node: Node | None = None) -> Worker:
            folder = tmp_path / f"worker{len(made)}"
            folder.mkdir()
            node = node or stack.enter_context(Node(folder / "disk"))
            worker = Worker(node, cluster or Folder(tmp_path / "manifests"), folder)
            stack.callback(worker.close)
            made.append(worker)
            worker.default_network()
            worker.install()
            worker.start_daemon()
            worker.containerd.start()
            return worker

        yield make


@pytest.fixture
def worker(make_worker: Callable[..., Worker]) -> Worker:
    """A worker whose pods and networks are manifests."""
    return make_worker()


@pytest.fixture
def api_worker(tmp_path: Path, make_worker: Callable[..., Worker]) -> Iterator[tuple[Worker, Api]]:
    """A worker of a Kubernetes cluster, and the apiserver."""
    with Node(tmp_path / "disk") as node:
        api = Api(node)
        try:
            yield make_worker(api, node), api
        finally:
            api.close()
