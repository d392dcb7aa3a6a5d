"""host-device. Devices by PCI address or kernel path need hardware: of those only the refusals are here."""

from __future__ import annotations

from tests.differential import better
from tests.differential.case import Case, Improvement
from tests.differential.conf import (
    DEFAULT,
    DNS,
    NET,
    NET_GW,
    V4,
    V6,
    VERSIONS,
    WITH_UPLINK,
    host,
    ranges,
    static,
)
from tests.differential.table import Table


def _usual(case: Case) -> tuple[Improvement, ...]:
    found = [better.DEVICE_AGAIN, better.DEVICE_BACK, *better.ipv6_of(case)]
    if case.version == "1.0.0":
        found.append(better.MTU)
    if case.l3 or "Ipam" in case.conf:
        found.append(better.ANNOUNCED_V4)
        if case.checked and not better.has_ipv6(case):
            found.append(better.CHECK_MORE)
    return tuple(found)


CASES = Table("host-device", conf={"device": "up0"}, setup=WITH_UPLINK, usual=_usual)
_case, _refusal = CASES.case, CASES.refusal
_BY_MAC = "02:00:00:00:00:10"

_case("L2")
_case("L2 with empty ipam", ipam={})
_case("v4", ipam=ranges(V4))
_case("v6", ipam=ranges(V6))
_case("dual", ipam=ranges(V4, V6))
_case("routes", ipam=ranges(V4, routes=[{**NET, "gw": "10.1.2.1"}, NET_GW, {**DEFAULT, "gw": "10.1.2.1"}]))
_case("static twice", ipam=static("10.1.2.33/24 10.1.2.1", "10.9.0.3/16"))
_case("static without gateway", ipam=static("10.1.2.33/24"))
_case("by mac", device=None, hwaddr=_BY_MAC)
_case("by mac v4", ipam=ranges(V4), device=None, hwaddr=_BY_MAC)
_case("by mac in capitals", device=None, hwaddr="02:00:00:00:00:10".upper())
_case("name before mac", hwaddr="02:00:00:00:00:11")
_case("down before", setup=host("ip link set up0 down"), ipam=ranges(V4))
_case("down before L2", setup=host("ip link set up0 down"))
_case("mtu stays", setup=host("ip link set up0 mtu 1450"), ipam=ranges(V4))
_case("own dns", dns=DNS, ipam=ranges(V4))
_case("dns of ipam", better.IPAM_DNS, ipam=static("10.1.2.33/24", dns=DNS))
_case("own dns L2", better.DEVICE_DNS, dns=DNS)
_case("name taken on the host", setup=host("ip link add eth0 type veth peer name eth1"), ipam=ranges(V4))
_case("same name", ifname="up0", ipam=ranges(V4))
_case("another interface name", ifname="net1.5", ipam=ranges(V4))
_case("any case", DEVICE="up0", Ipam=ranges(V4))
for _version in VERSIONS:
    _case("dual", version=_version, ipam=ranges(V4, V6))

_refusal(
    "nothing named",
    'specify either "device", "hwaddr", "kernelpath" or "pciBusID"',
    better.FAULTY_DEL,
    device=None,
)
_refusal(
    "device missing", "failed to find host device: Link not found", better.DEVICE_NEVER_MOVED, device="nic7"
)
_refusal(
    "mac missing",
    "failed to find physical interface",
    better.DEVICE_NEVER_MOVED,
    device=None,
    hwaddr="02:00:00:00:00:99",
)
_refusal(
    "kernel path relative",
    'kernel device path "devices/x" must be absolute and begin with /sys/devices/',
    better.DEVICE_NEVER_MOVED,
    device=None,
    kernelpath="devices/x",
)
_refusal(
    "kernel path elsewhere",
    'kernel device path "/tmp" must be absolute and begin with /sys/devices/',
    better.DEVICE_NEVER_MOVED,
    device=None,
    kernelpath="/tmp",
)
_refusal("pci missing", "0000:ff:1f.7", better.FAULTY_DEL, device=None, pciBusID="0000:ff:1f.7")
_refusal("interface taken", "exist", better.NOTHING_LEFT, better.OTHERS_DEVICE, ifname="lo")
_refusal(
    "no addresses",
    "IPAM plugin returned missing IP config",
    better.NOTHING_LEFT,
    better.DEVICE_AGAIN,
    ipam=static(),
)
_refusal("wrong type", "device", better.FAULTY_DEL, device=5)
