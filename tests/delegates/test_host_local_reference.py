"""host-local beside the reference plugin: same results, same files, each after the other, both at once.

Debian ships release 1.1.1: address files 0644 (0600 since), cniVersion up to 1.0.0, no route attributes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from multinet.cni.errors import CNIError
from multinet.cni.result import Result
from multinet.core.desired import Owner
from multinet.delegates.host_local import HostLocal
from multinet.ports import IpamRequest

GO = Path("/usr/lib/cni/host-local")
pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif(not GO.exists(), reason="containernetworking-plugins is not installed"),
]
Json = dict[str, Any]


class Refused(Exception):
    pass


class Reference:
    """The Go plugin as a process for each call."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def call(self, verb: str, conf: Json, owner: str, args: str = "") -> Json:
        conf = {**conf, "ipam": {**conf["ipam"], "dataDir": str(self.data_dir)}}
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": owner,
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": "/nowhere",
            "CNI_PATH": str(GO.parent),
            "CNI_ARGS": args,
        }
        run = subprocess.run([GO], input=json.dumps(conf).encode(), env=environ, capture_output=True)
        if run.returncode:
            raise Refused(json.loads(run.stdout)["msg"])
        result: Json = json.loads(run.stdout) if run.stdout else {}
        return result

    def add(self, conf: Json, owner: str, args: str = "") -> Json:
        return self.call("ADD", conf, owner, args)

    def release(self, conf: Json, owner: str) -> None:
        self.call("DEL", conf, owner)


class Ours:
    """multinet's, with the memory of one long-lived process."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.plugin = HostLocal()

    def request(self, conf: Json, owner: str, args: str = "") -> IpamRequest:
        conf = {**conf, "ipam": {**conf["ipam"], "dataDir": str(self.data_dir)}}
        pairs = dict(pair.split("=") for pair in args.split(";") if pair)
        return IpamRequest(conf=conf, owner=Owner("net", owner, "eth0"), args=pairs)

    def add(self, conf: Json, owner: str, args: str = "") -> Json:
        try:
            result = self.plugin.allocate(self.request(conf, owner, args))
        except CNIError as error:
            raise Refused(error.msg) from None
        return result.as_version(conf["cniVersion"])

    def release(self, conf: Json, owner: str) -> None:
        self.plugin.release(self.request(conf, owner))


def network(ipam: Json, version: str = "1.0.0", **top: Any) -> Json:
    return {
        "cniVersion": version,
        "name": "net",
        "type": "any",
        "ipam": {"type": "host-local", **ipam},
        **top,
    }


def content(data_dir: Path) -> dict[str, bytes]:
    folder = data_dir / "net"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def outcome(plugin: Reference | Ours, conf: Json, owner: str, args: str) -> Json:
    try:
        return {"result": normal(plugin.add(conf, owner, args), conf["cniVersion"])}
    except Refused as refusal:
        return {"refusal": str(refusal)}


def normal(raw: Json, version: str) -> Json:
    return Result.from_json(raw, version).as_version(version)


RANGES = {
    "old style": {"subnet": "10.1.2.0/29"},
    "old style with everything": {
        "subnet": "10.1.2.0/24",
        "rangeStart": "10.1.2.9",
        "rangeEnd": "10.1.2.12",
        "gateway": "10.1.2.254",
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.7.1.9/16", "gw": "10.1.2.7"}],
    },
    "dual stack": {
        "ranges": [[{"subnet": "10.1.2.0/30"}, {"subnet": "10.1.3.0/29"}], [{"subnet": "2001:DB8:1::/64"}]]
    },
    "edges": {"ranges": [[{"subnet": "10.1.2.0/30", "rangeStart": "10.1.2.0", "rangeEnd": "10.1.2.3"}]]},
    "odd gateway": {"ranges": [[{"subnet": "2001:db8::/125", "gateway": "2001:db8::4"}]]},
    "both styles": {"subnet": "10.1.2.0/29", "ranges": [[{"subnet": "10.1.3.0/29"}]]},
}
HISTORY = [
    ("add", "a", ""),
    ("add", "b", ""),
    ("add", "a", ""),
    ("release", "a", ""),
    ("add", "c", ""),
    ("add", "d", "IP=10.1.2.2"),
    ("add", "e", "IP=10.1.2.1"),
    ("add", "f", "IP=10.1.2.99"),
    ("add", "g", "IgnoreUnknown=1;K8S_POD_NAME=x"),
    ("release", "nobody", ""),
    ("add", "h", ""),
    ("add", "i", ""),
    ("add", "j", ""),
    ("release", "b", ""),
    ("add", "k", ""),
]


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("version", ["0.2.0", "0.4.0", "1.0.0"])
def test_one_history_through_both(tmp_path: Path, name: str, version: str) -> None:
    theirs, ours = Reference(tmp_path / "theirs"), Ours(tmp_path / "ours")
    conf = network(RANGES[name], version)
    for verb, owner, args in HISTORY:
        if verb == "release":
            for plugin in (theirs, ours):
                try:
                    plugin.release(conf, owner)
                except Refused as refusal:  # the reference fails DEL on a bad configuration
                    assert plugin is theirs
                    assert "does not support" in str(refusal)
        else:
            want, have = outcome(theirs, conf, owner, args), outcome(ours, conf, owner, args)
            if "refusal" in want:
                assert want["refusal"] in have["refusal"]
            else:
                assert have == want
        mine = content(ours.data_dir)
        assert mine == {k: v for k, v in content(theirs.data_dir).items() if mine or k != "lock"}
    for path in (tmp_path / "ours" / "net").glob("*") if mine else ():
        mode = stat.S_IMODE(path.stat().st_mode)
        other = stat.S_IMODE((tmp_path / "theirs" / "net" / path.name).stat().st_mode)
        assert mode == other & (0o700 if path.name != "lock" else 0o777)


REFUSED = {
    "no ranges": {"ranges": []},
    "no subnet in set": {"ranges": [[{"rangeStart": "10.0.0.1"}]]},
    "too small": {"subnet": "192.0.2.0/31"},
    "v6 too small": {"subnet": "2001:db8::/127"},
    "host bits": {"subnet": "192.0.2.12/24"},
    "start outside": {"subnet": "192.0.2.0/24", "rangeStart": "192.0.3.1"},
    "start after end": {"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.50", "rangeEnd": "192.0.2.40"},
    "end outside": {"subnet": "192.0.2.0/24", "rangeEnd": "192.0.4.0"},
    "empty set": {"ranges": [[]]},
    "mixed": {"ranges": [[{"subnet": "10.0.0.0/24"}, {"subnet": "2001:db8::/64"}]]},
    "overlap in set": {"ranges": [[{"subnet": "10.1.0.0/22"}, {"subnet": "10.1.2.0/24"}]]},
    "overlap of sets": {"ranges": [[{"subnet": "10.1.0.0/22"}], [{"subnet": "10.1.2.0/24"}]]},
    "bad cidr": {"subnet": "10.0.0.0"},
    "bad ip": {"subnet": "10.0.0.0/24", "gateway": "10.0.0"},
    "bad route": {"subnet": "10.0.0.0/24", "routes": [{"dst": "x"}]},
    "no resolv.conf": {"subnet": "10.0.0.0/24", "resolvConf": "/nowhere/resolv.conf"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse_with_the_same_words(tmp_path: Path, name: str) -> None:
    conf = network(REFUSED[name])
    want = outcome(Reference(tmp_path / "theirs"), conf, "a", "")
    have = outcome(Ours(tmp_path / "ours"), conf, "a", "")
    assert want["refusal"] in have["refusal"]


@pytest.mark.parametrize(
    ("args", "top"),
    [
        ("IP=x", {}),
        ("FOO=bar", {}),
        ("", {"args": {"cni": {"ips": ["10.0.0.256"]}}}),
        ("", {"runtimeConfig": {"ips": ["10.1.2.5", "10.1.2.6"]}}),
    ],
)
def test_both_refuse_requests_with_the_same_words(tmp_path: Path, args: str, top: Json) -> None:
    conf = network(RANGES["old style"], **top)
    want = outcome(Reference(tmp_path / "theirs"), conf, "a", args)
    have = outcome(Ours(tmp_path / "ours"), conf, "a", args)
    # Of several addresses for one range the reference takes any, so that any may be left over.
    assert re.sub(r"\.[56]$", "", want["refusal"]) in have["refusal"]
    assert not {name for name in content(tmp_path / "ours") if name[0].isdigit()}


def test_resolv_conf_reads_alike(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.3\n#c\ndomain a\nsearch b c\noptions ndots:5\nsearch d\ndomain e f\n")
    conf = network({"subnet": "10.0.0.0/24", "resolvConf": str(path)})
    want = outcome(Reference(tmp_path / "theirs"), conf, "a", "")
    assert outcome(Ours(tmp_path / "ours"), conf, "a", "") == want
    assert want["result"]["dns"]["search"] == ["b", "c", "d"]


def test_each_follows_the_other_on_one_folder(tmp_path: Path) -> None:
    theirs, ours = Reference(tmp_path), Ours(tmp_path)
    conf = network(RANGES["dual stack"])
    expected = Reference(tmp_path / "alone")
    for i in range(6):
        now, before = (theirs, ours) if i % 2 else (ours, theirs)
        owner = f"c{i}"
        assert normal(now.add(conf, owner), "1.0.0") == normal(expected.add(conf, owner), "1.0.0")
        for plugin in (theirs, ours):
            with pytest.raises(Refused, match="duplicate allocation is not allowed"):
                plugin.add(conf, owner)
        assert ours.plugin.check(ours.request(conf, owner), None) == []
        theirs.call("CHECK", {**conf, "prevResult": {"cniVersion": "1.0.0"}}, owner)
        if i % 3 == 2:
            before.release(conf, owner)
            expected.release(conf, owner)
    assert content(tmp_path) == content(tmp_path / "alone")


def test_both_at_once_never_give_one_address_twice(tmp_path: Path) -> None:
    conf = network({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "2001:db8::/64"}]]})
    rounds = 20

    def work(number: int) -> None:
        plugin = Reference(tmp_path) if number % 2 else Ours(tmp_path)
        lines = []
        for i in range(rounds):
            result = plugin.add(conf, f"p{number}-{i}")
            lines += [ip["address"] for ip in result["ips"]]
            if i % 5 == 4:
                plugin.release(conf, f"p{number}-{i}")
                lines = lines[:-2]
        (tmp_path / f"given-{number}").write_text("\n".join(lines))

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(n,)) for n in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    given = [line for n in range(8) for line in (tmp_path / f"given-{n}").read_text().split()]
    assert len(given) == len(set(given)) == 8 * (rounds - rounds // 5) * 2
    files = {name for name in os.listdir(tmp_path / "net") if name[0].isdigit()}
    assert files == {address.partition("/")[0] for address in given}
