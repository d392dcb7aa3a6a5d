"""Folders are watched whatever becomes of them; nothing that happens between two waits is missed."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from multinet.adapters.inotify import FolderWatch

SOON, LONG = 0.15, 20.0


@pytest.fixture
def watches() -> Iterator[list[FolderWatch]]:
    made: list[FolderWatch] = []
    yield made
    for watch in made:
        watch.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "etc" / "cni" / "net.d"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def watch(folder: Path, watches: list[FolderWatch]) -> FolderWatch:
    watches.append(FolderWatch([str(folder)]))
    return watches[0]


def quiet(watch: FolderWatch) -> None:
    """What has been told by now is over: the next wait is about what happens next."""
    while watch.wait(SOON):
        pass


class TestChanges:
    def test_nothing(self, watch: FolderWatch) -> None:
        assert watch.wait(SOON) is False

    @pytest.mark.parametrize("change", ["write", "rename in", "rename away", "remove", "rewrite"])
    def test_of_a_file(self, watch: FolderWatch, folder: Path, tmp_path: Path, change: str) -> None:
        (folder / "a").write_text("old")
        (tmp_path / "b").write_text("new")
        quiet(watch)
        match change:
            case "write":
                (folder / "c").write_text("")
            case "rename in":
                (tmp_path / "b").rename(folder / "b")
            case "rename away":
                (folder / "a").rename(folder / "a.bak")
            case "remove":
                (folder / "a").unlink()
            case "rewrite":
                (folder / "a").write_text("newer")
        assert watch.wait(LONG)
        quiet(watch)

    def test_between_two_waits(self, watch: FolderWatch, folder: Path) -> None:
        assert not watch.wait(0)
        (folder / "a").write_text("x")
        assert watch.wait(0)
        assert not watch.wait(SOON)

    def test_while_it_waits(self, watch: FolderWatch, folder: Path) -> None:
        timer = threading.Timer(SOON, lambda: (folder / "a").write_text("x"))
        timer.start()
        assert watch.wait(LONG)
        timer.join()

    def test_reading_is_no_change(self, watch: FolderWatch, folder: Path) -> None:
        (folder / "a").write_text("x")
        quiet(watch)
        assert (folder / "a").read_text() == "x"
        assert os.listdir(folder) == ["a"]
        assert not watch.wait(SOON)

    def test_several_folders(self, tmp_path: Path, watches: list[FolderWatch]) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        watch = FolderWatch([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "a")])
        watches.append(watch)
        for name in ("a", "b"):
            (tmp_path / name / "x").write_text("")
            assert watch.wait(LONG)
            quiet(watch)


class TestFolders:
    def test_that_is_made_later(self, tmp_path: Path, watches: list[FolderWatch]) -> None:
        """Parents are awaited one by one."""
        watch = FolderWatch([str(tmp_path / "cni" / "net.d")])
        watches.append(watch)
        assert not watch.wait(SOON)
        (tmp_path / "cni").mkdir()
        assert watch.wait(LONG)
        quiet(watch)
        (tmp_path / "cni" / "net.d").mkdir()
        assert watch.wait(LONG)
        quiet(watch)
        (tmp_path / "cni" / "net.d" / "a").write_text("x")
        assert watch.wait(LONG)

    def test_a_missing_ones_neighbours_are_no_change(
        self, tmp_path: Path, watches: list[FolderWatch]
    ) -> None:
        (tmp_path / "other").write_text("")
        watches.append(FolderWatch([str(tmp_path / "net.d")]))
        (tmp_path / "other").write_text("x")
        (tmp_path / "other").unlink()
        assert not watches[0].wait(SOON)

    def test_that_is_removed_and_made_again(self, watch: FolderWatch, folder: Path) -> None:
        folder.rmdir()
        assert watch.wait(LONG)
        quiet(watch)
        folder.mkdir()
        assert watch.wait(LONG)
        quiet(watch)
        (folder / "a").write_text("x")
        assert watch.wait(LONG)

    def test_that_is_made_again_between_two_waits(self, watch: FolderWatch, folder: Path) -> None:
        folder.rmdir()
        folder.mkdir()
        quiet(watch)
        (folder / "a").write_text("x")
        assert watch.wait(LONG)

    def test_that_another_takes_the_place_of(self, watch: FolderWatch, folder: Path, tmp_path: Path) -> None:
        """Of the old one, which lives on elsewhere, nothing is heard any more."""
        folder.rename(tmp_path / "old")
        folder.mkdir()
        quiet(watch)
        (tmp_path / "old" / "a").write_text("x")
        assert not watch.wait(SOON)
        (folder / "a").write_text("x")
        assert watch.wait(LONG)

    def test_whose_parent_was_moved(self, watch: FolderWatch, folder: Path, tmp_path: Path) -> None:
        """Nobody is told of it, but after the next time limit the path counts again."""
        (tmp_path / "etc").rename(tmp_path / "etc.old")
        folder.mkdir(parents=True)
        watch.wait(SOON)
        quiet(watch)
        (folder / "a").write_text("x")
        assert watch.wait(LONG)

    def test_a_missing_folder_below_a_watched_one(self, tmp_path: Path, watches: list[FolderWatch]) -> None:
        """Both are one watch of the kernel's: neither takes the other's events away."""
        watch = FolderWatch([str(tmp_path), str(tmp_path / "sub")])
        watches.append(watch)
        (tmp_path / "a").write_text("x")
        quiet(watch)
        (tmp_path / "a").unlink()
        assert watch.wait(LONG)


class TestOverflow:
    def test_is_one_more_change(self, watch: FolderWatch, folder: Path) -> None:
        limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        for number in range(limit // 2 + 100):
            name = folder / str(number % 7)
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
            name.unlink()
        assert watch.wait(0)
        quiet(watch)
        (folder / "a").write_text("x")
        assert watch.wait(LONG)


class TestEnd:
    def test_wake(self, watch: FolderWatch) -> None:
        watch.wake()
        watch.wake()
        assert watch.wait(LONG)
        assert not watch.wait(SOON)

    def test_wake_from_another_thread(self, watch: FolderWatch) -> None:
        timer = threading.Timer(SOON, watch.wake)
        timer.start()
        assert watch.wait(LONG)
        timer.join()

    def test_no_descriptor_is_left(self, folder: Path) -> None:
        before = len(os.listdir("/proc/self/fd"))
        watch = FolderWatch([str(folder)])
        watch.close()
        watch.close()
        watch.wake()
        assert len(os.listdir("/proc/self/fd")) == before

    def test_no_descriptor_to_be_had(self, folder: Path) -> None:
        """Not even one for itself; the one that it did get is given back."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        first = os.open("/", os.O_RDONLY)
        os.close(first)
        resource.setrlimit(resource.RLIMIT_NOFILE, (first + 1, hard))
        try:
            with pytest.raises(OSError, match="inotify: Too many open files"):
                FolderWatch([str(folder)])
            os.close(os.open("/", os.O_RDONLY))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
