"""cni.md 2.3, 2.5, 2.6; multi-network.md 10.3, 10.4, 10.5: faults come out in the skeleton's order."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from multinet.cni.errors import CNIError
from multinet.cni.request import read_request, require_other_netns, require_verb_allowed

ENV = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/c1",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin",
}


def read(stdin: Any, **env: str) -> Any:
    data = stdin if isinstance(stdin, bytes) else json.dumps(stdin).encode()
    return read_request({**ENV, **env}, lambda: data)


def fault(stdin: Any, **env: str) -> tuple[int, str]:
    with pytest.raises(CNIError) as caught:
        read(stdin, **env)
    return caught.value.code, caught.value.msg


def test_good_request() -> None:
    request = read({"cniVersion": "1.0", "name": "net", "type": "x", "own": [1]})
    assert request.invocation.ifname == "eth0"
    assert request.conf == {"cniVersion": "1.0", "name": "net", "type": "x", "own": [1]}
    assert request.cni_version == "1.0.0"


def test_1_1_no_version_is_0_1_0() -> None:
    assert read({"name": "net"}).cni_version == "0.1.0"
    assert read({"name": "net", "cniVersion": None}).cni_version == "0.1.0"


def test_2_3_order() -> None:
    """Each line repairs the fault before it, and meets the next one."""
    nonsense: dict[str, Any] = {"CNI_COMMAND": "NOPE", "CNI_PATH": ""}
    assert fault(b"{", CNI_PATH="") == (4, "required env variables [CNI_PATH] missing")
    assert fault(b"{", CNI_CONTAINERID="a b")[0] == 4
    assert fault(b"{", CNI_IFNAME="a b")[0] == 4
    assert fault(b"{", **nonsense)[0] == 6
    assert fault({"cniVersion": "9"}, **nonsense) == (7, "missing network name")
    assert fault({"cniVersion": "9", "name": "a/b"}, **nonsense) == (
        7,
        "invalid characters found in network name",
    )
    assert fault({"cniVersion": "9", "name": "a"}, **nonsense) == (1, "incompatible CNI versions")
    assert fault({"name": "a"}, **nonsense) == (4, "unknown CNI_COMMAND: NOPE")
    assert fault({"name": "a"}, CNI_COMMAND="CHECK") == (1, "config version does not allow CHECK")


@pytest.mark.parametrize(
    ("stdin", "problem"),
    [
        (b"", "line 1, column 1"),
        (b'{"name": "a",\n  "x": }', "line 2, column 8"),
        (b"[]", "$: expected an object, got list"),
        (b"null", "$: expected an object, got NoneType"),
        ({"name": 3}, "$.name: expected str, got int"),
        ({"name": "a", "cniVersion": 1.0}, "$.cniVersion: expected str, got float"),
    ],
)
def test_2_3_json_faults(stdin: Any, problem: str) -> None:
    code, msg = fault(stdin)
    assert code == 6
    assert msg.startswith("error unmarshall network config: ")
    assert problem in msg


def test_2_3_standard_input_fails() -> None:
    def broken() -> bytes:
        raise OSError(5, "Input/output error")

    with pytest.raises(CNIError, match="error reading from stdin: input/output error") as caught:
        read_request(ENV, broken)
    assert caught.value.code == 5


def test_2_3_version_reads_no_input() -> None:
    def unread() -> bytes:
        raise AssertionError("read")

    request = read_request({"CNI_COMMAND": "VERSION"}, unread)
    assert request.invocation.command == "VERSION"


@pytest.mark.parametrize(
    ("verb", "version"),
    [("CHECK", "0.3.1"), ("CHECK", "0.1.0"), ("GC", "1.0.0"), ("STATUS", "1.0.0"), ("STATUS", "0.4.0")],
)
def test_2_5_verbs_of_later_versions(verb: str, version: str) -> None:
    with pytest.raises(CNIError) as caught:
        require_verb_allowed(verb, version)
    assert (caught.value.code, caught.value.msg) == (1, f"config version does not allow {verb}")


@pytest.mark.parametrize(
    ("verb", "version"),
    [
        ("CHECK", "0.4.0"),
        ("CHECK", "1.1.0"),
        ("GC", "1.1.0"),
        ("STATUS", "1.1.0"),
        ("ADD", "0.1.0"),
        ("DEL", ""),
    ],
)
def test_2_5_verbs_that_are_allowed(verb: str, version: str) -> None:
    require_verb_allowed(verb, version)


def test_2_6_own_namespace_by_another_path() -> None:
    with pytest.raises(CNIError) as caught:
        require_other_netns(f"/proc/{os.getpid()}/ns/net", {})
    assert caught.value.code == 8
    assert caught.value.msg == "plugin's netns and netns from CNI_NETNS should not be the same"


@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_2_6_override(value: str) -> None:
    require_other_netns("/proc/self/ns/net", {"CNI_NETNS_OVERRIDE": value})


@pytest.mark.parametrize("netns", ["", "/nowhere", "/proc/self/ns/mnt", "a\0b"])
def test_2_6_other_or_no_namespace(netns: str) -> None:
    require_other_netns(netns, {})
