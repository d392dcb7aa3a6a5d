"""host-local against a model of the reference, over random histories; and what an index in memory risks."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Owner
from multinet.delegates.host_local import HostLocal
from multinet.ports import IpamRequest

Json = dict[str, Any]


def request(data_dir: str | Path, ipam: Json, owner: str, ip: str = "") -> IpamRequest:
    conf = {"cniVersion": "1.0.0", "name": "net", "ipam": {"dataDir": str(data_dir), **ipam}}
    return IpamRequest(conf=conf, owner=Owner("net", owner, "eth0"), args={"IP": ip} if ip else {})


def add(plugin: HostLocal, data_dir: str | Path, ipam: Json, owner: str, ip: str = "") -> str:
    (got,) = plugin.allocate(request(data_dir, ipam, owner, ip)).ips
    return got.address.partition("/")[0]


class Model:
    """One range set, in the words of the specification (1.3): a cursor that steps, one address at a time."""

    def __init__(self, subnets: list[str]) -> None:
        nets = [ipaddress.ip_network(text) for text in subnets]
        self.ranges = [(int(net[1]), int(net[-2] if net.version == 4 else net[-1])) for net in nets]
        self.gateways = {int(net[1]) for net in nets}
        self.kind = type(nets[0][0])
        self.files: dict[int, str] = {}
        self.last: int | None = None

    def add(self, owner: str) -> int | None:
        if owner in self.files.values():
            return None
        at = next((i for i, (lo, hi) in enumerate(self.ranges) if self.last and lo <= self.last <= hi), None)
        if at is None or self.last is None:
            at, cursor = 0, self.ranges[0][0]
        else:
            at, cursor = self.successor(at, self.last)
        stop = cursor
        while cursor in self.gateways or cursor in self.files:
            at, cursor = self.successor(at, cursor)
            if cursor == stop:
                return None
        return self.take(cursor, owner)

    def successor(self, at: int, cursor: int) -> tuple[int, int]:
        if cursor == self.ranges[at][1]:
            at = (at + 1) % len(self.ranges)
            return at, self.ranges[at][0]
        return at, cursor + 1

    def request(self, owner: str, number: int) -> int | None:
        if not any(lo <= number <= hi for lo, hi in self.ranges):
            # left over at the end: the set's own choice was made, and is undone; ``last`` stays moved
            chosen = self.add(owner)
            if chosen is not None:
                del self.files[chosen]
            return None
        if number in self.gateways or number in self.files:
            return None
        return self.take(number, owner)

    def take(self, number: int, owner: str) -> int:
        self.files[number] = owner
        self.last = number
        return number

    def release(self, owner: str) -> None:
        self.files = {number: holder for number, holder in self.files.items() if holder != owner}


SETS = st.sampled_from(
    [
        ["10.0.0.0/29"],
        ["10.0.0.0/30", "10.0.1.0/30", "10.0.2.0/29"],
        ["10.0.2.0/30", "10.0.0.0/29"],
        ["2001:db8::/125"],
        ["2001:db8::/126", "2001:db8:1::/126"],
    ]
)
OWNERS = st.sampled_from([f"c{i}" for i in range(9)])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "release", "request", "restart", "foreign"]),
        OWNERS,
        st.integers(0, 9),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(subnets=SETS, steps=STEPS)
def test_every_history_is_that_of_the_model(subnets: list[str], steps: list[tuple[str, str, int]]) -> None:
    model, plugin, other = Model(subnets), HostLocal(), HostLocal()
    ipam = {"ranges": [[{"subnet": subnet} for subnet in subnets]]}
    with tempfile.TemporaryDirectory() as data_dir:
        for verb, owner, number in steps:
            wanted = model.ranges[number % len(model.ranges)][0] + number - 1
            got = ""
            if verb == "restart":
                plugin = HostLocal()
            elif verb == "release":
                model.release(owner)
                plugin.release(request(data_dir, ipam, owner))
            else:
                expected = model.request(owner, wanted) if verb == "request" else model.add(owner)
                ip = str(model.kind(wanted)) if verb == "request" else ""
                try:
                    # "foreign": a second process with a memory of its own, beside ours
                    got = add(other if verb == "foreign" else plugin, data_dir, ipam, owner, ip)
                except CNIError as error:
                    assert error.code == Code.IPAM
                assert got == ("" if expected is None else str(model.kind(expected)))
                assert not got or int(ipaddress.ip_address(got)) not in model.gateways
            folder = Path(data_dir, "net")
            on_disk = {
                int(ipaddress.ip_address(p.name)): p.read_bytes().decode().partition("\r\n")[0]
                for p in (folder.iterdir() if folder.exists() else ())
                if p.name[0].isdigit()
            }
            assert on_disk == model.files


@settings(max_examples=60, deadline=None)
@given(
    first=st.integers(0, 255),
    size=st.integers(0, 40),
    gateway=st.integers(0, 255),
    out=st.lists(st.integers(0, 255), max_size=4),
    last=st.none() | st.integers(0, 255),
)
def test_a_range_gives_out_each_address_once_and_never_a_gateway(
    first: int, size: int, gateway: int, out: list[int], last: int | None
) -> None:
    start, end = f"10.0.0.{first}", f"10.0.0.{min(first + size, 255)}"
    conf = {"subnet": "10.0.0.0/24", "rangeStart": start, "rangeEnd": end, "gateway": f"10.0.0.{gateway}"}
    ipam = {**conf, "exclude": [f"10.0.0.{n}" for n in out]}
    usable = set(range(first, min(first + size, 255) + 1)) - {gateway, *out}
    plugin = HostLocal()
    with tempfile.TemporaryDirectory() as data_dir:
        if last is not None:
            Path(data_dir, "net").mkdir()
            Path(data_dir, "net", "last_reserved_ip.0").write_text(f"10.0.0.{last}")
        given_out = [add(plugin, data_dir, ipam, f"c{i}") for i in range(len(usable))]
        with pytest.raises(CNIError):
            add(plugin, data_dir, ipam, "over")
    assert sorted(int(ip.rsplit(".", 1)[1]) for ip in given_out) == sorted(usable)


SMALL: Json = {"subnet": "10.0.0.0/28"}


def test_changes_by_others_are_seen_at_once(tmp_path: Path) -> None:
    plugin, folder = HostLocal(), tmp_path / "net"
    assert add(plugin, tmp_path, SMALL, "a") == "10.0.0.2"
    for round_ in range(200):  # more often than the kernel's clock ticks
        (folder / "10.0.0.3").write_bytes(f"x{round_}\r\neth0".encode())
        with pytest.raises(CNIError, match=f"has been allocated to x{round_}"):
            add(plugin, tmp_path, SMALL, f"x{round_}")
        (folder / "10.0.0.3").unlink()
    assert add(plugin, tmp_path, SMALL, "b") == "10.0.0.3"


def test_a_wiped_folder_is_seen(tmp_path: Path) -> None:
    plugin = HostLocal()
    add(plugin, tmp_path, SMALL, "a")
    shutil.rmtree(tmp_path / "net")
    assert add(plugin, tmp_path, SMALL, "a") == "10.0.0.2"
    for name in os.listdir(tmp_path / "net"):
        (tmp_path / "net" / name).unlink()
    assert add(plugin, tmp_path, SMALL, "a") == "10.0.0.2"


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    plugin, folder = HostLocal(), tmp_path / "net"
    add(plugin, tmp_path, SMALL, "a")
    stamp = folder.stat()
    (folder / "10.0.0.9").write_bytes(b"b\r\neth0")
    os.utime(folder, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # hide the change
    assert add(plugin, tmp_path, SMALL, "b") == "10.0.0.3"


def test_a_file_made_without_the_lock_is_never_replaced(tmp_path: Path) -> None:
    plugin, folder = HostLocal(), tmp_path / "net"
    add(plugin, tmp_path, SMALL, "a")
    stamp = folder.stat()
    (folder / "10.0.0.3").write_bytes(b"b\r\neth0")
    os.utime(folder, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # hide it from the index
    assert add(plugin, tmp_path, SMALL, "c") == "10.0.0.4"
    assert (folder / "10.0.0.3").read_bytes() == b"b\r\neth0"
    with pytest.raises(CNIError, match=r"10\.0\.0\.3 has been allocated to b"):  # noticed, so read again
        add(plugin, tmp_path, SMALL, "b")


def test_threads_and_memories_never_share_an_address(tmp_path: Path) -> None:
    plugins = [HostLocal(), HostLocal()]
    ipam = {"ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "2001:db8::/64"}]]}
    given_out: list[str] = []

    def work(thread: int) -> None:
        for i in range(15):
            result = plugins[thread % 2].allocate(request(tmp_path, ipam, f"t{thread}-{i}"))
            given_out.extend(ip.address for ip in result.ips)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given_out) == len(set(given_out)) == 8 * 15 * 2


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    script = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from multinet.cni.errors import CNIError
from multinet.core.desired import Owner
from multinet.delegates.host_local import HostLocal
from multinet.ports import IpamRequest
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # every write fails
conf = {{"name": "net", "ipam": {{"dataDir": {str(tmp_path)!r}, "subnet": "10.0.0.0/28"}}}}
try:
    HostLocal().allocate(IpamRequest(conf=conf, owner=Owner("net", "a", "eth0")))
except CNIError as error:
    sys.exit(error.code)
"""
    root = str(Path(__file__).parents[2])
    run = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": root})
    assert run.returncode == Code.IO_FAILURE
    assert os.listdir(tmp_path / "net") == ["lock"]
    assert add(HostLocal(), tmp_path, SMALL, "a") == "10.0.0.2"
