"""host-local, row by row of the specification (plugins-ipam 0 and 1; the numbers are its sections)."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from multinet.cni.errors import CNIError, Code, InvalidConfig
from multinet.cni.result import DNS, IPConfig, Result, Route
from multinet.core.desired import Owner
from multinet.delegates.host_local import HostLocal, host_local
from multinet.ports import IpamRequest

Json = dict[str, Any]


class Node:
    """A network of one node, its files under a temporary folder."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.folder = data_dir / "net"
        self.plugin = HostLocal()

    def request(
        self,
        ipam: Json,
        owner: str = "id",
        args: dict[str, str] | None = None,
        ifname: str = "eth0",
        **top: Any,
    ) -> IpamRequest:
        ipam = {"type": "host-local", "dataDir": str(self.data_dir), **ipam}
        conf = {"cniVersion": "1.0.0", "name": "net", "type": "any", "ipam": ipam, **top}
        deadline = time.monotonic() + 20
        return IpamRequest(conf=conf, owner=Owner("net", owner, ifname), args=args or {}, deadline=deadline)

    def add(self, ipam: Json, owner: str = "id", args: dict[str, str] | None = None, **top: Any) -> list[str]:
        result = self.plugin.allocate(self.request(ipam, owner, args, **top))
        return [ip.address.partition("/")[0] for ip in result.ips]

    def release(self, owner: str = "id", ifname: str = "eth0") -> None:
        self.plugin.release(self.request({}, owner, ifname=ifname))

    def put(self, name: str, content: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content.encode())

    def files(self) -> dict[str, bytes]:
        if not self.folder.exists():
            return {}
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.name != "lock"}

    def addresses(self) -> set[str]:
        return {name for name in self.files() if not name.startswith("last_reserved_ip")}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


SMALL: Json = {"subnet": "10.0.0.0/29"}
"""Free: .2 to .6."""


def ranges(*sets: list[Json] | str) -> Json:
    return {"ranges": [[{"subnet": item}] if isinstance(item, str) else item for item in sets]}


# ---- 0 common


def test_missing_ipam_is_told_by_path() -> None:
    with pytest.raises(InvalidConfig, match="IPAM config missing 'ipam' key") as caught:
        host_local.allocate(
            IpamRequest(conf={"name": "n", "cniVersion": "1.0.0"}, owner=Owner("n", "i", "e"))
        )
    assert (caught.value.code, caught.value.path) == (Code.INVALID_CONFIG, "$.ipam")


def test_keys_match_in_any_case_and_the_exact_one_first(node: Node) -> None:
    request = node.request(
        {"RANGESTART": "10.0.0.5", "rangeEnd": "10.0.0.6", "RangeEnd": "10.0.0.5", **SMALL}
    )
    conf = dict(request.conf)
    conf["IPAM"] = conf.pop("ipam")
    conf["RunTimeConfig"] = {"IPS": ["10.0.0.6"]}
    result = node.plugin.allocate(IpamRequest(conf=conf, owner=request.owner))
    assert [ip.address for ip in result.ips] == ["10.0.0.6/29"]
    node.plugin.release(IpamRequest(conf=conf, owner=request.owner))
    assert node.addresses() == set()


def test_null_is_absent_and_unknown_keys_are_ignored(node: Node) -> None:
    ipam: Json = {**SMALL, "gateway": None, "rangeStart": "", "ranges": None, "routes": None, "colour": "red"}
    assert node.add(ipam, runtimeConfig=None) == ["10.0.0.2"]


def test_routes_are_copied_in_order_with_duplicates(node: Node) -> None:
    given = [
        {
            "dst": "10.9.1.7/16",
            "gw": "10.0.0.9",
            "mtu": 1400,
            "advmss": 1300,
            "priority": 7,
            "table": 9,
            "scope": 253,
        },
        {"dst": "0.0.0.0/0", "gw": "10.0.0.1"},
        {"dst": "0.0.0.0/0", "gw": "10.0.0.2"},
        {"dst": "2001:DB8::/32"},
    ]
    result = node.plugin.allocate(node.request({**SMALL, "routes": given}))
    assert result.routes == (
        Route("10.9.1.7/16", "10.0.0.9", 1400, 1300, 7, 9, 253),
        Route("0.0.0.0/0", "10.0.0.1"),
        Route("0.0.0.0/0", "10.0.0.2"),
        Route("2001:db8::/32"),
    )


def test_the_result_has_neither_interfaces_nor_interface_indexes(node: Node) -> None:
    result = node.plugin.allocate(node.request(SMALL))
    assert result == Result(ips=(IPConfig("10.0.0.2/29", "10.0.0.1"),))


@pytest.mark.parametrize(
    ("version", "sets", "fine"),
    [
        ("0.2.0", ("10.0.0.0/29", "10.0.1.0/29"), False),
        ("0.1.0", ("2001:db8::/64", "2001:db8:1::/64"), False),
        ("", ("10.0.0.0/29", "10.0.1.0/29"), False),
        ("0.2.0", ("10.0.0.0/29", "2001:db8::/64"), True),
        ("0.3.0", ("10.0.0.0/29", "10.0.1.0/29"), True),
    ],
)
def test_old_versions_take_one_address_a_family(
    node: Node, version: str, sets: tuple[str, ...], fine: bool
) -> None:
    if fine:
        assert len(node.add(ranges(*sets), cniVersion=version)) == 2
        return
    shown = version or "0.1.0"
    with pytest.raises(
        CNIError, match=f"CNI version {shown} does not support more than 1 address per family"
    ):
        node.add(ranges(*sets), cniVersion=version)
    assert not node.folder.exists()


def test_unknown_cni_args_unless_ignored(node: Node) -> None:
    with pytest.raises(CNIError, match=r'ARGS: unknown args \["K8S_POD_NAME=x"\]') as caught:
        node.add(SMALL, args={"K8S_POD_NAME": "x"})
    assert caught.value.code == Code.INVALID_ENVIRONMENT
    assert node.add(SMALL, args={"IgnoreUnknown": "1", "K8S_POD_NAME": "x", "ip": "10.0.0.4"}) == ["10.0.0.2"]


# ---- 1.1 options


def test_sets_come_from_runtime_then_old_style_then_ranges(node: Node) -> None:
    ipam = {"subnet": "10.2.0.0/24", **ranges("10.3.0.0/24")}
    runtime = {"ipRanges": [[{"subnet": "10.1.0.0/24"}]]}
    assert node.add(ipam, runtimeConfig=runtime) == ["10.1.0.2", "10.2.0.2", "10.3.0.2"]
    assert node.files()["last_reserved_ip.1"] == b"10.2.0.2"


@pytest.mark.parametrize("ipam", [{}, {"rangeStart": "10.0.0.2"}, {"ranges": []}])
def test_no_ranges(node: Node, ipam: Json) -> None:
    with pytest.raises(InvalidConfig, match="no IP ranges specified"):
        node.add(ipam)


def test_requested_addresses_of_all_three_places_add_up(node: Node) -> None:
    ipam = ranges("10.1.0.0/24", "10.2.0.0/24", "2001:db8::/64", "10.4.0.0/24")
    conf = {
        **node.request(ipam).conf,
        "args": {"cni": {"ips": ["::ffff:10.1.0.9", "10.1.0.9"]}},
        "runtimeConfig": {"ips": ["2001:DB8::5/64", "10.2.0.77/8"]},
    }
    owner = Owner("net", "id", "eth0")
    result = node.plugin.allocate(IpamRequest(conf=conf, owner=owner, args={"IP": "10.2.0.77"}))
    got = [ip.address for ip in result.ips]
    assert got == ["10.1.0.9/24", "10.2.0.77/24", "2001:db8::5/64", "10.4.0.2/24"]


@pytest.mark.parametrize(
    ("args", "top", "text"),
    [
        ({"IP": "x"}, {}, r'ARGS: error parsing value of pair "IP=x": invalid IP address x'),
        ({"IP": "10.0.0.2/33"}, {}, r'pair "IP=10.0.0.2/33": invalid IP address 10.0.0.2/33'),
        (
            {},
            {"args": {"cni": {"ips": ["10.0.0.2", "y"]}}},
            r"^\$\.args\.cni\.ips\[1\]: invalid IP address y",
        ),
        ({}, {"runtimeConfig": {"ips": ["10.0.0.02"]}}, r"^\$\.runtimeConfig\.ips\[0\]: invalid IP address"),
        ({}, {"runtimeConfig": {"ips": [""]}}, r"cannot understand ip: IP <nil> not v4 nor v6"),
        ({}, {"runtimeConfig": {"ips": ["fe80::1%eth0"]}}, r"invalid IP address fe80::1%eth0"),
        ({}, {"runtimeConfig": {"ips": [5]}}, r"^\$\.runtimeConfig\.ips\[0\]: expected str"),
    ],
)
def test_bad_requested_addresses(node: Node, args: dict[str, str], top: Json, text: str) -> None:
    request = node.request(SMALL)
    with pytest.raises(CNIError, match=text):
        node.plugin.allocate(IpamRequest(conf={**request.conf, **top}, owner=request.owner, args=args))
    assert not node.folder.exists()


# ---- 1.2 validation


@pytest.mark.parametrize(
    ("conf", "path", "text"),
    [
        ({}, "subnet", "IP <nil> not v4 nor v6"),
        ({"subnet": "nonsense"}, "subnet", "invalid CIDR address: nonsense"),
        ({"subnet": "10.0.0.0/255.0.0.0"}, "subnet", "invalid CIDR address: 10.0.0.0/255.0.0.0"),
        ({"subnet": "192.0.2.0/31"}, "subnet", "Network 192.0.2.0/31 too small to allocate from"),
        ({"subnet": "192.0.2.7/32"}, "subnet", "Network 192.0.2.7/32 too small to allocate from"),
        ({"subnet": "2001:db8::/127"}, "subnet", "Network 2001:db8::/127 too small to allocate from"),
        ({"subnet": "::ffff:192.0.2.0/120"}, "subnet", "IPNet IP and Mask version mismatch"),
        (
            {"subnet": "192.0.2.12/24"},
            "subnet",
            "Network has host bits set. For a subnet mask of length 24 the network address is 192.0.2.0",
        ),
        ({"subnet": "192.0.2.0/24", "gateway": "gw"}, "gateway", "invalid IP address: gw"),
        (
            {"subnet": "192.0.2.0/24", "rangeStart": "192.0.3.1"},
            "rangeStart",
            "RangeStart 192.0.3.1 not in network 192.0.2.0/24",
        ),
        (
            {"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.50", "rangeEnd": "192.0.2.40"},
            "rangeStart",
            "RangeStart 192.0.2.50 not in network 192.0.2.0/24",
        ),
        (
            {"subnet": "192.0.2.0/24", "rangeStart": "::1"},
            "rangeStart",
            "RangeStart ::1 not in network 192.0.2.0/24",
        ),
        (
            {"subnet": "192.0.2.0/24", "rangeEnd": "192.0.4.0"},
            "rangeEnd",
            "RangeEnd 192.0.4.0 not in network 192.0.2.0/24",
        ),
        (
            {"subnet": "192.0.2.0/24", "rangeEnd": "192.0.2.0"},
            "rangeEnd",
            "RangeEnd 192.0.2.0 not in network 192.0.2.0/24",
        ),
        (  # Q of the reference: the walk would leave the subnet
            {"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.255"},
            "rangeStart",
            "RangeStart 192.0.2.255 not in network 192.0.2.0/24",
        ),
    ],
)
def test_range_faults(node: Node, conf: Json, path: str, text: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        node.add(ranges("10.0.0.0/24", [{"subnet": "10.7.0.0/24"}, conf]))
    assert caught.value.path == f"$.ipam.ranges[1][1].{path}"
    assert f"invalid range set 1: {text}" in caught.value.problem
    assert caught.value.code == Code.INVALID_CONFIG


def test_faults_of_the_old_style_and_of_runtime_ranges_name_their_place(node: Node) -> None:
    with pytest.raises(InvalidConfig) as caught:
        node.add({"subnet": "192.0.2.0/31"}, runtimeConfig={"ipRanges": [[{"subnet": "10.0.0.1/24"}]]})
    assert caught.value.path == "$.runtimeConfig.ipRanges[0][0].subnet"
    assert "$.ipam.subnet: invalid range set 1: Network 192.0.2.0/31 too small" in caught.value.problem


@pytest.mark.parametrize(
    ("ipam", "text"),
    [
        ({"ranges": [[]]}, "invalid range set 0: empty range set"),
        (
            ranges([{"subnet": "10.0.0.0/24"}, {"subnet": "2001:db8::/64"}]),
            "invalid range set 0: mixed address families",
        ),
        (
            ranges([{"subnet": "10.1.0.0/22"}, {"subnet": "10.1.2.0/24"}]),
            "subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap",
        ),
        (ranges("10.1.0.0/22", "10.1.2.0/24"), "range set 0 overlaps with 1"),
    ],
)
def test_set_faults(node: Node, ipam: Json, text: str) -> None:
    with pytest.raises(InvalidConfig, match=text):
        node.add(ipam)


def test_disjoint_parts_of_one_subnet_are_no_overlap(node: Node) -> None:
    low = {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.10", "rangeEnd": "10.0.0.19"}
    high = {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.20", "rangeEnd": "10.0.0.29"}
    assert node.add(ranges([low], [high])) == ["10.0.0.10", "10.0.0.20"]


@pytest.mark.parametrize(
    ("conf", "free"),
    [
        ({"subnet": "10.0.0.0/30"}, ["10.0.0.2"]),
        ({"subnet": "2001:db8::/126"}, ["2001:db8::2", "2001:db8::3"]),
        ({"subnet": "10.0.0.0/30", "gateway": "10.0.0.9"}, ["10.0.0.1", "10.0.0.2"]),
        (
            {"subnet": "10.0.0.0/30", "rangeStart": "10.0.0.0", "rangeEnd": "10.0.0.3"},
            ["10.0.0.0", "10.0.0.2", "10.0.0.3"],
        ),
        ({"subnet": "10.0.0.0/29", "rangeStart": "10.0.0.5", "rangeEnd": "10.0.0.5"}, ["10.0.0.5"]),
        ({"subnet": "10.0.0.0/30", "gateway": "2001:db8::1"}, ["10.0.0.1", "10.0.0.2"]),
        # extensions
        ({"subnet": "10.0.0.0/31", "noGateway": True}, ["10.0.0.0", "10.0.0.1"]),
        ({"subnet": "10.0.0.7/32", "noGateway": True}, ["10.0.0.7"]),
        ({"subnet": "2001:db8::/127", "noGateway": True}, ["2001:db8::", "2001:db8::1"]),
        ({"subnet": "2001:db8::9/128", "noGateway": True}, ["2001:db8::9"]),
        ({"subnet": "10.0.0.0/30", "noGateway": True}, ["10.0.0.1", "10.0.0.2"]),
    ],
)
def test_what_a_range_gives_out(node: Node, conf: Json, free: list[str]) -> None:
    got = [node.add(ranges([conf]), f"c{i}")[0] for i in range(len(free))]
    assert got == free
    with pytest.raises(CNIError, match="no IP addresses available in range set: "):
        node.add(ranges([conf]), "one-too-many")


def test_the_gateway_may_lie_outside_and_is_in_the_result(node: Node) -> None:
    request = node.request(ranges([{"subnet": "10.0.0.0/24", "gateway": "10.9.9.9"}], "2001:db8::/64"))
    gateways = [ip.gateway for ip in node.plugin.allocate(request).ips]
    assert gateways == ["10.9.9.9", "2001:db8::1"]


def test_no_gateway_and_a_gateway_contradict(node: Node) -> None:
    with pytest.raises(InvalidConfig, match=r"\$\.ipam\.gateway: .*noGateway"):
        node.add({"subnet": "10.0.0.0/24", "gateway": "10.0.0.1", "noGateway": True})
    result = node.plugin.allocate(node.request({"subnet": "10.0.0.0/24", "noGateway": True}))
    assert result.ips == (IPConfig("10.0.0.1/24", ""),)


def test_excluded_addresses_are_never_given_out(node: Node) -> None:
    ipam = {**SMALL, "exclude": ["10.0.0.2", "10.0.0.4/31", "2001:db8::/64"]}
    assert [node.add(ipam, "a"), node.add(ipam, "b")] == [["10.0.0.3"], ["10.0.0.6"]]
    with pytest.raises(CNIError, match="no IP addresses available"):
        node.add(ipam, "c")
    with pytest.raises(CNIError, match=r'10\.0\.0\.5 is in "exclude"'):
        node.add(ipam, "c", args={"IP": "10.0.0.5"})
    with pytest.raises(InvalidConfig, match=r"\$\.ipam\.exclude\[0\]: invalid IP address: x"):
        node.add({**SMALL, "exclude": ["x"]})


def test_gateways_of_sibling_ranges_are_skipped_too(node: Node) -> None:
    ipam = ranges(
        [{"subnet": "10.0.0.0/30", "gateway": "10.0.1.1"}, {"subnet": "10.0.1.0/30", "gateway": "10.0.0.1"}]
    )
    assert [node.add(ipam, "a"), node.add(ipam, "b")] == [["10.0.0.2"], ["10.0.1.2"]]
    with pytest.raises(
        CNIError, match=r"no IP addresses available in range set: 10\.0\.0\.1-10\.0\.0\.2,10\.0\.1\.1-"
    ):
        node.add(ipam, "c")


# ---- 1.3 ADD


@pytest.mark.parametrize(
    ("last", "taken", "expected"),
    [
        (None, [], "10.0.0.2"),
        ("10.0.0.5", [], "10.0.0.6"),
        ("10.0.0.5", ["10.0.0.6"], "10.0.0.2"),
        ("10.0.0.6", [], "10.0.0.2"),
        ("10.0.0.128", [], "10.0.0.2"),
        ("10.0.0.4", ["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"], "10.0.0.4"),
        ("10.0.0.5\n", [], "10.0.0.2"),  # parsed without trimming
        ("", [], "10.0.0.2"),
        ("2001:db8::1", [], "10.0.0.2"),
        ("10.0.0.1", [], "10.0.0.2"),
    ],
)
def test_walk(node: Node, last: str | None, taken: list[str], expected: str) -> None:
    if last is not None:
        node.put("last_reserved_ip.0", last)
    for address in taken:
        node.put(address, "other\r\neth0")
    assert node.add(SMALL) == [expected]
    assert node.files()["last_reserved_ip.0"] == expected.encode()


def test_a_set_of_several_subnets_rolls_over(node: Node) -> None:
    ipam = ranges([{"subnet": f"10.0.{i}.0/30"} for i in range(3)])
    given = []
    for i in range(4):
        given += node.add(ipam, f"c{i}")
        node.release(f"c{i}")
    assert given == ["10.0.0.2", "10.0.1.2", "10.0.2.2", "10.0.0.2"]


def test_release_and_add_give_the_next_address(node: Node) -> None:
    assert node.add(SMALL) == ["10.0.0.2"]
    node.release()
    assert node.add(SMALL) == ["10.0.0.3"]


def test_unreadable_last_file_is_told_and_add_goes_on(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    (node.folder / "last_reserved_ip.0").mkdir(parents=True)
    assert node.add(SMALL) == ["10.0.0.2"]
    assert "Error retrieving last reserved ip: " in caplog.text


def test_unwritable_last_file_is_no_failure_and_leaks_nothing(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.put("last_reserved_ip.0", "")
    (node.folder / "last_reserved_ip.0").unlink()
    (node.folder / "last_reserved_ip.0").symlink_to("/proc/version")  # readable, never writable
    assert node.add(SMALL) == ["10.0.0.2"]
    assert "can't write last_reserved_ip.0" in caplog.text
    node.release()
    assert node.add(SMALL) == ["10.0.0.2"]


def test_second_add_is_refused_and_the_first_stays_whole(node: Node) -> None:
    ipam = ranges("10.0.0.0/29", "10.0.1.0/29")
    node.add(ipam)
    before = node.files()
    with pytest.raises(CNIError) as caught:
        node.add(ipam)
    assert caught.value.msg == (
        "failed to allocate for range 0: "
        "10.0.0.2 has been allocated to id, duplicate allocation is not allowed"
    )
    assert caught.value.code == Code.IPAM
    assert node.files() == before


def test_another_interface_of_the_container_is_no_duplicate(node: Node) -> None:
    node.add(SMALL)
    result = node.plugin.allocate(node.request(SMALL, ifname="net1"))
    assert result.ips[0].address == "10.0.0.3/29"


def test_a_legacy_file_of_the_container_is_a_duplicate_for_every_interface(node: Node) -> None:
    node.put("10.0.0.4", "id")
    with pytest.raises(CNIError, match=r"10\.0\.0\.4 has been allocated to id"):
        node.add(SMALL)


def test_duplicates_count_within_the_set_only(node: Node) -> None:
    node.put("10.9.0.4", "id\r\neth0")
    assert node.add(SMALL) == ["10.0.0.2"]


def test_requested_address(node: Node) -> None:
    assert node.add(SMALL, args={"IP": "10.0.0.4"}) == ["10.0.0.4"]
    assert node.files() == {"10.0.0.4": b"id\r\neth0", "last_reserved_ip.0": b"10.0.0.4"}
    # no duplicate check by container, but not the same address again
    assert node.add(SMALL, args={"IP": "10.0.0.6"}) == ["10.0.0.6"]
    text = r"requested IP address 10\.0\.0\.4 is not available in range set 10\.0\.0\.1-10\.0\.0\.6"
    with pytest.raises(CNIError, match=f"^failed to allocate for range 0: {text}"):
        node.add(SMALL, args={"IP": "10.0.0.4"})
    with pytest.raises(CNIError, match=r"requested ip 10\.0\.0\.1 is subnet's gateway"):
        node.add(SMALL, args={"IP": "10.0.0.1"})


def test_requested_addresses_that_fit_nowhere(node: Node) -> None:
    top: Json = {"runtimeConfig": {"ips": ["10.0.0.3", "10.5.0.1", "10.0.0.4"]}}
    with pytest.raises(
        CNIError, match=r"failed to allocate all requested IPs: 10\.5\.0\.1 10\.0\.0\.4"
    ) as caught:
        node.add(SMALL, **top)
    assert caught.value.code == Code.IPAM
    assert node.addresses() == set()


def test_failure_in_a_later_set_frees_what_this_add_reserved_and_no_more(node: Node) -> None:
    ipam = ranges("10.0.0.0/29", "10.0.1.0/30")
    node.put("10.0.1.2", "other\r\neth0")
    node.put("10.7.0.1", "id\r\neth0")  # of an earlier good ADD with other ranges
    text = r"failed to allocate for range 1: no IP addresses available in range set: 10\.0\.1\.1-10\.0\.1\.2"
    with pytest.raises(CNIError, match=text):
        node.add(ipam)
    assert node.addresses() == {"10.0.1.2", "10.7.0.1"}


def test_ipv6_range_of_any_size(node: Node) -> None:
    assert node.add({"subnet": "::/8", "rangeStart": "::ff:ffff"}) == ["::ff:ffff"]
    assert node.add({"subnet": "::/8", "rangeStart": "::ff:ffff"}, "b") == ["::100:0"]  # stays IPv6
    node.put("last_reserved_ip.0", "2001:db8::ffff:ffff:ffff:ffff")
    assert node.add({"subnet": "2001:db8::/64"}, "c") == ["2001:db8::2"]


# ---- 1.4 on disk


def test_files_as_the_reference_leaves_them(node: Node) -> None:
    node.add(ranges("10.1.2.0/24", "2001:db8:1::/64"), "dummy")
    mode = {path.name: stat.S_IMODE(path.stat().st_mode) for path in node.folder.iterdir()}
    assert node.files() == {
        "10.1.2.2": b"dummy\r\neth0",
        "2001:db8:1::2": b"dummy\r\neth0",
        "last_reserved_ip.0": b"10.1.2.2",
        "last_reserved_ip.1": b"2001:db8:1::2",
    }
    addresses = {"10.1.2.2", "2001:db8:1::2", "last_reserved_ip.0", "last_reserved_ip.1"}
    assert mode == {**dict.fromkeys(addresses, 0o600), "lock": 0o750}
    assert (node.folder / "lock").read_bytes() == b""
    assert stat.S_IMODE(node.folder.stat().st_mode) == 0o755


def test_a_shorter_last_address_leaves_no_rest_of_a_longer_one(node: Node) -> None:
    node.put("last_reserved_ip.0", "10.0.0.2 and more that was never an address")
    node.add(SMALL)
    assert node.files()["last_reserved_ip.0"] == b"10.0.0.2"


def test_missing_parents_are_made_0755(tmp_path: Path) -> None:
    node = Node(tmp_path / "a" / "b")
    node.add(SMALL)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


def test_a_lock_held_too_long_is_code_11(node: Node) -> None:
    node.add(SMALL)
    with (node.folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        request = node.request(SMALL, "late")
        late = IpamRequest(conf=request.conf, owner=request.owner, deadline=time.monotonic() + 0.05)
        with pytest.raises(CNIError) as caught:
            node.plugin.allocate(late)
    assert caught.value.code == Code.TRY_AGAIN
    assert str(node.folder / "lock") in caught.value.msg
    assert node.add(SMALL, "late") == ["10.0.0.3"]


def test_a_folder_that_cannot_be_made_is_code_5(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    node = Node(tmp_path / "file")
    with pytest.raises(CNIError, match="not a directory") as caught:
        node.add(SMALL)
    assert caught.value.code == Code.IO_FAILURE


# ---- 1.5 release and check


def test_id_is_stripped(node: Node) -> None:
    node.add(SMALL, "   dummy\n ")
    assert node.files()["10.0.0.2"] == b"dummy\r\neth0"
    assert node.plugin.check(node.request(SMALL, "   dummy\n "), None) == []
    node.release("   dummy\n ")
    assert node.addresses() == set()


def test_release_goes_by_content_and_only_without_match_by_the_legacy_one(node: Node) -> None:
    node.put("10.0.0.3", "id\r\neth0\n")
    node.put("192.168.7.7", "id\r\neth0")  # of a range that isn't configured any more
    node.put("10.0.0.4", "id")
    node.put("10.0.0.5", "id\r\nnet1")
    node.release()
    assert node.addresses() == {"10.0.0.4", "10.0.0.5"}
    node.release()
    assert node.addresses() == {"10.0.0.5"}
    node.release()
    node.release("unknown")
    assert node.addresses() == {"10.0.0.5"}


@pytest.mark.parametrize(
    "ipam",
    [
        {"type": "host-local"},
        {"ranges": "nonsense", "routes": 5},
        {"subnet": "10.0.0.0/31"},
        {"resolvConf": "/nowhere"},
    ],
)
def test_release_needs_only_name_and_folder(node: Node, ipam: Json) -> None:
    node.add(SMALL)
    request = node.request(ipam, args={"IP": "junk", "unknown": "x"}, runtimeConfig="junk")
    node.plugin.release(request)
    assert node.addresses() == set()


def test_release_without_a_folder_is_success_and_makes_none(node: Node) -> None:
    node.release()
    assert not node.folder.exists()


@pytest.mark.parametrize("name", ["../net", "", "a/b", ".", 5])
def test_no_path_is_built_from_a_bad_name(node: Node, name: object) -> None:
    request = node.request(SMALL)
    bad = IpamRequest(conf={**request.conf, "name": name}, owner=Owner("", "id", "eth0"))
    with pytest.raises(CNIError) as caught:
        node.plugin.release(bad)
    assert caught.value.code == Code.INVALID_CONFIG


def test_check(node: Node) -> None:
    (missing,) = node.plugin.check(node.request(SMALL), None)
    assert "host-local: Failed to find address added by container id" in str(missing)
    result = node.plugin.allocate(node.request(SMALL))
    assert node.plugin.check(node.request(SMALL), None) == []
    assert node.plugin.check(node.request(SMALL), result) == []
    elsewhere = Result(ips=(IPConfig("172.16.0.1/24"), IPConfig("10.0.0.5/29")))
    (wrong,) = node.plugin.check(node.request(SMALL), elsewhere)
    assert str(wrong) == f"{node.folder}/10.0.0.5: holder is absent, expected id eth0"
    assert len(node.plugin.check(node.request(SMALL, ifname="net1"), None)) == 1


# ---- 1.6 resolvConf


def test_resolv_conf(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# comment\n; comment\n\n  nameserver 192.0.2.1 ignored \nnameserver\t192.0.2.2\n"
        "domain first.example\ndomain example.com\nsearch a.example b.example\nsearch c.example\n"
        "options ndots:5 # not cut\nlonely\n"
        "sortlist 1.2.3.4\n#nameserver 192.0.2.3\n"
    )
    result = node.plugin.allocate(node.request({**SMALL, "resolvConf": str(path)}))
    assert result.dns == DNS(
        ("192.0.2.1", "192.0.2.2"),
        "example.com",
        ("a.example", "b.example", "c.example"),
        ("ndots:5", "#", "not", "cut"),
    )


def test_missing_resolv_conf_fails_before_anything_is_reserved(node: Node) -> None:
    with pytest.raises(CNIError, match=r"^open /nowhere/resolv\.conf: no such file or directory$"):
        node.add({**SMALL, "resolvConf": "/nowhere/resolv.conf"})
    assert not node.folder.exists()


# ---- 1.7 what is done better


def test_collect_frees_what_is_not_alive(node: Node) -> None:
    node.put("10.0.0.2", "alive\r\neth0")
    node.put("10.0.0.3", "alive\r\nnet1")
    node.put("10.0.0.4", "dead\r\neth0")
    node.put("10.0.0.5", "alive")  # legacy: lives as long as any interface of its container
    node.put("10.0.0.6", "dead")
    node.put("2001:db8::2", "dead\r\neth0")
    node.put("notes.txt", "dead\r\neth0")
    node.put("last_reserved_ip.0", "10.0.0.6")
    node.plugin.collect(node.request({"ranges": "faulty"}), {("alive", "eth0"), ("elsewhere", "eth0")})
    assert node.addresses() == {"10.0.0.2", "10.0.0.5", "notes.txt"}
    node.plugin.collect(node.request(SMALL), set())
    assert node.addresses() == {"notes.txt"}


def test_empty_files_are_free(node: Node) -> None:
    for address, content in (("10.0.0.2", ""), ("10.0.0.3", "\0\0\0\0"), ("10.0.0.4", " \n")):
        node.put(address, content)
    assert [node.add(SMALL, f"c{i}")[0] for i in range(5)] == [f"10.0.0.{i}" for i in range(2, 7)]


def test_status(node: Node, tmp_path: Path) -> None:
    ipam = {"subnet": "10.0.0.0/30"}
    node.plugin.status(node.request(ipam, ""))
    assert not node.folder.exists()
    node.add(ipam)
    with pytest.raises(CNIError, match=r"range set: 10\.0\.0\.1-10\.0\.0\.2$") as caught:
        node.plugin.status(node.request(ipam, ""))
    assert caught.value.code == Code.NOT_AVAILABLE
    before = sorted(os.listdir(node.folder))
    node.release()
    node.plugin.status(node.request(ipam, ""))
    assert sorted([*os.listdir(node.folder), "10.0.0.2"]) == before
    node.plugin.status(node.request({}, ""))  # ranges come by capability, which STATUS doesn't carry


def test_status_of_a_folder_that_cannot_be_written(node: Node, tmp_path: Path) -> None:
    node.add(SMALL)
    (node.folder / ".multinet-new").mkdir()  # permissions don't stop root
    (tmp_path / "file").write_text("")
    for broken in (node, Node(tmp_path / "file")):
        with pytest.raises(CNIError, match="host-local: can't ") as caught:
            broken.plugin.status(broken.request(SMALL, ""))
        assert caught.value.code == Code.NOT_AVAILABLE
