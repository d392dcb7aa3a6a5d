"""Our software is replaced while pods come and go: each is made and removed, whatever its turn (pains 26)."""

from __future__ import annotations

import signal
import sys
import threading
import time
from dataclasses import replace

import pytest

from tests.runtime.cri import PodSpec, Refused
from tests.runtime.worker import Pod, Worker, bridge, single, wait_for

STORAGE = single(**bridge("10.9.0.0/22", name="br1"))


class Kubelet:
    """One of its workers: it makes and removes pods without pause, and tries again what failed."""

    def __init__(self, worker: Worker, number: int) -> None:
        self._worker, self._number = worker, number
        self.made = self.removed = 0
        self.refusals: list[str] = []
        self.faults: list[BaseException] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                pod = self._start(self._worker.create(f"pod{self._number}-{self.made}", "storage"))
                self.made += 1
                assert pod.links() == {"lo", "eth0", "net1"}
                assert [one["interface"] for one in pod.status] == ["eth0", "net1"]
                pod.remove()  # never refused: what can't be done now is done later
                self._worker.cluster.forget_pod(pod.spec.name)
                self.removed += 1
        except BaseException as fault:
            self.faults.append(fault)

    def _start(self, spec: PodSpec) -> Pod:
        while True:
            try:
                return self._worker.run(spec)
            except Refused as refused:
                self.refusals.append(str(refused))
                assert len(self.refusals) < 500
                time.sleep(0.2)
                spec = replace(spec, attempt=spec.attempt + 1)


@pytest.mark.parametrize("manner", ["SIGTERM", "SIGKILL", "service manager"])
def test_rolling_upgrade_of_the_daemon(worker: Worker, manner: str) -> None:
    """Daemon after daemon takes over the journal; no pod is lost, none is half made, no removal is forgotten.

    Where a service manager holds the socket (systemd does, after ``install --systemd``), callers wait in it for the
    next daemon: no try is refused at all.
    """
    number = signal.SIGKILL if manner == "SIGKILL" else signal.SIGTERM
    if manner == "service manager":
        worker.end_daemon()
        worker.hold_socket()
        worker.start_daemon()
    worker.cluster.nad("storage", STORAGE)
    steady = worker.start("steady", "storage")
    kubelets = [Kubelet(worker, number) for number in range(4)]
    for generation in range(3):
        before = sum(one.removed for one in kubelets)
        while sum(one.removed for one in kubelets) < before + 8 and not any(one.faults for one in kubelets):
            time.sleep(0.02)
        worker.multinet("install", "--cni-version", "1.0.0", "--plugins", "loopback", "--no-conf")
        worker.end_daemon(number)
        time.sleep(0.3 * generation)  # the next one may be slow to come
        worker.start_daemon()
    for one in kubelets:
        one.end()
    assert [fault for one in kubelets for fault in one.faults] == []
    refusals = [text for one in kubelets for text in one.refusals]
    made = sum(one.made for one in kubelets)
    print(f"{made} pods made and removed over 3 restarts; {len(refusals)} tries refused", file=sys.stderr)
    if manner == "service manager":
        assert refusals == []
    assert made >= 24
    assert made == sum(one.removed for one in kubelets)
    for text in refusals:  # only ever because nobody served: kubelet's next try is what that asks for
        assert "daemon" in text, text
    # A DEL whose connection broke was spooled after the next daemon had begun; that looks again every few seconds.
    wait_for(lambda: not worker.spooled())
    assert {row.container_id for row in worker.rows} == {steady.id}
    assert worker.call("CHECK", steady.id, steady.netns_path) == (0, {})
    steady.remove()
    worker.assert_clean()
