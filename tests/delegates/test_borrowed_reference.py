"""host-device and tuning beside the reference plugins: what one moves or changes, the other puts back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from multinet.testkit.snapshot import changes
from tests.delegates.chained import after, attached

Json = dict[str, Any]
pytestmark = pytest.mark.reference
TUNED = {"mac": "02:00:00:aa:bb:cc", "mtu": 1300, "promisc": True, "allmulti": True}


def reference(pod: Any, verb: str, conf: Json, **terms: Any) -> Json:
    """One verb by the Go plugin, in the host's namespace."""
    answer: Json = pod.bench.node().external.run(pod.call(verb, conf, **terms)) or {}
    return answer


@pytest.fixture
def conf(bench: Any, make: Any) -> Json:
    bench.uplink("dev0")
    more = {"device": "dev0", "dataDir": str(bench.directory / "lent")}
    found: Json = make("host-device", "1.0.0", **more)
    return found


def test_theirs_brings_home_what_ours_moved(bench: Any, conf: Json) -> None:
    pod = bench.pod()
    pod.add(conf)
    reference(pod, "CHECK", {**conf, "prevResult": pod.result})
    reference(pod, "DEL", conf)
    assert "dev0" in bench.lab.links() and set(bench.lab.links(pod.netns)) == {"lo"}
    # and ours has no more to do than to forget, though it has it written down
    pod.delete(conf, recorded=False)
    assert bench.files() == [] and "dev0" in bench.lab.links()


@pytest.mark.parametrize("gone", [False, True])
def test_ours_brings_home_what_theirs_moved(bench: Any, conf: Json, gone: bool) -> None:
    bench.lab.ip("link", "set", "dev0", "down")
    pod = bench.pod(ifname="net1")
    before = bench.snapshot(pod.netns)
    pod.result = reference(pod, "ADD", conf)
    assert pod.link()["ifalias"] == "dev0"
    pod.check(conf, recorded=False)
    if gone:  # what the kernel does with a network card when its namespace goes
        bench.lab.ip("link", "set", "net1", "netns", bench.lab.host.path, netns=pod.netns)
    pod.delete(conf, recorded=False, **({"netns": ""} if gone else {}))
    assert not changes(before, bench.snapshot(pod.netns))


def test_an_administrators_alias_is_no_home_name(bench: Any, conf: Json) -> None:
    """A DEL whose interface name is also one of the host's links, with an alias that somebody gave it."""
    bench.lab.ip("link", "set", "dev0", "alias", "uplink")
    pod = bench.pod(ifname="dev0")
    before = bench.snapshot(pod.netns)
    for asked in (
        {"device": "other"},
        {"device": "", "hwaddr": bench.link("dev0")["address"]},
        {"device": 5},
    ):
        pod.delete(conf | asked, recorded=False)
        assert not changes(before, bench.snapshot(pod.netns))


def tuning(bench: Any, make: Any) -> tuple[Any, Json]:
    earlier = attached(bench, make, cniVersion="1.0.0")
    more = {"sysctl": {"net.core.somaxconn": "500"}, "dataDir": str(bench.directory / "tuning"), **TUNED}
    pod, conf = after(earlier, make("tuning", "1.0.0", **more))
    return pod, conf


def test_the_same_result_and_the_same_file(bench: Any, make: Any) -> None:
    pod, conf = tuning(bench, make)
    file = Path(conf["dataDir"], f"{pod.container_id}_eth0.json")
    theirs, their_file = reference(pod, "ADD", conf), file.read_text()
    reference(pod, "DEL", conf)
    assert not file.exists()
    ours = pod.add(conf)
    mac = [one["mac"] for one in theirs["interfaces"] if one["name"] == "eth0"]
    assert [one["mac"] for one in ours["interfaces"] if one["name"] == "eth0"] == mac
    known = their_file.rstrip().removesuffix("}").rstrip()
    assert file.read_text().startswith(known + ","), "theirs byte by byte, then what they don't know"


def test_theirs_puts_back_what_ours_changed(bench: Any, make: Any) -> None:
    pod, conf = tuning(bench, make)
    before = bench.snapshot(pod.netns)
    pod.add(conf)
    reference(pod, "CHECK", {**conf, "prevResult": pod.result})
    reference(pod, "DEL", conf)
    assert not changes(before, bench.snapshot(pod.netns))
    pod.delete(conf, recorded=False)


def test_ours_puts_back_what_theirs_changed(bench: Any, make: Any) -> None:
    pod, conf = tuning(bench, make)
    before = bench.snapshot(pod.netns)
    pod.result = reference(pod, "ADD", conf)
    pod.check(conf, recorded=False)
    pod.delete(conf, recorded=False)
    assert not changes(before, bench.snapshot(pod.netns))
    assert not [name for name in bench.files() if name.startswith("tuning")]
