"""Executables and recorders for the tests of the runtime side."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multinet.cni.chain import PluginCall
from multinet.cni.errors import CNIError

Answer = dict[str, Any] | None | CNIError | Exception | Callable[[PluginCall], dict[str, Any] | None]


class Recorder:
    """An executor that writes down each call, and answers by (verb, type), by verb, or with an empty result."""

    def __init__(self, **answers: Answer) -> None:
        self.calls: list[PluginCall] = []
        self.answers: dict[Any, Answer] = dict(answers)

    def run(self, call: PluginCall) -> dict[str, Any] | None:
        self.calls.append(call)
        answer = self.answers.get((call.verb, call.type), self.answers.get(call.verb))
        if isinstance(answer, Exception):
            raise answer
        return answer(call) if callable(answer) else answer

    @property
    def story(self) -> list[str]:
        return [f"{call.verb} {call.type}" for call in self.calls]


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Writes an executable ``name`` into ``tmp_path``; its path. Shell by default."""

    def write(body: str, name: str = "plug", interpreter: str = "/bin/sh") -> str:
        path = tmp_path / name
        path.write_text(f"#!{interpreter}\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture
def python_script(script: Callable[..., str]) -> Callable[..., str]:
    """As ``script``, in Python (``-S -E``: started as fast as it can be)."""
    return lambda body, name="plug": script(body, name, f"{sys.executable} -SE")
