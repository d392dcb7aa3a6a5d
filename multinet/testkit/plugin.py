"""The test kit's fixtures, as a pytest plugin."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.firewall import HostFirewall
from multinet.cni.errors import CNIError, Code
from multinet.engine.compare import compare
from multinet.testkit.bench import Bench, Pod
from multinet.testkit.faults import DIED, Crash, Refusal, SpoiltKernel
from multinet.testkit.fields import untrue
from multinet.testkit.namespaces import Lab
from multinet.testkit.snapshot import FORWARDING, changes

Json = dict[str, Any]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A host namespace; the test fails if it leaves a link there."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    lab = Lab.opened(tmp_path)
    try:
        yield lab
        left = lab.left()
        assert not left, f"links left on the host: {left}"
    finally:
        lab.close()


@pytest.fixture
def bench(lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """A node with pods; what a test leaves attached is detached, and then nothing may be left."""
    firewall = HostFirewall(lab.host)
    # A new namespace takes them over from the machine's own.
    lab.kernel.host.write_sysctls([(key, "0", False) for key in FORWARDING])
    try:
        bench = Bench(lab, firewall, tmp_path)
        yield bench
        bench.close()
    finally:
        firewall.close()


@pytest.fixture
def make() -> Callable[..., Json]:
    """``make("bridge", bridge="br0", …)``: a request configuration; ``name`` is ``net`` unless said."""

    def conf(kind: str, version: str = "1.1.0", **more: Any) -> Json:
        return {"cniVersion": version, "name": "net", "type": kind, **more}

    return conf


@pytest.fixture
def unchanged() -> Callable[[Json, Json], None]:
    """``unchanged(before, after)``: two snapshots are equal, or the test fails and says where they aren't."""

    def expect(before: Json, after: Json) -> None:
        assert not changes(before, after)

    return expect


@pytest.fixture
def refused() -> Callable[..., CNIError]:
    """``refused(code, call, …)``: the CNIError that the call must raise."""

    def expect(code: int, call: Callable[..., object], *args: Any, **kwargs: Any) -> CNIError:
        with pytest.raises(CNIError) as caught:
            call(*args, **kwargs)
        assert caught.value.code == code, caught.value
        return caught.value

    return expect


@pytest.fixture
def whichever_step_fails(bench: Bench) -> Callable[..., int]:
    """``whichever_step_fails(pod, conf)``: the kernel refuses each message of the ADD in turn, and each time
    host, sandbox and files are as before; then the ADD succeeds. How many messages there were.
    """

    def refuse(pod: Pod, conf: Json, **terms: Any) -> int:
        honest = bench.lab.kernel
        for place in itertools.count():
            before = bench.snapshot(pod.netns)
            fault = Refusal(place)
            bench.lab.kernel = SpoiltKernel(bench.lab.host, fault)
            try:
                pod.add(conf, **terms)
            except CNIError as error:
                assert error.code == Code.KERNEL and "undo failed" not in error.details, error
                assert not changes(before, bench.snapshot(pod.netns)), f"left after message {place}"
            else:
                assert not fault.happened, f"the refusal of message {place} went unnoticed"
                return place
            finally:
                bench.lab.kernel = honest
        raise AssertionError("unreachable")

    return refuse


@pytest.fixture
def wherever_it_dies(bench: Bench) -> Callable[..., int]:
    """``wherever_it_dies(pod, conf)``: the process that runs the ADD dies before each message in turn, and each
    time a DEL with no record leaves host, sandbox and files as before. How many messages there were.
    """

    def die(pod: Pod, conf: Json, **terms: Any) -> int:
        for place in itertools.count():
            before = bench.snapshot(pod.netns)
            code = _in_child(bench, pod, conf, place, terms)
            pod.items = None
            pod.delete(conf, recorded=False, **terms)
            assert not changes(before, bench.snapshot(pod.netns)), f"left when it died at message {place}"
            if code != DIED:
                assert code == 0, f"the ADD failed (exit {code})"
                return place
        raise AssertionError("unreachable")

    return die


def _in_child(bench: Bench, pod: Pod, conf: Json, place: int, terms: Json) -> int:
    """Run the ADD in a forked process that dies at message ``place``; its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            bench.lab.kernel = SpoiltKernel(bench.lab.host, Crash(place))
            bench.firewall = HostFirewall(bench.lab.host)
            pod.add(conf, **terms)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.fixture
def every_field_is_checked(bench: Bench) -> Callable[..., int]:
    """``every_field_is_checked(pod, conf)`` after an ADD: each field of what was applied is made untrue in turn,
    and each time the comparison reports it. How many fields there were.
    """

    def perturb(pod: Pod, conf: Json) -> int:
        assert pod.items, "nothing was applied"
        tried = 0
        with bench.scene(pod, conf) as scene:
            assert compare(pod.items, scene) == []
            for item, field in untrue(pod.items):
                assert compare([item], scene), f"{type(item).__name__}.{field} is not compared: {item}"
                tried += 1
        return tried

    return perturb
