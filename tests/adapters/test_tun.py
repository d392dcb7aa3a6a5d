"""Tap devices made by ioctl, as ``ip tuntap`` and the device's own files show them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import Any

import pytest

from multinet.adapters import tap_device
from multinet.adapters.kernel import NetworkStack
from multinet.adapters.kernel_values import TunInfo
from multinet.adapters.tun import make_tap
from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Tap
from tests.adapters.reading import ip

MADE = TunInfo(
    tap=True,
    owner=None,
    group=None,
    persistent=True,
    multi_queue=False,
    vnet_header=True,
    packet_info=False,
)
CASES = [
    (Tap(name="tap0"), MADE),
    (Tap(name="tap0", uid=0, gid=0), TunInfo(True, 0, 0, True, False, True, False)),
    (Tap(name="tap0", uid=107, gid=108, multi_queue=True), TunInfo(True, 107, 108, True, True, True, False)),
    (Tap(name="x" * 15, gid=2**31 + 5), TunInfo(True, None, 2**31 + 5, True, False, True, False)),
]


@pytest.mark.parametrize(("item", "expected"), CASES)
def test_a_tap_is_as_wanted(lab: Any, item: Tap, expected: TunInfo) -> None:
    sandbox = lab.sandbox()
    make_tap(item, sandbox)
    assert set(lab.links()) == {"lo"}, "it is in the sandbox, and we are back"
    with NetworkStack(sandbox) as stack:
        link = stack.link(item.name)
    assert link is not None and (link.kind, link.up, link.tun) == ("tun", False, expected)
    shown = next(one for one in ip(lab, "link", netns=sandbox) if one["ifname"] == item.name)
    data = shown["linkinfo"]["info_data"]
    assert data["type"] == "tap" and data["persist"] and data["vnet_hdr"] and not data["pi"]
    assert data["multi_queue"] == item.multi_queue
    names = {"user": (item.uid, "owner"), "group": (item.gid, "group")}
    for key, (number, file) in names.items():
        assert (data.get(key) is None) == (number is None)
        held = lab.run("unshare", "-m", "sh", "-c", _READ.format(item.name, file), netns=sandbox).strip()
        assert int(held) % 2**32 == (2**32 - 1 if number is None else number)


_READ = "mount -t sysfs s /sys && cat /sys/class/net/{}/{}"


@pytest.mark.parametrize("there", ["tuntap add dev tap0 mode tap", "link add tap0 type bridge"])
def test_a_name_that_is_taken(lab: Any, there: str) -> None:
    sandbox = lab.sandbox()
    lab.ip(*there.split(), netns=sandbox)
    before = lab.links(sandbox)["tap0"]
    with pytest.raises(OSError) as caught:
        make_tap(Tap(name="tap0", uid=5), sandbox)
    assert caught.value.errno == errno.EBUSY
    assert lab.links(sandbox)["tap0"].tun == before.tun


def test_nothing_is_left_when_an_owner_is_refused(lab: Any) -> None:
    """Id -1 is no user."""
    sandbox = lab.sandbox()
    with pytest.raises(OSError):
        make_tap(Tap(name="tap0", uid=2**32 - 1), sandbox)
    assert set(lab.links(sandbox)) == {"lo"}


def test_the_program_of_its_own_does_the_same(lab: Any) -> None:
    """What a labelled tap is made by, here without a label: it needs nothing but the standard library."""
    command = (sys.executable, "-I", "-S", tap_device.__file__, "tap0", "multi", "7", "-")
    lab.run(*command)
    lab.allowed.add("tap0")
    assert lab.links()["tap0"].tun == TunInfo(True, 7, None, True, True, True, False)
    again = subprocess.run(
        ["nsenter", f"--net=/proc/{os.getpid()}/fd/{lab.host.fd}", *command], capture_output=True, text=True
    )
    assert (again.returncode, again.stderr.strip()) == (errno.EBUSY, os.strerror(errno.EBUSY))


def test_a_label_without_selinux_is_an_error(lab: Any) -> None:
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("this kernel has SELinux")
    sandbox = lab.sandbox()
    label = "system_u:system_r:container_t:s0"
    with pytest.raises(
        CNIError, match=f'failed set socket label: "{label}": .*SELinux in the kernel'
    ) as caught:
        make_tap(Tap(name="tap0", selinux_context=label), sandbox)
    assert caught.value.code == Code.KERNEL
    assert set(lab.links(sandbox)) == {"lo"}
