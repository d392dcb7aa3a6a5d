from __future__ import annotations

import subprocess
import sys

import pytest

from multinet import __version__
from multinet.cli.main import COMMANDS, load

PRESENT = [name for name in COMMANDS if load(name) is not None]
OWN = ("daemon", "cni", "install", "uninstall", "status", "validate")


def test_version(multinet) -> None:
    done = multinet("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"multinet {__version__}\n", "")


def test_help_lists_each_command_with_its_summary_an_example_and_the_exit_codes(multinet) -> None:
    done = multinet("--help")
    assert done.returncode == 0
    for name in PRESENT:
        assert f"  {name:<20} {load(name).SUMMARY}" in done.stdout
    assert "example:" in done.stdout
    assert "exit codes: 0 " in done.stdout


@pytest.mark.parametrize("name", OWN)
def test_each_command_explains_itself(multinet, name: str) -> None:
    done = multinet(name, "--help")
    assert done.returncode == 0
    assert load(name).SUMMARY in done.stdout
    assert f"example:\n  {load(name).EXAMPLE.splitlines()[0]}" in done.stdout
    assert "exit codes: 0 " in done.stdout


@pytest.mark.parametrize("name", OWN)
def test_an_unknown_option_is_wrong_usage_told_on_one_line(multinet, name: str) -> None:
    files = ["x.yaml"] if name == "validate" else []
    done = multinet(name, *files, "--frobnicate")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"multinet: unrecognized arguments: --frobnicate (see multinet {name} --help)\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("instal",), 'unknown command "instal", did you mean "install"?'),
        (("zzz", "--help"), None),
        (("status", "--outp", "json"), "unrecognized arguments: --outp json"),
        (("status", "--pod", "web"), '--pod: expected NAMESPACE/NAME, got "web"'),
        (("install", "--inline"), "--inline needs --manifests DIR"),
        (("install", "--manifests", "/x"), "--manifests goes with --inline"),
        (("install", "--plugins", "bridge,nope"), '--plugins: no delegate "nope" (there are bandwidth, '),
        (("install", "--plugins", ","), "--plugins: no name given"),
        (("install", "--name", "a/b"), "--name: invalid characters found in network name"),
        (("install", "--cni-version", "9"), "argument --cni-version: invalid choice: '9'"),
        (("daemon", "--workers", "0"), 'argument --workers: "0" is no number from 1 to 1024'),
    ],
)
def test_wrong_usage_is_exit_code_2(multinet, arguments: tuple[str, ...], told: str | None) -> None:
    done = multinet(*arguments)
    if told is None:  # help wins, as everywhere
        assert done.returncode == 0
        return
    assert done.returncode == 2
    assert done.stderr.startswith(f"multinet: {told}")
    assert done.stderr.count("\n") == 1


def test_a_fault_of_the_system_is_one_line(multinet, tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = multinet("install", "--bin-dir", blocked / "bin", "--no-conf")
    assert done.returncode == 1
    assert done.stderr == f"multinet: cannot change {blocked / 'bin'}: Not a directory\n"


def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path) -> None:
    broken = tmp_path / "many.yaml"
    broken.write_text("--- {kind: NetworkAttachmentDefinition}\n" * 3000)
    command = f"{sys.executable} -m multinet validate {broken} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(
        f"{broken}:1: error: NetworkAttachmentDefinition default/(no name): $.metadata"
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("name", OWN)
def test_only_the_command_that_runs_is_loaded(name: str) -> None:
    script = (
        "import sys; from multinet.cli.main import main\n"
        f"try: main([{name!r}, '--help'])\n"
        "except SystemExit: pass\n"
        "print(*sorted(m for m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert f"multinet.cli.{name}" in loaded
    assert not loaded & {f"multinet.cli.{other}" for other in COMMANDS if other != name}
    assert not loaded & {"msgspec", "kubernetes", "requests", "yaml", "sqlite3", "netaddr", "multinet.daemon"}
