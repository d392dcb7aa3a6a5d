"""What every shim does, compiled or in Python; each test runs with all of them."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import resource
import signal
import socket
import stat
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from multinet import __version__
from multinet.cni.errors import CNIError
from multinet.wire.frame import (
    INPUT_LIMIT,
    RESPONSE_LIMIT,
    Request,
    Response,
    WireError,
    decode_request,
    decode_response,
    encode_response,
)

Shim = Any  # both are described in conftest.py
Daemon = Any
Done = subprocess.CompletedProcess

ABOUT = (
    "CNI {} plugin v"
    + __version__
    + "\nCNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n"
)
VERBS = ["ADD", "CHECK", "DEL", "GC", "STATUS", "NONSENSE"]


def is_error(done: Done[bytes], code: int, message: str) -> bool:
    assert done.stdout == CNIError(code, message).to_json()
    return done.returncode == 1 and done.stderr == b""


# ---- what it answers by itself


@pytest.mark.parametrize("env", [{}, {"CNI_COMMAND": ""}])
@pytest.mark.parametrize("name", ["multinet", "bridge", "multus-shim"])
def test_without_a_command_it_tells_about_itself(shim: Shim, env: dict[str, str], name: str) -> None:
    shim.path = shim.named(name)
    done = shim.run_with(env)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (0, b"", ABOUT.format(name))


def test_version_option(shim: Shim) -> None:
    done = shim.run("ADD", args=["--version"])
    assert (done.returncode, done.stdout) == (0, f"multinet {__version__}\n".encode())


def test_the_version_verb_reads_no_input_and_needs_no_daemon(shim: Shim) -> None:
    process = shim.start({"CNI_COMMAND": "VERSION"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    with process.stdin, process.stdout:  # standard input stays open
        assert process.wait(20) == 0
        answer = process.stdout.read()
    assert answer == (
        b'{"cniVersion":"1.1.0","supportedVersions":'
        b'["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n'
    )


# ---- the request


def test_the_request_is_the_callers(shim: Shim, daemon: Daemon) -> None:
    cni = {
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/a:/b",
        "CNI_ARGS": "A=1;B=ü=",
        "CNI_X": "",
    }
    trace = {"TRACEPARENT": "00-1-2-00", "TRACESTATE": "a=b", "BAGGAGE": "k=v"}
    other = {"PATH": "/bin", "LD_LIBRARY_PATH": "/x", "TRACEPARENTS": "no", "XCNI_ARGS": "no", "CNI": "no"}
    shim.path = shim.named("macvlan")
    done = shim.run("ADD", b'{"name": "n"}\0\xff', **cni, **trace, **other)
    assert done.returncode == 0
    assert daemon.requests == [
        Request("macvlan", {"CNI_COMMAND": "ADD", **cni, **trace}, b'{"name": "n"}\0\xff', 115_000, None)
    ]
    assert daemon.descriptors == [None]


def test_bytes_that_are_no_utf8_pass(shim: Shim, daemon: Daemon) -> None:
    env = {os.fsencode(key): os.fsencode(value) for key, value in shim.environment("ADD").items()}
    shim.run_with({**env, b"CNI_ARGS": b"K=\xff\xc3"})
    assert daemon.requests[0].env["CNI_ARGS"] == "K=\udcff\udcc3"


def test_an_empty_standard_input_passes(shim: Shim, daemon: Daemon) -> None:
    assert shim.run("ADD", b"").returncode == 0
    assert daemon.requests[0].stdin == b""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_goes_to_the_daemon(shim: Shim, daemon: Daemon, verb: str) -> None:
    daemon.behaviour = daemon.answering(Response(0, verb.encode()))
    done = shim.run(verb)
    assert (done.returncode, done.stdout, done.stderr) == (0, verb.encode(), b"")
    assert daemon.requests[0].env == {"CNI_COMMAND": verb}


def test_the_namespace_is_passed_as_a_descriptor(shim: Shim, daemon: Daemon) -> None:
    shim.run("ADD", CNI_NETNS="/proc/self/ns/net")
    status = os.stat("/proc/self/ns/net")
    assert daemon.descriptors == [(status.st_dev, status.st_ino)]
    assert daemon.requests[0].env["CNI_NETNS"] == "/proc/self/ns/net"
    assert daemon.requests[0].netns_errno is None


@pytest.mark.kernel
@pytest.mark.parametrize("size", [2, INPUT_LIMIT])
def test_the_namespace_of_a_pod_is_passed(shim: Shim, daemon: Daemon, size: int) -> None:
    pod = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE)
    try:
        assert pod.stdout is not None and pod.stdout.readline() == b"\n"
        path = f"/proc/{pod.pid}/ns/net"
        assert shim.run("ADD", b" " * size, CNI_NETNS=path).returncode == 0
        status, own = os.stat(path), os.stat("/proc/self/ns/net")
        assert daemon.descriptors == [(status.st_dev, status.st_ino)]
        assert status.st_ino != own.st_ino
    finally:
        pod.kill()
        pod.communicate()


@pytest.mark.parametrize(
    ("netns", "error"), [("", None), ("/nonexistent", 2), ("/etc/passwd/net", 20), ("x" * 300, 36)]
)
def test_a_namespace_that_cannot_be_opened_is_told(
    shim: Shim, daemon: Daemon, netns: str, error: int | None
) -> None:
    assert shim.run("DEL", CNI_NETNS=netns).returncode == 0
    assert daemon.descriptors == [None]
    assert daemon.requests[0].netns_errno == error


def test_a_namespace_path_that_would_block_does_not(shim: Shim, daemon: Daemon) -> None:
    os.mkfifo(shim.folder / "fifo")
    assert shim.run("ADD", CNI_NETNS=str(shim.folder / "fifo")).returncode == 0


def test_the_largest_standard_input_passes(shim: Shim, daemon: Daemon) -> None:
    stdin = os.urandom(INPUT_LIMIT)
    assert shim.run("ADD", stdin).returncode == 0
    assert daemon.requests[0].stdin == stdin


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_a_larger_standard_input_is_refused(shim: Shim, daemon: Daemon, verb: str) -> None:
    done = shim.run(verb, b" " * (INPUT_LIMIT + 1))
    assert is_error(done, 6, "configuration on standard input is larger than 4 MiB")
    assert daemon.requests == []


def test_a_standard_input_in_small_pieces_is_put_together(shim: Shim, daemon: Daemon) -> None:
    process = shim.start(shim.environment("ADD"), stdin=subprocess.PIPE)
    assert process.stdin is not None
    for piece in (b'{"na', b'me": ', b'"n"}'):
        process.stdin.write(piece)
        process.stdin.flush()
        time.sleep(0.05)
    process.stdin.close()
    assert process.wait(20) == 0
    assert daemon.requests[0].stdin == b'{"name": "n"}'


def test_a_standard_input_that_cannot_be_read_is_told(shim: Shim, daemon: Daemon) -> None:
    with open("/dev/null", "wb") as write_only:
        done = subprocess.run(
            [shim.path], stdin=write_only, capture_output=True, env=shim.environment("ADD"), timeout=30
        )
    assert is_error(done, 5, "cannot read standard input: Bad file descriptor")


def test_an_environment_beyond_the_frame_is_refused(shim: Shim, daemon: Daemon) -> None:
    done = shim.run("ADD", **{f"CNI_{number}": "x" * 100_000 for number in range(11)})
    assert is_error(done, 4, "the CNI_* environment variables are too large")


# ---- the answer


@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_output_and_exit_code_are_the_daemons(shim: Shim, daemon: Daemon, code: int) -> None:
    daemon.behaviour = daemon.answering(Response(code, b"out\0\xff\n", b"err\n"))
    done = shim.run("ADD")
    assert (done.returncode, done.stdout, done.stderr) == (code, b"out\0\xff\n", b"err\n")


def test_the_largest_answer_passes(shim: Shim, daemon: Daemon) -> None:
    output = random.Random(1).randbytes(RESPONSE_LIMIT - 3 * 5 - 1)
    daemon.behaviour = daemon.answering(Response(0, output))
    assert shim.run("ADD").stdout == output


def test_an_answer_in_single_bytes_with_a_field_of_the_future(shim: Shim, daemon: Daemon) -> None:
    body = b"\x09\x00\x00\x00\x03new" + encode_response(Response(3, b"out", b"err"))[4:]

    def behave(connection: socket.socket) -> None:
        daemon.take(connection)
        for byte in len(body).to_bytes(4, "big") + body:
            connection.sendall(bytes([byte]))

    daemon.behaviour = behave
    done = shim.run("ADD")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out", b"err")


def test_an_answer_before_the_requests_end_is_taken(shim: Shim, daemon: Daemon) -> None:
    daemon.behaviour = lambda connection: connection.sendall(encode_response(Response(1, b"busy")))
    done = shim.run("DEL", b" " * INPUT_LIMIT)
    assert (done.returncode, done.stdout) == (1, b"busy")
    assert shim.spooled() == []


def test_every_answer_is_understood_as_the_decoder_does(shim: Shim, daemon: Daemon) -> None:
    chance = random.Random(7)
    valid = encode_response(Response(3, b"output", b"error"))
    for _ in range(60):
        answer = bytearray(valid)
        for _ in range(chance.randint(1, 3)):
            answer[chance.randrange(3, len(answer))] = chance.choice(
                [0, 1, 2, 3, 4, 5, 48, 57, chance.randrange(256)]
            )
        answer[:4] = (len(answer) - 4).to_bytes(4, "big")

        def behave(connection: socket.socket, answer: bytes = bytes(answer)) -> None:
            daemon.take(connection)
            connection.sendall(answer)

        daemon.behaviour = behave
        done = shim.run("ADD")
        try:
            want = decode_response(bytes(answer))
        except WireError:
            assert is_error(done, 5, unreadable(shim)), bytes(answer)
        else:
            assert Response(done.returncode, done.stdout, done.stderr) == want, bytes(answer)


def unreadable(shim: Shim) -> str:
    away = f"multinet daemon at {shim.socket} sent an answer that cannot be read"
    return f"{away}; are shim and daemon of one version?"


@pytest.mark.parametrize("verb", ["ADD", "DEL", "STATUS"])
@pytest.mark.parametrize(
    "answer",
    [b"\x01\x00\x00\x01", b"HTTP/1.1 200 OK\r\n", b"\0\0\0\0", encode_response(Response(0)) + b"more"],
)
def test_an_answer_that_is_none_is_told_and_nothing_spooled(
    shim: Shim, daemon: Daemon, verb: str, answer: bytes
) -> None:
    def behave(connection: socket.socket) -> None:
        daemon.take(connection)
        connection.sendall(answer)

    daemon.behaviour = behave
    assert is_error(shim.run(verb), 5, unreadable(shim))
    assert shim.spooled() == []


# ---- no daemon


def unreachable(shim: Shim, reason: str) -> str:
    return f"multinet daemon is not reachable at {shim.socket}: {reason}; is it running?"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "DEL"])
def test_without_a_daemon_it_fails_at_once(shim: Shim, verb: str) -> None:
    code = 50 if verb == "STATUS" else 11
    assert is_error(shim.run(verb), code, unreachable(shim, "No such file or directory"))
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(shim.socket)
    assert is_error(shim.run(verb), code, unreachable(shim, "Connection refused"))
    assert shim.spooled() == []


def test_a_socket_path_too_long_for_an_address(shim: Shim) -> None:
    done = shim.run("ADD", MULTINET_SOCKET="/" + "s" * 200)
    assert json.loads(done.stdout)["code"] == 11
    assert re.search(r"/s{200}: File ?name too long; is it running\?", json.loads(done.stdout)["msg"])


@pytest.mark.parametrize(
    "path", ['/no/such "quoted\\ \b\f\n\r\t\x01\x1f\x7f', "/ünïcode/\U0001f980/€"], ids=["control", "unicode"]
)
def test_messages_are_escaped(shim: Shim, path: str) -> None:
    shim.socket = path
    assert is_error(shim.run("ADD"), 11, unreachable(shim, "No such file or directory"))


@pytest.mark.parametrize(
    "path",
    [
        b"/\xff",
        b"/\xc0\xaf",
        b"/\xe0\x80\xaf",
        b"/\xed\xa0\x80",
        b"/\xf4\x90\x80\x80",
        b"/\xf5\x80\x80\x80",
        b"/\xe2\x82",
    ],
)
def test_messages_stay_json_whatever_the_bytes(shim: Shim, path: bytes) -> None:
    env = {os.fsencode(key): os.fsencode(value) for key, value in shim.environment("ADD").items()}
    done = shim.run_with({**env, b"MULTINET_SOCKET": path})
    shim.socket = "/" + "?" * (len(path) - 1)
    assert is_error(done, 11, unreachable(shim, "No such file or directory"))


def is_spooled(done: Done[bytes], shim: Shim, reason: str) -> bool:
    kept = f"DEL is kept in {shim.spool} until it is back"
    assert done.stderr.decode() == f"multinet: daemon is not reachable at {shim.socket}: {reason}; {kept}\n"
    return done.returncode == 0 and done.stdout == b""


def test_a_del_without_a_daemon_is_kept(shim: Shim) -> None:
    shim.spool = shim.folder / "var" / "spool"
    shim.path = shim.named("bridge")
    before = time.time()
    done = shim.run("DEL", b'{"name": "n"}', CNI_CONTAINERID="c1", CNI_NETNS="/nonexistent")
    assert is_spooled(done, shim, "No such file or directory")
    (path,) = shim.spooled()
    name = re.fullmatch(r"(\d{10})-(\d{9})-(\d+)\.del", path.name)
    assert name is not None
    assert before <= int(name[1]) + int(name[2]) / 1e9 <= time.time()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(each.stat().st_mode) for each in (shim.spool, shim.spool.parent)] == [0o700, 0o755]
    env = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/nonexistent"}
    assert decode_request(path.read_bytes()) == Request("bridge", env, b'{"name": "n"}', 115_000, 2)


def test_the_kept_del_is_what_the_daemon_would_have_got(shim: Shim) -> None:
    stdin = os.urandom(300_000)
    shim.run("DEL", stdin, CNI_ARGS="A=B", CNI_NETNS="/proc/self/ns/net")
    (path,) = shim.spooled()
    env = {"CNI_COMMAND": "DEL", "CNI_ARGS": "A=B", "CNI_NETNS": "/proc/self/ns/net"}
    assert decode_request(path.read_bytes()) == Request("multinet", env, stdin, 115_000, None)


@pytest.mark.parametrize("part", [0, 3, 4, 9], ids=lambda part: f"{part} bytes")
def test_a_del_whose_connection_breaks_is_kept_and_others_fail(shim: Shim, daemon: Daemon, part: int) -> None:
    def behave(connection: socket.socket) -> None:
        daemon.take(connection)
        connection.sendall(encode_response(Response(0, b"output"))[:part])

    daemon.behaviour = behave
    assert is_spooled(shim.run("DEL"), shim, "Connection reset by peer")
    assert [decode_request(path.read_bytes()) for path in shim.spooled()] == daemon.requests
    assert is_error(shim.run("ADD"), 11, unreachable(shim, "Connection reset by peer"))
    assert is_error(shim.run("STATUS"), 50, unreachable(shim, "Connection reset by peer"))
    assert len(shim.spooled()) == 1


def test_a_del_whose_connection_breaks_while_it_sends_is_kept(shim: Shim, daemon: Daemon) -> None:
    daemon.behaviour = lambda connection: connection.recv(1000)
    assert is_spooled(shim.run("DEL", b" " * INPUT_LIMIT), shim, "Connection reset by peer")
    assert len(decode_request(shim.spooled()[0].read_bytes()).stdin) == INPUT_LIMIT


def test_a_del_that_the_daemon_answered_is_not_kept(shim: Shim, daemon: Daemon) -> None:
    daemon.behaviour = daemon.answering(Response(1, b"error"))
    assert shim.run("DEL").returncode == 1
    assert shim.spooled() == []


def test_a_del_that_cannot_be_kept_fails(shim: Shim) -> None:
    (shim.folder / "file").touch()
    shim.spool = shim.folder / "file" / "spool"
    message = (
        f"multinet daemon is not reachable at {shim.socket}: No such file or directory, "
        f"and DEL cannot be kept in the spool directory {shim.spool}: Not a directory"
    )
    assert is_error(shim.run("DEL"), 11, message)


def test_a_del_that_does_not_fit_on_the_disk_leaves_nothing(shim: Shim) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = shim.run_with(shim.environment("DEL"), b" " * 5000, preexec_fn=limit)
    assert done.returncode == 1
    assert json.loads(done.stdout)["msg"].endswith(f"spool directory {shim.spool}: File too large")
    assert shim.spooled() == []


def test_many_at_once_are_all_kept(shim: Shim) -> None:
    with ThreadPoolExecutor(10) as pool:
        done = list(pool.map(lambda number: shim.run("DEL", CNI_CONTAINERID=f"c{number}"), range(40)))
    assert {each.returncode for each in done} == {0}
    ids = {decode_request(path.read_bytes()).env["CNI_CONTAINERID"] for path in shim.spooled()}
    assert ids == {f"c{number}" for number in range(40)}


# ---- time and settings


@pytest.mark.parametrize("verb", ["ADD", "DEL", "STATUS"])
def test_a_daemon_that_does_not_answer_in_time(shim: Shim, daemon: Daemon, verb: str) -> None:
    over = threading.Event()

    def behave(connection: socket.socket) -> None:
        daemon.take(connection)
        over.wait(20)

    daemon.behaviour = behave
    start = time.monotonic()
    done = shim.run(verb, MULTINET_TIMEOUT="0.3")
    over.set()
    assert time.monotonic() - start >= 0.299  # the shim's clock has whole milliseconds
    code = 50 if verb == "STATUS" else 11
    assert is_error(done, code, f"multinet daemon at {shim.socket} gave no answer within 0.300 s")
    assert daemon.requests[0].time_limit_ms == 300
    assert shim.spooled() == []


def test_a_daemon_that_accepts_nothing(shim: Shim) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(shim.socket)
        listener.listen(0)
        first.connect(shim.socket)
        done = shim.run("DEL", MULTINET_TIMEOUT="1")
    assert is_error(done, 11, f"multinet daemon at {shim.socket} gave no answer within 1 s")


def test_a_standard_input_without_end(shim: Shim, daemon: Daemon) -> None:
    process = shim.start(
        shim.environment("ADD", MULTINET_TIMEOUT="0.2"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    with process.stdin, process.stdout:
        assert process.stdout.read() == CNIError(5, "standard input did not end within 0.200 s").to_json()
        assert process.wait(20) == 1


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1", 1000),
        ("2.5", 2500),
        ("0.25", 250),
        ("1.", 1000),
        ("1.2345", 1234),
        ("86400", 86_400_000),
        ("007", 7000),
    ],
)
def test_a_time_limit_is_in_seconds(shim: Shim, daemon: Daemon, text: str, limit: int) -> None:
    shim.run("ADD", MULTINET_TIMEOUT=text)
    assert [request.time_limit_ms for request in daemon.requests] == [limit]


@pytest.mark.parametrize(
    "text", ["0", "0.0004", "-1", "1e3", "x", " ", "86400.001", "86401", "9" * 60, "1.5.5", ".5", "1,5"]
)
def test_a_time_limit_that_is_none_is_ignored_and_told(shim: Shim, daemon: Daemon, text: str) -> None:
    done = shim.run("ADD", MULTINET_TIMEOUT=text)
    assert daemon.requests[0].time_limit_ms == 115_000
    assert done.stderr.decode() == f'multinet: ignoring the time limit "{text}": not a number of seconds\n'


def test_settings_lie_beside_the_executable(shim: Shim, daemon: Daemon) -> None:
    (shim.folder / ".multinet-shim").write_text(
        f"# written by a test\n\n socket = {shim.socket}\t\r\nspool={shim.spool}\ntimeout=7\n"
        "other=x\nnothing\nspool="
    )
    assert shim.run_with({"CNI_COMMAND": "ADD"}).returncode == 0
    assert daemon.requests[0].time_limit_ms == 7000


def test_a_symbolic_link_to_the_executable_finds_them_too(shim: Shim, daemon: Daemon) -> None:
    (shim.folder / ".multinet-shim").write_text(f"socket={shim.socket}\n")
    (shim.folder / "bin").mkdir()
    (shim.folder / "bin" / "bridge").symlink_to(shim.path)
    shim.path = str(shim.folder / "bin" / "bridge")
    assert shim.run_with({"CNI_COMMAND": "ADD", "MULTINET_SOCKET": ""}).returncode == 0
    assert daemon.requests[0].program == "bridge"


def test_the_environment_wins_over_the_settings_file(shim: Shim, daemon: Daemon) -> None:
    (shim.folder / ".multinet-shim").write_text(
        "socket=/nonexistent/socket\nspool=/nonexistent/spool\ntimeout=x"
    )
    done = shim.run("ADD", MULTINET_TIMEOUT="3")
    assert done.returncode == 0
    assert daemon.requests[0].time_limit_ms == 3000


def test_an_overlong_settings_file_is_read_up_to_its_limit(shim: Shim, daemon: Daemon) -> None:
    (shim.folder / ".multinet-shim").write_text(f"socket={shim.socket}\n" + "x" * 100_000)
    assert shim.run_with({"CNI_COMMAND": "ADD"}).returncode == 0


# ---- the process


def test_the_connection_stays_open_both_ways_and_ends_with_the_process(shim: Shim, daemon: Daemon) -> None:
    waiting, ended = threading.Event(), threading.Event()
    end: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        daemon.take(connection)
        connection.settimeout(0.3)
        try:
            end.append(connection.recv(1))
        except TimeoutError:
            waiting.set()
        connection.settimeout(20)
        end.append(connection.recv(1))
        ended.set()

    daemon.behaviour = behave
    process = shim.start(shim.environment("ADD"), stdin=subprocess.DEVNULL)
    assert waiting.wait(20)
    process.kill()
    process.wait(20)
    assert ended.wait(20)
    assert end == [b""]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_descriptors_that_are_closed_do_no_harm(shim: Shim, daemon: Daemon, closed: str) -> None:
    daemon.behaviour = daemon.answering(Response(4, b"out", b"err"))
    env = shim.environment("ADD", CNI_NETNS="/proc/self/ns/net")
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" {closed}', shim.path],
        env=env,
        input=b"{}",
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 4
    assert daemon.requests[0].stdin == (b"" if "<&-" in closed else b"{}")
    assert daemon.descriptors[0] is not None
    assert done.stdout == (b"" if " >&-" in f" {closed}" else b"out")


def test_a_reader_that_is_gone_is_an_exit_code_not_a_signal(shim: Shim, daemon: Daemon) -> None:
    daemon.behaviour = daemon.answering(Response(0, b"o" * 200_000))
    process = shim.start(shim.environment("ADD"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(20) == 1


def test_a_pipe_that_does_not_block_gets_the_whole_answer(shim: Shim, daemon: Daemon) -> None:
    daemon.behaviour = daemon.answering(Response(0, b"o" * 1_000_000))
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
    process = shim.start(shim.environment("ADD"), stdin=subprocess.DEVNULL, stdout=writer)
    os.close(writer)
    time.sleep(0.3)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"o" * 1_000_000
    assert process.wait(20) == 0


def test_many_at_once_get_each_its_own_answer(shim: Shim, daemon: Daemon) -> None:
    def behave(connection: socket.socket) -> None:
        request = daemon.take(connection)
        connection.sendall(encode_response(Response(0, request.env["CNI_CONTAINERID"].encode())))

    daemon.behaviour = behave
    with ThreadPoolExecutor(10) as pool:
        done = list(pool.map(lambda number: shim.run("ADD", CNI_CONTAINERID=f"c{number}").stdout, range(40)))
    assert done == [f"c{number}".encode() for number in range(40)]
