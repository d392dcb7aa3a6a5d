"""Workers for the tests: each test has one (or more) of its own, which takes a third of a second."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
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


class Workers:
    """Makes workers, and ends them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._count = itertools.count()

    def make(self, cluster: Cluster | None = None, node: Node | None = None) -> Worker:
        """A new one, installed and running; without a word its pods and networks are manifests."""
        worker = self._worker(cluster, node)
        worker.default_network()
        worker.install()
        self._start(worker)
        return worker

    def reboot(self, worker: Worker) -> Worker:
        """As after a power failure: what is on its disk is what there is."""
        worker.close()
        worker.node.close()
        again = self._worker(worker.cluster, self._stack.enter_context(Node(worker.node.disk)))
        self._start(again)
        return again

    def _worker(self, cluster: Cluster | None, node: Node | None) -> Worker:
        folder = self._folder / f"worker{next(self._count)}"
        folder.mkdir()
        node = node or self._stack.enter_context(Node(folder / "disk"))
        worker = Worker(node, cluster or Folder(self._folder / "manifests"), folder)
        self._stack.callback(worker.close)
        return worker

    @staticmethod
    def _start(worker: Worker) -> None:
        worker.start_daemon()
        worker.containerd.start()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """For tests of several nodes, or of one that is rebooted. In the end nothing may be left of any."""
    with ExitStack() as stack:
        yield Workers(tmp_path, stack)
    for disk in tmp_path.glob("*/disk"):
        shutil.rmtree(disk)


@pytest.fixture
def worker(workers: Workers) -> Worker:
    """A worker whose pods and networks are manifests."""
    return workers.make()


@pytest.fixture
def api_worker(tmp_path: Path, workers: Workers) -> Iterator[tuple[Worker, Api]]:
    """A worker of a Kubernetes cluster, and the apiserver."""
    (tmp_path / "api").mkdir()
    with Node(tmp_path / "api" / "disk") as node:
        api = Api(node)
        try:
            yield workers.make(api, node), api
        finally:
            api.close()
