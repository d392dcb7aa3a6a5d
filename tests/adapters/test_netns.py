"""Network namespaces by descriptor."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError
from tests.leaks import nothing_left_open


def here() -> tuple[int, int]:
    status = os.stat("/proc/thread-self/ns/net")
    return status.st_dev, status.st_ino


def test_entering_is_for_one_thread_and_for_a_while(lab: Any) -> None:
    outside = here()
    sandbox = lab.sandbox()
    elsewhere = []
    with sandbox.entered():
        assert here() == sandbox.identity != outside
        thread = threading.Thread(target=lambda: elsewhere.append(here()))
        with lab.host.entered():
            assert here() == lab.host.identity
        assert here() == sandbox.identity
    assert here() == outside
    thread.start()
    thread.join()
    assert elsewhere == [outside]


def test_it_is_left_when_the_body_fails(lab: Any) -> None:
    outside = here()
    with pytest.raises(ZeroDivisionError), lab.host.entered():
        raise ZeroDivisionError
    assert here() == outside


def test_no_descriptor_is_lost(lab: Any) -> None:
    with nothing_left_open():
        for _ in range(50):
            with Netns.open(lab.host.path) as netns, netns.entered():
                pass


def test_equal_whatever_the_path(lab: Any) -> None:
    with Netns.open(lab.host.path) as one, Netns.open(f"/proc/self/fd/{lab.host.fd}") as two:
        assert one == two == lab.host and len({one, two, lab.host}) == 1
        assert one != lab.sandbox() and one != "text"
        assert (one.path, two.path) == (lab.host.path, f"/proc/self/fd/{lab.host.fd}")


def test_current() -> None:
    with Netns.current() as netns:
        assert netns.identity == here()
        assert not os.get_inheritable(netns.fd)


def test_closing_twice_is_fine(lab: Any) -> None:
    netns = Netns.open(lab.host.path)
    netns.close()
    netns.close()
    assert netns.fd == -1


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/no/such/netns", 'failed to Statfs "/no/such/netns": no such file or directory'),
        ("/etc/passwd", 'unknown FS magic on "/etc/passwd"'),
        ("/proc/self/status", "no network namespace"),
        ("/proc/self/ns/mnt", "no network namespace"),
        ("/proc/self/ns", "no network namespace"),
        ("nul\0byte", "null byte"),
        ("x" * 5000, "file name too long"),
    ],
)
def test_what_is_no_namespace(path: str, words: str) -> None:
    with nothing_left_open(), pytest.raises(CNIError) as caught:
        Netns.open(path)
    assert caught.value.code == 8
    assert caught.value.msg.startswith(
        'failed to open netns "'
    ) and words in caught.value.msg.lower().replace("statfs", "Statfs").replace("fs magic", "FS magic")


def test_a_bind_mounted_namespace(lab: Any, tmp_path: Path) -> None:
    """As ``ip netns`` keeps them, seen from a mount namespace of its own."""
    script = (
        f"touch {tmp_path}/ns && mount --bind {lab.host.path} {tmp_path}/ns && stat -c '%d %i' {tmp_path}/ns"
    )
    output = lab.run("unshare", "-m", "sh", "-c", script)
    assert tuple(map(int, output.split())) == lab.host.identity


def test_an_adopted_descriptor_that_is_none_is_closed() -> None:
    fd = os.open("/etc/passwd", os.O_RDONLY)
    with pytest.raises(CNIError):
        Netns.adopt(fd, "given")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
