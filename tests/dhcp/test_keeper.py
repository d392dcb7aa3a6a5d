"""Many leases in one thread: what they cost, and that one that goes wrong is no matter of the others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError
from multinet.core.desired import Owner
from multinet.delegates.dhcp_interface import PodInterfaces
from multinet.dhcp.client_values import Identity, Pace
from multinet.dhcp.keeper import Keeper
from multinet.dhcp.lease import Lease
from multinet.dhcp.place import Place
from multinet.dhcp.record import Record
from tests.leaks import nothing_left_open

from .servers import Seen, ToldServer, lease, obliging, until

MANY = 40


class Net:
    """A sandbox with many macvlans over one link, and a told server at its other end."""

    def __init__(self, lab: Any, folder: Path) -> None:
        self.lab = lab
        self.pod: Netns = lab.sandbox()
        beyond = lab.sandbox()
        lab.ip(
            "link", "add", "up0", "type", "veth", "peer", "name", "wan0", "netns", beyond.path, netns=self.pod
        )
        lab.ip("link", "set", "up0", "up", netns=self.pod)
        lab.ip("link", "set", "wan0", "up", netns=beyond)
        batch = "".join(f"link add m{n} link up0 up type macvlan mode bridge\n" for n in range(MANY))
        lab.run("ip", "-b", "-", netns=self.pod, stdin=batch)
        self.links = lab.links(self.pod)
        self.numbers: dict[str, int] = {}
        self.server = ToldServer(beyond, "wan0", self.script)
        self.seconds = 3600
        self.keeper = Keeper(str(folder / "dhcp"), PodInterfaces(), Pace(first=0.5, longest=1, jitter=0.2))
        self.keeper.start()

    def script(self, server: ToldServer, seen: Seen) -> None:
        number = self.numbers.setdefault(seen.from_mac, len(self.numbers))
        obliging(lease(self.seconds), address=f"10.7.0.{50 + number}")(server, seen)

    def wanted(self, name: str) -> Record:
        link = self.links[name]
        mac = bytes.fromhex(link.mac.replace(":", ""))
        return Record(
            owner=Owner("net", f"c-{name}", name),
            place=Place(self.pod.path, self.pod.identity, name, link.index, link.mac),
            identity=Identity(mac=mac, client_id=b"\1" + mac, wanted=b"\1\3"),
            link_mtu=1500,
        )

    def acquire(self, name: str, seconds: float = 20.0) -> Lease:
        return self.keeper.acquire(self.wanted(name), self.pod, time.monotonic() + seconds, lambda: False)


@pytest.fixture
def net(lab: Any, tmp_path: Path) -> Iterator[Net]:
    net = Net(lab, tmp_path)
    try:
        yield net
    finally:
        net.keeper.stop()
        net.server.stop()


def test_many_at_once_cost_no_thread_and_no_descriptor(net: Net) -> None:
    names = [f"m{n}" for n in range(MANY)]
    with nothing_left_open():
        with ThreadPoolExecutor(MANY) as pool:
            leases = list(pool.map(net.acquire, names))
        assert len({lease.address for lease in leases}) == MANY
    assert len(os.listdir(net.keeper._records.folder)) == MANY
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: net.keeper.release(net.wanted(name).owner), names))
    until(lambda: net.server.kinds().count("RELEASE") == MANY, "all RELEASEs")
    assert os.listdir(net.keeper._records.folder) == []


def test_many_renew_and_are_taken_up_again(net: Net, tmp_path: Path) -> None:
    net.seconds = 6
    names = [f"m{n}" for n in range(MANY)]
    with ThreadPoolExecutor(MANY) as pool:
        list(pool.map(net.acquire, names))
    net.keeper.stop()
    net.keeper = Keeper(str(tmp_path / "dhcp"), PodInterfaces(), Pace())
    net.keeper.start()
    asked = len(net.server.seen)
    until(lambda: len({seen.from_mac for seen in net.server.seen[asked:]}) == MANY, "each to be renewed")
    assert {seen.kind for seen in net.server.seen[asked:]} == {"REQUEST"}
    time.sleep(5)
    records = [net.keeper.held(net.wanted(name).owner) for name in names]
    assert all(record is not None and record.lease is not None for record in records)


def test_two_who_ask_for_one_lease_get_one(net: Net) -> None:
    with ThreadPoolExecutor(8) as pool:
        leases = set(map(repr, pool.map(lambda _: net.acquire("m0"), range(8))))
    assert len(leases) == 1 and net.server.kinds() == ["DISCOVER", "REQUEST"]


def test_one_who_gives_up_does_not_end_it_for_another(net: Net) -> None:
    answering = net.server.script
    net.server.script = lambda server, seen: None
    with ThreadPoolExecutor(2) as pool:
        patient = pool.submit(net.acquire, "m0")
        hasty = pool.submit(net.acquire, "m0", 1.0)
        with pytest.raises(CNIError, match="no more tries"):
            hasty.result()
        net.server.script = answering
        assert patient.result().address == "10.7.0.50/24"


def test_a_new_interface_of_the_same_name_gets_a_lease_of_its_own(net: Net) -> None:
    first = net.acquire("m0")
    net.lab.ip("link", "del", "m0", netns=net.pod)
    net.lab.ip("link", "add", "m0", "link", "up0", "up", "type", "macvlan", "mode", "bridge", netns=net.pod)
    net.links = net.lab.links(net.pod)
    second = net.acquire("m0")
    discover = [seen for seen in net.server.seen if seen.kind == "DISCOVER"][1]
    assert socket_address(discover.options[50]) == first.ip.exploded and second.address != ""
    assert len(os.listdir(net.keeper._records.folder)) == 1


def socket_address(raw: bytes) -> str:
    return ".".join(map(str, raw))


def test_noise_on_the_wire(net: Net) -> None:
    """Damaged answers of every kind, hundreds of them, before the right one."""
    random = Random(7)

    def noisy(server: ToldServer, seen: Seen) -> None:
        for _ in range(200):
            options = {random.randrange(1, 254): random.randbytes(random.randrange(60)) for _ in range(4)}
            more: dict[str, Any] = {"end": random.random() < 0.5, "address": "10.7.0.99"}
            more |= {"xid": random.randbytes(4)} if random.random() < 0.7 else {"mac": "02:00:00:00:00:07"}
            server.answer(
                seen, random.choice((0, 2, 5, 6, 9)), {**options, 53: options.get(53, b"\2")}, **more
            )
        net.script(server, seen)

    net.server.script = noisy
    assert net.acquire("m0").address == "10.7.0.50/24"
    assert net.keeper.running


def test_a_stopped_keeper_keeps_nothing_new(net: Net) -> None:
    net.acquire("m0")
    net.keeper.stop()
    assert not net.keeper.running
    with pytest.raises(CNIError) as caught:
        net.acquire("m1")
    assert caught.value.code == 11
    assert "RELEASE" not in net.server.kinds()


def test_stopping_ends_who_waits(net: Net) -> None:
    net.server.script = lambda server, seen: None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(net.acquire, "m0")
        until(lambda: net.server.seen, "a DISCOVER")
        net.keeper.stop()
        with pytest.raises(CNIError, match="stopping"):
            waiting.result()
