"""Pods of a real runtime: their interfaces, what is published, and that nothing stays behind."""

from __future__ import annotations

import json
import signal

import pytest

from tests.runtime.clusters import Api
from tests.runtime.cri import PodSpec, Refused
from tests.runtime.worker import Worker, bridge, single


class TestInterfaces:
    def test_two_networks(self, worker: Worker) -> None:
        worker.cluster.nad("storage", single(**bridge("10.9.0.0/24", name="br1")))
        pod = worker.start("web", "storage")
        assert pod.links() == {"lo", "eth0", "net1"}
        (v4,) = (a for a in pod.addresses("eth0") if "." in a)
        assert pod.view.ips[0] == v4.split("/")[0]  # what kubelet takes for the pod's address
        assert [(one["name"], one["interface"]) for one in pod.status] == [
            ("cbr0", "eth0"),
            ("default/storage", "net1"),
        ]
        assert pod.status[1]["ips"] == [a.split("/")[0] for a in pod.addresses("net1")]
        assert pod.status[0]["default"] is True
        assert len(worker.rows) == 2
        pod.remove()
        worker.assert_clean()
