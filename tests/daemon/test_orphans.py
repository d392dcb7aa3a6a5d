"""Containers that are gone without a DEL: what they held comes back, and nobody else's goes (pains 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from multinet.daemon.background import Background, Periods
from multinet.daemon.orphans import Orphans
from multinet.ports import PodSandbox, RuntimeUnavailable

Site = Any
QUICK = Periods(spool=0.01, orphans=0.01, doubt=0.01)


class Runtime:
    """Knows the sandboxes that it is told of, and counts how often it is asked."""

    def __init__(self, *ids: str) -> None:
        self.ids = set(ids)
        self.asked = 0
        self.is_away = False

    def sandboxes(self, timeout: float = 10.0) -> list[PodSandbox]:
        self.asked += 1
        if self.is_away:
            raise RuntimeUnavailable("/run/r.sock: no such file or directory")
        return [PodSandbox(container_id=i, namespace="", name="", uid="", ready=False) for i in self.ids]


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture
def orphans(site: Site, runtime: Runtime) -> Orphans:
    return Orphans(site.app.shared, runtime)


class Sandboxes:
    """Makes pods whose namespace has a name in a folder, as runtimes keep them, and takes the name away."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site, self._folder = site, folder
        folder.mkdir()

    def start(self, container: str) -> None:
        path = self._folder / container
        path.symlink_to(self._site.lab.sandbox().path)
        self._site.ok("ADD", container, str(path))

    def end(self, *containers: str) -> None:
        """Without a DEL."""
        for container in containers:
            (self._folder / container).unlink()


@pytest.fixture
def sandboxes(site: Site, tmp_path: Path) -> Sandboxes:
    return Sandboxes(site, tmp_path / "netns")


def containers(site: Site) -> set[str]:
    return {row.container_id for row in site.rows}


def test_what_it_held_is_given_back(site: Site, orphans: Orphans, sandboxes: Sandboxes) -> None:
    """At the second look, and nothing else is touched."""
    sandboxes.start("gone")
    mine = set(site.lease_files())
    sandboxes.start("alive")
    sandboxes.end("gone")
    assert orphans.remove()
    assert containers(site) == {"gone", "alive"}
    assert not orphans.remove()
    assert containers(site) == {"alive"}
    assert mine.isdisjoint(site.lease_files())
    assert len(site.lease_files()) == len(mine)
    site.ok("DEL", "alive")
    site.assert_clean()


def test_runtime_knows_it(site: Site, orphans: Orphans, sandboxes: Sandboxes, runtime: Runtime) -> None:
    """Its DEL will come."""
    sandboxes.start("ended")
    sandboxes.end("ended")
    runtime.ids = {"ended"}
    for _ in range(3):
        assert not orphans.remove()
    assert containers(site) == {"ended"}
    site.ok("DEL", "ended")


def test_namespace_is_there(site: Site, orphans: Orphans, sandboxes: Sandboxes, runtime: Runtime) -> None:
    """Another runtime's, perhaps: the one that is asked needn't know it, and isn't even asked."""
    sandboxes.start("others")
    for _ in range(3):
        assert not orphans.remove()
    assert runtime.asked == 0
    assert containers(site) == {"others"}
    site.ok("DEL", "others")


def test_doubt_that_was_unfounded(
    site: Site, orphans: Orphans, sandboxes: Sandboxes, runtime: Runtime
) -> None:
    """Two looks in succession: one long ago and one now don't make an orphan."""
    sandboxes.start("c1")
    sandboxes.end("c1")
    assert orphans.remove()
    runtime.ids = {"c1"}
    assert not orphans.remove()
    runtime.ids = set()
    assert orphans.remove()
    assert containers(site) == {"c1"}
    site.ok("DEL", "c1")


def test_runtime_that_does_not_answer(
    site: Site,
    orphans: Orphans,
    sandboxes: Sandboxes,
    runtime: Runtime,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing goes, and it is said once."""
    caplog.set_level("INFO", "multinet.daemon.orphans")
    sandboxes.start("c1")
    sandboxes.end("c1")
    runtime.is_away = True
    for _ in range(3):
        assert not orphans.remove()
    assert containers(site) == {"c1"}
    assert [record.getMessage() for record in caplog.records] == [
        "containers that are gone can't be told from others: /run/r.sock: no such file or directory"
    ]
    runtime.is_away = False
    assert orphans.remove()
    orphans.remove()
    site.assert_clean()


def test_background_looks(site: Site, orphans: Orphans, sandboxes: Sandboxes) -> None:
    sandboxes.start("gone")
    sandboxes.end("gone")
    app = site.app
    background = Background(app.handler, app.service, app.spool, QUICK, orphans)
    background.start()
    site.wait_for(lambda: not site.rows)
    background.stop()
    site.assert_clean()
