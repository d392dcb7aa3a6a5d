"""Delegates of other packages, found by entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

GOOD = '''
from multinet.sdk import DelegateConf, Desired, Facts, Sandbox, interface_delegate

class AcmeConf(DelegateConf, frozen=True, kw_only=True):
    pass

@interface_delegate(AcmeConf)
def acme(conf: AcmeConf, pod: Sandbox, host: Facts) -> Desired:
    """Nothing."""
    return Desired()
'''


def package(folder: Path, name: str, source: str) -> None:
    """An installed distribution with one delegate, as pip would leave it."""
    (folder / f"{name}_net.py").write_text(source)
    info = folder / f"{name}_net-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-net\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[multinet.delegates]\n{name} = {name}_net:{name}\n")


def run(folder: Path, program: str) -> str:
    env = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_delegate_of_another_package(tmp_path: Path) -> None:
    package(tmp_path, "acme", GOOD)
    program = (
        "from multinet.sdk import registry; print(registry.types()); print(registry.plugin('acme').__doc__)"
    )
    told = run(tmp_path, program)
    assert "'acme'" in told and "'bridge'" in told
    assert "Nothing." in told


def test_one_that_cannot_be_loaded_harms_no_other(tmp_path: Path) -> None:
    """The daemon starts and says so; who asks for it gets an error that names it."""
    package(tmp_path, "acme", GOOD)
    package(tmp_path, "broken", "import nothing_of_that_name")
    told = run(
        tmp_path,
        "from multinet.daemon.app import load_delegates\n"
        "from multinet.cni.errors import CNIError\n"
        "from multinet.sdk import registry\n"
        "load_delegates()\n"
        "print(registry.plugin('acme') is not None, registry.plugin('bridge') is not None)\n"
        "try: registry.plugin('broken')\n"
        "except CNIError as error: print(error.code, error.msg)\n",
    )
    words = 'delegate "broken" (broken_net:broken) cannot be loaded: ModuleNotFoundError'
    assert "True True" in told
    assert f"103 {words}" in told
    assert told.count(words) == 2  # logged when all are loaded, and raised to who asks


def test_what_nobody_offers_is_an_executable(tmp_path: Path) -> None:
    assert (
        run(tmp_path, "from multinet.sdk import registry; print(registry.plugin('no-such-type'))") == "None\n"
    )
