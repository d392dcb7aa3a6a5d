"""Executables of a pod's secondary networks run at once (pains row 7: a pod with eight interfaces takes eight times
as long, Multus #1016); the order of what is reported, journal and removal stays that of the annotation.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from multinet.cni.errors import Code
from tests.leaks import nothing_left_open

Site = Any


@pytest.fixture
def rec(site: Site) -> Any:
    """A pod of our default network and three external ones."""
    for number in (1, 2, 3):
        site.nad(f"n{number}", {"cniVersion": "1.0.0", "type": site.recorders.make(f"p{number}")})
    site.pod(networks="n1,n2,n3")
    return site.recorders


@pytest.fixture
def aside() -> Iterator[Callable[..., Future[Any]]]:
    """Runs something beside the test."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


def began(site: Site) -> set[str]:
    return {plugin for plugin, _, _ in site.recorders.asked("ADD")}


def names(site: Site) -> list[str]:
    return [entry.get("interface", "") for entry in json.loads(site.status())]


def test_all_at_once_in_the_order_of_the_annotation(site: Site, rec: Any, aside: Any) -> None:
    """All are held at the same time, and let go the last first (pains row 7)."""
    sandbox = site.lab.sandbox()
    site.app  # noqa: B018  (what it keeps open is no leak of the call)
    release = {name: rec.hold(name, "ADD") for name in ("p1", "p2", "p3")}
    answer = aside(site.ok, "ADD", netns=sandbox)
    site.wait_for(lambda: began(site) == {"p1", "p2", "p3"})
    for name in ("p3", "p2", "p1"):
        release[name]()
    assert answer.result()["interfaces"]
    assert [row.ifname for row in site.rows] == ["eth0", "net1", "net2", "net3"]
    assert all(row.phase == "ready" and row.result for row in site.rows)
    assert [name for name in names(site) if name.startswith("net")] == ["net1", "net2", "net3"]
    site.ok("CHECK", netns=sandbox)
    site.ok("DEL", netns=sandbox)
    assert rec.asked("DEL") == [("p3", "DEL", "net3"), ("p2", "DEL", "net2"), ("p1", "DEL", "net1")]
    site.assert_clean(sandbox)


def test_one_that_names_another_waits(site: Site, rec: Any, aside: Any) -> None:
    site.nad("n2", {"cniVersion": "1.0.0", "type": "p2", "master": "net1"})
    sandbox = site.lab.sandbox()
    release = rec.hold("p1", "ADD")
    answer = aside(site.ok, "ADD", netns=sandbox)
    site.wait_for(lambda: began(site) == {"p1", "p3"})
    assert not answer.done()
    release()
    answer.result()
    adds = [plugin for plugin, _, _ in rec.asked("ADD")]
    assert adds.index("p2") > adds.index("p1")
    assert began(site) == {"p1", "p2", "p3"}
    site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)


def test_sequential_if_the_configuration_says_so(site: Site, rec: Any, aside: Any) -> None:
    sandbox = site.lab.sandbox()
    release = rec.hold("p1", "ADD")
    answer = aside(site.ok, "ADD", netns=sandbox, conf={"sequentialAttachments": True})
    site.wait_for(lambda: began(site) == {"p1"})
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("step")]
    release()
    answer.result()
    assert [plugin for plugin, _, _ in rec.asked("ADD")] == ["p1", "p2", "p3"]
    site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)


def test_failure_waits_for_the_others_and_undoes_all(site: Site, rec: Any, aside: Any) -> None:
    """The failure of the first by position is the ADD's, the others are in its details."""
    rec.fail("p1", "ADD", '{"code": 77, "msg": "no luck"}')
    rec.fail("p3", "ADD", '{"code": 78, "msg": "nor here"}')
    sandbox = site.lab.sandbox()
    release = {name: rec.hold(name, "ADD") for name in ("p1", "p2", "p3")}
    answer = aside(site.fails, "ADD", netns=sandbox)
    site.wait_for(lambda: began(site) == {"p1", "p2", "p3"})
    release["p3"]()
    release["p1"]()
    assert not rec.asked("DEL")
    release["p2"]()
    code, text = answer.result()
    assert code == 77
    assert text.index("no luck") < text.index("nor here")
    assert "default/n1" in text and "default/n3" in text
    assert rec.asked("DEL") == [("p3", "DEL", "net3"), ("p2", "DEL", "net2"), ("p1", "DEL", "net1")]
    site.assert_clean(sandbox)


def test_nothing_is_begun_after_a_failure(site: Site, rec: Any) -> None:
    """What would have waited for the failed one gets neither ADD nor DEL, nor is it left in the journal."""
    site.nad("n2", {"cniVersion": "1.0.0", "type": "p2", "master": "net1"})
    rec.fail("p1", "ADD")
    sandbox = site.lab.sandbox()
    assert site.fails("ADD", netns=sandbox)[0] == 123
    assert "p2" not in {call.plugin for call in rec.calls}
    site.assert_clean(sandbox)


def test_deadline_ends_all(site: Site, rec: Any) -> None:
    sandbox = site.lab.sandbox()
    release = [rec.hold(name, "ADD") for name in ("p1", "p3")]
    code, text = site.fails("ADD", netns=sandbox, time_limit_ms=3000)
    assert code == Code.CANCELLED
    assert '"p1" was ended in ADD' in text and '"p3" was ended in ADD' in text
    assert [one[2] for one in rec.asked("DEL")] == ["net3", "net2", "net1"]
    for let_go in release:
        let_go()
    site.assert_clean(sandbox)


def test_caller_that_hangs_up_ends_all(site: Site, rec: Any, aside: Any) -> None:
    sandbox = site.lab.sandbox()
    release = [rec.hold(name, "ADD") for name in ("p1", "p2", "p3")]
    hang_up, caller = os.pipe()
    gone = threading.Event()
    request = site.request("ADD", "c1", sandbox)
    answer = aside(site.app.service.answer, request, None, gone.is_set, hang_up)
    site.wait_for(lambda: began(site) == {"p1", "p2", "p3"})
    gone.set()
    os.close(caller)
    response = answer.result()
    os.close(hang_up)
    assert json.loads(response.stdout)["code"] == Code.CANCELLED
    assert [one[2] for one in rec.asked("DEL")] == ["net3", "net2", "net1"]
    for let_go in release:
        let_go()
    site.assert_clean(sandbox)


@pytest.mark.reference
def test_external_address_managers_under_our_plugins(site: Site) -> None:
    """In-process plugins that run in those threads leave no socket, descriptor or thread."""
    for number in (1, 2, 3):
        ranges = [[{"subnet": f"10.5{number}.0.0/24"}]]
        ipam = {
            "type": "host-local",
            "dataDir": str(site.leases),
            "ranges": ranges,
            "multinet/executable": True,
        }
        site.nad(f"b{number}", {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "ipam": ipam})
    site.pod(networks="b1,b2,b3")
    sandbox = site.lab.sandbox()
    site.ok("ADD", "warm", site.lab.sandbox(), pod="")
    site.ok("DEL", "warm")
    with nothing_left_open():
        site.ok("ADD", netns=sandbox)
        site.ok("CHECK", netns=sandbox)
        site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)
