from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from multinet.bench.driver import Driver, Job, Outcome, Step, parse_report, reason, render_plan
from multinet.bench.failure import BenchError
from multinet.bench.lab import Lab
from multinet.bench.tools import Tools


@pytest.fixture
def node() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Lab() as lab:
        yield lab


def shell(script: str, stdout: str = "/dev/null", **options: str) -> Step:
    return Step(
        ("/bin/sh", "-c", script), {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, stdout=stdout, **options
    )


def test_the_plan_is_a_line_a_value() -> None:
    step = Step(("/bin/cat", "a b"), {"K": "v=w"}, stdin="/in", stdout="/out", netns="/proc/1/fd/3")
    assert render_plan([Job("one", (step,))]).splitlines() == [
        "J",
        "S",
        "I /in",
        "O /out",
        "A /bin/cat",
        "A a b",
        "E K=v=w",
        "N /proc/1/fd/3",
    ]


def test_a_line_break_would_be_another_line() -> None:
    with pytest.raises(ValueError, match="line break"):
        render_plan([Job("one", (Step(("/bin/true", "a\nb")),))])


def test_the_report_is_read() -> None:
    run = parse_report("2000000 500000 -1 0\n3000000 0 1 256\n5000000000 1000000000\n", "oops")
    assert run.outcomes == (Outcome(2.0, 0.5), Outcome(3.0, 0.0, 1, 256))
    assert (run.elapsed_s, run.driver_cpu_s, run.errors) == (5.0, 1.0, "oops")


@pytest.mark.parametrize(
    ("printed", "status", "expected"),
    [
        ('{"code": 7, "msg": "no master", "details": "eth9"}', 256, "x: sh: exit 1: no master: eth9"),
        ('{"code": 7, "msg": "no master"}', 256, "x: sh: exit 1: no master"),
        ("half a", 512, "x: sh: exit 2: half a"),
        ("[]", 256, "x: sh: exit 1: []"),
        ("", 9, "x: sh: signal 9: from stderr"),
    ],
)
def test_why_a_job_failed(tmp_path: Path, printed: str, status: int, expected: str) -> None:
    output = tmp_path / "out"
    output.write_text(printed)
    job = Job("x", (Step(("/bin/true",)), Step(("/bin/sh",), stdout=str(output))))
    assert reason(job, Outcome(1.0, 1.0, 1, status), "from stderr") == expected


@pytest.mark.kernel
def test_a_job_runs_its_steps_in_order_and_stops_at_the_failing_one(
    node: Lab, tools: Tools, tmp_path: Path
) -> None:
    log, late = tmp_path / "log", tmp_path / "late"
    steps = (shell(f"echo one >> {log}"), shell(f"echo two >> {log}; exit 3"), shell(f"touch {late}"))
    run = Driver(tools.driver, node.folder("driver"), node.host).run([Job("x", steps), Job("y", steps[:1])])
    assert [outcome.failed_step for outcome in run.outcomes] == [1, None]
    assert os.waitstatus_to_exitcode(run.outcomes[0].wait_status) == 3
    assert log.read_text() == "one\ntwo\none\n"
    assert not late.exists()


@pytest.mark.kernel
def test_input_output_environment_and_namespace_are_the_steps_own(
    node: Lab, tools: Tools, tmp_path: Path
) -> None:
    given, printed = tmp_path / "in", tmp_path / "out"
    given.write_text("from stdin\n")
    script = 'cat; echo "$NAME"; readlink /proc/self/ns/net'
    sandbox = node.sandbox(0)
    inside = Step(("/bin/sh", "-c", script), {"NAME": "n"}, str(given), str(printed), sandbox.path)
    outside = Step(("/bin/sh", "-c", "readlink /proc/self/ns/net"), {}, stdout=str(tmp_path / "host"))
    Driver(tools.driver, node.folder("driver"), node.host).run([Job("x", (inside, outside))])
    assert printed.read_text().splitlines() == ["from stdin", "n", f"net:[{sandbox.identity[1]}]"]
    assert (tmp_path / "host").read_text().strip() == f"net:[{node.host.identity[1]}]"


@pytest.mark.kernel
def test_so_many_jobs_run_at_once(node: Lab, tools: Tools) -> None:
    driver = Driver(tools.driver, node.folder("driver"), node.host)
    jobs = [Job("sleep", (shell("sleep 0.2"),))] * 8
    together = driver.run(jobs, 8)
    assert all(outcome.wall_ms >= 200 for outcome in together.outcomes)
    assert driver.run(jobs[:3], 1).elapsed_s >= 0.6
    overlap = sum(outcome.wall_ms for outcome in together.outcomes) / 1000
    assert together.elapsed_s < overlap / 2


@pytest.mark.kernel
def test_processor_time_is_that_of_the_processes_and_their_children(node: Lab, tools: Tools) -> None:
    busy = shell("(i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done); true")
    run = Driver(tools.driver, node.folder("driver"), node.host).run(
        [Job("busy", (busy,)), Job("idle", (shell("sleep 0.1"),))]
    )
    busy_ms, idle_ms = (outcome.cpu_ms for outcome in run.outcomes)
    assert busy_ms > 5 * idle_ms


@pytest.mark.kernel
def test_a_program_that_is_not_there_is_a_failed_job(node: Lab, tools: Tools) -> None:
    run = Driver(tools.driver, node.folder("driver"), node.host).run(
        [Job("x", (Step(("/no/such/program",)),))]
    )
    assert os.waitstatus_to_exitcode(run.outcomes[0].wait_status) == 127
    assert run.errors == "/no/such/program: No such file or directory"


@pytest.mark.kernel
def test_the_driver_says_why_it_cannot_run(node: Lab, tools: Tools) -> None:
    with pytest.raises(BenchError, match="without a program"):
        Driver(tools.driver, node.folder("driver"), node.host).run([Job("x", (Step(()),))])
