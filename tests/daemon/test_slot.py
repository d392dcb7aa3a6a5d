"""The slot is kept: pains 9, multi-network.md 4.10, 4.11, 4.13, 9.4, 9.5, 9.18, 7.B 57."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.plugin_directory import InstallationError
from multinet.cni.errors import CNIError, Code
from multinet.daemon.slot.keeper import LOST, PRECEDED, Slot, SlotTimes
from multinet.daemon.slot.pace import Pace
from multinet.daemon.slot.plan import SlotPlan
from multinet.daemon.slot.report import SlotReport
from multinet.ports import Event

FLANNEL: dict[str, Any] = {"cniVersion": "0.4.0", "name": "cbr0", "type": "flannel"}
OURS = "00-multinet.conflist"


class Node:
    """One node's folder, and slots that are kept in it."""

    def __init__(self, root: Path) -> None:
        self.net_d = root / "net.d"
        self.net_d.mkdir()
        self.file = self.net_d / OURS
        self.events: list[Event] = []
        self.reports: list[SlotReport] = []
        self.now = 0.0
        self._started: list[Slot] = []

    def slot(self, times: SlotTimes | None = None, pace: Pace | None = None, **plan: Any) -> Slot:
        return Slot(
            SlotPlan(config_dir=str(self.net_d), autoconfig_dir=str(self.net_d), **plan),
            tell=self.events.append,
            publish=self.reports.append,
            times=times or SlotTimes(),
            pace=pace,
            clock=lambda: self.now,
        )

    def started(self, **plan: Any) -> Slot:
        """A slot with a thread and a real clock."""
        slot = Slot(
            SlotPlan(config_dir=str(self.net_d), autoconfig_dir=str(self.net_d), **plan),
            tell=self.events.append,
        )
        self._started.append(slot)
        slot.start()
        return slot

    def primary(self, name: str = "10-flannel.conf", **more: Any) -> Path:
        path = self.net_d / name
        path.write_text(json.dumps({**FLANNEL, **more}))
        return path

    @property
    def names(self) -> list[str]:
        return sorted(os.listdir(self.net_d))

    @property
    def plugin(self) -> dict[str, Any]:
        plugin: dict[str, Any] = json.loads(self.file.read_text())["plugins"][0]
        return plugin

    def close(self) -> None:
        for slot in self._started:
            slot.stop()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.close()


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


class TestPlace:
    def test_nothing_without_a_primary(self, node: Node) -> None:
        """4.13: and STATUS says why."""
        slot = node.slot()
        slot.look()
        assert node.names == []
        assert not slot.report.in_place
        assert "could not find a plugin configuration" in slot.report.problem
        with pytest.raises(CNIError) as error:
            slot.require_ready()
        assert error.value.code == Code.NOT_AVAILABLE

    def test_whole_and_for_root_alone(self, node: Node) -> None:
        path = node.primary()
        slot = node.slot()
        slot.look()
        assert node.plugin["clusterNetwork"] == str(path)
        assert node.file.stat().st_mode & 0o777 == 0o600
        assert node.names == [OURS, "10-flannel.conf"]
        assert (
            node.reports[-1]
            == slot.report
            == SlotReport(path=str(node.file), in_place=True, primary=str(path))
        )
        slot.require_ready()
        assert node.events == []

    def test_is_written_only_when_it_changes(self, node: Node) -> None:
        node.primary()
        slot = node.slot()
        slot.look()
        before = node.file.stat()
        for _ in range(5):
            slot.look()
        assert node.file.stat().st_ino == before.st_ino
        assert len(node.reports) == 1

    def test_folder_is_made(self, node: Node, tmp_path: Path) -> None:
        node.primary()
        folder = tmp_path / "new" / "net.d"
        slot = Slot(SlotPlan(config_dir=str(folder), autoconfig_dir=str(node.net_d)))
        slot.look()
        assert os.listdir(folder) == [OURS]

    def test_stays_when_the_primary_goes(self, node: Node) -> None:
        """9.4: pods wait, they don't bypass us."""
        path = node.primary()
        slot = node.slot()
        slot.look()
        before = node.file.read_bytes()
        path.unlink()
        slot.look()
        assert node.file.read_bytes() == before
        with pytest.raises(CNIError, match="could not find a plugin configuration"):
            slot.require_ready()

    def test_half_written_primary_never_empties_it(self, node: Node) -> None:
        """4.11."""
        path = node.primary()
        slot = node.slot()
        slot.look()
        before = node.file.read_bytes()
        whole = path.read_text()
        for end in range(len(whole)):
            path.write_text(whole[:end])
            slot.look()
            assert node.file.read_bytes() == before
        assert node.events == []

    def test_stays_over_a_restart(self, node: Node) -> None:
        """9.5: also while the primary isn't there yet after a reboot; if it is taken then, it is put back."""
        path = node.primary()
        node.slot().look()
        before = node.file.read_bytes()
        path.unlink()
        slot = node.slot()
        slot.look()
        assert node.file.read_bytes() == before
        assert slot.report.in_place
        node.file.unlink()
        slot.look()
        assert node.file.read_bytes() == before
        assert slot.report.lost == 1

    def test_junk_of_a_crash_is_replaced(self, node: Node) -> None:
        """An empty file of ours, as an older daemon could leave it."""
        node.primary()
        node.file.write_bytes(b"")
        slot = node.slot()
        slot.look()
        assert node.plugin["type"] == "multinet"
        assert (slot.report.lost, node.events) == (0, [])

    def test_folder_that_cannot_be_written(self, node: Node, tmp_path: Path) -> None:
        """It says so, and goes on trying."""
        node.primary()
        blocked = tmp_path / "blocked"
        blocked.write_text("")
        slot = Slot(SlotPlan(config_dir=str(blocked / "net.d"), autoconfig_dir=str(node.net_d)))
        assert slot.look() > 0
        assert f"{blocked}" in slot.report.problem
        assert not slot.report.in_place
        blocked.unlink()
        slot.look()
        assert slot.report.in_place
        assert slot.report.problem == ""

    def test_earlier_file_of_others(self, node: Node) -> None:
        """The runtime would take that: told once, and no longer when it is gone."""
        node.primary()
        (node.net_d / "00-aaa.conf").write_text(json.dumps(FLANNEL))
        (node.net_d / "00-broken.conf").write_text("{")
        slot = node.slot()
        slot.look()
        slot.look()
        text = f"the runtime takes 00-aaa.conf before {node.file}: remove or rename it"
        assert node.events == [Event(reason=PRECEDED, message=text)]
        assert slot.report.problem == text
        (node.net_d / "00-aaa.conf").unlink()
        slot.look()
        node.now += 10
        slot.look()
        assert slot.report.problem == ""

    def test_release(self, node: Node) -> None:
        """9.6: ``cleanupConfigOnExit``; what isn't ours stays."""
        node.primary()
        slot = node.slot()
        slot.look()
        slot.release()
        slot.release()
        assert node.names == ["10-flannel.conf"]
        node.file.write_text(json.dumps({"name": "x", "plugins": [FLANNEL]}))
        slot.release()
        assert node.names == [OURS, "10-flannel.conf"]

    def test_release_that_fails(self, node: Node) -> None:
        node.primary()
        slot = node.slot()
        slot.look()
        lock = node.net_d / f".{OURS}.multinet-tmp"
        lock.mkdir()  # what can't be unlinked
        with pytest.raises(InstallationError):
            slot.release()
        lock.rmdir()


class TestTakenAway:
    @pytest.mark.parametrize(
        ("how", "told"),
        [
            (
                "cilium",
                "renamed to 00-multinet.conflist.cilium_bak by somebody else (Cilium does that unless",
            ),
            ("remove", "removed by somebody else"),
            ("overwrite", "written over by somebody else"),
            ("empty", "written over by somebody else"),
        ],
    )
    def test_is_taken_back_and_told(self, node: Node, how: str, told: str) -> None:
        """9.18."""
        node.primary()
        slot = node.slot()
        slot.look()
        good = node.file.read_bytes()
        match how:
            case "cilium":
                node.file.rename(node.net_d / f"{OURS}.cilium_bak")
            case "remove":
                node.file.unlink()
            case "overwrite":
                node.file.write_text(json.dumps(FLANNEL))
            case "empty":
                node.file.write_bytes(b"")
        slot.look()
        assert node.file.read_bytes() == good
        assert slot.report.in_place
        assert slot.report.lost == 1
        [event] = node.events
        assert (event.reason, event.warning) == (LOST, True)
        assert event.message.startswith(f"{node.file} was {told}")

    def test_a_foe_that_goes_on(self, node: Node) -> None:
        """At once a few times, then after pauses that grow: no hot loop, and it is told all the while."""
        node.primary()
        slot = node.slot()
        writes = looks = 0
        slot.look()
        while node.now < 3600:
            if node.file.exists():
                node.file.rename(node.net_d / f"{OURS}.cilium_bak")
            pause = slot.look()
            looks += 1
            writes += node.file.exists()
            node.now += min(pause, 1.0) if node.file.exists() else pause
        assert 60 <= writes <= 80
        assert looks < 600
        assert slot.report.lost == len(node.events) == writes + (not node.file.exists())
        node.now += 1000
        slot.look()
        assert node.file.exists()
        node.now += 1000
        slot.look()
        node.file.unlink()  # the fight is over by now
        slot.look()
        assert node.file.exists()

    def test_while_it_waits_it_says_so(self, node: Node) -> None:
        node.primary()
        slot = node.slot(pace=Pace(at_once=1, first_pause=30))
        slot.look()
        for _ in range(2):
            node.file.unlink()
            slot.look()
        assert not node.file.exists()
        assert not slot.report.in_place
        assert "was removed by somebody else; it happens too often" in slot.report.problem
        node.now += 29
        slot.look()
        assert not node.file.exists()
        node.now += 1
        slot.look()
        assert (slot.report.in_place, slot.report.problem) == (True, "")
        assert slot.report.lost == len(node.events) == 2

    def test_our_own_changes_are_no_loss(self, node: Node) -> None:
        slot = node.slot()
        for number in range(20):
            node.primary(capabilities={f"c{number}": True})
            slot.look()
            assert f"c{number}" in node.plugin["capabilities"]
        assert (slot.report.lost, node.events) == (0, [])


class TestPace:
    def test_at_once_then_slower(self) -> None:
        pace = Pace(at_once=3, within=60, first_pause=1, longest=8)
        now, delays = 0.0, []
        for _ in range(9):
            delay = pace.delay(now)
            delays.append(delay)
            now += delay
            pace.taken(now)
        assert delays == [0, 0, 0, 1, 2, 4, 8, 8, 8]

    def test_rare_losses_never_wait(self) -> None:
        pace = Pace(at_once=3, within=60)
        for number in range(50):
            assert pace.delay(number * 31) == 0
            pace.taken(number * 31)

    def test_peace(self) -> None:
        pace = Pace(at_once=2, within=60, first_pause=4)
        for _ in range(3):
            pace.taken(0)
        assert pace.delay(1) == 7
        pace.kept(30)
        assert pace.delay(1) == 7
        pace.kept(68)
        assert pace.delay(68) == 0


class TestThread:
    def test_primary_that_comes_and_changes(self, node: Node) -> None:
        """57."""
        node.started()
        time.sleep(0.2)
        assert not node.file.exists()
        node.primary()
        until(node.file.exists)
        node.primary(capabilities={"portMappings": True})
        until(lambda: "portMappings" in node.plugin["capabilities"])
        node.primary("05-calico.conf")
        until(lambda: node.plugin["clusterNetwork"].endswith("05-calico.conf"))

    def test_readiness_file_elsewhere(self, node: Node, tmp_path: Path) -> None:
        """9.33; its folder may not exist yet."""
        node.primary()
        ready = tmp_path / "run" / "cni" / "ready"
        node.started(readiness_file=str(ready))
        time.sleep(0.2)
        assert not node.file.exists()
        ready.parent.mkdir(parents=True)
        ready.touch()
        until(node.file.exists)

    def test_cilium(self, node: Node) -> None:
        """A loop that renames the file whenever it sees it is beaten for a while, and told; then it is slowed."""
        node.primary()
        slot = node.started()
        until(node.file.exists)
        stop = threading.Event()
        renamed = 0

        def exclusive() -> None:
            nonlocal renamed
            while not stop.is_set():
                if node.file.exists():
                    node.file.rename(node.net_d / f"{OURS}.cilium_bak")
                    renamed += 1
                time.sleep(0.002)

        foe = threading.Thread(target=exclusive)
        foe.start()
        try:
            until(lambda: "it happens too often to put it back at once" in slot.report.problem, 60)
        finally:
            stop.set()
            foe.join()
        assert 6 <= renamed <= 12  # five times it was put back at once, then the pauses begin
        assert {event.reason for event in node.events} == {LOST}
        assert "cilium_bak" in node.events[0].message
        until(node.file.exists)

    def test_two_daemons(self, node: Node) -> None:
        """A rolling upgrade: whatever the two want, there is always a file, it is always whole, and they calm down."""
        node.primary()
        node.started()
        until(node.file.exists)
        node.started(keys={"namespaceIsolation": True})
        for _ in range(1500):
            # raises if there is none, or half of one
            assert json.loads(node.file.read_bytes())["plugins"][0]["type"] == "multinet"
            time.sleep(0.002)
        assert 0 < len(node.events) <= 20

    def test_two_daemons_of_one_mind(self, node: Node) -> None:
        node.primary()
        node.started()
        until(node.file.exists)
        inode = node.file.stat().st_ino
        second = node.started()
        until(lambda: second.report.in_place)
        assert node.file.stat().st_ino == inode
        assert node.events == []

    def test_both_files_removed_at_once(self, node: Node) -> None:
        path = node.primary()
        slot = node.started()
        until(node.file.exists)
        until(lambda: slot.report.in_place)
        node.file.unlink()
        path.unlink()
        until(node.file.exists)  # put back with the last good content, though the primary is gone
        assert node.names == [OURS]

    def test_end(self, node: Node) -> None:
        """9.5: the file stays."""
        node.primary()
        slot = node.started()
        until(node.file.exists)
        slot.stop()
        slot.stop()
        assert node.file.exists()
