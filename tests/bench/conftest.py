"""What the benchmark's tests share: compiled programs, sizes at which a part takes seconds, a look for leftovers."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from multinet.bench.size import Size
from multinet.bench.tools import Tools

SMALL = Size(
    quick=True,
    pods=2,
    block=2,
    turns_limit=9,
    concurrency=2,
    pods_at_once=4,
    rounds=2,
    load_limit=9,
    starts=3,
    standalone=2,
    standalone_limit=9,
    api_pods=2,
    journal_rows=4,
    daemon_starts=1,
    node_pods=3,
    growth_rounds=2,
    definitions=20,
    addresses=5,
    cached_definitions=20,
    churn=11,
    steps=(1, 3),
    step_rounds=1,
    levels=(1, 2),
    level_pods=2,
    level_rounds=1,
)


@pytest.fixture(scope="session")
def tools() -> Iterator[Tools]:
    with Tools() as made:
        yield made


@pytest.fixture
def small() -> Size:
    return SMALL


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the labs' directories are made: nothing may be left there, nor a descriptor."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with tempfile.TemporaryDirectory(prefix="mb") as parent:  # short: a socket's path has a limit
        monkeypatch.setattr("tempfile.tempdir", parent)
        monkeypatch.setattr("multinet.bench.lab._MEMORY", parent)
        before = _open_files()
        yield Path(parent)
        assert os.listdir(parent) == []
        left = _open_files() - before
        for _ in range(100):  # a process that has ended may still be about to be waited for
            if not left:
                break
            time.sleep(0.05)
            left = _open_files() - before
        assert not left


def _open_files() -> Counter[str]:
    """What this process's descriptors lead to, each as often as it is open (numbers may be given anew)."""
    gc.collect()
    found: Counter[str] = Counter()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found[os.readlink(f"/proc/self/fd/{descriptor}")] += 1
    return found
