from __future__ import annotations

import io

import pytest

from multinet.demo.report import Report


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Ascii(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii")

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined, no-any-return]


def test_a_step_is_known_by_number_and_title_while_it_runs_and_after_it_failed() -> None:
    report = Report(io.StringIO())
    assert report.step_name == ""

    with pytest.raises(KeyError), report.step(4, "start the daemon"):
        assert report.step_name == "step 4 (start the daemon)"
        raise KeyError

    assert report.step_name == "step 4 (start the daemon)"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    out = io.StringIO()
    Report(out).table(("POD", "ADDRESS"), [("multi-network-pod", "10.244.0.2/16"), ("web", "")])

    assert out.getvalue().splitlines() == [
        "    POD                ADDRESS",
        "    multi-network-pod  10.244.0.2/16",
        "    web",
    ]


def test_a_long_command_can_be_pasted_into_a_shell() -> None:
    out = io.StringIO()
    command = " ".join(f"VARIABLE_{number}=value" for number in range(12))
    Report(out).command(command)

    lines = out.getvalue().splitlines()
    assert len(lines) > 1
    assert all(len(line) <= 100 for line in lines)
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert " ".join(out.getvalue().replace("\\\n", "").split()) == f"$ {command}"


def test_a_terminal_gets_colours_unless_it_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = _Terminal()
    Report(coloured).done("it works")
    assert coloured.getvalue() == "    \x1b[32m✓\x1b[0m it works\n"

    monkeypatch.setenv("NO_COLOR", "1")
    plain = _Terminal()
    Report(plain).done("it works")
    assert plain.getvalue() == "    ✓ it works\n"


def test_a_stream_that_cannot_print_marks_gets_words() -> None:
    out = _Ascii()
    report = Report(out)
    report.done("it works")
    report.failed("it doesn't")

    assert out.text() == "    ok: it works\n    FAILED: it doesn't\n"
