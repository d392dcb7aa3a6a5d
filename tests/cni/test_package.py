"""The package as its users meet it: the example runs, names resolve, nothing heavy is loaded unasked."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import multinet.cni


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outcome = doctest.testmod(multinet.cni)
    assert outcome.attempted > 10
    assert outcome.failed == 0


def test_every_name_resolves() -> None:
    for name in multinet.cni.__all__:
        assert getattr(multinet.cni, name) is not None
    assert dir(multinet.cni) == sorted(multinet.cni.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = multinet.cni.nothing


def loaded_by(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_names_load_only_what_they_need() -> None:
    alone = loaded_by("import multinet.cni")
    assert not {name for name in alone if name.startswith("multinet.cni.")}
    result = loaded_by("from multinet.cni import Result")
    assert not result & {"multinet.cni.execution", "multinet.cni.runtime", "multinet.cni.process"}


def test_the_runtime_loads_nothing_heavy() -> None:
    heavy = {
        "subprocess",
        "socket",
        "yaml",
        "kubernetes",
        "requests",
        "asyncio",
        "logging",
        "pyroute2",
        "netaddr",
    }
    assert not loaded_by("from multinet.cni import *") & heavy
