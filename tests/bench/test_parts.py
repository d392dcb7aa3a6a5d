"""Each part runs, at a size of seconds, with a real daemon; nobody looks at its times here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multinet.bench.contenders import GoPlugins
from multinet.bench.document import document, machine_facts
from multinet.bench.figure import Part
from multinet.bench.node import KubernetesNode, Node
from multinet.bench.panels import panels
from multinet.bench.parts import PARTS, QUICK_PARTS, api, growth, memory, start
from multinet.bench.report import report
from multinet.bench.run import measure
from multinet.bench.size import Size
from multinet.bench.tools import Tools

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("places")]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_finds_all_of_its_figures(part: Part[Any], small: Size) -> None:
    (measured,) = measure([part], small)
    assert measured.failures == []
    for one in measured.found:
        needs_go = one.name.endswith("_go")
        assert (one.reading is not None) or (needs_go and not GoPlugins.present()), one.name
    machine = machine_facts()
    written = json.loads(json.dumps(document([measured], machine, small)))
    assert set(written["figures"]) == {one.name for one in part.figures}
    assert written["parts"][part.name]["seconds"] > 0
    text = report([measured], machine)
    assert all(one.title in text for one in part.figures)
    assert [len(row) for row in panels([measured])] == ([2] if part.name in ("pods", "concurrency") else [])


def test_figures_have_names_of_their_own() -> None:
    names = [one.name for part in PARTS for one in part.figures]
    assert len(names) == len(set(names))
    assert set(QUICK_PARTS) < set(PARTS)


def test_an_add_reads_nothing_of_the_apiserver_and_writes_once(tools: Tools, small: Size) -> None:
    asked = api.measure(small, tools)
    assert asked.requests == {
        "ADD": {"read": 0, "write": small.api_pods},
        "DEL": {"read": 0, "write": 0},
    }


def test_the_status_arrives_at_the_benchmarks_apiserver(tools: Tools) -> None:
    with KubernetesNode(tools, 1) as node:
        growth.fill(node, node.ours, range(1))
        pod = node.api.object("/api/v1/namespaces/bench/pods/pod-0")
        assert pod is not None
        status = json.loads(pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"])
        assert [one["interface"] for one in status] == ["eth0", "net1", "net2"]


def test_the_journal_of_a_start_is_made_of_real_pods(tools: Tools, small: Size) -> None:
    started = start.measure(small, tools)
    assert started.rows == 6
    assert all(0 < value < 30 for value in (*started.full, *started.empty))


def test_addresses_that_are_taken_are_not_given_to_pods(tools: Tools) -> None:
    with Node(tools, 1) as node:
        growth.take_addresses(node, 300)
        growth.fill(node, node.ours, range(1))
        files = {
            name: sorted(one.name for one in (node.ours.addresses / name).iterdir())
            for name in node.ours.networks
        }
        given = {f"{prefix}.1.{46}" for prefix in node.ours.networks.values()}  # 2 + 300, after 1.45
        assert given <= {name for names in files.values() for name in names}


def test_pods_come_and_go_as_often_as_was_asked(tools: Tools, small: Size) -> None:
    kept = memory.measure(small, tools)
    assert [pods for pods, _ in kept.churn] == [3, 6, 9, 11]
    assert kept.failures == []
    assert 5 < kept.directory.idle <= kept.directory.peak
    assert kept.directory.idle < kept.kubernetes.idle <= kept.kubernetes.peak
