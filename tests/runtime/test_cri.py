"""The product's CRI client, asked about a real runtime's sandboxes; and what it says when nobody answers well."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from multinet.adapters.cri import CriSandboxes, default_socket
from multinet.ports import PodSandbox, RuntimeUnavailable
from tests.runtime.containerd import SOCKET
from tests.runtime.cri import messages, services
from tests.runtime.worker import Worker


def client(worker: Worker) -> CriSandboxes:
    return CriSandboxes(str(worker.node.path(SOCKET)))


class TestRealRuntime:
    def test_sandboxes(self, worker: Worker) -> None:
        """Those with a namespace of their own, one in the host's, and one that has ended."""
        assert client(worker).sandboxes() == []
        web, agent, old = (
            worker.start("web", uid="u-1", namespace="shop"),
            worker.start("agent", host_network=True),
            worker.start("old"),
        )
        old.stop()
        found = {one.name: one for one in client(worker).sandboxes()}
        assert set(found) == {"web", "agent", "old"}
        assert found["web"] == PodSandbox(
            container_id=web.id, namespace="shop", name="web", uid="u-1", ready=True, netns=web.netns_path
        )
        assert (found["agent"].ready, found["agent"].netns) == (True, "")
        assert (found["old"].ready, found["old"].netns) == (False, "")
        assert worker.node.run("nsenter", f"--net={found['web'].netns}", "ip", "link").count("eth0@") == 1
        for pod in (web, agent, old):
            pod.remove()
        assert client(worker).sandboxes() == []

    def test_the_records_name_the_same_containers(self, worker: Worker) -> None:
        """What CNI calls a container id is the runtime's sandbox id: that is what makes the two comparable."""
        pod = worker.start("web")
        (found,) = client(worker).sandboxes()
        assert {(row.container_id, row.netns) for row in worker.rows} == {(found.container_id, found.netns)}
        pod.remove()

    def test_where_it_is_looked_for(self, worker: Worker) -> None:
        """containerd's usual place, as the daemon sees it."""
        pod = worker.start("web")
        script = (
            "from multinet.adapters.cri import CriSandboxes, default_socket\n"
            "print(default_socket(), *(one.name for one in CriSandboxes().sandboxes()))"
        )
        assert worker.node.run(sys.executable, "-c", script).split() == [SOCKET, "web"]
        pod.remove()

    def test_runtime_that_ended(self, worker: Worker) -> None:
        asked = client(worker)
        asked.sandboxes()
        worker.containerd.kill()
        with pytest.raises(RuntimeUnavailable, match=r"containerd\.sock.*no such file"):
            asked.sandboxes()
        worker.containerd.start()
        assert asked.sandboxes() == []


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room in a socket's address."""
    with tempfile.TemporaryDirectory(prefix="mn-") as folder:
        yield Path(folder)


class Runtime:
    """One that gives the answers it is told to give; those of CRI-O in the beginning."""

    def __init__(self) -> None:
        self.verbose = '{"pid": 7, "runtimeSpec": {"linux": {"namespaces": [{"type": "pid"}, '
        self.verbose += '{"type": "network", "path": "/var/run/netns/0a1b"}]}}}'
        self.gone = False
        self.ready = True

    def listed(self, request: object, context: grpc.ServicerContext) -> object:
        state = messages.SANDBOX_READY if self.ready else messages.SANDBOX_NOTREADY
        one = messages.PodSandbox(
            id="s1", metadata={"name": "web", "uid": "u-1", "namespace": "shop"}, state=state
        )
        return messages.ListPodSandboxResponse(items=[one])

    def status(self, request: object, context: grpc.ServicerContext) -> object:
        if self.gone:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such sandbox")
        return messages.PodSandboxStatusResponse(info={"info": self.verbose} if self.verbose else {})

    def serve(self, path: Path) -> grpc.Server:
        class Servicer(services.RuntimeServiceServicer):  # type: ignore[name-defined,misc]
            ListPodSandbox = staticmethod(self.listed)
            PodSandboxStatus = staticmethod(self.status)

        server = grpc.server(futures.ThreadPoolExecutor(2))
        services.add_RuntimeServiceServicer_to_server(Servicer(), server)
        server.add_insecure_port(f"unix:{path}")
        server.start()
        return server


class TestOtherRuntimes:
    @pytest.fixture
    def runtime(self, short: Path) -> Iterator[Runtime]:
        told = Runtime()
        server = told.serve(short / "crio.sock")
        yield told
        server.stop(None).wait()

    @pytest.fixture
    def asked(self, short: Path) -> CriSandboxes:
        return CriSandboxes(str(short / "crio.sock"))

    def test_crio(self, runtime: Runtime, asked: CriSandboxes) -> None:
        (found,) = asked.sandboxes()
        assert (found.namespace, found.name, found.uid, found.netns) == (
            "shop",
            "web",
            "u-1",
            "/var/run/netns/0a1b",
        )

    def test_sandbox_that_goes_meanwhile(self, runtime: Runtime, asked: CriSandboxes) -> None:
        runtime.gone = True
        assert asked.sandboxes() == []

    def test_one_that_is_not_ready_is_not_asked_about(self, runtime: Runtime, asked: CriSandboxes) -> None:
        runtime.ready, runtime.gone = False, True
        (found,) = asked.sandboxes()
        assert (found.ready, found.netns) == (False, "")

    def test_answer_that_makes_no_sense(self, runtime: Runtime, asked: CriSandboxes) -> None:
        for nonsense in ("{", '{"runtimeSpec": {"linux": {"namespaces": 7}}}'):
            runtime.verbose = nonsense
            with pytest.raises(RuntimeUnavailable, match=r"crio\.sock.*can't be read"):
                asked.sandboxes()

    def test_runtime_that_does_not_say(self, runtime: Runtime, asked: CriSandboxes) -> None:
        """A ready sandbox whose namespace isn't told must not pass for one in the host's own."""
        for silence in ("", "{}", '{"runtimeSpec": null}'):
            runtime.verbose = silence
            with pytest.raises(RuntimeUnavailable, match=r"doesn't say.*web"):
                asked.sandboxes()

    def test_nobody(self, asked: CriSandboxes) -> None:
        with pytest.raises(RuntimeUnavailable, match=r"crio\.sock"):
            asked.sandboxes()

    def test_default(self, short: Path) -> None:
        """The first that exists; if none does, the first, which the error then names."""
        places = tuple(str(short / name) for name in ("containerd.sock", "crio.sock", "k3s.sock"))
        assert default_socket(places) == places[0]
        for name in reversed(places):
            Path(name).touch()
            assert default_socket(places) == name
