"""cni.md 8.4 and section 9: a child process always ends, and takes its group with it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from multinet.cni.process import (
    STDERR_LIMIT,
    STDOUT_LIMIT,
    Interrupted,
    Outcome,
    run_process,
    wait_unless_interrupted,
)
from tests.leaks import nothing_left_open

Script = Callable[..., str]
ENV = {"PATH": "/usr/bin:/bin"}


def sh(command: str, stdin: bytes = b"", **keys: float) -> Outcome:
    return run_process(["/bin/sh", "-c", command], ENV, stdin, **keys)  # type: ignore[arg-type]


def gone(pid: int) -> bool:
    """Whether a process has ended (its parent may be slow to take notice)."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_output_and_status() -> None:
    assert sh("echo out; echo err >&2; exit 3") == Outcome(3, b"out\n", b"err\n")


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 5 << 20])
def test_standard_input_of_any_size(size: int) -> None:
    data = os.urandom(size)
    assert run_process(["/bin/cat"], ENV, data).stdout == data


def test_standard_input_that_nobody_reads() -> None:
    assert sh("exit 0", b"x" * (4 << 20)).returncode == 0


def test_environment_is_the_given_one() -> None:
    assert run_process(["/usr/bin/env"], {"A": "1"}, b"").stdout == b"A=1\n"


def test_a_session_of_its_own() -> None:
    fields = sh("cat /proc/$$/stat").stdout.rpartition(b")")[2].split()
    assert fields[2] == fields[3] != str(os.getsid(0)).encode()  # group, session


def test_no_descriptor_is_inherited_and_none_left() -> None:
    with open("/etc/hostname", "rb") as file:
        os.set_inheritable(file.fileno(), True)
        with nothing_left_open():
            listed = sh("exec ls /proc/self/fd").stdout.split()
        assert listed == [b"0", b"1", b"2", b"3"]  # the last is the listing itself


def test_signals_are_as_in_a_fresh_process() -> None:
    """Python ignores SIGPIPE; what it starts must not."""
    status = sh("exec cat /proc/self/status").stdout.decode().splitlines()
    masks = {
        line.split(":")[0]: int(line.split()[1], 16)
        for line in status
        if line.startswith(("SigIgn", "SigBlk"))
    }
    assert masks["SigIgn"] & (1 << (signal.SIGPIPE - 1)) == 0
    assert masks["SigBlk"] == 0


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("absent", None, FileNotFoundError),
        ("no-interpreter", "#!/nowhere/sh\n", FileNotFoundError),
        ("no-format", "nonsense\n", OSError),
    ],
)
def test_what_cant_be_started(tmp_path: Path, name: str, content: str | None, error: type[OSError]) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
        path.chmod(0o755)
    with nothing_left_open(), pytest.raises(error):
        run_process([str(path)], ENV, b"")


def test_killed_by_a_signal() -> None:
    assert sh("kill -SEGV $$").returncode == -signal.SIGSEGV


def test_8_4_the_deadline_ends_the_group(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(Interrupted) as caught:
        sh(f"sleep 60 & echo $! >{tmp_path}/pid; echo stuck here >&2; wait", deadline=start + 0.3)
    assert 0.3 <= time.monotonic() - start < 30
    assert (caught.value.reason, caught.value.trace) == ("the deadline passed", "stuck here")
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_process_that_ignores_signals_and_stops_itself() -> None:
    with pytest.raises(Interrupted):
        sh("trap '' TERM INT HUP; kill -STOP $$", deadline=time.monotonic() + 0.2)


def test_a_deadline_that_has_passed_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        sh(f"touch {tmp_path}/started", deadline=time.monotonic() - 1)
    assert not (tmp_path / "started").exists()


def test_the_caller_hangs_up(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    threading.Timer(0.3, theirs.close).start()
    start = time.monotonic()
    with ours, pytest.raises(Interrupted) as caught:
        sh(f"echo $$ >{tmp_path}/pid; sleep 60", cancel_fd=ours.fileno())
    assert caught.value.reason == "the caller hung up"
    assert time.monotonic() - start < 30
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_caller_that_stays_changes_nothing() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert sh("echo x", cancel_fd=ours.fileno()).stdout == b"x\n"


def test_9_a_child_that_holds_the_pipe_isnt_waited_for(tmp_path: Path) -> None:
    start = time.monotonic()
    outcome = sh(f"sleep 60 & echo $! >{tmp_path}/pid; echo done")
    assert outcome == Outcome(0, b"done\n", b"")
    assert time.monotonic() - start < 30
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_child_that_let_go_of_the_pipes_lives_on(tmp_path: Path) -> None:
    sh(f"sleep 60 <&- >&- 2>&- & echo $! >{tmp_path}/pid")
    pid = int((tmp_path / "pid").read_text())
    try:
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_process_that_closes_its_output_is_waited_for() -> None:
    assert sh("exec >&- 2>&-; sleep 0.2; exit 4").returncode == 4


def test_9_output_of_many_megabytes_is_cut_off() -> None:
    outcome = sh("cat /dev/zero")
    assert outcome.overflowed
    assert len(outcome.stdout) == STDOUT_LIMIT
    assert outcome.returncode == -signal.SIGKILL


def test_one_byte_too_many_is_reported_even_if_it_ended() -> None:
    assert sh(f"head -c {STDOUT_LIMIT + 1} /dev/zero").overflowed


def test_output_up_to_the_bound_is_whole() -> None:
    outcome = sh(f"head -c {STDOUT_LIMIT} /dev/zero")
    assert (len(outcome.stdout), outcome.overflowed, outcome.returncode) == (STDOUT_LIMIT, False, 0)


def test_standard_error_is_bounded_but_doesnt_end_it() -> None:
    outcome = sh("head -c 4000000 /dev/zero >&2; echo done")
    assert (outcome.returncode, outcome.stdout, len(outcome.stderr)) == (0, b"done\n", STDERR_LIMIT)


def test_many_at_once() -> None:
    """Neither output nor endings get mixed up between threads."""
    found: dict[int, bytes] = {}

    def one(number: int) -> None:
        found[number] = sh(f"cat; echo {number}", str(number).encode() * 1000).stdout

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: str(n).encode() * 1000 + f"{n}\n".encode() for n in range(20)}


def test_waiting() -> None:
    start = time.monotonic()
    wait_unless_interrupted(0.05, None, None)
    assert time.monotonic() - start >= 0.05
    with pytest.raises(Interrupted):
        wait_unless_interrupted(60, time.monotonic() + 0.05, None)
    read_end, write_end = os.pipe()
    os.write(write_end, b"x")
    with pytest.raises(Interrupted, match="hung up"):
        wait_unless_interrupted(60, None, read_end)
    os.close(read_end)
    os.close(write_end)
