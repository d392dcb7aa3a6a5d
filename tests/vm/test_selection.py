"""Each test is in exactly one lane, and the report counts it once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.vm.kinds import KINDS, lacking
from tests.vm.report import Lane, read_lane, table

ROOT = Path(__file__).resolve().parents[2]

SUITE = """
import pytest

@pytest.fixture
def untidy():
    yield
    raise OSError("left behind")

def test_plain(): pass
def test_fails_and_leaves(untidy): assert False
def test_leaves(untidy): pass
@pytest.mark.skip(reason="moon is full")
def test_skipped(): pass
@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.needs_kind(k)) for k in KINDS])
def test_kind(kind): pass
"""


@pytest.fixture
def suite(tmp_path):
    """A folder with tests of every kind, and a pytest for it."""
    (tmp_path / "test_suite.py").write_text(f"KINDS = {sorted(KINDS)}\n{SUITE}")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.vm.plugin",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
        ]
        return subprocess.run(
            [*command, "--rootdir", str(tmp_path), *arguments, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    return run


def test_the_lanes_share_out_all_tests(suite):
    def collected(choice: str) -> set[str]:
        output = suite("--collect-only", "-q", f"--lacking={choice}").stdout
        return {line.partition("::")[2] for line in output.splitlines() if "::" in line}

    here, beyond, everything = collected("omit"), collected("only"), collected("run")
    assert beyond == {f"test_kind[{kind}]" for kind in lacking(KINDS)}
    assert here | beyond == everything and not here & beyond
    assert len(everything) == len(KINDS) + 4


def test_the_report_counts_each_test_once(suite, tmp_path):
    junit = tmp_path / "junit.xml"
    run = suite("--lacking=skip", f"--junitxml={junit}")
    lane = read_lane("this kernel", junit, run.returncode, 12.3)
    missing = lacking(KINDS)
    assert (lane.passed, lane.failed, lane.broken) == (1 + len(KINDS) - len(missing), 2, False)
    assert lane.skipped.total() == 1 + len(missing)
    assert lane.skipped["moon is full"] == 1
    for kind, said in missing.items():
        assert any(f"lacks {kind} ({said})" in reason for reason in lane.skipped)


def test_a_kind_nobody_knows_is_refused(suite, tmp_path):
    (tmp_path / "test_suite.py").write_text(
        "import pytest\n@pytest.mark.needs_kind('ipvlam')\ndef test_typo(): pass\n"
    )
    run = suite()
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_typo: no such kind: 'ipvlam'; known are bond, " in run.stderr


@pytest.mark.parametrize("content", [None, "<testsuites>"], ids=["none", "cut short"])
def test_a_run_without_results_is_broken(tmp_path, content):
    junit = tmp_path / "junit.xml"
    if content is not None:
        junit.write_text(content)
    lane = read_lane("virtual machine", junit, 0, 3)
    assert lane.broken and lane.problem.startswith("no results, exit 0: ")


def test_a_run_that_pytest_gave_up_is_broken(tmp_path):
    junit = tmp_path / "junit.xml"
    junit.write_text("<testsuites><testsuite><testcase classname='a' name='b'/></testsuite></testsuites>")
    assert not read_lane("this kernel", junit, 0, 3).broken
    assert read_lane("this kernel", junit, 3, 3).problem == "pytest ended with exit 3"


def test_the_table_ends_with_the_reasons():
    here = Lane("this kernel", passed=3087, failed=1, skipped=Counter({"moon is full": 2}), seconds=299.6)
    there = Lane("virtual machine", problem="there is none (qemu is missing), so 7 tests didn't run")
    assert table([here, there]).splitlines() == [
        "lane                passed  failed  skipped  seconds",
        "this kernel           3087       1        2      300",
        "virtual machine          0       0        0        0",
        "skipped 2: moon is full",
        "virtual machine: there is none (qemu is missing), so 7 tests didn't run",
    ]
