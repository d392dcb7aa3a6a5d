"""cni.md 2.1, 2.8, 3.8 … 3.10, 3.13, section 9; multi-network.md 5.64, 5.65, 10.17, 10.18."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from multinet.cni.chain import PluginCall
from multinet.cni.errors import CNIError
from multinet.cni.execution import ExecutableRunner, find_executable
from multinet.cni.invocation import Invocation

Script = Callable[..., str]


def call_of(folder: Path, verb: str = "ADD", **keys: Any) -> PluginCall:
    invocation = Invocation(verb, "c1", "/run/netns/c1", "eth0", "A=1", (str(folder),))
    return PluginCall(verb, "plug", {"type": "plug", "name": "net"}, invocation, **keys)


def run(folder: Path, verb: str = "ADD", **keys: Any) -> dict[str, Any] | None:
    return ExecutableRunner(heard=lambda *_: None).run(call_of(folder, verb, **keys))


def fault(folder: Path, verb: str = "ADD", **keys: Any) -> CNIError:
    with pytest.raises(CNIError) as caught:
        run(folder, verb, **keys)
    return caught.value


# --- 2.8 lookup


def test_2_8_left_to_right_regular_files_links_followed(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in "123")
    for folder in (one, two, three):
        folder.mkdir()
    (one / "plug").mkdir()
    (three / "plug").write_text("")
    (two / "plug").symlink_to(three / "plug")
    path = [str(tmp_path / "absent"), str(one), str(two), str(three)]
    assert find_executable("plug", path) == str(two / "plug")


@pytest.mark.parametrize(
    ("plugin", "path", "code", "msg"),
    [
        ("", ("/a",), 7, "no plugin name provided"),
        ("a/b", ("/a",), 7, "invalid plugin name: a/b"),
        ("../sh", ("/bin",), 7, "invalid plugin name: ../sh"),
        ("a\0", ("/a",), 7, "invalid plugin name: a\0"),
        ("..", ("/a",), 103, 'failed to find plugin ".." in path [/a]'),
        ("plug", (), 103, "no paths provided"),
        ("plug", ("/a", "/b"), 103, 'failed to find plugin "plug" in path [/a /b]'),
        ("x" * 300, ("/a",), 103, f'failed to find plugin "{"x" * 300}" in path [/a]'),
    ],
)
def test_2_8_not_found(plugin: str, path: tuple[str, ...], code: int, msg: str) -> None:
    with pytest.raises(CNIError) as caught:
        find_executable(plugin, path)
    assert (caught.value.code, caught.value.msg) == (code, msg)


# --- 2.1 what a plugin gets

ECHO = """
import json, os, sys
print(json.dumps({"env": dict(os.environ), "stdin": json.load(sys.stdin)}))
"""


def test_2_1_environment_and_standard_input(
    tmp_path: Path, python_script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("CNI_IFNAME", "the-callers-own")
    python_script(ECHO)
    seen = run(tmp_path, env={"TRACEPARENT": "t"})
    assert seen is not None
    assert seen["stdin"] == {"type": "plug", "name": "net"}
    expected = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/netns/c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "A=1",
        "CNI_PATH": str(tmp_path),
        "TRACEPARENT": "t",
        "INHERITED": "yes",
    }
    assert {key: seen["env"].get(key) for key in expected} == expected


def test_2_1_what_a_verb_lacks_isnt_inherited(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNI_CONTAINERID", "the-callers-own")
    script('[ -z "$CNI_CONTAINERID" ] || exit 1')
    invocation = Invocation("GC", path=(str(tmp_path),))
    assert ExecutableRunner().run(PluginCall("GC", "plug", {}, invocation)) is None


# --- 3.9, 3.10, section 9


def test_a_result(tmp_path: Path, script: Script) -> None:
    script("""echo '{"ips": [{"address": "10.1.2.3/24"}]}'""")
    assert run(tmp_path) == {"ips": [{"address": "10.1.2.3/24"}]}
    assert run(tmp_path, "DEL") is None


def test_3_9_its_own_error(tmp_path: Path, script: Script) -> None:
    script("""echo '{"code": 7, "msg": "no", "details": "d"}'; exit 1""")
    error = fault(tmp_path)
    assert (error.code, error.msg, error.details) == (7, "no", "d")


def test_9_a_warning_before_the_result(tmp_path: Path, script: Script) -> None:
    script("""echo 'warning: deprecated'; echo '{"ips": []}'""")
    error = fault(tmp_path)
    assert error.code == 6
    assert "warning: deprecated" in error.msg


def test_9_killed_by_a_signal(tmp_path: Path, script: Script) -> None:
    script("kill -KILL $$")
    assert fault(tmp_path).msg == "netplugin failed with no error message: killed by SIGKILL"


def test_9_the_deadline_is_named(tmp_path: Path, script: Script) -> None:
    script("echo waiting for the moon >&2; sleep 60")
    error = fault(tmp_path, deadline=time.monotonic() + 0.3)
    assert error.code == 108
    assert error.msg == 'plugin "plug" was ended in ADD: the deadline passed'
    assert error.details == "waiting for the moon"


def test_9_a_caller_that_is_gone(tmp_path: Path, script: Script) -> None:
    script("sleep 60")
    read_end, write_end = os.pipe()
    os.close(write_end)
    error = fault(tmp_path, cancel_fd=read_end)
    os.close(read_end)
    assert (error.code, error.msg) == (108, 'plugin "plug" was ended in ADD: the caller hung up')


def test_9_megabytes_of_output(tmp_path: Path, script: Script) -> None:
    script("cat /dev/zero")
    assert "printed more than" in fault(tmp_path).msg


def test_10_18_what_it_says_on_the_side_is_passed_through(
    tmp_path: Path, script: Script, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    script("echo '{}'; echo by the way >&2")
    heard: list[tuple[str, bytes]] = []
    ExecutableRunner(heard=lambda call, text: heard.append((call.type, text))).run(call_of(tmp_path))
    assert heard == [("plug", b"by the way\n")]
    ExecutableRunner().run(call_of(tmp_path))
    assert capfdbinary.readouterr().err == b"by the way\n"


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        ("#!/nowhere/sh\n", 0o755, "no such file or directory"),
        ("nonsense\n", 0o755, "exec format error"),
        ("#!/bin/sh\n", 0o644, "permission denied"),
    ],
)
def test_what_cant_be_started(tmp_path: Path, content: str, mode: int, reason: str) -> None:
    path = tmp_path / "plug"
    path.write_text(content)
    path.chmod(mode)
    error = fault(tmp_path)
    assert error.code == 103
    assert error.msg == f"netplugin failed with no error message: fork/exec {path}: {reason}"


# --- 3.8 text file busy


def test_3_8_a_busy_file_is_tried_again(tmp_path: Path, script: Script) -> None:
    with open(script("echo '{}'"), "ab") as writer:
        threading.Timer(0.25, writer.close).start()
        assert ExecutableRunner(busy_pause=0.25).run(call_of(tmp_path)) == {}


def test_3_8_five_times(tmp_path: Path, script: Script) -> None:
    path = script("echo '{}'")
    start = time.monotonic()
    with open(path, "ab"), pytest.raises(CNIError, match="text file busy") as caught:
        ExecutableRunner(busy_pause=0.05).run(call_of(tmp_path))
    assert caught.value.code == 103
    assert time.monotonic() - start >= 0.25


def test_3_8_not_beyond_the_deadline(tmp_path: Path, script: Script) -> None:
    with open(script("echo '{}'"), "ab"), pytest.raises(CNIError) as caught:
        ExecutableRunner().run(call_of(tmp_path, deadline=time.monotonic() + 0.2))
    assert caught.value.code == 108


# --- 5.64, 5.65 chroot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with a shell and the libraries it needs, and nothing else."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    root = tmp_path / "root"
    libraries = re.findall(r"/\S+", subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True).stdout)
    for file in ("/bin/sh", *libraries):
        inside = root / file.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, inside)
    return root


def put_in_both(tmp_path: Path, root: Path, body: str) -> PluginCall:
    """A plugin at the same place inside and outside, as it is looked for outside and run inside."""
    folder = tmp_path / "bin"
    for place in (folder, root / str(folder).lstrip("/")):
        place.mkdir(parents=True)
        (place / "plug").write_text(f"#!/bin/sh\n{body}\n")
        (place / "plug").chmod(0o755)
    return call_of(folder)


def test_5_64_a_plugin_runs_in_the_other_root(tmp_path: Path, root: Path) -> None:
    (root / "only-inside").write_text('{"dns": {"domain": "inside"}}\n')
    call = put_in_both(tmp_path, root, 'read line </only-inside; echo "$line"')
    assert ExecutableRunner(root=str(root)).run(call) == {"dns": {"domain": "inside"}}
    assert os.readlink("/proc/self/root") == "/"


def test_5_64_a_plugin_fails_in_the_other_root(tmp_path: Path, root: Path) -> None:
    call = put_in_both(tmp_path, root, """echo '{"code": 7, "msg": "no"}'; exit 1""")
    with pytest.raises(CNIError) as caught:
        ExecutableRunner(root=str(root)).run(call)
    assert (caught.value.code, caught.value.msg) == (7, "no")


def test_5_64_a_plugin_that_is_only_outside(tmp_path: Path, root: Path, script: Script) -> None:
    script("echo '{}'")
    with pytest.raises(CNIError, match=r"failed: .*plug.*No such file") as caught:
        ExecutableRunner(root=str(root)).run(call_of(tmp_path))
    assert caught.value.code == 103


def test_3_8_busy_in_the_other_root(tmp_path: Path, root: Path) -> None:
    call = put_in_both(tmp_path, root, "echo '{}'")
    with open(root / str(tmp_path / "bin" / "plug").lstrip("/"), "ab") as writer:
        threading.Timer(0.25, writer.close).start()
        assert ExecutableRunner(root=str(root), busy_pause=0.25).run(call) == {}


# --- 4.6 VERSION


def test_4_6_versions(tmp_path: Path, script: Script) -> None:
    script(
        """[ $CNI_COMMAND = VERSION ] && echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}'"""
    )
    assert ExecutableRunner().versions("plug", [str(tmp_path)]) == ("0.4.0", "1.0.0")


def test_4_6_a_plugin_that_doesnt_know_the_verb(tmp_path: Path, script: Script) -> None:
    script("""echo '{"code": 4, "msg": "unknown CNI_COMMAND: VERSION"}'; exit 1""")
    assert ExecutableRunner().versions("plug", [str(tmp_path)]) == ("0.1.0",)


def test_4_6_other_failures_stay_failures(tmp_path: Path, script: Script) -> None:
    script("exit 1")
    with pytest.raises(CNIError):
        ExecutableRunner().versions("plug", [str(tmp_path)])


def test_large_configurations_arrive(tmp_path: Path, python_script: Script) -> None:
    python_script("import json, sys\nprint(json.dumps({'n': len(json.load(sys.stdin)['x'])}))")
    call = msgspec.structs.replace(call_of(tmp_path), conf={"x": "y" * (3 << 20)})
    assert ExecutableRunner().run(call) == {"n": 3 << 20}
