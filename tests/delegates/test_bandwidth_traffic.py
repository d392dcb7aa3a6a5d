"""bandwidth on real traffic: TCP through the pair keeps to the limit in each direction, for the right traffic.

The limits are far below what the machine can do, and measured over whole seconds after the burst is used up.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from multinet.adapters.netns import Netns
from tests.delegates.chained import after, attached

MBIT = 1_000_000
INGRESS, EGRESS = 20 * MBIT, 40 * MBIT
BURST = MBIT // 2
"""Bits: 25 and 12 milliseconds' worth."""
LIMITS = {"ingressRate": INGRESS, "ingressBurst": BURST, "egressRate": EGRESS, "egressBurst": BURST}
PAYLOAD = 1448 / 1514
"""Of a frame of 1500 bytes: what is left without Ethernet, IP and TCP headers, which the limit counts in."""
UNLIMITED = 3 * EGRESS
PEER, OTHER = "10.9.0.1", "10.8.0.1"


@contextmanager
def server(bench: Any, netns: Netns, address: str) -> Iterator[None]:
    command = ["nsenter", f"--net={netns.path}", "iperf3", "-s", "-B", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 20
            while ":5201" not in bench.lab.run("ss", "-Hltn", netns=netns):
                assert time.monotonic() < until and process.poll() is None, "iperf3 does not listen"
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def measured(pod: Any, address: str, direction: str) -> float:
    """Bits per second of payload that arrive; the first second, with the burst and TCP's start, is left out."""
    command = ["iperf3", "-J", "-c", address, "-t", "3", "-O", "1"]
    if direction == "ingress":
        command.append("-R")
    report = json.loads(pod.bench.lab.run(*command, netns=pod.netns))
    return float(report["end"]["sum_received"]["bits_per_second"])


@pytest.fixture
def beyond(bench: Any) -> Netns:
    """A namespace beyond the host with two addresses of the world and one of each family."""
    beyond: Netns = bench.uplink()
    bench.lab.ip("addr", "add", "10.7.0.1/24", "dev", "up0")
    bench.lab.ip("addr", "add", "10.7.0.2/24", "dev", "wan0", netns=beyond)
    for address in (PEER, OTHER):
        bench.lab.ip("addr", "add", f"{address}/32", "dev", "lo", netns=beyond)
        bench.lab.ip("route", "add", f"{address}/32", "via", "10.7.0.2")
    bench.lab.ip("route", "add", "default", "via", "10.7.0.1", netns=beyond)
    return beyond


def limited_pod(bench: Any, make: Any, **more: Any) -> Any:
    base = attached(bench, make, isDefaultGateway=True)
    pod, conf = after(base, make("bandwidth", **LIMITS, **more))
    pod.add(conf)
    return pod


@pytest.mark.parametrize(("direction", "limit"), [("ingress", INGRESS), ("egress", EGRESS)])
def test_traffic_keeps_to_the_limit(bench: Any, make: Any, beyond: Netns, direction: str, limit: int) -> None:
    pod = limited_pod(bench, make)
    with server(bench, beyond, PEER):
        rate = measured(pod, PEER, direction)
    assert 0.9 * limit * PAYLOAD < rate < 1.1 * limit


def test_both_families(bench: Any, make: Any) -> None:
    base = attached(bench, make, "10.1.2.0/24", "2001:db8:1::/64")
    other = attached(bench, make, "10.1.2.0/24", "2001:db8:1::/64", name="c2")
    pod, conf = after(base, make("bandwidth", **LIMITS))
    pod.add(conf)
    address = next(ip["address"] for ip in other.result["ips"] if ":" in ip["address"]).partition("/")[0]
    with server(bench, other.netns, address):
        rate = measured(pod, address, "egress")
    assert 0.9 * EGRESS * PAYLOAD < rate < 1.1 * EGRESS


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize(("key", "limited"), [("shapedSubnets", PEER), ("unshapedSubnets", OTHER)])
def test_only_the_traffic_of_subnets(
    bench: Any, make: Any, beyond: Netns, direction: str, key: str, limited: str
) -> None:
    """Towards the pod it is the source that counts."""
    pod = limited_pod(bench, make, **{key: ["10.9.0.0/16"]})
    limit = INGRESS if direction == "ingress" else EGRESS
    for address in (PEER, OTHER):
        with server(bench, beyond, address):
            rate = measured(pod, address, direction)
        if address == limited:
            assert 0.9 * limit * PAYLOAD < rate < 1.1 * limit
        else:
            assert rate > UNLIMITED


def test_nothing_is_limited_after_delete(bench: Any, make: Any, beyond: Netns) -> None:
    base = attached(bench, make, isDefaultGateway=True)
    pod, conf = after(base, make("bandwidth", **LIMITS))
    pod.add(conf)
    pod.delete(conf)
    with server(bench, beyond, PEER):
        assert measured(pod, PEER, "egress") > UNLIMITED
