"""passthru: an empty result, or the previous one; nothing is touched. As a plugin in process, and as an executable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from multinet.cni.versions import SUPPORTED

Json = dict[str, Any]
PREVIOUS: Json = {"interfaces": [{"name": "eth0", "sandbox": "/x", "own": 1}], "ips": [], "more": {"a": [1]}}


def called(bench: Any, verb: str, conf: Json, netns: str) -> subprocess.CompletedProcess[str]:
    """By an executable of its name, on the test's host."""
    env = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": "c",
        "CNI_NETNS": netns,
        "CNI_IFNAME": "net1",
        "CNI_PATH": "/nowhere",
    }
    command = [sys.executable, "-c", "from multinet.cli.plugin import main; main('passthru')"]
    with bench.lab.host.entered():
        return subprocess.run(
            command, env={**os.environ, **env}, input=json.dumps(conf), capture_output=True, text=True
        )


@pytest.mark.parametrize("previous", [None, PREVIOUS], ids=["first", "chained"])
@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_every_verb(bench: Any, version: str, previous: Json | None) -> None:
    """3.7: the versions that Multus' own has; the others can't say an empty result to a runtime."""
    netns = bench.lab.sandbox()
    before = bench.lab.links(netns), bench.lab.links()
    conf: Json = {"cniVersion": version, "name": "n", "type": "passthru"}
    if previous is not None:
        conf["prevResult"] = {"cniVersion": version, **previous}
    done = called(bench, "ADD", conf, netns.path)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout) == {"cniVersion": version, **(previous or {})}
    verbs = ["DEL", *(["CHECK"] if version >= "0.4" else []), *(["STATUS", "GC"] if version >= "1.1" else [])]
    for verb in verbs:
        done = called(bench, verb, {**conf, "cni.dev/valid-attachments": []}, netns.path)
        assert (done.returncode, done.stdout) == (0, ""), verb
    assert (bench.lab.links(netns), bench.lab.links()) == before


def test_version(bench: Any) -> None:
    done = called(bench, "VERSION", {}, "")
    assert json.loads(done.stdout)["supportedVersions"] == list(SUPPORTED)
