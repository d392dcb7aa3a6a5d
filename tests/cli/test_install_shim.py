"""A new shim is tried out before it takes the old one's place, which may be running meanwhile (pains 10; 9.3)."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from multinet import __version__
from multinet.shim.build import build

OTHER_MACHINE = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(44)
"""The head of a program for RISC-V."""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shim") / "multinet")


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_compiled_shim_is_installed_as_it_is(files, shim: Path) -> None:
    done = files.install("--shim", str(shim), "--plugins", "bridge")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"installed multinet, bridge in {files.bin_dir}: the shim (")
    assert (files.bin_dir / "bridge").read_bytes() == shim.read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo multinet 99.1", f'answers "multinet 99.1" to --version; expected "multinet {__version__}"'),
        ("exit 3", "ends with status 3 to --version"),
        (f"echo multinet {__version__}; exit 1", "to --version; expected"),
    ],
)
@pytest.mark.parametrize("upgrade", [False, True])
def test_one_of_another_version_changes_nothing(files, shim, tmp_path, text, said, upgrade) -> None:
    if upgrade:
        assert files.install("--shim", str(shim)).returncode == 0
    before = files.snapshot()
    done = files.install("--shim", str(script(tmp_path / "new", text)), "--plugins", "bridge")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert said in done.stderr
    assert files.snapshot() == before


def test_one_for_another_machine_changes_nothing(files, shim, tmp_path) -> None:
    assert files.install("--shim", str(shim)).returncode == 0
    before = files.snapshot()
    (tmp_path / "new").write_bytes(OTHER_MACHINE)
    done = files.install("--shim", str(tmp_path / "new"))
    assert (done.returncode, "Exec format error; is it of another architecture" in done.stderr) == (1, True)
    assert files.snapshot() == before


def test_a_missing_one_is_named(files) -> None:
    done = files.install("--shim", "/nonexistent/shim")
    assert done.stderr == "multinet: cannot read /nonexistent/shim: No such file or directory\n"
    assert os.listdir(files.bin_dir) == []


def test_a_shim_that_runs_meanwhile_goes_on(files, shim, tmp_path) -> None:
    """Writing to the file would be "text file busy"; a rename leaves the running one its own."""
    old = tmp_path / "old"
    shutil.copyfile(shim, old)
    with old.open("ab") as file:
        file.write(b"old")  # behind what the loader reads: the same program in another file
    assert files.install("--shim", str(old)).returncode == 0
    installed = files.bin_dir / "multinet"
    running = subprocess.Popen(
        [installed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"CNI_COMMAND": "STATUS", "CNI_PATH": str(files.bin_dir)},
    )
    try:
        with pytest.raises(OSError) as refused:
            installed.open("r+b").close()
        assert refused.value.errno == errno.ETXTBSY
        done = files.install("--shim", str(shim))
        assert done.returncode == 0, done.stderr
        assert installed.read_bytes() == shim.read_bytes()
        version = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True)
        assert version.stdout == f"multinet {__version__}\n"
        assert running.poll() is None
        out, _ = running.communicate("{}", timeout=60)
        assert f"daemon is not reachable at {files.socket}" in out
    finally:
        running.kill()
        running.wait(60)


def test_inline_has_no_shim(files, shim) -> None:
    done = files.install("--shim", str(shim), "--inline", "--manifests", str(files.manifests))
    assert (done.returncode, "--shim doesn't go with --inline" in done.stderr) == (2, True)
