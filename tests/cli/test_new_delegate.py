"""``multinet new-delegate``: what it writes works as it is, by its own tests and as an executable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import environment, nsenter

KINDS = ["interface", "chained", "ipam"]


def run(*command: str, cwd: Path, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, input=stdin, env=environment(**variables)
    )


@pytest.fixture(params=KINDS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    done = run(
        sys.executable,
        "-m",
        "multinet",
        "new-delegate",
        "--kind",
        request.param,
        "my-vault",
        "d",
        cwd=tmp_path,
    )
    assert done.returncode == 0 and "try it: " in done.stdout, done.stderr
    return request.param, tmp_path / "d"


@pytest.mark.kernel
def test_its_own_tests_pass(written: tuple[str, Path]) -> None:
    done = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=written[1])
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout
    assert "skipped" not in done.stdout


def test_it_is_in_good_style_and_typed(written: tuple[str, Path]) -> None:
    kind, folder = written
    for command in (
        ("ruff", "format", "--check", "--line-length", "110", "."),
        ("ruff", "check", "--line-length", "110", "--select", "E,F,UP,B", "."),
        ("mypy", "--strict", "--follow-imports=silent", "multinet_my_vault.py"),
    ):
        done = run(sys.executable, "-m", *command, cwd=folder)
        assert done.returncode == 0, (kind, done.stdout, done.stderr)


def test_the_file_is_an_executable_plugin(written: tuple[str, Path]) -> None:
    done = run(
        sys.executable,
        "multinet_my_vault.py",
        cwd=written[1],
        CNI_COMMAND="VERSION",
        stdin='{"cniVersion":"1.1.0"}',
    )
    assert done.returncode == 0 and "1.1.0" in json.loads(done.stdout)["supportedVersions"]
    by_hand = run(sys.executable, "multinet_my_vault.py", cwd=written[1])
    assert "my-vault" in by_hand.stderr


def test_an_interface_by_the_executable(lab: Any, tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "multinet", "new-delegate", "vault", cwd=tmp_path)
    assert done.returncode == 0
    folder, sandbox = tmp_path / "multinet-vault", lab.sandbox()
    conf = {"cniVersion": "1.1.0", "name": "n", "type": "vault", "customField": "10.9.0.0/16"}

    def call(verb: str, **more: Any) -> Any:
        command = [*nsenter(lab.host), sys.executable, "multinet_vault.py"]
        variables = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "c", "CNI_IFNAME": "net1", "CNI_PATH": "/x"}
        given = json.dumps({**conf, **more})
        done = run(*command, cwd=folder, stdin=given, CNI_NETNS=sandbox.path, **variables)
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout or "null")

    result = call("ADD")
    assert [one["name"] for one in result["interfaces"]][1] == "net1"
    assert "10.9.0.0/16 dev net1" in lab.ip("route", netns=sandbox)
    call("CHECK", prevResult=result)
    call("DEL")
    call("DEL")
    assert set(lab.links(sandbox)) == {"lo"}


@pytest.mark.parametrize("name", ["Vault", "5g", "a--b", "-a", "a_b", ""])
def test_a_name_that_is_no_type(name: str, tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "multinet", "new-delegate", "--", name, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("multinet: ") and not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "multinet-vault"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    done = run(sys.executable, "-m", "multinet", "new-delegate", "vault", cwd=tmp_path)
    assert done.returncode == 1 and "README.md is there already" in done.stderr
    assert (folder / "README.md").read_text() == "mine" and len(list(folder.iterdir())) == 1


def test_a_keyword_as_name(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "multinet", "new-delegate", "lambda", cwd=tmp_path)
    assert done.returncode == 0
    assert (
        run(sys.executable, "-c", "import multinet_lambda", cwd=tmp_path / "multinet-lambda").returncode == 0
    )
