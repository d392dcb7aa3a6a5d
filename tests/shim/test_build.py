from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from multinet import shim
from multinet.cni import versions
from multinet.shim.build import BuildError, build, compile_with

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("musl-gcc") is None, reason="no C compiler"
)


@pytest.mark.parametrize("compiler", ["musl-gcc", "cc"])
@pytest.mark.parametrize("level", ["-Os", "-O3"])
def test_the_source_compiles_without_a_warning(tmp_path: Path, compiler: str, level: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    strict = [
        compiler,
        "-std=c11",
        level,
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wshadow",
        "-Wconversion",
        "-Werror",
    ]
    compile_with(strict, tmp_path / "multinet")


@pytest.mark.skipif(shutil.which("musl-gcc") is None, reason="no musl-gcc")
def test_the_executable_is_small_static_and_for_everyone(tmp_path: Path) -> None:
    output = build(tmp_path / "new" / "multinet")
    assert output.stat().st_size <= 100_000
    assert stat.S_IMODE(output.stat().st_mode) & 0o111 == 0o111
    assert os.listdir(output.parent) == ["multinet"]
    headers = subprocess.run(
        ["readelf", "--program-headers", output], capture_output=True, text=True, check=True
    )
    assert "INTERP" not in headers.stdout


@needs_compiler
def test_the_command(tmp_path: Path) -> None:
    output = tmp_path / "multinet"
    done = subprocess.run(
        [sys.executable, "-m", "multinet.shim.build", output], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{output}: {output.stat().st_size} bytes\n")
    assert subprocess.run([output, "--version"], capture_output=True, check=True).stdout.startswith(
        b"multinet "
    )


@needs_compiler
def test_a_compiler_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "cc -g0")
    assert build(tmp_path / "multinet").exists()
    monkeypatch.setenv("CC", "no-such-compiler --x")
    with pytest.raises(BuildError, match="no-such-compiler: No such file or directory"):
        build(tmp_path / "other")
    assert os.listdir(tmp_path) == ["multinet"]


@needs_compiler
def test_what_the_compiler_says_is_told_and_the_old_output_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "multinet"
    output.write_text("old")
    monkeypatch.setenv("CC", "cc -Dmain=return")
    with pytest.raises(BuildError, match=r"cc -Dmain=return .*: exit status 1\n.*error: expected"):
        build(output)
    assert output.read_text() == "old"


def test_without_a_compiler_the_way_out_is_told(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "multinet.shim.build", tmp_path / "out"],
        capture_output=True, text=True, env=env, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no C compiler found" in done.stderr and "musl-tools" in done.stderr and "twin" in done.stderr


def test_the_versions_are_those_of_the_daemon() -> None:
    assert shim.CNI_VERSIONS == versions.SUPPORTED
