from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from multinet.shim.script import python_script
from multinet.shim.twin import twin_script, write_twin

SLOW = {
    "socket",
    "typing",
    "json",
    "re",
    "enum",
    "dataclasses",
    "msgspec",
    "subprocess",
    "site",
    "multinet.cni",
}


def test_the_script_is_executable_and_needs_no_environment(tmp_path: Path) -> None:
    path = tmp_path / "bridge"
    write_twin(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    done = subprocess.run(
        [path], env={"PYTHONPATH": "/nonexistent"}, cwd="/", capture_output=True, check=True
    )
    assert done.stderr.startswith(b"CNI bridge plugin v")


def test_a_call_imports_nothing_slow(tmp_path: Path) -> None:
    # the imports of the interpreter itself are no fault of the twin's
    report = (
        "import sys; before = set(sys.modules); import multinet.shim.twin; print(*set(sys.modules) - before)"
    )
    root = Path(__file__).parents[2]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); {report}"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "multinet.wire.client" in imported
    assert imported & SLOW == set()


def test_the_interpreter_runs_isolated() -> None:
    assert twin_script().split(b"\n")[0] == f"#!{sys.executable} -IS".encode()


@pytest.mark.parametrize("python", ["", "/opt/my python/bin/python3", "/" + "x" * 255])
def test_an_interpreter_that_no_first_line_can_name(monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(ValueError, match="interpreter"):
        python_script("pass\n", "-I")


def test_a_script_finds_this_installation(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_bytes(python_script("import multinet\nprint(multinet.__file__)\n", "-IS"))
    path.chmod(0o755)
    done = subprocess.run([path], cwd="/", env={}, capture_output=True, text=True, check=True)
    assert os.path.samefile(done.stdout.strip(), Path(__file__).parents[2] / "multinet" / "__init__.py")
