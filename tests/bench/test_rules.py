"""The benchmark of port mappings runs, with few of them; nobody looks at its times here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multinet.bench.rules import main


@pytest.mark.kernel
def test_figures_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "figures.json"
    assert main(["4", "--json", str(target)]) == 0
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("| back end | mappings |") and rule.startswith("|---")
    assert [row.split(" | ")[:2] for row in rows] == [["| nftables", "4"], ["| iptables", "4"]]
    figures = json.loads(target.read_text())
    assert [one["backend"] for one in figures] == ["nftables", "iptables"]
    assert all(one[name] > 0 for one in figures for name in ("tcp", "udp", "apply", "remove"))
