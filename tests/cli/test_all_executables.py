"""Every plugin as an executable, called in turn as a runtime does: by the shim and a daemon, and with no daemon at all.

Lists mix ours with the reference plugins, too: results, and what is in the kernel, must suit both.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.netns import Netns
from multinet.cni.cache import ResultCache
from multinet.cni.conf import NetworkList
from multinet.cni.errors import CNIError
from multinet.cni.execution import ExecutableRunner
from multinet.cni.plugin_call import PluginCall
from multinet.cni.runtime import Container, Runtime
from multinet.cni.versions import SUPPORTED
from multinet.sdk import registry
from multinet.testkit.snapshot import changes, namespace_state

pytestmark = pytest.mark.kernel

Json = dict[str, Any]
GO_PLUGINS = Path("/usr/lib/cni")
LIMITS = {
    "ingressRate": 80_000_000,
    "ingressBurst": 800_000,
    "egressRate": 40_000_000,
    "egressBurst": 400_000,
}
ASKED = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}], "bandwidth": LIMITS}
CHAINED = ("tuning", "portmap", "bandwidth", "firewall", "sbr")


class OnHost:
    """Runs executables in the host's namespace, as a runtime on that host would."""

    def __init__(self, host: Netns) -> None:
        self._host = host

    def run(self, call: PluginCall) -> Json | None:
        with self._host.entered():
            return ExecutableRunner(heard=lambda _, text: None).run(call)


class Executables:
    """A node with all plugins installed, and a runtime that calls them."""

    def __init__(self, node: Any, lab: Any, tmp_path: Path) -> None:
        self.node, self.lab, self.folder = node, lab, tmp_path
        self.bin_dir = node.files.bin_dir
        self.cache = ResultCache(str(tmp_path / "cache"))
        self.container = Container("c1", lab.sandbox().path, capability_args=ASKED)
        lab.allowed |= {"br0", "up0", "up1", "dev0", "dev1"}
        for name, peer in (("up0", "up1"), ("dev0", "dev1")):
            lab.ip("link", "add", name, "type", "veth", "peer", "name", peer)
            lab.ip("link", "set", name, "up")

    @property
    def runtime(self) -> Runtime:
        return self.by([self.bin_dir])

    def by(self, path: list[Path]) -> Runtime:
        return Runtime([str(folder) for folder in path], self.cache, OnHost(self.lab.host))

    def mixed(self, *theirs: str) -> Path:
        """A folder with those of the reference's, and for the rest ours."""
        folder = self.folder / "mixed"
        folder.mkdir()
        for kind in registry.types():
            source = GO_PLUGINS if kind in theirs else self.bin_dir
            if kind in theirs:
                assert (source / kind).exists(), kind
            os.symlink(source / kind, folder / kind)
        settings = self.bin_dir / ".multinet-shim"
        if settings.exists():
            os.symlink(settings, folder / settings.name)
        return folder

    def ipam(self, *subnets: str, **more: Any) -> Json:
        ranges = [[{"subnet": subnet}] for subnet in subnets or ("10.1.2.0/24",)]
        return {"type": "host-local", "dataDir": str(self.folder / "ipam"), "ranges": ranges, **more}

    def plugin(self, kind: str) -> Json:
        """A plugin of a list, with options that suit the others."""
        env = self.folder / "subnet.env"
        options: dict[str, Json] = {
            "bridge": {"bridge": "br0", "isGateway": True, "ipMasq": True, "ipam": self.ipam()},
            "ptp": {"ipMasq": True, "ipam": self.ipam()},
            "macvlan": {"master": "up0", "ipam": self.ipam()},
            "ipvlan": {"master": "up0", "ipam": self.ipam()},
            "vlan": {"master": "up0", "vlanId": 5, "ipam": self.ipam()},
            "dummy": {"ipam": self.ipam()},
            "tap": {"ipam": {"type": "static", "addresses": [{"address": "10.1.2.9/24"}]}},
            "host-device": {"device": "dev0", "dataDir": str(self.folder / "lent"), "ipam": self.ipam()},
            "flannel": {
                "subnetFile": str(env),
                "dataDir": str(self.folder / "flannel"),
                "delegate": {"bridge": "br0"},
                "ipam": {"dataDir": str(self.folder / "ipam")},
            },
            "tuning": {"mtu": 1380, "allmulti": True, "dataDir": str(self.folder / "tuning")},
            "portmap": {"capabilities": {"portMappings": True}},
            "bandwidth": {"capabilities": {"bandwidth": True}},
            "firewall": {"backend": "iptables"},
            "vrf": {"vrfname": "blue"},
        }
        env.write_text(
            "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.2.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=1\n"
        )
        return {"type": kind, **options.get(kind, {})}

    def network(self, *kinds: str, version: str = "1.0.0", **more: Json) -> NetworkList:
        plugins = [{**self.plugin(kind), **more.get(kind.replace("-", "_"), {})} for kind in kinds]
        return NetworkList.from_object({"cniVersion": version, "name": "net", "plugins": plugins})

    def links(self) -> Any:
        with Netns.open(self.container.netns) as sandbox:
            return self.lab.links(sandbox)

    def rules(self) -> str:
        """Of both back ends, without what counts packets or seconds."""
        kept = [line for line in self.lab.run("iptables-save").splitlines() if line[0] != "#"]
        chains = [line.rpartition(" ")[0] if line[0] == ":" else line for line in kept]
        return "\n".join([*chains, self.lab.run("nft", "-s", "list", "ruleset")])

    def state(self) -> Json:
        """Host, sandbox, rules and files of the attachment."""
        known = ("ipam", "tuning", "lent", "flannel")
        files = [path for name in known for path in (self.folder / name).rglob("*") if path.is_file()]
        with Netns.open(self.container.netns) as sandbox:
            return {
                "host": namespace_state(self.lab, None),
                "sandbox": namespace_state(self.lab, sandbox),
                "rules": self.rules(),
                "files": sorted(
                    p.name for p in files if p.name[0] != "." and not p.name.startswith(("lock", "last"))
                ),
            }

    def goes_round(self, network: NetworkList, runtime: Runtime | None = None) -> Json:
        """ADD, CHECK, DEL, twice, then DEL once more; the second time nothing may be left. What was there meanwhile."""
        runtime = runtime or self.runtime
        runtime.add(network, self.container)
        runtime.delete(network, self.container)  # what stays for good is there now
        before = self.state()
        runtime.add(network, self.container)
        meanwhile = self.state()
        runtime.check(network, self.container)
        runtime.delete(network, self.container)
        assert not changes(before, self.state())
        runtime.delete(network, self.container)
        assert not changes(before, self.state())
        return meanwhile

    def outcome(self, network: NetworkList, runtime: Runtime) -> dict[str, str]:
        """What was wrong with ADD, CHECK, DEL and one more DEL; "" if nothing."""
        told = {}
        calls = {
            "ADD": runtime.add,
            "CHECK": runtime.check,
            "DEL": runtime.delete,
            "DEL again": runtime.delete,
        }
        for verb, call in calls.items():
            try:
                call(network, self.container)
                told[verb] = ""
            except CNIError as error:
                told[verb] = str(error)
        return told

    def goes_as_well_mixed(self, theirs: tuple[str, ...], *kinds: str) -> None:
        """A list in which ``theirs`` are the reference's: what the reference's alone can do, it can, and it leaves
        nothing. (After sbr the reference's bridge doesn't find its gateway; its portmap's CHECK asks for IPv6, its
        sbr's second DEL for a link.)
        """
        network = self.network(*kinds)
        alone = self.outcome(network, self.by([GO_PLUGINS]))
        runtime = self.by([self.mixed(*theirs)])
        self.outcome(network, runtime)  # what stays for good is there now
        before = self.state()
        mixed = self.outcome(network, runtime)
        assert (mixed["ADD"], mixed["DEL"]) == ("", "")
        worse = {verb: text for verb, text in mixed.items() if text and not alone[verb]}
        assert worse == {}
        assert not changes(before, self.state())


@pytest.fixture(params=["daemon", "standalone"])
def executables(request: pytest.FixtureRequest, node: Any, lab: Any, tmp_path: Path) -> Executables:
    """All plugins, installed in one way or the other."""
    more = ["--standalone"] if request.param == "standalone" else []
    done = node.files.install("--plugins", "all", *more)
    assert done.returncode == 0, done.stderr
    if request.param == "daemon":
        node.start()
    return Executables(node, lab, tmp_path)


@pytest.fixture
def standalone(node: Any, lab: Any, tmp_path: Path) -> Executables:
    done = node.files.install("--plugins", "all", "--standalone")
    assert done.returncode == 0, done.stderr
    return Executables(node, lab, tmp_path)


def test_each_type_says_its_versions(executables: Executables) -> None:
    kinds = registry.types()
    assert {"bridge", "dhcp", "flannel", "portmap", "vrf"} <= set(kinds)
    for kind in kinds:
        done = subprocess.run(
            [executables.bin_dir / kind],
            env={"CNI_COMMAND": "VERSION", "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)["supportedVersions"] == list(SUPPORTED), kind


LISTS = [
    ("bridge", "tuning", "portmap", "bandwidth", "firewall"),
    ("ptp", "portmap", "bandwidth", "firewall", "sbr"),
    ("macvlan", "tuning", "sbr"),
    ("host-device", "tuning"),
    ("flannel", "portmap", "bandwidth"),
    ("loopback",),
    pytest.param(("tap",), marks=pytest.mark.needs_kind("tap")),
    pytest.param(("ipvlan", "tuning"), marks=pytest.mark.needs_kind("ipvlan")),
    pytest.param(("vlan", "tuning"), marks=pytest.mark.needs_kind("vlan")),
    pytest.param(("dummy", "tuning", "vrf"), marks=pytest.mark.needs_kind("dummy", "vrf")),
]


@pytest.mark.parametrize("kinds", LISTS, ids="+".join)
def test_lists_go_round(executables: Executables, kinds: tuple[str, ...]) -> None:
    without = executables.state()
    meanwhile = executables.goes_round(executables.network(*kinds, version="1.1.0"))
    assert changes(without["sandbox"], meanwhile["sandbox"])
    if "portmap" in kinds:
        assert "8080" in meanwhile["rules"]
    if "bandwidth" in kinds:
        assert sum("'tbf'" in one for one in meanwhile["host"]["queueing"]) == 2


def test_what_a_list_makes(executables: Executables) -> None:
    kinds = ("bridge", "tuning", "portmap", "bandwidth", "firewall")
    network, runtime = executables.network(*kinds), executables.runtime
    result = runtime.add(network, executables.container)
    assert [ip.address for ip in result.ips] == ["10.1.2.2/24"]
    assert (executables.links()["eth0"].mtu, executables.links()["eth0"].allmulti) == (1380, True)
    rules = executables.lab.run("iptables-save")
    assert "10.1.2.2" in rules.partition("*filter")[2]
    with Netns.open(executables.container.netns) as sandbox:
        executables.lab.ip("link", "set", "eth0", "mtu", "1300", netns=sandbox)
    with pytest.raises(CNIError, match="1300") as caught:
        runtime.check(network, executables.container)
    assert caught.value.code == 102
    runtime.delete(network, executables.container)


@pytest.mark.parametrize("kind", ["tuning", "portmap", "bandwidth", "firewall", "sbr", "vrf"])
def test_a_chained_plugin_alone_is_refused(executables: Executables, kind: str) -> None:
    before = executables.state()
    with pytest.raises(CNIError) as caught:
        executables.runtime.add(executables.network(kind), executables.container)
    assert caught.value.code == 7
    assert "prevResult" in str(caught.value) or "chained" in str(caught.value)
    assert not changes(before, executables.state())


def test_a_del_that_knows_nothing(standalone: Executables) -> None:
    """No record and no result, as after a node's loss of memory: by mark, alias and file alone."""
    kinds = ("bridge", "tuning", "portmap", "bandwidth", "firewall", "sbr")
    network, runtime = standalone.network(*kinds), standalone.runtime
    runtime.add(network, standalone.container)
    runtime.delete(network, standalone.container)
    before = standalone.state()
    runtime.add(network, standalone.container)
    standalone.cache.remove("net", "c1", "eth0")
    runtime.delete(network, standalone.container)
    assert not changes(before, standalone.state())


def test_the_last_of_a_list_fails(executables: Executables) -> None:
    kinds = ("bridge", "tuning", "portmap", "bandwidth", "firewall", "sbr")
    good, bad = executables.network(*kinds), executables.network(*kinds, sbr={"gateways": ["x"]})
    runtime = executables.runtime
    runtime.add(good, executables.container)
    runtime.delete(good, executables.container)
    before = executables.state()
    with pytest.raises(CNIError, match=r"\$\.gateways\[0\]"):
        runtime.add(bad, executables.container)
    assert not changes(before, executables.state())


@pytest.mark.reference
class TestMixed:
    """Lists of the reference's plugins and ours. The reference's of version 1.1.1 know 1.0.0 at most."""

    @pytest.mark.parametrize("first", ["bridge", "ptp"])
    @pytest.mark.parametrize("kind", CHAINED)
    def test_ours_after_theirs(self, standalone: Executables, first: str, kind: str) -> None:
        standalone.goes_as_well_mixed((first, "host-local"), first, kind)

    @pytest.mark.parametrize(
        ("first", "kind"),
        [
            (first, kind)
            for first in ("bridge", "ptp", "macvlan")
            for kind in CHAINED
            if (first, kind) != ("macvlan", "bandwidth")  # which limits veth pairs only
        ],
    )
    def test_theirs_after_ours(self, standalone: Executables, first: str, kind: str) -> None:
        standalone.goes_as_well_mixed((kind,), first, kind)

    def test_all_of_ours_after_their_bridge(self, executables: Executables) -> None:
        executables.goes_as_well_mixed(("bridge", "host-local"), "bridge", *CHAINED)

    def test_all_of_theirs_after_our_bridge(self, executables: Executables) -> None:
        executables.goes_as_well_mixed(CHAINED, "bridge", *CHAINED)

    @pytest.mark.parametrize("first", ["bridge", "ptp"])
    def test_our_addresses_for_their_interface(self, executables: Executables, first: str) -> None:
        executables.goes_as_well_mixed((first,), first)
