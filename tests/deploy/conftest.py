"""The real helm and kubectl."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "multinet"

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
"""By kind and name."""
Run = Callable[..., subprocess.CompletedProcess[str]]
Helm = Callable[..., Objects]


@pytest.fixture(scope="session")
def clients() -> Path:
    """The folder with helm and kubectl."""
    if platform.machine() != "x86_64":
        pytest.skip(f"helm and kubectl are fetched for x86-64 only, not for {platform.machine()}")
    found = subprocess.run(
        [ROOT / "tools" / "kubernetes-clients"], stdout=subprocess.PIPE, text=True, check=True
    )
    return Path(found.stdout.strip())


@pytest.fixture
def helm(clients: Path, tmp_path: Path) -> Run:
    """``helm …``, with no configuration or cache of this machine's user."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [clients / "helm", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )

    return run


@pytest.fixture
def rendered(helm: Run) -> Helm:
    """The chart's objects with values set (``key=value``)."""

    def render(*values: str, namespace: str = "kube-system", options: Sequence[str] = ()) -> Objects:
        settings = [argument for value in values for argument in ("--set", value)]
        done = helm(
            "template", "multinet", CHART, "--namespace", namespace, "--include-crds", *settings, *options
        )
        assert done.returncode == 0, done.stderr
        return objects(done.stdout)

    return render


@pytest.fixture
def kustomize(clients: Path) -> Callable[[Path], Objects]:
    """The objects of ``kubectl kustomize FOLDER``."""

    def build(folder: Path) -> Objects:
        done = subprocess.run(
            [clients / "kubectl", "kustomize", folder], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return objects(done.stdout)

    return build


def objects(text: str) -> Objects:
    """The objects of a stream of YAML documents; no two may have one name."""
    found = [document for document in yaml.safe_load_all(text) if document]
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(by_name) == len(found)
    return by_name
