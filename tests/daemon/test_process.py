"""The daemon as a process, called by the compiled shim: many at once, slow plugins, hang-ups, start and end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest

from multinet.cni.errors import Code
from multinet.wire.frame import encode_request

Site = Any
Daemon = Any


def outcome(process: subprocess.Popen[bytes]) -> tuple[int, dict[str, Any]]:
    """Exit code, and what was printed."""
    out, _ = process.communicate(timeout=120)
    return process.returncode, json.loads(out) if out else {}


@pytest.fixture
def slow(site: Site) -> Any:
    """A pod whose second network is an executable that can be told to wait."""
    site.recorders.make("rec")
    site.nad("ext", {"cniVersion": "1.0.0", "type": "rec"})
    site.pod(networks="ext")
    return site.recorders


class TestManyAtOnce:
    def test_fifty_pods(self, site: Site, daemon: Daemon) -> None:
        """All are whole, each with addresses of its own; then all are removed at once."""
        site.nad("a", {"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1"})
        site.pod(networks="a")
        daemon.start()
        sandboxes = {f"c{n}": site.lab.sandbox() for n in range(50)}
        added = [daemon.begin("ADD", name, netns) for name, netns in sandboxes.items()]
        results = [outcome(process) for process in added]
        assert {code for code, _ in results} == {0}, daemon.log.read_text()[-2000:]
        given = [ip["address"] for _, result in results for ip in result["ips"]]
        assert len(set(given)) == 100
        assert len(site.rows) == 100
        checked = [daemon.begin("CHECK", name, netns) for name, netns in sandboxes.items()]
        assert {outcome(process)[0] for process in checked} == {0}
        removed = [daemon.begin("DEL", name, netns) for name, netns in sandboxes.items()]
        assert {outcome(process)[0] for process in removed} == {0}
        site.assert_clean(*sandboxes.values())
        daemon.stop()

    def test_two_adds_of_one_container(self, site: Site, daemon: Daemon, slow: Any) -> None:
        """One after the other: the second fails, and the first stays whole."""
        daemon.start()
        sandbox = site.lab.sandbox()
        release = slow.hold("rec", "ADD")
        first = daemon.begin("ADD", netns=sandbox)
        site.wait_for(lambda: slow.asked("ADD"))
        second = daemon.begin("ADD", netns=sandbox)
        time.sleep(0.2)
        assert second.poll() is None  # it waits for its turn
        release()
        assert outcome(first)[0] == 0
        code, error = outcome(second)
        assert (code, error["code"]) == (1, Code.INVALID_CONFIG)
        assert "attached already" in error["msg"]
        daemon.ok("CHECK", netns=sandbox)
        daemon.ok("DEL", netns=sandbox)
        assert slow.asked("DEL") == [("rec", "DEL", "net1")]
        site.assert_clean(sandbox)
        daemon.stop()

    def test_removal_waits_for_the_containers_add(self, site: Site, daemon: Daemon, slow: Any) -> None:
        daemon.start()
        sandbox = site.lab.sandbox()
        release = slow.hold("rec", "ADD")
        adding = daemon.begin("ADD", netns=sandbox)
        site.wait_for(lambda: slow.asked("ADD"))
        removing = daemon.begin("DEL", netns=sandbox)
        time.sleep(0.2)
        assert removing.poll() is None
        release()
        assert (outcome(adding)[0], outcome(removing)[0]) == (0, 0)
        site.assert_clean(sandbox)
        daemon.stop()

    def test_removals_overtake(self, site: Site, daemon: Daemon, slow: Any) -> None:
        """With one worker, which is busy: a DEL that came last is done before the ADDs that wait."""
        site.pod("plain")
        daemon.start("--workers=1")
        old, *sandboxes = (site.lab.sandbox() for _ in range(5))
        daemon.ok("ADD", "old", old, pod="plain")
        release = slow.hold("rec", "ADD")
        adds = [daemon.begin("ADD", "c0", sandboxes[0])]
        site.wait_for(lambda: slow.asked("ADD"))
        adds += [daemon.begin("ADD", f"c{n}", sandboxes[n], pod="plain") for n in (1, 2, 3)]
        time.sleep(0.3)
        removing = daemon.begin("DEL", "old", old, pod="plain")
        time.sleep(0.3)
        release()
        assert {outcome(process)[0] for process in (removing, *adds)} == {0}
        log = daemon.log.read_text()
        assert log.index("multinet DEL old: done") < min(
            log.index(f"multinet ADD c{n}: done") for n in (1, 2, 3)
        )
        for n, sandbox in enumerate(sandboxes):
            daemon.ok("DEL", f"c{n}", sandbox)
        site.assert_clean(old, *sandboxes)
        daemon.stop()

    @pytest.mark.reference
    def test_nested_calls_while_all_workers_are_busy(self, site: Site, daemon: Daemon) -> None:
        """The Go bridge calls host-local, which is our shim: it must get through although every worker waits."""
        daemon.install("host-local")
        ipam = {"type": "host-local", "dataDir": str(site.leases), "subnet": "10.30.0.0/24"}
        go = {"type": "bridge", "bridge": "br1", "ipam": ipam, "multinet/executable": True}
        site.default_network(go)
        daemon.start("--workers=2")
        sandboxes = {f"c{n}": site.lab.sandbox() for n in range(12)}
        adds = [daemon.begin("ADD", name, netns, time_limit=60) for name, netns in sandboxes.items()]
        results = [outcome(process) for process in adds]
        assert {code for code, _ in results} == {0}, [result for _, result in results]
        assert len({result["ips"][0]["address"] for _, result in results}) == 12
        assert "host-local ADD c0: done" in daemon.log.read_text()
        removals = [daemon.begin("DEL", name, netns, time_limit=60) for name, netns in sandboxes.items()]
        assert {outcome(process)[0] for process in removals} == {0}
        site.assert_clean(*sandboxes.values())
        daemon.stop()


class TestPatience:
    def test_caller_that_is_killed(self, site: Site, daemon: Daemon, slow: Any) -> None:
        """A runtime that gives up kills the shim: the plugin is ended, and the ADD undone."""
        daemon.start()
        sandbox = site.lab.sandbox()
        release = slow.hold("rec", "ADD")
        caller = daemon.begin("ADD", netns=sandbox)
        site.wait_for(lambda: slow.asked("ADD"))
        assert len(site.rows) == 2
        caller.kill()
        caller.communicate()
        site.wait_for(lambda: not site.rows)
        site.assert_clean(sandbox)
        assert slow.asked("DEL") == [("rec", "DEL", "net1")]
        site.wait_for(lambda: "the caller hung up" in daemon.log.read_text())
        release()
        daemon.ok("ADD", netns=sandbox)
        daemon.ok("DEL", netns=sandbox)
        daemon.stop()

    def test_caller_that_is_killed_while_it_waits(self, site: Site, daemon: Daemon, slow: Any) -> None:
        """Its ADD isn't begun when its turn comes."""
        daemon.start("--workers=1")
        one, two = site.lab.sandbox(), site.lab.sandbox()
        release = slow.hold("rec", "ADD")
        first = daemon.begin("ADD", "c1", one)
        site.wait_for(lambda: slow.asked("ADD"))
        second = daemon.begin("ADD", "c2", two)
        time.sleep(0.3)
        second.kill()
        second.communicate()
        release()
        assert outcome(first)[0] == 0
        daemon.ok("DEL", "c1", one)
        assert "c2" not in {call.env["CNI_CONTAINERID"] for call in slow.calls}
        site.assert_clean(one, two)
        daemon.stop()

    def test_deadline(self, site: Site, daemon: Daemon, slow: Any) -> None:
        """The caller's own limit: the answer comes before it gives up, and nothing is left."""
        daemon.start()
        sandbox = site.lab.sandbox()
        request = site.request("ADD", netns=sandbox, time_limit_ms=700)
        release = slow.hold("rec", "ADD")
        from multinet.wire import client

        before = time.monotonic()
        response = client.call(site.options.socket, request, None, 30)
        assert 0.6 < time.monotonic() - before < 5
        error = json.loads(response.stdout)
        assert error["code"] == Code.CANCELLED
        assert 'plugin "rec" was ended in ADD: the deadline passed' in error["msg"]
        assert "default/ext" in error["msg"]
        site.assert_clean(sandbox)
        release()
        daemon.stop()

    def test_deadline_that_passed_in_the_queue(self, site: Site, daemon: Daemon, slow: Any) -> None:
        daemon.start()
        sandbox = site.lab.sandbox()
        from multinet.wire import client

        response = client.call(
            site.options.socket, site.request("ADD", netns=sandbox, time_limit_ms=0), None, 30
        )
        assert json.loads(response.stdout)["code"] == Code.CANCELLED
        assert slow.calls == []
        site.assert_clean(sandbox)
        daemon.stop()

    def test_shim_gives_up_in_time(self, site: Site, daemon: Daemon, slow: Any) -> None:
        daemon.start()
        sandbox = site.lab.sandbox()
        release = slow.hold("rec", "ADD")
        before = time.monotonic()
        code, error = outcome(daemon.begin("ADD", netns=sandbox, time_limit=1))
        assert code == 1 and error["code"] in (Code.CANCELLED, Code.TRY_AGAIN)
        assert time.monotonic() - before < 10
        site.wait_for(lambda: not site.rows)
        site.assert_clean(sandbox)
        release()
        daemon.stop()


class TestStartAndEnd:
    def test_end_finishes_running_calls(self, site: Site, daemon: Daemon, slow: Any) -> None:
        daemon.start()
        one = site.lab.sandbox()
        release = slow.hold("rec", "ADD")
        adding = daemon.begin("ADD", "c1", one)
        site.wait_for(lambda: slow.asked("ADD"))
        daemon.terminate()
        site.wait_for(lambda: not os.path.exists(site.options.socket))
        assert daemon.shim("ADD", "c2", site.lab.sandbox()).exit_code == 1
        release()
        assert outcome(adding)[0] == 0
        assert daemon.wait() == 0
        assert {row.phase for row in site.rows} == {"ready"}
        daemon.start()
        daemon.ok("DEL", "c1", one)
        site.assert_clean(one)
        daemon.stop()

    def test_second_daemon_is_refused(self, site: Site, daemon: Daemon) -> None:
        daemon.start()
        second = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=60)
        assert second.returncode == 1
        assert f"another daemon is serving {site.options.socket}" in second.stderr
        assert "Traceback" not in second.stderr
        sandbox = site.lab.sandbox()
        daemon.ok("ADD", netns=sandbox)
        daemon.ok("DEL", netns=sandbox)
        daemon.stop()

    def test_socket_of_a_killed_daemon_is_replaced(self, site: Site, daemon: Daemon) -> None:
        daemon.start()
        daemon.kill()
        assert os.path.exists(site.options.socket)
        daemon.start()
        sandbox = site.lab.sandbox()
        daemon.ok("ADD", netns=sandbox)
        daemon.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)
        daemon.stop()

    def test_add_while_there_is_no_daemon(self, site: Site, daemon: Daemon) -> None:
        """Code 11, at once: the runtime tries again."""
        before = time.monotonic()
        response = daemon.shim("ADD", netns=site.lab.sandbox())
        assert response.exit_code == 1
        assert json.loads(response.stdout)["code"] == Code.TRY_AGAIN
        assert time.monotonic() - before < 5
        assert not os.path.exists(site.options.spool)

    def test_interrupt(self, site: Site, daemon: Daemon) -> None:
        daemon.start()
        os.kill(daemon.pid, signal.SIGINT)
        assert daemon.wait() == 0
        assert not os.path.exists(site.options.socket)


class TestSpool:
    def test_removal_while_there_is_no_daemon(self, site: Site, daemon: Daemon) -> None:
        """Success, kept, and carried out before the next daemon serves its first call."""
        daemon.start()
        sandbox = site.lab.sandbox()
        daemon.ok("ADD", netns=sandbox)
        daemon.stop()
        assert daemon.ok("DEL", netns=sandbox) == {}
        assert len(os.listdir(site.options.spool)) == 1
        assert len(site.rows) == 1
        daemon.start()
        site.assert_clean(sandbox)
        assert os.listdir(site.options.spool) == []
        log = daemon.log.read_text()
        assert log.rindex("carried out 1 spooled DEL") < log.rindex("serving on")
        daemon.stop()

    def test_sandbox_that_vanished_meanwhile(self, site: Site, daemon: Daemon) -> None:
        daemon.start()
        sandbox = site.lab.sandbox()
        daemon.ok("ADD", netns=sandbox)
        daemon.stop()
        daemon.ok("DEL", netns=sandbox)
        sandbox.close()
        daemon.start()
        site.assert_clean()
        daemon.stop()

    def test_broken_file_is_set_aside(self, site: Site, daemon: Daemon) -> None:
        """And the others are carried out."""
        daemon.start()
        sandbox = site.lab.sandbox()
        daemon.ok("ADD", netns=sandbox)
        daemon.stop()
        os.makedirs(site.options.spool)
        broken = os.path.join(site.options.spool, "0000000001-000000000-1.del")
        with open(broken, "wb") as file:
            file.write(b"\x00\x00\x10\x00trunc")
        daemon.ok("DEL", netns=sandbox)
        daemon.start()
        site.assert_clean(sandbox)
        assert os.listdir(site.options.spool) == [os.path.basename(broken) + ".bad"]
        assert broken in daemon.log.read_text()
        daemon.stop()

    def test_request_that_can_never_succeed_is_set_aside(self, site: Site, daemon: Daemon) -> None:
        daemon.shim("DEL", conf=b"{", netns="")
        (entry,) = os.listdir(site.options.spool)
        daemon.start()
        assert os.listdir(site.options.spool) == [f"{entry}.bad"]
        daemon.stop()

    def test_daemon_looks_again_while_it_runs(self, site: Site, daemon: Daemon) -> None:
        """A connection may break at any time."""
        daemon.start()
        sandbox = site.lab.sandbox()
        daemon.ok("ADD", netns=sandbox)
        from multinet.adapters.spool import Spool

        Spool(site.options.spool).put(encode_request(site.request("DEL", netns=sandbox)))
        site.wait_for(lambda: not site.rows)
        site.wait_for(lambda: os.listdir(site.options.spool) == [])
        site.assert_clean(sandbox)
        daemon.stop()


class TestSinglePlugins:
    """The shim under a plugin's name: that plugin alone."""

    def test_by_name(self, site: Site, daemon: Daemon) -> None:
        daemon.install("bridge")
        daemon.start()
        sandbox = site.lab.sandbox()
        conf = {"cniVersion": "1.0.0", "name": "n", **site.bridge("10.1.0.0/24")}
        result = daemon.ok("ADD", netns=sandbox, program="bridge", conf=conf, pod="")
        assert result["ips"][0]["address"] == "10.1.0.2/24"
        assert site.rows == []  # such a caller keeps its own records
        daemon.ok("CHECK", netns=sandbox, program="bridge", conf={**conf, "prevResult": result}, pod="")
        daemon.ok("DEL", netns=sandbox, program="bridge", conf=conf, pod="")
        site.assert_clean(sandbox)
        daemon.stop()

    def test_never_calls_itself(self, site: Site, daemon: Daemon) -> None:
        """Although the configuration has an executable run: that is how it came here."""
        daemon.install("bridge")
        plugin = site.bridge("10.244.0.0/24")
        site.default_network({**plugin, "multinet/executable": True})
        daemon.start()
        sandbox = site.lab.sandbox()
        daemon.ok("ADD", netns=sandbox)
        assert daemon.log.read_text().count("bridge ADD c1: done") == 1
        daemon.ok("CHECK", netns=sandbox)
        daemon.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)
        daemon.stop()

    def test_name_of_no_plugin(self, site: Site, daemon: Daemon) -> None:
        daemon.install("nobody")
        site.default_network({"type": "nobody"})
        daemon.start()
        sandbox = site.lab.sandbox()
        response = daemon.shim("ADD", netns=sandbox)
        error = json.loads(response.stdout)
        assert error["code"] == Code.INVALID_CONFIG
        assert '"nobody" is no plugin of multinet' in error["msg"]
        daemon.stop()
