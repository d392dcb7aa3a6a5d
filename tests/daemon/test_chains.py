"""Whole lists of plugins through the daemon: what one plugin does must not get in another's way, from ADD to DEL.

One pod has a bridge with every chained plugin behind it, a tuned macvlan, a borrowed device, a ptp pair and a tap.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from multinet.adapters.firewall import HostFirewall
from multinet.adapters.journal import SqliteJournal
from multinet.adapters.kernel import NetworkStack
from multinet.testkit.snapshot import changes, namespace_state

pytestmark = pytest.mark.needs_kind("ifb", "macvlan", "tap")

Site = Any
Json = dict[str, Any]

MAC, MV_MAC = "02:00:00:aa:bb:01", "02:00:00:aa:bb:02"
LIMITS = {
    "ingressRate": 80_000_000,
    "ingressBurst": 800_000,
    "egressRate": 40_000_000,
    "egressBurst": 400_000,
}
RUNTIME = {
    "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
    "bandwidth": LIMITS,
    "mac": MAC,
    "ips": ["10.244.0.77"],
}
"""What the runtime hands over for the default network."""
WANTED = [
    {"name": "mv", "mac": MV_MAC, "ips": ["10.9.0.33/24"]},
    {"name": "lent"},
    {"name": "pair", "portMappings": [{"hostPort": 9090, "containerPort": 90}], "bandwidth": LIMITS},
    {"name": "vm"},
]
"""What the pod's annotation asks for."""


def can(*capabilities: str) -> Json:
    return {"capabilities": dict.fromkeys(capabilities, True)}


class Full:
    """A site with such a pod."""

    def __init__(self, site: Site) -> None:
        self.site, self.lab = site, site.lab
        self.tuned, self.lent = str(site.lab.directory / "tuning"), str(site.lab.directory / "lent")
        self.lab.allowed |= {"uplink", "far", "dev0"}
        self.lab.ip("link", "add", "uplink", "type", "veth", "peer", "name", "far")
        self.lab.ip("link", "set", "uplink", "up")
        self.beyond = self.lab.sandbox()
        end = ("peer", "name", "far0", "netns", self.beyond.path)
        self.lab.ip("link", "add", "dev0", "mtu", "1400", "type", "veth", *end)
        self.lab.ip("link", "set", "dev0", "up", "alias", "the cable")
        self.lab.ip("addr", "add", "198.51.100.1/24", "dev", "dev0")
        site.default_network(*self.default())
        site.nad("mv", self.network(*self.macvlan()))
        site.nad("lent", self.network({"type": "host-device", "device": "dev0", "dataDir": self.lent}))
        site.nad("pair", self.network(*self.ptp()))
        site.nad("vm", self.network({"type": "tap", "ipam": self.host_local("10.7.0.0/24")}))
        site.pod(networks=WANTED)

    def network(self, *plugins: Json) -> Json:
        return {"cniVersion": "1.1.0", "plugins": list(plugins)}

    def host_local(self, *subnets: str) -> Json:
        ranges = [[{"subnet": subnet}] for subnet in subnets]
        return {"type": "host-local", "dataDir": str(self.site.leases), "ranges": ranges}

    def tuning(self, **more: Any) -> Json:
        return {"type": "tuning", "dataDir": self.tuned, **more}

    def default(self) -> list[Json]:
        """The default network's list, every chained plugin in it."""
        sysctl = {"net.core.somaxconn": "511", "net.ipv4.conf.IFNAME.arp_filter": "1"}
        return [
            self.site.bridge("10.244.0.0/24", "fd00:244::/64", **can("mac", "ips")),
            self.tuning(mtu=1380, allmulti=True, sysctl=sysctl),
            {"type": "portmap", **can("portMappings")},
            {"type": "bandwidth", **can("bandwidth")},
            {"type": "firewall", "backend": "nftables"},
            {"type": "sbr"},
        ]

    def macvlan(self) -> list[Json]:
        ipam = self.host_local("10.9.0.0/24")
        return [
            {"type": "macvlan", "master": "uplink", "ipam": ipam, **can("mac", "ips")},
            self.tuning(promisc=True),
            {"type": "sbr"},
        ]

    def ptp(self) -> list[Json]:
        return [
            {"type": "ptp", "ipMasq": True, "ipam": self.host_local("10.6.0.0/24", "fd00:6::/64")},
            {"type": "portmap", **can("portMappings")},
            {"type": "bandwidth", **can("bandwidth")},
        ]

    def ok(self, verb: str, sandbox: Any = None, **more: Any) -> Json:
        given: Json = self.site.ok(verb, netns=sandbox, conf={"runtimeConfig": RUNTIME}, **more)
        return given

    def fails(self, verb: str, sandbox: Any = None, **more: Any) -> tuple[int, str]:
        told: tuple[int, str] = self.site.fails(verb, netns=sandbox, conf={"runtimeConfig": RUNTIME}, **more)
        return told

    def state(self, *sandboxes: Any) -> Json:
        """All that could be left: links, addresses, routes, rules, queueing, sysctls, files, rows."""
        folders = (self.site.leases, self.lab.directory / "tuning", self.lab.directory / "lent")
        files = [
            path for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file()
        ]
        return {
            "host": namespace_state(self.lab, None),
            "rules": self.site.rules(),
            "legacy": self.lab.run("iptables-save", check=False),
            "files": sorted(
                path.name for path in files if not path.name.startswith(("lock", "last_reserved_ip", "."))
            ),
            "rows": len(self.site.rows),
            **{sandbox.path: self.inside(sandbox) for sandbox in sandboxes},
        }

    def inside(self, sandbox: Any) -> Json:
        somaxconn = self.lab.run("sysctl", "-n", "net.core.somaxconn", netns=sandbox).strip()
        return {**namespace_state(self.lab, sandbox), "somaxconn": somaxconn}

    def used(self) -> Any:
        """A sandbox, on a host where what stays for good (the bridge, empty tables of rules) has been made."""
        sandbox = self.lab.sandbox()
        self.ok("ADD", sandbox)
        self.ok("DEL", sandbox)
        return sandbox

    def host_end(self, ifname: str) -> str:
        owner = next(row.owner for row in self.site.rows if row.ifname == ifname)
        return str(owner.host_ifname)

    def ifbs(self) -> set[str]:
        return {link["ifname"] for link in self.json("ip", "link", "show", "type", "ifb")}

    def json(self, program: str, *arguments: str, netns: Any = None) -> Any:
        return json.loads(self.lab.run(program, "-j", *arguments, netns=netns) or "[]")

    def rules_of(self, sandbox: Any) -> dict[str, int]:
        found = self.json("ip", "rule", netns=sandbox) + self.json("ip", "-6", "rule", netns=sandbox)
        return {rule["src"]: int(rule["table"]) for rule in found if rule["src"] != "all"}


@pytest.fixture
def full(site: Site) -> Full:
    return Full(site)


class TestWhole:
    def test_what_an_add_makes(self, full: Full) -> None:
        site, sandbox = full.site, full.lab.sandbox()
        result = full.ok("ADD", sandbox)
        assert [ip["address"] for ip in result["ips"]] == ["10.244.0.77/24", "fd00:244::2/64"]
        links = full.lab.links(sandbox)
        assert set(links) == {"lo", "eth0", "net1", "net2", "net3", "net4"}
        eth0, net1, net2 = links["eth0"], links["net1"], links["net2"]
        assert (eth0.mac, eth0.mtu, eth0.allmulti) == (MAC, 1380, True)
        assert (net1.kind, net1.mac, net1.promisc) == ("macvlan", MV_MAC, True)
        assert (net2.alias, net2.mtu) == ("dev0", 1400) and "dev0" not in full.lab.links()
        assert links["net3"].kind == "veth" and links["net4"].kind in ("tun", "tap")
        assert full.inside(sandbox)["somaxconn"] == "511"
        text = site.rules()
        assert "8080" in text and "9090" in text and "10.244.0.77" in text
        assert len(full.ifbs()) == 2
        for ifname in ("eth0", "net3"):
            (root,) = [
                q for q in full.json("tc", "qdisc", "show", "dev", full.host_end(ifname)) if q.get("root")
            ]
            assert (root["kind"], root["options"]["rate"]) == ("tbf", LIMITS["ingressRate"] // 8)
        rules = full.rules_of(sandbox)
        assert set(rules) == {"10.244.0.77", "fd00:244::2", "10.9.0.33"} and len(set(rules.values())) == 3
        table = str(rules["10.244.0.77"])
        by_source = full.json("ip", "route", "show", "table", table, netns=sandbox)
        assert {route["dst"]: route.get("gateway") for route in by_source}["default"] == "10.244.0.1"
        full.ok("CHECK", sandbox)
        full.ok("DEL", sandbox)

    def test_what_the_status_says(self, full: Full) -> None:
        sandbox = full.lab.sandbox()
        full.ok("ADD", sandbox)
        told = {entry.get("interface"): entry for entry in json.loads(full.site.status())}
        assert list(told) == ["eth0", "net1", "net2", "net3", "net4"]
        assert (told["eth0"]["default"], told["eth0"]["mac"], told["eth0"]["mtu"]) == (True, MAC, 1380)
        assert told["eth0"]["ips"] == ["10.244.0.77", "fd00:244::2"]
        assert (told["net1"]["mac"], told["net1"]["ips"]) == (MV_MAC, ["10.9.0.33"])
        assert told["net2"]["mac"] == full.lab.links(sandbox)["net2"].mac
        assert told["net3"]["ips"] == ["10.6.0.2", "fd00:6::2"]
        assert (told["net4"]["name"], told["net4"]["ips"]) == ("default/vm", ["10.7.0.2"])
        full.ok("DEL", sandbox)

    def test_the_pod_reaches_the_host(self, full: Full) -> None:
        """From each address by its own interface, though the bridge's routes have left the main table."""
        sandbox = full.lab.sandbox()
        full.ok("ADD", sandbox)
        for source, address in (
            ("10.244.0.77", "10.244.0.1"),
            ("fd00:244::2", "fd00:244::1"),
            ("10.6.0.2", "10.6.0.1"),
        ):
            full.lab.run("ping", "-n", "-c", "1", "-W", "5", "-I", source, address, netns=sandbox)
        full.ok("DEL", sandbox)


BROKEN: dict[str, tuple[Callable[[Full, Any], object], str]] = {
    "bridge": (lambda f, s: f.lab.ip("link", "set", f.host_end("eth0"), "nomaster"), "cni0"),
    "bridge address": (
        lambda f, s: f.lab.ip("addr", "del", "10.244.0.77/24", "dev", "eth0", netns=s),
        "10.244.0.77",
    ),
    "tuning": (lambda f, s: f.lab.ip("link", "set", "eth0", "mtu", "1300", netns=s), "1300"),
    "tuning sysctl": (
        lambda f, s: f.lab.run("sysctl", "-qw", "net.ipv4.conf.eth0.arp_filter=0", netns=s),
        "arp_filter",
    ),
    "portmap": (lambda f, s: drop_rules(f, "8080"), "8080"),
    "bandwidth": (
        lambda f, s: f.lab.run("tc", "qdisc", "del", "dev", f.host_end("eth0"), "root"),
        "qdisc",
    ),
    "bandwidth ifb": (lambda f, s: [f.lab.ip("link", "del", ifb) for ifb in f.ifbs()], "ifb"),
    "firewall": (lambda f, s: drop_rules(f, "10.244.0.77", without="8080"), "10.244.0.77"),
    "sbr": (
        lambda f, s: f.lab.ip("rule", "del", "from", "10.244.0.77", netns=s),
        "10.244.0.77",
    ),
    "macvlan": (lambda f, s: f.lab.ip("link", "set", "net1", "down", netns=s), "net1"),
    "macvlan tuning": (
        lambda f, s: f.lab.ip("link", "set", "net1", "promisc", "off", netns=s),
        "promisc",
    ),
    "macvlan sbr": (lambda f, s: f.lab.ip("rule", "del", "from", "10.9.0.33", netns=s), "10.9.0.33"),
    "host-device": (lambda f, s: f.lab.ip("link", "set", "net2", "alias", "x", netns=s), "alias"),
    "ptp": (lambda f, s: f.lab.ip("route", "del", "10.6.0.3/32"), "10.6.0.3"),
    "tap": (lambda f, s: f.lab.ip("link", "set", "net4", "mtu", "1300", netns=s), "1300"),
}
"""Plugin → how to break what it made, and a word that the CHECK must say."""


def drop_rules(full: Full, word: str, without: str = "\0") -> None:
    """Delete the packet rules and map elements that have the word in their line."""
    done = 0
    for line in full.lab.run("nft", "-a", "list", "ruleset").splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = words[1:3]
        elif words[:1] in (["chain"], ["map"], ["set"]):
            holder = words[0], words[1]
        elif word in line and without not in line and "# handle" in line and holder[0] == "chain":
            full.lab.run("nft", "delete", "rule", *table, holder[1], "handle", words[-1])
            done += 1
        elif word in line and without not in line and holder[0] in ("map", "set"):
            full.lab.run("nft", "flush", holder[0], *table, holder[1])
            done += 1
    assert done, full.site.rules()


@pytest.mark.parametrize("what", BROKEN)
def test_check_names_what_is_broken(full: Full, what: str) -> None:
    sandbox = full.used()
    before = full.state(sandbox)
    full.ok("ADD", sandbox)
    full.ok("CHECK", sandbox)
    breaks, word = BROKEN[what]
    breaks(full, sandbox)
    code, text = full.fails("CHECK", sandbox)
    assert code in (100, 102) and word in text, text
    full.ok("DEL", sandbox)
    assert not changes(before, full.state(sandbox))


@pytest.mark.parametrize("restarted", [False, True])
def test_del_leaves_nothing(full: Full, restarted: bool) -> None:
    sandbox = full.used()
    before = full.state(sandbox)
    full.ok("ADD", sandbox)
    if restarted:
        full.site.restart()
        full.ok("CHECK", sandbox)
        full.site.restart()
    full.ok("DEL", sandbox)
    assert not changes(before, full.state(sandbox))
    full.ok("DEL", sandbox)
    assert not changes(before, full.state(sandbox))


def test_del_without_the_sandbox(full: Full) -> None:
    """The kernel destroys the veth end that was lent; a network card would go home by itself."""
    full.used()
    before = full.state()
    sandbox = full.lab.sandbox()
    full.ok("ADD", sandbox)
    full.lab.ip("link", "set", "net2", "netns", full.lab.host.path, netns=sandbox)
    full.site.restart()
    full.ok("DEL", "/var/run/netns/gone")
    assert not changes(before["host"]["links"]["dev0"], full.state()["host"]["links"]["dev0"])
    left = full.state()
    assert (left["files"], left["rows"], left["rules"]) == (before["files"], 0, before["rules"])
    assert full.ifbs() == set()
    full.ok("DEL")


def test_gc_of_a_container_that_is_forgotten(full: Full) -> None:
    sandbox, other = full.used(), full.lab.sandbox()
    full.site.pod("other")
    valid = [{"containerID": "c2", "ifname": "eth0"}]
    full.site.ok("ADD", "c2", netns=other, pod="other")
    before = full.state(sandbox, other)
    full.ok("ADD", sandbox)
    full.site.restart()
    for _ in range(2):  # missing in one list is no proof
        full.site.ok("GC", conf={"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid})
    assert not changes(before, full.state(sandbox, other))
    full.site.ok("CHECK", "c2", netns=other, pod="other")
    full.site.ok("DEL", "c2", netns=other, pod="other")


class TestTheLastPluginFails:
    @pytest.mark.parametrize(
        ("sbr", "code", "word"),
        [
            ({"gateways": ["10.244.0.300"]}, 7, "$.gateways[0]"),
            ({"gateways": ["224.0.0.1"]}, 100, "route"),  # by the kernel: no gateway is a group of hosts
            ({"table": 0}, 7, "$.table"),
        ],
    )
    def test_what_came_before_is_undone(self, full: Full, sbr: Json, code: int, word: str) -> None:
        sandbox = full.used()
        before = full.state(sandbox)
        full.site.default_network(*full.default()[:-1], {"type": "sbr", **sbr})
        told, text = full.fails("ADD", sandbox)
        assert (told, word in text) == (code, True), text
        assert not changes(before, full.state(sandbox))

    def test_of_the_last_network(self, full: Full) -> None:
        sandbox = full.used()
        before = full.state(sandbox)
        macvlan = full.macvlan()[0]
        full.site.nad("bad", full.network(macvlan, {"type": "sbr", "gateways": ["x"]}))
        full.site.pod(networks=[*WANTED, {"name": "bad"}])
        code, text = full.fails("ADD", sandbox)
        assert code == 7 and "$.gateways[0]" in text and "default/bad" in text
        assert not changes(before, full.state(sandbox))


class TestOneTypeTwice:
    def test_both_are_kept_apart(self, full: Full) -> None:
        """The second has the last word; DEL gives back what was before the first."""
        first = full.tuning(
            mtu=1400, sysctl={"net.core.somaxconn": "511", "net.ipv4.conf.IFNAME.arp_filter": "1"}
        )
        second = full.tuning(mtu=1300, promisc=True, sysctl={"net.core.somaxconn": "77"})
        full.site.default_network(full.site.bridge("10.244.0.0/24"), first, second)
        full.site.pod()
        sandbox = full.used()
        before = full.state(sandbox)
        full.ok("ADD", sandbox)
        link = full.lab.links(sandbox)["eth0"]
        assert (link.mtu, link.promisc, full.inside(sandbox)["somaxconn"]) == (1300, True, "77")
        full.ok("CHECK", sandbox)
        full.site.restart()
        full.lab.run("sysctl", "-qw", "net.core.somaxconn=511", netns=sandbox)
        code, text = full.fails("CHECK", sandbox)
        assert code == 102 and "somaxconn" in text
        full.lab.run("sysctl", "-qw", "net.core.somaxconn=77", netns=sandbox)
        full.ok("DEL", sandbox)
        assert not changes(before, full.state(sandbox))

    def test_the_first_ones_own_is_still_compared(self, full: Full) -> None:
        first, second = full.tuning(mtu=1400, allmulti=True), full.tuning(mtu=1300)
        full.site.default_network(full.site.bridge("10.244.0.0/24"), first, second)
        full.site.pod()
        sandbox = full.lab.sandbox()
        full.ok("ADD", sandbox)
        full.ok("CHECK", sandbox)
        full.lab.ip("link", "set", "eth0", "allmulticast", "off", netns=sandbox)
        code, text = full.fails("CHECK", sandbox)
        assert code == 102 and "all-multicast" in text
        full.ok("DEL", sandbox)


EFFECTS = ((NetworkStack, ("send", "write_sysctls")), (HostFirewall, ("apply", "remove", "sweep")))
EFFECTS += ((SqliteJournal, ("begin", "ready", "deleting", "forget", "failed")),)
SHARDS = 4


def with_effects(notice: Callable[[str], object], step: Callable[[], object]) -> int:
    """The wait status of a process that runs ``step``; ``notice`` is told of each effect, before and after."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = 1
    try:
        for owner, names in EFFECTS:
            for name in names:
                setattr(owner, name, noticed(f"{owner.__name__}.{name}", getattr(owner, name), notice))
        step()
        code = 0
    finally:
        os._exit(code)


def noticed(label: str, function: Callable[..., Any], notice: Callable[[str], object]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        notice(f"before {label}")
        result = function(*args, **kwargs)
        notice(f"after {label}")
        return result

    return wrapper


def effects_of(full: Full, step: Callable[[], object]) -> list[str]:
    file = full.lab.directory / "effects"
    with file.open("w") as seen:
        assert with_effects(lambda label: print(label, file=seen, flush=True), step) == 0
    return file.read_text().splitlines()


def dies_at(place: int, step: Callable[[], object]) -> bool:
    left = [place]

    def notice(_: str) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    status = with_effects(notice, step)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_killed_at_any_effect(full: Full, verb: str, shard: int) -> None:
    """Before and after each message, packet rule and row: the next start leaves a whole pod, or nothing."""
    site, sandbox = full.site, full.used()
    before = full.state(sandbox)

    def prepare() -> None:
        if verb == "DEL":
            full.ok("ADD", sandbox)
        site.close()

    def settle(label: str) -> None:
        site.restart()
        if site.rows:
            assert {row.phase for row in site.rows} == {"ready"} and len(site.rows) == 5, label
            full.ok("CHECK", sandbox)
            full.ok("DEL", sandbox)
        assert not changes(before, full.state(sandbox)), label

    prepare()
    effects = effects_of(full, lambda: full.ok(verb, sandbox))
    settle("")
    assert len(effects) >= 40
    for place, label in list(enumerate(effects))[shard::SHARDS]:
        prepare()
        assert dies_at(place, lambda: full.ok(verb, sandbox))
        settle(f"{place}: {label}")


class TestFlannel:
    """The default network as flannel's own manifest has it."""

    @pytest.fixture
    def node(self, full: Full) -> Full:
        folder = full.lab.directory
        lines = {"NETWORK": "10.1.0.0/16", "SUBNET": "10.1.17.1/24", "MTU": "1450", "IPMASQ": "false"}
        (folder / "subnet.env").write_text("".join(f"FLANNEL_{k}={v}\n" for k, v in lines.items()))
        flannel = {
            "type": "flannel",
            "delegate": {"hairpinMode": True, "isDefaultGateway": True},
            "subnetFile": str(folder / "subnet.env"),
            "dataDir": str(folder / "flannel"),
            "ipam": {"dataDir": str(full.site.leases)},
        }
        full.site.default_network(flannel, {"type": "portmap", **can("portMappings")})
        return full

    def kept(self, full: Full) -> list[str]:
        folder = full.lab.directory / "flannel"
        return [path.name for path in folder.iterdir()] if folder.exists() else []

    def test_from_add_to_del(self, node: Full) -> None:
        site, sandbox = node.site, node.used()
        before = node.state(sandbox)
        result = node.ok("ADD", sandbox)
        assert [ip["address"] for ip in result["ips"]] == ["10.1.17.3/24"]
        assert node.lab.links(sandbox)["eth0"].mtu == 1450
        assert len(self.kept(node)) == 1 and "8080" in site.rules()
        assert json.loads(site.status())[0]["ips"] == ["10.1.17.3"]
        site.restart()
        node.ok("CHECK", sandbox)
        # flanneld may get another subnet meanwhile: DEL goes by what ADD used.
        (node.lab.directory / "subnet.env").unlink()
        site.restart()
        node.ok("DEL", sandbox)
        assert not changes(before, node.state(sandbox)) and self.kept(node) == []

    @pytest.mark.parametrize("what", ["bridge", "portmap"])
    def test_check_names_what_is_broken(self, node: Full, what: str) -> None:
        sandbox = node.lab.sandbox()
        node.ok("ADD", sandbox)
        if what == "bridge":
            node.lab.ip("link", "set", node.host_end("eth0"), "nomaster")
        else:
            drop_rules(node, "8080")
        code, text = node.fails("CHECK", sandbox)
        assert code in (100, 102) and ("cni0" if what == "bridge" else "8080") in text
        node.ok("DEL", sandbox)
        assert self.kept(node) == []

    def test_portmap_fails_after_it(self, node: Full) -> None:
        sandbox = node.used()
        before = node.state(sandbox)
        runtime = {"portMappings": [{"hostPort": 0, "containerPort": 80}]}
        code, text = node.site.fails("ADD", netns=sandbox, conf={"runtimeConfig": runtime})
        assert code == 7 and "hostPort" in text
        assert not changes(before, node.state(sandbox)) and self.kept(node) == []

    def test_flanneld_is_not_ready(self, node: Full) -> None:
        (node.lab.directory / "subnet.env").unlink()
        code, text = node.fails("ADD", node.lab.sandbox())
        assert code == 11 and "subnet.env" in text
        assert node.site.rows == [] and self.kept(node) == []

    def test_without_the_sandbox_and_gc(self, node: Full) -> None:
        node.used()
        before = node.state()
        sandbox = node.lab.sandbox()
        node.site.pod()
        node.ok("ADD", sandbox)
        for _ in range(2):
            node.site.ok("GC", conf={"cniVersion": "1.1.0", "cni.dev/valid-attachments": []})
        assert not changes(before, node.state()) and self.kept(node) == []
        node.ok("ADD", sandbox)
        node.site.restart()
        node.ok("DEL")
        left = node.state()
        assert (left["files"], left["rules"], self.kept(node)) == (before["files"], before["rules"], [])
