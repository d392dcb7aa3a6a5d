"""``multinet daemon --config``: where a file stands among options, and what of it reaches the daemon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from multinet.cli.config_file import KNOWN_OPTIONS
from multinet.cli.failure import Failure
from multinet.cli.main import load
from multinet.cli.parser import Parser, command_parser

COMMAND = load("daemon")
assert COMMAND is not None


@pytest.fixture
def parser() -> Parser:
    return command_parser("daemon", COMMAND)  # type: ignore[arg-type]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(content: Any) -> str:
        path = tmp_path / "daemon-config.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return written


def test_options_after_the_file_count_more_and_those_before_less(parser: Parser, write: Any) -> None:
    path = write({"connectionLimit": 2, "binDir": "/b", "multinet": {"stateDir": "/s"}})
    after = parser.parse_args(["--config", path, "--workers", "8"])
    assert (after.workers, after.bin_dir, after.state_dir) == (8, "/b", "/s")
    before = parser.parse_args(["--workers", "5", "--config", path])
    assert before.workers == 2


def test_without_a_file_nothing_is_different(parser: Parser) -> None:
    arguments = parser.parse_args([])
    assert arguments.config is None
    assert arguments.multus_socket == ""


def test_every_option_can_be_in_a_file(parser: Parser) -> None:
    named = {option for action in parser._actions for option in action.option_strings}
    assert {f"--{name}" for name in KNOWN_OPTIONS} == named - {"--help", "-h", "--config"}


def test_a_value_that_an_option_refuses(
    parser: Parser, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--config", write({"multinet": {"workers": 0}})])
    assert caught.value.code == 2
    assert 'argument --workers: "0" is no number from 1 to 1024' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "not JSON"),
        ("[]", "$: expected an object, got list"),
        ({"connectionLimit": 0}, "connection limit must be greater than 0, got 0"),
        ({"multinet": {"nodename": "x"}}, "did you mean --node-name?"),
    ],
)
def test_a_faulty_file_is_named(parser: Parser, write: Any, content: Any, text: str) -> None:
    path = write(content)
    with pytest.raises(Failure) as caught:
        parser.parse_args(["--config", path])
    assert str(caught.value).startswith(f"--config {path}: ")
    assert text in str(caught.value)


def test_a_file_that_is_not_there(parser: Parser) -> None:
    with pytest.raises(FileNotFoundError):
        parser.parse_args(["--config", "/no/such/file"])
