"""The reference pages say what the program does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from multinet.cli.main import COMMANDS, load
from multinet.cli.node_options import NODE_FLAGS
from multinet.cli.parser import command_parser
from multinet.cni.errors import Code
from multinet.daemon.options import Options
from multinet.shim import DEFAULT_SOCKET

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference"
BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```\n", re.DOTALL)
PRESENT = [name for name in COMMANDS if load(name) is not None]


@pytest.mark.parametrize("page", ["cli-reference", "plugin-reference"])
def test_generated_pages_are_the_programs(page: str) -> None:
    command = [sys.executable, ROOT / "tools" / page, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def sessions(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and what it prints; ``...`` stands for anything."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def test_the_examples_print_what_the_page_says(shell_environment: dict[str, str], tmp_path: Path) -> None:
    ran = []
    for block in BLOCK.finditer((PAGES / "cli.md").read_text()):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["text"])
        for command, expected in sessions(block["text"]) if block["kind"] == "console" else ():
            done = subprocess.run(
                ["bash", "-c", f"exec 2>&1\n{command}"],
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env=shell_environment,
                check=False,
            )
            pattern = ".*".join(re.escape(part) for part in expected.split("..."))
            assert re.fullmatch(pattern, done.stdout, re.DOTALL), f"{command}\n{done.stdout}"
            ran.append(command)
    assert len(ran) >= 9


@pytest.mark.parametrize("name", PRESENT)
def test_the_example_of_a_help_text_is_right_usage(name: str, tmp_path: Path) -> None:
    file = tmp_path / "daemon-config.json"  # it is read while the options are
    file.write_text("{}")
    command = load(name)
    assert command is not None
    used = []
    for line in command.EXAMPLE.strip().splitlines():
        for part in line.split("|"):
            words = shlex.split(part, comments=True)
            if "multinet" in words:
                own = words[words.index("multinet") + 1 :]
                if "--config" in own:
                    own[own.index("--config") + 1] = str(file)
                command_parser(own[0], load(own[0])).parse_args(own[1:])  # type: ignore[arg-type]
                used.append(own[0])
    assert name in used


def test_the_options_of_the_node_are_the_daemons_with_its_defaults() -> None:
    assert {flag.name: flag.default for flag in NODE_FLAGS} == {
        name: getattr(Options(), name)
        for name in Options.__struct_fields__
        if name != "overrides"  # of a configuration file alone
    }
    assert Options().socket == DEFAULT_SOCKET


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.name)
def test_each_error_code_says_when_and_what_to_do(code: Code) -> None:
    sections = re.split(r"^## ", (PAGES / "errors.md").read_text(), flags=re.MULTILINE)[1:]
    own = [section for section in sections if section.startswith(f"{code.value} {code.name}\n")]
    assert len(own) == 1
    assert len(sections) == len(Code)
    when, _, action = own[0].partition("**What to do**: ")
    assert re.search(r"\*\*When\*\*: \S.{20}", when, re.DOTALL)
    assert len(action.strip()) > 20


@pytest.mark.parametrize("page", ["cli.md", "errors.md"])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", (PAGES / page).read_text()):
        assert (PAGES / target).exists(), target
