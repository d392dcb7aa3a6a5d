"""What Multus remembers of a pod, as records: statements 2.19 to 2.24, 5.31 and 5.32."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multinet.cni.cache import CachedAttachment
from multinet.cni.errors import CNIError
from multinet.core.takeover import ScratchDelegate, Takeover

CONF = {"cniVersion": "0.4.0", "type": "bridge", "unknown": {"kept": True}}
WHOSE = Takeover(
    container_id="c1", netns="/run/netns/given", args="K8S_POD_NAMESPACE=a;K8S_POD_NAME=b", path=("/p",)
)


def raw(name: str) -> bytes:
    return json.dumps({**CONF, "name": name}).encode()


def delegate(name: str, **more: Any) -> ScratchDelegate:
    return ScratchDelegate(name=f"ns/{name}", network=raw(name), **more)


def result(name: str, ifname: str, **more: Any) -> CachedAttachment:
    given = {
        "netns": "/run/netns/x",
        "args": (("K8S_POD_NAMESPACE", "n"), ("K8S_POD_NAME", "p"), ("IP", "a=b")),
        **more,
    }
    return CachedAttachment(network_name=name, container_id="c1", ifname=ifname, config=raw(name), **given)


def test_names_follow_from_the_places_as_at_every_verb_2_24() -> None:
    delegates = [delegate("a"), delegate("b", ifname="foo"), delegate("c"), delegate("c")]
    records = WHOSE.from_scratch(delegates, [])
    assert [(r.ifname, r.position) for r in records] == [("eth0", 0), ("foo", 1), ("net2", 2), ("net3", 3)]
    assert [r.name for r in records] == ["ns/a", "ns/b", "ns/c", "ns/c"]


def test_configuration_is_byte_for_byte_1_14() -> None:
    (record,) = WHOSE.from_scratch([delegate("a")], [])
    assert record.network == raw("a")
    assert record.network_name == "a"
    assert record.phase == "ready" and record.foreign and record.applied == {}


def test_the_result_says_what_the_scratch_file_does_not() -> None:
    entry = result("a", "eth0", capability_args={"portMappings": [1]}, result={"cniVersion": "0.4.0"})
    (record,) = WHOSE.from_scratch([delegate("a")], [entry, result("a", "net1")])
    assert record.netns == "/run/netns/x"
    assert record.args == "K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;IP=a=b"
    assert record.pod == "n/p"
    assert record.capability_args == {"portMappings": [1]}
    assert record.result == {"cniVersion": "0.4.0"}


def test_without_a_result_the_call_says_it() -> None:
    asked = delegate("b", mac="02:00:00:00:00:01", ips=("10.0.0.1/24",), device_id="0000:1", default_route=())
    _, record = WHOSE.from_scratch([delegate("a"), asked], [])
    assert (record.netns, record.pod, record.path) == ("/run/netns/given", "a/b", ("/p",))
    assert record.capability_args == {
        "mac": "02:00:00:00:00:01",
        "ips": ["10.0.0.1/24"],
        "deviceID": "0000:1",
    }
    assert record.default_route == ()
    assert record.result is None


def test_by_the_results_alone_5_33() -> None:
    """The default network first, then by number."""
    names = ["net10", "net2", "eth0", "net1"]
    records = WHOSE.from_results([result("n", ifname) for ifname in names])
    assert [(r.ifname, r.position) for r in records] == [("eth0", 0), ("net1", 1), ("net2", 2), ("net10", 3)]


@pytest.mark.parametrize("network", [b"", b"{", b"[]", b"{}", b'{"type": "x"}'])
def test_configuration_that_is_none(network: bytes) -> None:
    with pytest.raises(CNIError) as caught:
        WHOSE.from_scratch([ScratchDelegate(name="ns/a", network=network)], [])
    assert caught.value.code in (6, 7)
    assert "network ns/a" in str(caught.value)
