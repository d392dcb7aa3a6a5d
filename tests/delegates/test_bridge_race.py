"""bridge: many ADDs at once on a bridge that isn't there yet, and while others come and go."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """Run all at the same moment; their results in order. The first failure is raised."""
    barrier = threading.Barrier(len(works))

    def start(work: Callable[[], Any]) -> Any:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(start, works))


@pytest.mark.parametrize("round_", range(3))
def test_sixteen_pods_on_a_bridge_that_is_not_there_yet(bench: Any, make: Any, round_: int) -> None:
    bench.lab.allowed.add("br0")
    more = {"isDefaultGateway": True, "macspoofchk": True, "ipMasq": True, "ipMasqBackend": "nftables"}
    conf = make("bridge", bridge="br0", ipam=bench.host_local("10.1.2.0/24", "2001:db8:1::/64"), **more)
    pods = [bench.pod() for _ in range(16)]
    results = at_once([lambda pod=pod: pod.add(conf) for pod in pods])
    bridges = json.loads(bench.lab.run("ip", "-j", "link", "show", "type", "bridge"))
    assert [b["ifname"] for b in bridges] == ["br0"]
    assert {r["interfaces"][0]["mac"] for r in results} == {bridges[0]["address"]}
    assert bench.addresses("br0") == ["10.1.2.1/24", "2001:db8:1::1/64"]
    given = [pod.addresses() for pod in pods]
    assert len({tuple(one) for one in given}) == 16 and all(len(one) == 2 for one in given)
    assert len({pod.link()["address"] for pod in pods}) == 16
    for pod in pods:
        pod.check_both(conf)
    assert pods[0].ping(pods[15].addresses()[0].partition("/")[0])
    at_once([lambda pod=pod: pod.delete(conf) for pod in pods])
    assert set(bench.lab.links()) == {"lo", "br0"} and bench.leases() == []


def test_sixteen_pods_on_sixteen_bridges(bench: Any, make: Any) -> None:
    pods = [bench.pod() for _ in range(16)]
    confs = [make("bridge", bridge=f"br{n}") for n in range(16)]
    bench.lab.allowed |= {conf["bridge"] for conf in confs}
    at_once([lambda pod=pod, conf=conf: pod.add(conf) for pod, conf in zip(pods, confs, strict=True)])
    for pod, conf in zip(pods, confs, strict=True):
        pod.check_both(conf)


def test_the_bridge_goes_while_pods_come(bench: Any, make: Any) -> None:
    """Every ADD either succeeds on a bridge that is there in the end, or leaves nothing."""
    from multinet.cni.errors import CNIError

    bench.lab.allowed.add("br0")
    conf = make("bridge", bridge="br0")
    stop = threading.Event()

    def remove_bridge() -> None:
        while not stop.is_set():
            bench.lab.run("ip", "link", "del", "br0", check=False)

    failures = []
    for _ in range(12):
        stop.clear()
        remover = threading.Thread(target=remove_bridge)
        remover.start()
        pods = [bench.pod() for _ in range(4)]

        def add(pod: Any) -> bool:
            try:
                pod.add(conf)
            except CNIError as error:
                failures.append(error)
                assert error.code in (11, 100), error
                return False
            return True

        try:
            made = at_once([lambda pod=pod: add(pod) for pod in pods])
        finally:
            stop.set()
            remover.join()
        for pod, is_made in zip(pods, made, strict=True):
            assert ("eth0" in bench.lab.links(pod.netns)) == is_made
            if is_made:
                pod.delete(conf)
        assert set(bench.lab.links()) <= {"lo", "br0"}


def test_failing_adds_do_not_harm_those_that_succeed(bench: Any, make: Any) -> None:
    """Both kinds share the bridge and its gateway; what a failed one takes back mustn't be the others'."""
    from multinet.cni.errors import CNIError

    bench.lab.allowed.add("br0")
    good = make("bridge", bridge="br0", isDefaultGateway=True, ipam=bench.host_local("10.1.2.0/24"))
    routes = [{"dst": "10.77.0.0/16", "gw": "10.1.2.255"}]
    bad = good | {"ipam": bench.host_local("10.1.2.0/24", routes=routes)}
    for _ in range(4):
        pods = [(bench.pod(), good) for _ in range(6)] + [(bench.pod(), bad) for _ in range(6)]

        def add(pod: Any, conf: Any) -> bool:
            try:
                pod.add(conf)
            except CNIError:
                return False
            return True

        made = at_once([lambda pod=pod, conf=conf: add(pod, conf) for pod, conf in pods])
        assert made == [True] * 6 + [False] * 6
        for pod, _ in pods[:6]:
            pod.check_both(good)
            pod.delete(good)
        bench.lab.ip("link", "del", "br0")


@pytest.mark.reference
def test_pods_with_an_external_address_manager(bench: Any, make: Any) -> None:
    """Their link is made before the address is asked for, on a bridge that all of them want to make."""
    bench.lab.allowed.add("br0")
    ipam = bench.host_local("10.1.2.0/24") | {"multinet/executable": True}
    conf = make("bridge", "1.0.0", bridge="br0", isDefaultGateway=True, ipam=ipam)
    pods = [bench.pod() for _ in range(8)]
    at_once([lambda pod=pod: pod.add(conf) for pod in pods])
    assert len({tuple(pod.addresses()) for pod in pods}) == 8
    assert bench.addresses("br0") == ["10.1.2.1/24"]
    for pod in pods:
        pod.check_both(conf)
