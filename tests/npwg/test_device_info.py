"""Device information: spec 5.43, 5.45."""

from __future__ import annotations

from typing import Any

import pytest

from multinet.cni.errors import InvalidConfig
from multinet.npwg.device_info import DeviceInfo, cni_file, device_plugin_file


@pytest.mark.parametrize(
    "part",
    [
        {
            "type": "pci",
            "pci": {"pci-address": "0000:18:02.5", "pf-pci-address": "0000:18:00.0", "vhost-net": "/v"},
        },
        {"type": "vdpa", "vdpa": {"parent-device": "vdpa1", "driver": "vhost", "path": "/dev/vhost-vdpa1"}},
        {"type": "vhost-user", "vhost-user": {"mode": "client", "path": "/tmp/x"}},
        {"type": "memif", "memif": {"role": "slave", "path": "/tmp/x", "mode": "inject-punt"}},
    ],
)
def test_5_45_every_type_there_and_back(part: dict[str, Any]) -> None:
    raw = {"version": "1.1.0"} | part
    assert DeviceInfo.from_object(raw).to_object() == raw


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"type": "nvme", "version": "1.1.0"}, "$.type: "),
        ({"type": "pci", "pci": {"pci-address": "x"}}, "$.version: is required"),
        ({"type": "pci", "version": "1.1.0"}, 'type "pci" needs the key "pci"'),
        ({"type": "pci", "version": "1.1.0", "pci": {}}, "$.pci.pci-address: is required"),
        (
            {"type": "vdpa", "version": "1.1.0", "vdpa": {"parent-device": "a", "driver": "x", "path": "y"}},
            "$.vdpa.driver: ",
        ),
        (
            {
                "type": "memif",
                "version": "1.1.0",
                "memif": {"role": "master", "path": "y", "mode": "ip"},
                "pci": {"pci-address": "x"},
            },
            'type "memif" excludes the key "pci"',
        ),
    ],
)
def test_5_45_what_is_no_device(raw: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        DeviceInfo.from_object(raw)
    assert problem in caught.value.msg


def test_5_43_file_names() -> None:
    directory = "/var/run/k8s.cni.cncf.io/devinfo"
    assert device_plugin_file("intel.com/net_A", "0000:03:02.3") == (
        f"{directory}/dp/intel.com-net_A-0000:03:02.3-device.json"
    )
    assert cni_file("default/mv", "c1", "net1") == f"{directory}/cni/default-mv-c1_net1"
