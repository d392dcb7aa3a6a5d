from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from multinet.adapters.installation import (
    BACKUP_SUFFIX,
    MANIFEST,
    InstallationError,
    Installed,
    Uninstalled,
    install,
    standalone_script,
    uninstall,
    write_standalone,
)
from multinet.shim import SETTINGS_FILE

OURS, NEWER = b"#!/bin/sh\necho ours\n", b"#!/bin/sh\necho newer\n"
NAMES = ("multinet", "bridge", "macvlan")


def put(names: tuple[str, ...], folder: Path, content: bytes = OURS) -> Installed:
    return install(names, folder, content, "/run/m/s", "/var/m/spool")


def snapshot(folder: Path) -> dict[str, object]:
    """What a caller can tell of a directory: content or target, and mode."""
    return {
        path.name: os.readlink(path)
        if path.is_symlink()
        else (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in folder.iterdir()
    }


def run(path: Path) -> bytes:
    return subprocess.run([path], capture_output=True, check=True).stdout


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    """A plugin directory with other people's plugins: a file, a link, and ones that multinet has no name for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, mode in (("bridge", 0o755), ("calico", 0o700), ("README.md", 0o644)):
        (folder / name).write_bytes(f"#!/bin/sh\necho {name}\n".encode())
        (folder / name).chmod(mode)
    (folder / "macvlan").symlink_to("calico")
    return folder


def test_one_file_stands_under_all_names(tmp_path: Path) -> None:
    folder = tmp_path / "opt" / "cni" / "bin"
    assert put((*NAMES, "bridge"), folder) == Installed(NAMES, ())
    assert {run(folder / name) for name in NAMES} == {b"ours\n"}
    assert {(folder / name).stat().st_ino for name in NAMES} == {(folder / "bridge").stat().st_ino}
    assert stat.S_IMODE((folder / "bridge").stat().st_mode) == 0o755
    assert sorted(os.listdir(folder)) == sorted([*NAMES, SETTINGS_FILE, MANIFEST])


def test_the_settings_are_the_shims(tmp_path: Path) -> None:
    install(["multinet"], tmp_path, OURS, "/run/m/s", "/var/m/spool", 12.5)
    text = (tmp_path / SETTINGS_FILE).read_text()
    assert text == "socket=/run/m/s\nspool=/var/m/spool\ntimeout=12.500\n"
    put(("multinet",), tmp_path)
    assert (tmp_path / SETTINGS_FILE).read_text() == "socket=/run/m/s\nspool=/var/m/spool\n"


def test_a_source_may_be_a_path(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(OURS)
    source.chmod(0o600)
    install(["multinet"], tmp_path / "bin", source, "/s", "/d")
    assert run(tmp_path / "bin" / "multinet") == b"ours\n"
    with pytest.raises(InstallationError, match=r"cannot read .*missing: No such file"):
        install(["multinet"], tmp_path / "bin", tmp_path / "missing", "/s", "/d")


def test_what_was_there_is_kept_and_comes_back(bin_dir: Path) -> None:
    before = snapshot(bin_dir)
    assert put(NAMES, bin_dir).saved == ("bridge", "macvlan")
    assert {run(bin_dir / name) for name in NAMES} == {b"ours\n"}
    assert run(bin_dir / f"bridge{BACKUP_SUFFIX}") == b"bridge\n"
    assert run(bin_dir / "calico") == b"calico\n"
    done = uninstall(bin_dir)
    assert (set(done.removed), set(done.restored), done.left) == ({"multinet"}, {"bridge", "macvlan"}, ())
    assert snapshot(bin_dir) == before


def test_the_manifest_tells_what_was_done(bin_dir: Path) -> None:
    put(NAMES, bin_dir)
    manifest = json.loads((bin_dir / MANIFEST).read_text())
    assert manifest["files"] == {
        "multinet": None,
        "bridge": "bridge.before-multinet",
        "macvlan": "macvlan.before-multinet",
    }


@pytest.mark.parametrize("content", [OURS, NEWER])
def test_installing_again_keeps_the_first_backup(bin_dir: Path, content: bytes) -> None:
    before = snapshot(bin_dir)
    put(NAMES, bin_dir)
    assert put(NAMES, bin_dir, content).saved == ()
    assert (bin_dir / "macvlan").read_bytes() == content
    uninstall(bin_dir)
    assert snapshot(bin_dir) == before


def test_more_names_later_are_one_installation(bin_dir: Path) -> None:
    before = snapshot(bin_dir)
    put(("multinet",), bin_dir)
    put(("bridge", "vlan"), bin_dir, NEWER)
    assert run(bin_dir / "multinet") == b"ours\n"
    uninstall(bin_dir)
    assert snapshot(bin_dir) == before


def test_uninstalling_twice_or_nothing_is_success(bin_dir: Path, tmp_path: Path) -> None:
    nothing = Uninstalled((), (), ())
    before = snapshot(bin_dir)
    assert uninstall(bin_dir) == uninstall(tmp_path / "missing") == nothing
    put(NAMES, bin_dir)
    uninstall(bin_dir)
    assert uninstall(bin_dir) == nothing
    assert snapshot(bin_dir) == before


def test_a_file_somebody_put_there_since_is_left(bin_dir: Path) -> None:
    put(NAMES, bin_dir)
    for name in ("bridge", "multinet"):
        (bin_dir / name).unlink()
        (bin_dir / name).write_bytes(b"upgraded")
    (bin_dir / "macvlan").unlink()
    done = uninstall(bin_dir)
    assert (done.restored, set(done.left)) == (("macvlan",), {"bridge", "multinet"})
    assert (bin_dir / "bridge").read_bytes() == b"upgraded"
    assert run(bin_dir / f"bridge{BACKUP_SUFFIX}") == b"bridge\n"


def test_an_upgrade_of_theirs_between_two_of_ours_becomes_the_backup(bin_dir: Path) -> None:
    put(NAMES, bin_dir)
    (bin_dir / "bridge").unlink()
    (bin_dir / "bridge").write_bytes(b"upgraded")
    assert put(NAMES, bin_dir, NEWER).saved == ("bridge",)
    uninstall(bin_dir)
    assert (bin_dir / "bridge").read_bytes() == b"upgraded"
    assert not (bin_dir / f"bridge{BACKUP_SUFFIX}").exists()


@pytest.mark.parametrize("steps", range(1, 17))  # an installation has 14, and its removal 5
def test_a_crash_at_any_step_can_be_gone_on_from(bin_dir: Path, steps: int) -> None:
    """The call is killed at its n-th system call that changes something; both ways on lead where they should."""
    before = snapshot(bin_dir)
    for attempt, content in enumerate((OURS, NEWER)):
        crash_during("put(NAMES, folder, %r)" % content, bin_dir, steps)  # noqa: UP031  (it holds braces)
        folder = bin_dir.with_name(f"go-on-{attempt}")
        shutil.copytree(bin_dir, folder, symlinks=True)
        put(NAMES, folder, NEWER)
        assert {run(folder / name) for name in NAMES} == {b"newer\n"}
        uninstall(folder)
        assert snapshot(folder) == before
        for name in ("bridge", "macvlan", "calico"):
            assert run(bin_dir / name) in {f"{name}\n".encode(), b"calico\n", b"ours\n", b"newer\n"}
    crash_during("uninstall(folder)", bin_dir, steps)
    uninstall(bin_dir)
    assert snapshot(bin_dir) == before


CRASHING = """
import os, sys
from pathlib import Path
from multinet.adapters.installation import install, uninstall
NAMES = {names!r}
folder, left = Path(sys.argv[1]), int(sys.argv[2])
def put(names, folder, content):
    install(names, folder, content, "/run/m/s", "/var/m/spool")
CHANGES = {{"os.rename", "os.link", "os.remove", "os.symlink", "open"}}
def audit(event, args):
    global left
    if event in CHANGES and str(folder) in str(args[0]) and (event != "open" or "x" in str(args[1])):
        left -= 1
        if left == 0:
            os._exit(9)
sys.addaudithook(audit)
{call}
"""


def crash_during(call: str, folder: Path, steps: int) -> None:
    code = CRASHING.format(names=NAMES, call=call)
    done = subprocess.run([sys.executable, "-c", code, folder, str(steps)], capture_output=True, check=False)
    assert done.returncode in (0, 9), done.stderr


def test_a_lost_manifest_costs_nobody_the_original(bin_dir: Path) -> None:
    before = snapshot(bin_dir)
    put(("bridge",), bin_dir)
    (bin_dir / MANIFEST).unlink()
    with pytest.raises(InstallationError, match=r"bridge\.before-multinet exists, and .* doesn't know of it"):
        put(("bridge",), bin_dir, NEWER)
    put(("bridge",), bin_dir)  # the same content: that is ours for certain
    uninstall(bin_dir)
    assert snapshot(bin_dir) == before


@pytest.mark.parametrize("content", [b"", b"{", b'{"files": {"../x": null}}', b'{"files": []}'])
def test_a_damaged_manifest_is_told(bin_dir: Path, content: bytes) -> None:
    (bin_dir / MANIFEST).write_bytes(content)
    before = snapshot(bin_dir)
    with pytest.raises(InstallationError, match="is damaged"):
        put(NAMES, bin_dir)
    with pytest.raises(InstallationError, match="is damaged"):
        uninstall(bin_dir)
    assert snapshot(bin_dir) == before


def test_a_directory_in_the_way_is_told(bin_dir: Path) -> None:
    (bin_dir / "vlan").mkdir()
    with pytest.raises(InstallationError, match="vlan is neither a file nor a link"):
        put(("vlan",), bin_dir)


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InstallationError, match=r"cannot change .*file/bin: Not a directory"):
        put(NAMES, tmp_path / "file" / "bin")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\n", f"x{BACKUP_SUFFIX}"])
def test_names_that_no_plugin_has_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a plugin"):
        put((name,), tmp_path)
    with pytest.raises(ValueError, match="cannot be the name of a plugin"):
        standalone_script(name)
    assert os.listdir(tmp_path) == []


def test_settings_that_no_line_can_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line break"):
        install(NAMES, tmp_path, OURS, "/run/a\nspool=/etc", "/d")
    with pytest.raises(ValueError, match="no name"):
        install([], tmp_path, OURS, "/s", "/d")
    assert os.listdir(tmp_path) == []


def test_a_running_executable_is_replaced_and_runs_on(tmp_path: Path) -> None:
    cat = Path("/bin/cat").read_bytes()
    put(NAMES, tmp_path, cat)
    running = subprocess.Popen([tmp_path / "bridge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with pytest.raises(OSError, match="Text file busy"):
        (tmp_path / "bridge").write_bytes(OURS)  # what a plain copy would run into
    put(NAMES, tmp_path, NEWER)
    assert run(tmp_path / "bridge") == b"newer\n"
    uninstall(tmp_path)
    assert running.communicate(b"still here", timeout=20)[0] == b"still here"
    assert os.listdir(tmp_path) == []


def test_names_can_be_started_all_the_time_while_they_are_replaced(bin_dir: Path) -> None:
    over = threading.Event()

    def replace() -> None:
        for number in range(30):
            put(NAMES, bin_dir, OURS + b"#%d\n" % number)
        uninstall(bin_dir)
        over.set()

    thread = threading.Thread(target=replace)
    thread.start()
    seen = set()
    while not over.is_set():
        seen.add(run(bin_dir / "bridge"))
    thread.join()
    assert seen <= {b"bridge\n", b"ours\n"}


def test_a_file_system_without_hard_links_gets_copies(bin_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    before = snapshot(bin_dir)
    monkeypatch.setattr(os, "link", refuse)
    put(NAMES, bin_dir)
    assert {run(bin_dir / name) for name in NAMES} == {b"ours\n"}
    assert len({(bin_dir / name).stat().st_ino for name in NAMES}) == 3
    assert os.readlink(bin_dir / f"macvlan{BACKUP_SUFFIX}") == "calico"
    uninstall(bin_dir)
    assert snapshot(bin_dir) == before


def test_two_installers_at_once_end_in_one_whole_installation(bin_dir: Path) -> None:
    before = snapshot(bin_dir)
    contents = [OURS + b"#%d\n" % number for number in range(8)]
    threads = [threading.Thread(target=put, args=(NAMES, bin_dir, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(bin_dir / name).read_bytes() for name in NAMES}) == 1
    uninstall(bin_dir)
    assert snapshot(bin_dir) == before


def test_a_standalone_plugin_is_a_script_of_this_interpreter(tmp_path: Path) -> None:
    path = tmp_path / "bin" / "host-local"
    write_standalone(path, "host-local")
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert path.read_text().split("\n")[0] == f"#!{sys.executable} -I"
    env = {"CNI_COMMAND": "VERSION", "PYTHONPATH": "/nonexistent"}
    done = subprocess.run([path], env=env, cwd="/", input=b"", capture_output=True, check=True)
    assert json.loads(done.stdout)["supportedVersions"][-1] == "1.1.0"
    write_standalone(path, "host-local")
    assert os.listdir(path.parent) == ["host-local"]
