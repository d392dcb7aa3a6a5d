"""What keeps a node in order: retries in the background, GC, STATUS, CHECK; and nothing that piles up."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from multinet.cni.errors import Code
from multinet.daemon.background import Background, Periods, drain
from multinet.wire.frame import encode_request
from tests.leaks import nothing_left_open

Site = Any
QUICK = Periods(spool=0.01, first_retry=0.02, longest_retry=0.05)


@pytest.fixture
def background(site: Site) -> Iterator[Background]:
    background = Background(site.app.handler, site.app.service, site.app.spool, QUICK)
    background.start()
    yield background
    background.stop()


@pytest.fixture
def external(site: Site) -> Any:
    """A pod with a bridge and an executable."""
    site.recorders.make("rec")
    site.nad("ext", {"cniVersion": "1.0.0", "type": "rec"})
    site.pod(networks="ext")
    return site.recorders


class TestRemovalThatFails:
    def test_stays_in_the_journal_until_it_works(self, site: Site, external: Any) -> None:
        """The caller gets success; everything else of the pod is removed at once."""
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        external.fail("rec", "DEL", '{"code": 5, "msg": "disk full"}')
        site.ok("DEL", netns=sandbox)
        (row,) = site.rows
        assert (row.ifname, row.phase) == ("net1", "deleting")
        assert "disk full" in row.failure
        assert site.lease_files() == []
        assert set(site.lab.links(sandbox)) == {"lo"}
        assert site.app.handler.retry_removals() == 1
        external.succeed("rec", "DEL")
        background = Background(site.app.handler, site.app.service, site.app.spool, QUICK)
        background.start()
        site.wait_for(lambda: not site.rows)
        background.stop()
        site.assert_clean(sandbox)

    def test_a_start_tries_again(self, site: Site, external: Any) -> None:
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        external.fail("rec", "DEL")
        site.ok("DEL", netns=sandbox)
        site.restart()
        assert [row.phase for row in site.rows] == ["deleting"]
        external.succeed("rec", "DEL")
        site.restart()
        site.assert_clean(sandbox)

    def test_the_runtimes_next_del_tries_again(self, site: Site, external: Any) -> None:
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        external.fail("rec", "DEL")
        site.ok("DEL", netns=sandbox)
        external.succeed("rec", "DEL")
        site.ok("DEL", netns="")
        site.assert_clean(sandbox)

    def test_others_are_not_held_up(self, site: Site, external: Any, background: Background) -> None:
        """One that fails for ever is tried for ever, beside everything else."""
        site.pod("plain")
        stuck, fine = site.lab.sandbox(), site.lab.sandbox()
        site.ok("ADD", "stuck", stuck)
        external.fail("rec", "DEL")
        site.ok("DEL", "stuck", stuck)
        tried = len(external.asked("DEL"))
        site.wait_for(lambda: len(external.asked("DEL")) > tried + 3)
        site.ok("ADD", "fine", fine, pod="plain")
        site.app.spool.put(encode_request(site.request("DEL", "fine", fine, pod="plain")))
        site.wait_for(lambda: {row.container_id for row in site.rows} == {"stuck"})
        site.ok("ADD", "fine", fine, pod="plain")
        site.ok("DEL", "fine", fine, pod="plain")
        external.succeed("rec", "DEL")
        site.wait_for(lambda: not site.rows)
        site.assert_clean(stuck, fine)

    def test_executable_that_was_uninstalled(self, site: Site, external: Any) -> None:
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        (site.bin_dir / "rec").unlink()
        site.ok("DEL", netns=sandbox)
        assert 'failed to find plugin "rec"' in site.rows[0].failure
        external.make("rec")
        assert site.app.handler.retry_removals() == 0
        site.assert_clean(sandbox)


class TestSpoolThatIsDrained:
    def test_oldest_first(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        sandboxes = {name: site.lab.sandbox() for name in ("b", "a", "c")}
        for name, netns in sandboxes.items():
            site.ok("ADD", name, netns)
            site.app.spool.put(encode_request(site.request("DEL", name, netns)))
        caplog.clear()
        assert drain(site.app.spool, site.app.service) == 3
        done = [
            record.getMessage().split()[2].rstrip(":")
            for record in caplog.records
            if "DEL" in record.getMessage()
        ]
        assert done == ["b", "a", "c"]
        assert site.app.spool.pending() == []
        site.assert_clean(*sandboxes.values())

    def test_what_was_set_aside_long_ago_goes(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        os.makedirs(site.options.spool)
        young, old = (os.path.join(site.options.spool, f"{number}.del.bad") for number in (1, 2))
        for path in (young, old):
            with open(path, "wb"):
                pass
        os.utime(old, (0, 0))
        again = Background(
            site.app.handler, site.app.service, site.app.spool, Periods(spool=0.01, aside=0.01)
        )
        again.start()
        try:
            site.wait_for(lambda: f"removed {old}" in caplog.text)
        finally:
            again.stop()
        assert os.listdir(site.options.spool) == [os.path.basename(young)]

    def test_only_removals_are_carried_out(self, site: Site) -> None:
        sandbox = site.lab.sandbox()
        site.app.spool.put(encode_request(site.request("ADD", netns=sandbox)))
        drain(site.app.spool, site.app.service)
        assert site.app.spool.pending() == []
        site.assert_clean(sandbox)

    def test_single_plugin_whose_removal_fails_is_kept(self, site: Site, external: Any) -> None:
        """It is in no journal: the spool is all there is of it."""
        external.fail("rec", "DEL", '{"code": 50, "msg": "later"}')
        conf = {
            "cniVersion": "1.0.0",
            "name": "n",
            "type": "bridge",
            "bridge": "br1",
            "ipam": {"type": "rec"},
        }
        site.app.spool.put(encode_request(site.request("DEL", netns="", program="bridge", conf=conf)))
        assert drain(site.app.spool, site.app.service) == 0
        assert len(site.app.spool.pending()) == 1
        external.succeed("rec", "DEL")
        assert drain(site.app.spool, site.app.service) == 1
        assert site.app.spool.pending() == []


class TestGC:
    def valid(self, *containers: str) -> dict[str, Any]:
        return {
            "cniVersion": "1.1.0",
            "cni.dev/valid-attachments": [{"containerID": name, "ifname": "eth0"} for name in containers],
        }

    def add(self, site: Site, *containers: str) -> dict[str, Any]:
        """Each with a default network and a secondary one that share a pool's folder and an executable."""
        site.default_network(site.bridge("10.244.0.0/24"), version="1.1.0")
        site.nad(
            "a", {"cniVersion": "1.1.0", **site.bridge("10.50.0.0/24", bridge="br1", isDefaultGateway=False)}
        )
        site.nad("e", {"cniVersion": "1.1.0", "type": site.recorders.make("rec")})
        site.pod(networks="a,e")
        sandboxes = {name: site.lab.sandbox() for name in containers}
        for name, netns in sandboxes.items():
            site.ok("ADD", name, netns)
        return sandboxes

    def test_containers_that_the_runtime_no_longer_knows(self, site: Site) -> None:
        """The runtime's list has eth0 alone; secondary addresses of living pods stay all the same."""
        sandboxes = self.add(site, "live", "dead")
        before = len(site.lease_files())
        site.ok("GC", conf=self.valid("live"))
        site.ok("CHECK", "dead", sandboxes["dead"])  # missing once is no proof
        (asked,) = (call for call in site.recorders.calls if call.verb == "GC")
        assert {pair["containerID"] for pair in asked.conf["cni.dev/valid-attachments"]} == {"live", "dead"}
        site.recorders.clear()
        site.ok("GC", conf=self.valid("live"))
        assert {(row.container_id, row.ifname) for row in site.rows} == {
            ("live", name) for name in ("eth0", "net1", "net2")
        }
        assert len(site.lease_files()) == before / 2
        assert set(site.lab.links(sandboxes["dead"])) == {"lo"}
        site.ok("CHECK", "live", sandboxes["live"])
        assert ("rec", "DEL", "net2") in site.recorders.asked("DEL")
        (asked,) = (call for call in site.recorders.calls if call.verb == "GC")
        kept = {(pair["containerID"], pair["ifname"]) for pair in asked.conf["cni.dev/valid-attachments"]}
        assert kept == {("live", "eth0"), ("live", "net1"), ("live", "net2")}
        site.ok("DEL", "live", sandboxes["live"])
        site.assert_clean(*sandboxes.values())

    def test_sandboxes_that_are_gone(self, site: Site) -> None:
        sandboxes = self.add(site, "live", "dead")
        sandboxes["dead"].close()
        site.ok("GC", conf=self.valid("live"))
        assert {row.container_id for row in site.rows} == {"live"}
        for _ in range(2):  # missing in one list is no proof
            site.ok("GC", conf=self.valid())
        site.assert_clean(sandboxes["live"])

    def test_no_list_is_no_empty_list(self, site: Site) -> None:
        sandboxes = self.add(site, "live")
        before = site.lease_files(), site.rows
        site.ok("GC", conf={"cniVersion": "1.1.0"})
        assert (site.lease_files(), site.rows) == before
        assert site.recorders.asked("GC") == []
        site.ok("DEL", "live", sandboxes["live"])

    def test_address_that_nobody_holds(self, site: Site) -> None:
        """A lease without a record, as after a journal that was lost."""
        sandboxes = self.add(site, "live")
        folder = site.leases / "cbr0"
        (folder / "10.244.0.99").write_text("lost\r\neth0")
        site.ok("GC", conf=self.valid("live"))
        assert not (folder / "10.244.0.99").exists()
        site.ok("CHECK", "live", sandboxes["live"])
        site.ok("DEL", "live", sandboxes["live"])
        site.assert_clean(sandboxes["live"])

    def test_default_network_without_any_pod(self, site: Site) -> None:
        site.default_network(site.bridge("10.244.0.0/24"), version="1.1.0")
        folder = site.leases / "cbr0"
        folder.mkdir(parents=True)
        (folder / "10.244.0.99").write_text("lost\r\neth0")
        (folder / "10.244.0.98").write_text("elder\r\neth0")
        site.ok("GC", conf=self.valid("elder"))
        assert site.lease_files() == ["cbr0/10.244.0.98"]  # of a pod from before the journal

    def test_beside_an_add(self, site: Site) -> None:
        """What an ADD that is under way has taken isn't collected: GC waits for it."""
        self.add(site)
        release = site.recorders.hold("rec", "ADD")
        sandbox, codes = site.lab.sandbox(), []
        adding = threading.Thread(target=lambda: codes.append(site.call("ADD", "young", sandbox).exit_code))
        adding.start()
        site.wait_for(lambda: site.recorders.asked("ADD"))
        collecting = threading.Thread(
            target=lambda: codes.append(site.call("GC", conf=self.valid()).exit_code)
        )
        collecting.start()
        collecting.join(0.3)
        assert collecting.is_alive()
        release()
        adding.join()
        collecting.join()
        assert codes == [0, 0]
        site.ok("CHECK", "young", sandbox)
        site.ok("DEL", "young", sandbox)
        site.assert_clean(sandbox)

    def test_gives_up_when_it_never_gets_its_turn(self, site: Site) -> None:
        self.add(site)
        release = site.recorders.hold("rec", "ADD")
        sandbox = site.lab.sandbox()
        adding = threading.Thread(target=lambda: site.ok("ADD", "young", sandbox))
        adding.start()
        site.wait_for(lambda: site.recorders.asked("ADD"))
        assert site.fails("GC", conf=self.valid(), time_limit_ms=300)[0] == Code.TRY_AGAIN
        release()
        adding.join()
        site.ok("DEL", "young", sandbox)

    @pytest.mark.parametrize("wrong", ["x", [1], [{"containerID": "c"}], {"a": 1}])
    def test_list_that_is_none(self, site: Site, wrong: Any) -> None:
        sandboxes = self.add(site, "live")
        code, text = site.fails("GC", conf={"cniVersion": "1.1.0", "cni.dev/valid-attachments": wrong})
        assert code == Code.INVALID_CONFIG
        assert "cni.dev/valid-attachments" in text
        site.ok("CHECK", "live", sandboxes["live"])
        site.ok("DEL", "live", sandboxes["live"])

    def test_old_configurations_do_not_know_it(self, site: Site) -> None:
        code, text = site.fails("GC", conf={**self.valid(), "cniVersion": "1.0.0"})
        assert code == Code.INCOMPATIBLE_VERSION
        assert "does not allow GC" in text

    def test_failures_are_told_and_the_rest_is_done(self, site: Site) -> None:
        sandboxes = self.add(site, "live", "dead")
        site.recorders.fail("rec", "GC", '{"code": 42, "msg": "no"}')
        for _ in range(2):
            code, text = site.fails("GC", conf=self.valid("live"))
        assert code == 42
        assert 'type="rec"' in text
        assert {row.container_id for row in site.rows} == {"live"}
        site.ok("DEL", "live", sandboxes["live"])
        site.assert_clean(*sandboxes.values())


class TestStatus:
    CONF: ClassVar = {"cniVersion": "1.1.0"}

    def test_ready(self, site: Site) -> None:
        site.default_network(site.bridge("10.244.0.0/24"), version="1.1.0")
        assert site.ok("STATUS", conf=self.CONF, pod="") == {}
        site.assert_clean()

    def test_no_default_network(self, site: Site) -> None:
        (site.conf_dir / "10-default.conflist").unlink()
        code, text = site.fails("STATUS", conf=self.CONF, pod="")
        assert code in (Code.ATTACHMENT, Code.NOT_AVAILABLE, Code.INVALID_CONFIG)
        assert str(site.conf_dir) in text

    def test_readiness_file(self, site: Site) -> None:
        """ADD and STATUS need it, DEL and CHECK don't."""
        file = site.lab.directory / "ready"
        conf = {"cniVersion": "1.1.0", "readinessindicatorfile": str(file)}
        sandbox = site.lab.sandbox()
        for verb, code in (("ADD", Code.TRY_AGAIN), ("STATUS", Code.NOT_AVAILABLE)):
            found, text = site.fails(verb, netns=sandbox, conf=conf)
            assert found == code
            assert "have you checked that your default network is ready?" in text and str(file) in text
        site.assert_clean(sandbox)
        file.touch()
        site.ok("STATUS", conf=conf, pod="")
        site.ok("ADD", netns=sandbox, conf=conf)
        file.unlink()
        site.ok("CHECK", netns=sandbox, conf=conf)
        site.ok("DEL", netns=sandbox, conf=conf)
        site.assert_clean(sandbox)

    def test_pool_that_is_empty(self, site: Site) -> None:
        site.default_network(site.bridge("10.244.0.0/30"), version="1.1.0")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        code, text = site.fails("STATUS", conf=self.CONF, pod="")
        assert code == Code.NOT_AVAILABLE
        assert "10.244.0" in text
        site.ok("DEL", netns=sandbox)
        site.ok("STATUS", conf=self.CONF, pod="")

    def test_error_of_a_plugin_arrives_as_it_is(self, site: Site) -> None:
        site.default_network({"type": site.recorders.make("rec")}, version="1.1.0")
        said = '{"cniVersion": "1.1.0", "code": 51, "msg": "half asleep", "details": "why"}'
        site.recorders.fail("rec", "STATUS", said)
        assert site.fails("STATUS", conf=self.CONF, pod="") == (51, "half asleep; why")

    def test_executables_of_the_configurations_own_folder(self, site: Site) -> None:
        """``binDir`` counts for GC and STATUS as it does for ADD."""
        site.default_network({"type": site.recorders.make("rec")}, version="1.1.0")
        conf = {"cniVersion": "1.1.0", "binDir": str(site.bin_dir)}
        site.ok("STATUS", conf=conf, pod="", CNI_PATH="/nowhere")
        site.ok("GC", conf={**conf, "cni.dev/valid-attachments": []}, pod="", CNI_PATH="/nowhere")
        assert [call.verb for call in site.recorders.calls] == ["STATUS", "GC"]

    def test_old_network_is_not_asked(self, site: Site) -> None:
        site.default_network({"type": site.recorders.make("rec")}, version="1.0.0")
        site.recorders.fail("rec", "STATUS")
        site.ok("STATUS", conf=self.CONF, pod="")
        assert site.recorders.calls == []


class TestCheck:
    def test_unknown_container(self, site: Site) -> None:
        code, text = site.fails("CHECK", "nobody", site.lab.sandbox())
        assert code == Code.UNKNOWN_CONTAINER
        assert "nobody" in text

    def test_container_that_was_removed(self, site: Site) -> None:
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        site.ok("DEL", netns=sandbox)
        assert site.fails("CHECK", netns=sandbox)[0] == Code.UNKNOWN_CONTAINER

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            (("link", "del", "net1"), ["net1"]),
            (("link", "set", "eth0", "down"), ["eth0"]),
            (("addr", "del", "10.244.0.2/24", "dev", "eth0"), ["10.244.0.2/24", "eth0"]),
            (("route", "del", "default"), ["0.0.0.0/0", "10.244.0.1"]),
        ],
    )
    def test_what_was_changed_is_named(self, site: Site, command: tuple[str, ...], words: list[str]) -> None:
        site.nad("a", {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1"})
        site.pod(networks="a")
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        site.ok("CHECK", netns=sandbox)
        site.lab.ip(*command, netns=sandbox)
        code, text = site.fails("CHECK", netns=sandbox)
        assert code == Code.CHECK_FAILED
        assert [word for word in words if word not in text] == [], text
        site.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)

    def test_another_namespace(self, site: Site) -> None:
        sandbox, other = site.lab.sandbox(), site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        assert site.fails("CHECK", netns=other)[0] == Code.CHECK_FAILED
        site.ok("DEL", netns=sandbox)

    def test_external_plugins_are_asked_in_order(self, site: Site, external: Any) -> None:
        """With the result of the ADD, and their failure arrives."""
        sandbox = site.lab.sandbox()
        site.ok("ADD", netns=sandbox)
        site.ok("CHECK", netns=sandbox)
        assert external.asked("CHECK") == [("rec", "CHECK", "net1")]
        assert external.calls[-1].conf["prevResult"]["ips"][0]["address"] == "10.99.0.2/24"
        external.fail("rec", "CHECK", '{"code": 99, "msg": "gone"}')
        code, text = site.fails("CHECK", netns=sandbox)
        assert code == 99 and "gone" in text
        site.ok("DEL", netns=sandbox)

    def test_old_configuration_does_not_know_it(self, site: Site) -> None:
        code, _ = site.fails("CHECK", netns=site.lab.sandbox(), conf={"cniVersion": "0.3.1"})
        assert code == Code.INCOMPATIBLE_VERSION


def test_three_hundred_pods_leave_nothing_in_the_process(site: Site) -> None:
    """No descriptor, thread or socket more than after the first ones; nor does memory grow."""
    site.nad("a", {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "macspoofchk": True})
    site.nad("bad", {"cniVersion": "1.0.0", "type": "macvlan", "master": "nowhere"})
    site.pod(networks="a")
    site.pod("failing", networks="a,bad")
    sandbox = site.lab.sandbox()

    def turns(count: int) -> None:
        for n in range(count):
            site.ok("ADD", f"c{n}", sandbox)
            if n % 10 == 0:
                site.ok("CHECK", f"c{n}", sandbox)
            site.ok("DEL", f"c{n}", sandbox)
            if n % 5 == 0:
                site.fails("ADD", f"f{n}", sandbox, pod="failing")

    turns(10)
    memory = resident()
    with nothing_left_open():
        turns(300)
    assert resident() - memory < 8 << 20
    site.assert_clean(sandbox)


def resident() -> int:
    """Bytes of memory in use."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
