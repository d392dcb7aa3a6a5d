"""What only the directory of manifests does: files, their faults, and where the status goes."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from multinet.adapters import cluster_manifests
from multinet.adapters.cluster_directory import DirectoryCluster
from multinet.npwg.selection import NETWORK_STATUS
from multinet.ports import ClusterUnavailable, NotFound

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  annotations: {{color: {color}}}
"""
NAD = """\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: net1}
spec:
  config: |
    {"type": "macvlan", "name": "net1"}
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def aged(path: Path) -> Path:
    """Make the file look as if it had been there for a while, so that it is trusted to be at rest."""
    then = time.time_ns() - 10_000_000_000
    os.utime(path, ns=(then, then))
    return path


def test_no_namespace_and_no_uid(tmp_path: Path) -> None:
    write(tmp_path, "web.yaml", POD.format(name="web", color="red"))
    found = DirectoryCluster(tmp_path).pod("default", "web", "of-the-runtime")
    assert (found.namespace, found.uid, found.annotations) == ("default", "", {"color": "red"})


def test_several_documents_comments_empty_ones_and_other_kinds(tmp_path: Path) -> None:
    other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
    text = "---\n# nothing\n---\n".join(["# first\n" + POD.format(name="a", color="red"), other, NAD])
    write(tmp_path, "all.yml", text)
    cluster = DirectoryCluster(tmp_path)
    assert cluster.pod("default", "a").name == "a"
    assert cluster.attachment_definition("default", "net1").config == '{"type": "macvlan", "name": "net1"}\n'
    with pytest.raises(NotFound) as failure:
        cluster.pod("default", "web")
    assert str(failure.value) == "pod default/web not found"


@pytest.mark.parametrize("kind", ["List", "PodList"])
@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_lists(tmp_path: Path, kind: str, suffix: str) -> None:
    items = [yaml.safe_load(POD.format(name=name, color="red")) for name in "ab"]
    write(
        tmp_path,
        f"pods.{suffix}",
        json.dumps(
            {"apiVersion": "v1", "kind": kind, "items": items}, indent="\t" if suffix == "json" else 2
        ),
    )
    cluster = DirectoryCluster(tmp_path)
    assert [cluster.pod("default", name).name for name in "ab"] == ["a", "b"]


def test_the_last_file_in_lexical_order_wins(tmp_path: Path) -> None:
    for name, color in (("b.yaml", "blue"), ("a.yaml", "red"), ("10.yaml", "green")):
        write(tmp_path, name, POD.format(name="web", color=color))
    assert DirectoryCluster(tmp_path).pod("default", "web").annotations == {"color": "blue"}


def test_other_files_hidden_files_and_directories_below_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("web.yaml~", ".web.yaml", "web.txt", "below/web.yaml"):
        write(tmp_path, name, POD.format(name="web", color="red"))
    with pytest.raises(NotFound):
        DirectoryCluster(tmp_path).pod("default", "web")


BROKEN = [
    ("bad.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: web\n  x: [}\n", "bad.yaml line 4, column 4:"),
    ("bad.json", '{\n  "kind": Pod\n}', "bad.json line 2, column 11: Expecting value"),
    ("bad.yaml", "a: \x07\n", "bad.yaml line 1, column"),
    ("bad.yaml", "- a\n- b\n", "bad.yaml line 1, column 1: expected a Kubernetes object, got list"),
    ("bad.yaml", POD.format(name="web", color="1"),
     "bad.yaml line 1: $.metadata.annotations[...]: Expected str, got int"),
    ("bad.yaml", "# one\n---\n" + POD.format(name="We_b", color="x"),
     'bad.yaml line 3: $.metadata.name: "We_b" in namespace "default" is no name'),
    ("bad.yaml", NAD.replace("config: |\n    {", "config: {"), "bad.yaml line 1: $.spec.config: expected"),
    ("bad.yaml", NAD.replace("cncf.io/v1", "cncf.io/v2"), "bad.yaml line 1: $.apiVersion: expected"),
    ("bad.yaml", "apiVersion: v1\nkind: Pod\nx: 2024-13-45\n", "bad.yaml line 1, column 1: month must be"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "place"), BROKEN)
def test_a_broken_manifest_is_told_only_to_who_misses_something(
    tmp_path: Path, name: str, text: str, place: str
) -> None:
    write(tmp_path, name, text)
    write(tmp_path, "good.yaml", POD.format(name="good", color="red"))
    cluster = DirectoryCluster(tmp_path)
    assert cluster.pod("default", "good").name == "good"
    with pytest.raises(NotFound) as failure:
        cluster.pod("default", "web")
    assert str(failure.value).startswith(f"pod default/web not found (1 unreadable manifest: {place}")
    assert failure.value.what == "pod default/web"
    with pytest.raises(NotFound, match="1 unreadable manifest"):
        cluster.attachment_definition("default", "net1")


def test_documents_before_the_broken_one_count_and_faults_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", POD.format(name="a", color="red") + "---\nx: [\n")
    write(tmp_path, "b.json", "{")
    cluster = DirectoryCluster(tmp_path)
    assert cluster.pod("default", "a").name == "a"
    with pytest.raises(NotFound, match=r"\(2 unreadable manifests: a.yaml line .*; b.json line 1, column 2"):
        cluster.pod("default", "b")


def test_bytes_that_are_no_text_and_links_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "gone.yaml").symlink_to("nowhere")
    with pytest.raises(NotFound, match=r"1 unreadable manifest: bad.yaml: 'utf-8' codec"):
        DirectoryCluster(tmp_path).pod("default", "web")


def test_a_mended_manifest_counts_again(tmp_path: Path) -> None:
    path = write(tmp_path, "web.yaml", "x: [")
    cluster = DirectoryCluster(tmp_path)
    with pytest.raises(NotFound):
        cluster.pod("default", "web")
    path.write_text(POD.format(name="web", color="red"))
    assert cluster.pod("default", "web").annotations == {"color": "red"}


def test_an_unchanged_directory_is_not_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(3):
        aged(write(tmp_path, f"{index}.yaml", POD.format(name=f"p{index}", color="red")))
    aged(tmp_path)
    parsed: list[str] = []
    parse = cluster_manifests._documents

    def counting(path: str) -> Any:
        parsed.append(os.path.basename(path))
        return parse(path)

    monkeypatch.setattr(cluster_manifests, "_documents", counting)
    cluster = DirectoryCluster(tmp_path)
    for _ in range(3):
        cluster.pod("default", "p1")
    assert parsed == ["0.yaml", "1.yaml", "2.yaml"]
    aged(write(tmp_path, "1.yaml", POD.format(name="p1", color="chartreuse")))
    assert cluster.pod("default", "p1").annotations == {"color": "chartreuse"}
    assert parsed[3:] == ["1.yaml"]


def test_files_from_the_future_are_trusted_as_well(tmp_path: Path) -> None:
    path = write(tmp_path, "web.yaml", POD.format(name="web", color="red"))
    ahead = time.time_ns() + 3_600_000_000_000
    os.utime(path, ns=(ahead, ahead))
    cluster = DirectoryCluster(tmp_path)
    first = cluster.pod("default", "web")
    assert cluster.pod("default", "web") is first
    path.write_text(POD.format(name="web", color="tan"))
    assert cluster.pod("default", "web").annotations == {"color": "tan"}


def test_changes_within_one_tick_of_the_clock_are_seen(tmp_path: Path) -> None:
    """Same size, same inode, and very likely the same time stamp."""
    cluster = DirectoryCluster(tmp_path)
    path = tmp_path / "web.yaml"
    for turn in range(200):
        color = f"c{turn:03}"
        path.write_text(POD.format(name="web", color=color))
        assert cluster.pod("default", "web").annotations == {"color": color}


def test_the_status_lies_beside_the_manifests_as_a_pod(tmp_path: Path) -> None:
    manifest = write(tmp_path, "web.yaml", "# mine\n" + POD.format(name="web", color="red") + "  uid: u1\n")
    before = manifest.read_text()
    cluster = DirectoryCluster(tmp_path)
    cluster.publish_status(cluster.pod("default", "web"), '[{"name": "\u00fc"}]')
    assert manifest.read_text() == before
    assert [p.name for p in (tmp_path / ".status" / "default").iterdir()] == ["web.json"]
    written = yaml.safe_load((tmp_path / ".status" / "default" / "web.json").read_text())
    assert written == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "default", "name": "web", "uid": "u1",
                     "annotations": {NETWORK_STATUS: '[{"name": "\u00fc"}]'}},
    }  # fmt: skip


def test_the_status_wins_over_one_in_the_manifest_and_goes_with_the_pod(tmp_path: Path) -> None:
    text = POD.format(name="web", color="red").replace("color", f"{NETWORK_STATUS}: old, color")
    manifest = write(tmp_path, "web.yaml", text)
    cluster = DirectoryCluster(tmp_path)
    assert cluster.pod("default", "web").annotations[NETWORK_STATUS] == "old"
    cluster.publish_status(cluster.pod("default", "web"), "[]")
    assert cluster.pod("default", "web").annotations == {NETWORK_STATUS: "[]", "color": "red"}
    manifest.unlink()
    with pytest.raises(NotFound):
        cluster.pod("default", "web")
    assert not (tmp_path / ".status/default/web.json").exists()


def test_a_broken_manifest_does_not_cost_the_status(tmp_path: Path) -> None:
    manifest = write(tmp_path, "web.yaml", POD.format(name="web", color="red"))
    cluster = DirectoryCluster(tmp_path)
    cluster.publish_status(cluster.pod("default", "web"), "[]")
    manifest.write_text("x: [")
    with pytest.raises(NotFound):
        cluster.pod("default", "web")
    manifest.write_text(POD.format(name="web", color="red"))
    assert cluster.pod("default", "web").annotations[NETWORK_STATUS] == "[]"


def test_a_damaged_status_is_left_out_until_the_next_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "web.yaml", POD.format(name="web", color="red"))
    cluster = DirectoryCluster(tmp_path)
    cluster.publish_status(cluster.pod("default", "web"), "[]")
    (tmp_path / ".status/default/web.json").write_text("{")
    pod = cluster.pod("default", "web")
    assert pod.annotations == {"color": "red"}
    assert "/.status/default/web.json is left out: " in caplog.text
    cluster.publish_status(pod, "[1]")
    assert cluster.pod("default", "web").annotations[NETWORK_STATUS] == "[1]"


def test_a_status_that_cannot_be_written(tmp_path: Path) -> None:
    write(tmp_path, "web.yaml", POD.format(name="web", color="red"))
    (tmp_path / ".status").write_text("in the way")
    cluster = DirectoryCluster(tmp_path)
    with pytest.raises(ClusterUnavailable, match=r"network-status of pod default/web: .*Not a directory"):
        cluster.publish_status(cluster.pod("default", "web"), "[]")


def test_readers_never_see_half_a_status(tmp_path: Path) -> None:
    write(tmp_path, "web.yaml", POD.format(name="web", color="red"))
    cluster = DirectoryCluster(tmp_path)
    pod = cluster.pod("default", "web")
    done = threading.Event()
    faults: list[BaseException] = []

    def publish(letter: str) -> None:
        try:
            while not done.is_set():
                cluster.publish_status(pod, letter * 20_000)
        except BaseException as error:
            faults.append(error)

    writers = [threading.Thread(target=publish, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    seen = {""}
    for _ in range(300):
        status = cluster.pod("default", "web").annotations.get(NETWORK_STATUS, "")
        assert len(set(status)) <= 1
        assert len(status) in (0, 20_000)
        seen.add(status[:1])
    done.set()
    for writer in writers:
        writer.join()
    assert faults == []
    assert seen > {""}
    assert [p.name for p in (tmp_path / ".status" / "default").iterdir()] == ["web.json"]


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnavailable, match=r"cannot read the manifests in .*/none: No such file"):
        DirectoryCluster(tmp_path / "none").pod("default", "web")
