"""What every executable without a daemon has in common: the standalone delegates, and the inline meta-plugin."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
ADD = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c",
    "CNI_NETNS": "/nonexistent",
    "CNI_IFNAME": "e",
    "CNI_PATH": "/x",
}


@pytest.fixture(params=["bridge", "multinet"])
def program(request: pytest.FixtureRequest, files) -> Path:
    done = files.install("--inline", "--manifests", str(files.manifests), "--plugins", "bridge")
    assert done.returncode == 0, done.stderr
    return files.bin_dir / request.param


@pytest.fixture
def run(program: Path) -> Run:
    def run(stdin: str = "", closed: bool = False, **env: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", "-c", f"exec {program} <&-"] if closed else [str(program)]
        clean = {"PATH": os.environ["PATH"], **env}
        return subprocess.run(
            command, input=stdin, env=clean, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def test_without_a_command_it_says_what_it_is(run: Run, program: Path) -> None:
    done = run()
    assert (done.returncode, done.stdout) == (0, "")
    about, versions = done.stderr.splitlines()
    assert about.startswith(f"CNI {program.name} plugin v")
    assert versions == "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"


def test_version_needs_no_input(run: Run) -> None:
    done = run(CNI_COMMAND="VERSION", closed=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["supportedVersions"][-1] == "1.1.0"


@pytest.mark.parametrize(
    ("env", "stdin", "code", "told"),
    [
        (
            {"CNI_COMMAND": "ADD"},
            "{}",
            4,
            "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH]",
        ),
        (ADD, "{", 6, "line 1, column 2"),
        (ADD, '{"cniVersion": "1.0.0"}', 7, "missing network name"),
        (ADD, '{"cniVersion": "9.0.0", "name": "n"}', 1, "incompatible CNI versions"),
        (ADD, '{"cniVersion": "1.0.0", "name": "n", "type": "x"}', 8, 'failed to open netns "/nonexistent"'),
        (
            {**ADD, "CNI_COMMAND": "JUMP"},
            '{"cniVersion": "1.0.0", "name": "n"}',
            4,
            "unknown CNI_COMMAND: JUMP",
        ),
    ],
)
def test_faults_are_cni_errors_on_standard_output(
    run: Run, env: dict[str, str], stdin: str, code: int, told: str
) -> None:
    done = run(stdin, **env)
    error = json.loads(done.stdout)
    assert (done.returncode, error["code"]) == (1, code)
    assert told in error["msg"]


def test_a_closed_standard_input_is_an_io_failure(run: Run) -> None:
    done = run(closed=True, **ADD)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "cniVersion": "1.1.0",
        "code": 5,
        "msg": "error reading from stdin: bad file descriptor",
    }
