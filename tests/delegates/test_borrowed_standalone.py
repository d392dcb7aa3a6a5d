"""host-device and tuning as plain executables in a chain: each verb a process, with nothing recorded in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from multinet.testkit.snapshot import changes

Json = dict[str, Any]
MAC = "02:00:00:aa:bb:cc"


def run(pod: Any, verb: str, conf: Json, raw: str = "", netns: str | None = None) -> Json:
    """What the plugin prints; a failure as ``{"code": …}``."""
    lab = pod.bench.lab
    env = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": pod.container_id,
        "CNI_NETNS": pod.netns.path if netns is None else netns,
        "CNI_IFNAME": pod.ifname,
        "CNI_PATH": "/usr/lib/cni",
        "PATH": os.environ["PATH"],
    }
    program = f"from multinet.cli.plugin import main; main({conf['type']!r})"
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{os.getpid()}/fd/{lab.host.fd}", sys.executable, "-c", program],
        input=raw or json.dumps(conf),
        capture_output=True,
        text=True,
        env=env,
    )
    answer: Json = json.loads(done.stdout) if done.stdout else {}
    assert (done.returncode != 0) == ("code" in answer), (done.stdout, done.stderr)
    return answer


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
@pytest.mark.parametrize("kind", ["bridge", "macvlan", "host-device"])
def test_a_chain(bench: Any, make: Any, kind: str, version: str) -> None:
    bench.uplink("dev0")
    bench.lab.allowed.add("br0")
    bench.lab.ip("link", "add", "br0", "address", "02:00:00:00:00:01", "type", "bridge")
    options = {"bridge": {"bridge": "br0"}, "macvlan": {"master": "br0"}}
    options["host-device"] = {"device": "dev0", "dataDir": str(bench.directory / "lent")}
    first = make(kind, version, **options[kind])
    tuning = make("tuning", version, dataDir=str(bench.directory / "tuning"), mac=MAC, mtu=1300)
    bench.lab.ip("link", "set", "br0", "up")
    bench.lab.run("sysctl", "-qw", "net.ipv6.conf.br0.accept_ra=0")  # bridge's own doing, which stays
    pod = bench.pod()
    before = bench.snapshot(pod.netns)
    result = run(pod, "ADD", first)
    result = run(pod, "ADD", tuning | {"prevResult": result})
    assert [one["mac"] for one in result["interfaces"] if one["name"] == "eth0"] == [MAC]
    for plugin in (first, tuning):
        assert run(pod, "CHECK", plugin | {"prevResult": result}) == {}
    bench.lab.ip("link", "set", "eth0", "address", "02:00:00:00:00:02", netns=pod.netns)
    for plugin in (first, tuning):
        assert run(pod, "CHECK", plugin | {"prevResult": result})["code"] == 102
    for _ in range(2):
        for plugin in (tuning, first):
            assert run(pod, "DEL", plugin | {"prevResult": result}) == {}
    assert not changes(before, bench.snapshot(pod.netns))


def test_a_device_when_the_namespace_is_not_said_any_more(bench: Any, make: Any) -> None:
    bench.uplink("dev0")
    conf = make("host-device", device="dev0", dataDir=str(bench.directory / "lent"))
    pod = bench.pod()
    before = bench.snapshot()
    run(pod, "ADD", conf)
    bench.lab.ip(
        "link", "set", "eth0", "netns", bench.lab.host.path, netns=pod.netns
    )  # as the kernel does it
    assert run(pod, "DEL", conf, netns="") == {}
    assert not changes(before, bench.snapshot())


def test_a_sysctl_twice(bench: Any, make: Any) -> None:
    conf = make("tuning", prevResult={"cniVersion": "1.1.0"})
    raw = json.dumps(conf)[:-1] + ', "sysctl": {"net.core.somaxconn": "1", "net.core.somaxconn": "2"}}'
    for verb in ("ADD", "CHECK"):
        error = run(bench.pod(), verb, conf, raw)
        assert (error["code"], error["msg"]) == (7, "duplicated sysctl keys are not allowed")
        assert error["details"] == "twice: net.core.somaxconn"
