"""Where an ADD's time goes: the daemon's handler in this process, under the profiler. For developers."""

from __future__ import annotations

import cProfile
import io
import os
import pstats
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from multinet.bench.contenders import Pod
from multinet.bench.driver import Job
from multinet.bench.failure import BenchError
from multinet.bench.lab import Lab
from multinet.bench.measure import VERBS
from multinet.bench.node import write_manifests
from multinet.bench.ours import Ours
from multinet.bench.samples import percentile
from multinet.daemon.application import Application
from multinet.daemon.options import Options
from multinet.wire.message import Request

__all__ = ["profile"]

_TIME_LIMIT_MS = 60_000
_WARM_UP = 3


def profile(pods: int, output: Path, top: int = 40) -> str:
    """Add and delete ``pods`` pods in this process; a report of the ``top`` functions by own time.

    ADD's statistics go to ``output``, DEL's to the same name with ``.del`` (for ``python -m pstats``). As the
    profiler makes Python's calls slower, but not the kernel's, the pods are timed without it first.
    Raises BenchError.
    """
    with Lab() as lab:
        manifests = lab.memory_folder("manifests")
        ours = Ours(lab, lab.folder("bin") / "multinet", pods)
        write_manifests(manifests, ours)
        options = Options(
            socket=str(lab.directory / "unused.sock"),
            state_dir=str(lab.folder("state")),
            manifests=str(manifests),
        )
        with lab.host.entered():
            application = Application(options, lab.host)
            try:
                return _profiled(lab, ours, application, pods, output, top)
            finally:
                application.close()


def _profiled(lab: Lab, ours: Ours, application: Application, pods: int, output: Path, top: int) -> str:
    taken = [_pods(lab, number, pods) for number in range(2)]
    _serve(application, ours.add, taken[0][:_WARM_UP])
    _serve(application, ours.delete, taken[0][:_WARM_UP])
    verbs = dict(zip(VERBS, (ours.add, ours.delete), strict=True))
    plain = {verb: _serve(application, job_of, taken[0]) for verb, job_of in verbs.items()}
    parts = []
    for verb, job_of in verbs.items():
        profiler = cProfile.Profile()
        slow = _serve(application, job_of, taken[1], profiler)
        target = output if verb == "ADD" else output.with_name(output.name + ".del")
        profiler.dump_stats(target)
        parts.append(
            f"{verb}: {percentile(plain[verb], 50):.2f} ms a pod in the handler (median of {pods}), "
            f"{percentile(slow, 50):.2f} ms under the profiler; statistics in {target}\n"
            + _table(profiler, top)
        )
    return "\n".join(parts)


def _pods(lab: Lab, number: int, count: int) -> list[Pod]:
    return [Pod(slot, number * count + slot + 1, lab.sandbox(slot).path) for slot in range(count)]


def _serve(
    application: Application,
    job_of: Callable[[Pod], Job],
    pods: Sequence[Pod],
    profiler: cProfile.Profile | None = None,
) -> list[float]:
    """ms of each pod's call."""
    times = []
    for pod in pods:
        job = job_of(pod)
        (step,) = job.steps
        request = Request("multinet", step.env, Path(step.stdin).read_bytes(), _TIME_LIMIT_MS)
        netns_fd = os.open(pod.netns, os.O_RDONLY | os.O_CLOEXEC)
        started = time.monotonic()
        if profiler:
            profiler.enable()
        response = application.service.answer(request, netns_fd, lambda: False)
        if profiler:
            profiler.disable()
        times.append((time.monotonic() - started) * 1000)
        if response.exit_code != 0:
            raise BenchError(f"{job.label}: {response.stdout.decode('utf-8', 'replace').strip()}")
        Path(step.stdout).write_bytes(response.stdout)
    return times


def _table(profiler: cProfile.Profile, top: int) -> str:
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(top)
    return text.getvalue().strip() + "\n"
