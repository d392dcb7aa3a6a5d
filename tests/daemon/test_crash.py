"""A daemon that is killed at any line of an ADD or DEL: after the next start a pod is whole, or nothing is left."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

import multinet

Site = Any
Daemon = Any

ROOT = os.path.dirname(multinet.__file__)
TRACED = tuple(
    f"{ROOT}/{part}" for part in ("daemon/", "engine/", "sdk/interface", "adapters/journal", "delegates/")
)
SHARDS = 4
Point = tuple[str, int]


def in_child(step: Callable[[], object], trace: Callable[[Point], object]) -> int:
    """The wait status of a process that runs ``step``; ``trace`` is told each line."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            trace((frame.f_code.co_filename, frame.f_lineno))
        return local

    code = 1
    try:
        sys.settrace(lambda frame, *_: local if frame.f_code.co_filename.startswith(TRACED) else None)
        step()
        code = 0
    finally:
        sys.settrace(None)
        os._exit(code)


def points_of(step: Callable[[], object], file: Any) -> list[Point]:
    """Every line that ``step`` comes by, in the order of the first time."""
    with file.open("w") as seen:
        status = in_child(step, lambda point: print(*point, file=seen, flush=True))
    assert status == 0
    lines = dict.fromkeys(file.read_text().splitlines())
    return [(name, int(number)) for name, number in (line.split() for line in lines)]


def killed_at(point: Point, step: Callable[[], object]) -> bool:
    """Run it in a process that is killed when it first comes by the point; false if it didn't."""

    def kill(at: Point) -> None:
        if at == point:
            os.kill(os.getpid(), signal.SIGKILL)

    status = in_child(step, kill)
    assert status in (0, signal.SIGKILL), f"at {point}: {status}"
    return status == signal.SIGKILL


@pytest.fixture
def rich(site: Site) -> Site:
    """A pod with an attachment of each kind: bridge with rules and leases, macvlan with the default route,
    an executable."""
    site.lab.ip("link", "add", "uplink", "type", "veth", "peer", "name", "far")
    site.lab.ip("link", "set", "uplink", "up")
    site.lab.allowed |= {"uplink", "far"}
    site.recorders.make("rec")
    site.default_network(site.bridge("10.244.0.0/24", macspoofchk=True))
    ipam = {"type": "host-local", "dataDir": str(site.leases), "ranges": [[{"subnet": "10.9.0.0/24"}]]}
    site.nad("mv", {"cniVersion": "1.0.0", "type": "macvlan", "master": "uplink", "ipam": ipam})
    site.nad("ext", {"cniVersion": "1.0.0", "type": "rec"})
    site.pod(networks=[{"name": "mv", "default-route": ["10.9.0.254"]}, {"name": "ext"}])
    return site


def settle(site: Site, sandbox: Any, at: Point) -> None:
    """Start anew: whole or nothing, and a DEL leaves nothing in any case."""
    site.restart()
    if site.rows:
        assert {(row.ifname, row.phase) for row in site.rows} == {
            (n, "ready") for n in ("eth0", "net1", "net2")
        }, at
        site.ok("CHECK", netns=sandbox)
        site.ok("DEL", netns=sandbox)
    site.assert_clean(sandbox)
    adds = len(site.recorders.asked("ADD"))
    assert not adds or len(site.recorders.asked("DEL")) >= 1, at
    site.recorders.clear()
    site.close()


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_every_line(rich: Site, verb: str, shard: int) -> None:
    site, sandbox = rich, rich.lab.sandbox()

    def prepare() -> None:
        if verb == "DEL":
            site.ok("ADD", netns=sandbox)
        site.close()

    prepare()
    points = points_of(lambda: site.ok(verb, netns=sandbox), site.lab.directory / "points")
    assert len(points) > 100
    settle(site, sandbox, ("", 0))
    for point in points[shard::SHARDS]:
        prepare()
        if killed_at(point, lambda: site.ok(verb, netns=sandbox)):
            settle(site, sandbox, point)
        else:  # a line that only the first run came by (something was made for good)
            settle(site, sandbox, point)


class TestProcess:
    """The daemon itself, killed while it waits for an external plugin."""

    @pytest.mark.parametrize("verb", ["ADD", "DEL"])
    def test_killed_while_a_plugin_runs(self, rich: Site, daemon: Daemon, verb: str) -> None:
        site, sandbox = rich, rich.lab.sandbox()
        daemon.start()
        if verb == "DEL":
            daemon.ok("ADD", netns=sandbox)
        release = site.recorders.hold("rec", verb)
        caller = daemon.begin(verb, netns=sandbox)
        site.wait_for(lambda: site.recorders.asked(verb))
        daemon.kill()
        release()
        caller.communicate(timeout=30)
        # An ADD that was cut off fails; a DEL is kept for the next daemon.
        assert caller.returncode == (1 if verb == "ADD" else 0)
        daemon.start()
        site.assert_clean(sandbox)
        assert site.recorders.asked("DEL")[-1] == ("rec", "DEL", "net2")
        assert daemon.ok("DEL", netns=sandbox) == {}
        daemon.stop()

    def test_attachments_outlive_the_daemon(self, rich: Site, daemon: Daemon) -> None:
        """Killed between calls: the pod stays as it is, and can be checked and removed afterwards."""
        site, sandbox = rich, rich.lab.sandbox()
        daemon.start()
        daemon.ok("ADD", netns=sandbox)
        daemon.kill()
        before = site.routes(sandbox)
        daemon.start()
        assert site.routes(sandbox) == before
        daemon.ok("CHECK", netns=sandbox)
        daemon.ok("DEL", netns=sandbox)
        site.assert_clean(sandbox)
        daemon.stop()

    def test_node_that_was_started_anew(self, rich: Site, daemon: Daemon) -> None:
        """Sandboxes are gone; the runtime removes what it knows of, with no namespace: addresses come free."""
        site, sandbox = rich, rich.lab.sandbox()
        daemon.start()
        daemon.ok("ADD", netns=sandbox)
        daemon.kill()
        sandbox.close()
        daemon.start()
        assert len(site.lease_files()) == 2
        daemon.ok("DEL")
        site.assert_clean()
        daemon.stop()
