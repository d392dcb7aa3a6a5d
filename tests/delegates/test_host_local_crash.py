"""A process killed at any line of an ADD or DEL: whatever it leaves blocks nobody."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from multinet.core.desired import Owner
from multinet.delegates.host_local import HostLocal
from multinet.ports import IpamRequest

TRACED = ("host_local.py", "address_files.py", "address_index.py", "folder_lock.py")
POOL = {"ranges": [[{"subnet": "10.0.0.0/29"}], [{"subnet": "2001:db8::/125"}]]}
SIZES = (5, 6)


def request(data_dir: Path, owner: str) -> IpamRequest:
    conf = {"cniVersion": "1.0.0", "name": "net", "ipam": {"dataDir": str(data_dir), **POOL}}
    return IpamRequest(conf=conf, owner=Owner("net", owner, "eth0"))


def killed_at(line: int, step: Callable[[], object]) -> bool:
    """Run ``step`` in a child that is killed when it has run ``line`` lines; False when it ended before."""
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(TRACED):
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        try:
            step()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def fill(data_dir: Path, plugin: HostLocal) -> list[str]:
    """Allocate till the smaller pool is empty; all addresses given out."""
    results = [plugin.allocate(request(data_dir, f"later{i}")) for i in range(min(SIZES))]
    return [ip.address for result in results for ip in result.ips]


@pytest.mark.parametrize("verb", ["allocate", "release"])
def test_killed_at_each_line(tmp_path: Path, verb: str) -> None:
    line = 0
    while True:
        data_dir = tmp_path / str(line)
        plugin = HostLocal()  # its index is older than what the killed process did
        plugin.allocate(request(data_dir, "early"))
        if verb == "release":
            plugin.allocate(request(data_dir, "victim"))
        killed = killed_at(line, partial(getattr(HostLocal(), verb), request(data_dir, "victim")))
        folder = data_dir / "net"
        if killed and verb == "allocate":
            contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0].isdigit()}
            assert set(contents.values()) <= {b"early\r\neth0", b"victim\r\neth0"}, "a torn file"
        # The runtime's DEL after the failure; then everything is there again.
        for owner in ("victim", "early"):
            plugin.release(request(data_dir, owner))
        addresses = fill(data_dir, plugin)
        assert len(set(addresses)) == 2 * min(SIZES)
        names = {path.name for path in folder.iterdir()}
        given_out = {address.partition("/")[0] for address in addresses}
        assert names == {*given_out, "lock", "last_reserved_ip.0", "last_reserved_ip.1"}
        if not killed:
            break
        line += 1
    assert line > 50


def test_without_a_del_the_next_container_is_served(tmp_path: Path) -> None:
    line = 0
    while killed_at(line, partial(HostLocal().allocate, request(tmp_path / str(line), "victim"))):
        result = HostLocal().allocate(request(tmp_path / str(line), "next"))
        assert len(result.ips) == 2
        line += 1
    assert line > 50
