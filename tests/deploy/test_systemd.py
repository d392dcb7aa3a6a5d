"""Units for nodes without Kubernetes, judged by systemd's own programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from multinet.cli.systemd_units import UNITS, compose
from tests.cli.conftest import Node, environment, files, node, nsenter  # noqa: F401
from tests.debian.unpacked import Unavailable, unpacked


@pytest.fixture(scope="module")
def systemd() -> dict[str, str]:
    """Paths of systemd's programs, this machine's or unpacked, and of their libraries."""
    if shutil.which("systemd-analyze"):
        root = Path("/")
    else:
        try:
            root = unpacked("systemd", ["systemd", "libsystemd-shared", "libsystemd0"])
        except Unavailable as why:
            pytest.skip(str(why))
    libraries = [str(path) for path in root.glob("usr/lib/*-linux-gnu/systemd")]
    return {
        "analyze": str(root / "usr/bin/systemd-analyze"),
        "activate": str(root / "usr/bin/systemd-socket-activate"),
        "libraries": ":".join(libraries),
    }


def verify(systemd: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [systemd["analyze"], "verify", "--man=no", *(str(folder / name) for name in UNITS)],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "LD_LIBRARY_PATH": systemd["libraries"],
            "SYSTEMD_UNIT_PATH": f"{folder}:/usr/lib/systemd/system:/lib/systemd/system",
        },
    )


def install(files, unit_dir: Path, *more: str) -> subprocess.CompletedProcess[str]:  # noqa: F811
    return files.install("--systemd", "--unit-dir", str(unit_dir), "--manifests", str(files.manifests), *more)


def test_systemd_takes_the_units(files, systemd, tmp_path) -> None:  # noqa: F811
    done = install(files, tmp_path / "units")
    assert done.returncode == 0, done.stderr
    assert f"wrote {tmp_path}/units/multinet.socket\n" in done.stdout
    checked = verify(systemd, tmp_path / "units")
    about_ours = [line for line in checked.stderr.splitlines() if "multinet" in line]
    assert (checked.returncode, about_ours) == (0, [])


def test_systemd_would_tell_a_fault(systemd, tmp_path) -> None:
    for name, content in compose(["/usr/bin/true"], "/run/multinet/multinet.sock").items():
        (tmp_path / name).write_bytes(content.replace(b"ProtectHome=", b"ProtectHomes="))
    assert "ProtectHomes" in verify(systemd, tmp_path).stderr


def test_odd_characters_are_taken(systemd, tmp_path) -> None:
    words = ["/usr/bin/true", "", "x y", "50%n", "$HOME", 'c"d', "e'f", "g\\h", ";"]
    for name, content in compose(words, "/run/m%n/s").items():
        (tmp_path / name).write_bytes(content)
    assert [line for line in verify(systemd, tmp_path).stderr.splitlines() if "multinet" in line] == []
    command = (tmp_path / "multinet.service").read_text().partition("ExecStart=")[2].splitlines()[0]
    assert command == r"""/usr/bin/true "" "x y" 50%%n $$HOME "c\"d" "e'f" "g\\h" ";" """.strip()


def test_what_no_unit_can_hold_is_told() -> None:
    with pytest.raises(ValueError, match="no unit file can hold"):
        compose(["/bin/true", "/a\nExecStartPre=/bin/sh"], "/run/s")
    with pytest.raises(ValueError, match="systemd starts no program whose path has"):
        compose(["/a$b"], "/run/s")


def test_uninstall_leaves_the_node_as_it_was(files, tmp_path) -> None:  # noqa: F811
    unit_dir = tmp_path / "units"
    unit_dir.mkdir()
    (unit_dir / "other.service").write_text("[Service]\n")
    before = tree(tmp_path)
    for _ in range(2):  # an upgrade too
        assert install(files, unit_dir, "--plugins", "bridge").returncode == 0
    done = files.uninstall("--unit-dir", str(unit_dir), "--purge")
    assert done.returncode == 0, done.stderr
    assert f"removed {unit_dir}/multinet.service\n" in done.stdout
    assert tree(tmp_path) == before


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every entry: mode and content."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def test_units_of_others_stay(files, tmp_path) -> None:  # noqa: F811
    theirs = tmp_path / "units" / "multinet.service"
    theirs.parent.mkdir()
    theirs.write_text("[Service]\nExecStart=/bin/true\n")
    before = tree(tmp_path)
    done = install(files, theirs.parent)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "was not written by multinet install: move it out of the way" in done.stderr
    assert tree(tmp_path) == before
    assert files.uninstall("--unit-dir", str(theirs.parent)).returncode == 0
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--systemd needs --manifests DIR or --kubeconfig FILE"),
        (["--manifests", "/m", "--kubeconfig", "/k"], "--systemd needs --manifests DIR or --kubeconfig FILE"),
        (["--inline", "--manifests", "/m"], "--systemd doesn't go with --inline"),
    ],
)
def test_wrong_usage_is_told(files, options: list[str], said: str) -> None:  # noqa: F811
    done = files.install("--systemd", *options)
    assert (done.returncode, said in done.stderr) == (2, True)
    assert os.listdir(files.bin_dir) == []


@pytest.mark.kernel
def test_systemds_own_activation_serves_the_first_call(node: Node, systemd) -> None:  # noqa: F811
    """The daemon is started by systemd's program, at the first call, and serves that."""
    here = node.files
    assert here.install().returncode == 0
    command = [systemd["activate"], "--setenv=PYTHONPATH", "--listen", str(here.socket)]
    command += [sys.executable, "-m", "multinet", "daemon", *here.state]
    command += ["--manifests", str(here.manifests), "--conf-dir", str(here.conf_dir)]
    with node.errors.open("a") as errors:
        node.daemon = subprocess.Popen(
            [*nsenter(node.lab.host), *command],
            env=environment(LD_LIBRARY_PATH=systemd["libraries"]),
            stderr=errors,
            cwd="/",
        )
    limit = time.monotonic() + 60
    while not here.socket.exists():
        assert time.monotonic() < limit and node.daemon.poll() is None, node.errors.read_text()
        time.sleep(0.02)
    code, out = node.call("STATUS", "", conf={"cniVersion": "1.1.0"})
    assert (code, out) == (0, ""), node.errors.read_text()
    assert node.stop() == 0
