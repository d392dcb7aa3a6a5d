"""bridge: what ADD makes of every option, as independent tools see it. Packets: test_bridge_traffic.py."""

from __future__ import annotations

from typing import Any

import pytest

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
V4, V6 = "10.1.2.0/24", "2001:db8:1::/64"


@pytest.fixture
def br(bench: Any) -> Any:
    bench.lab.allowed.add("br0")
    return bench


def host_end(pod: Any, conf: Any) -> str:
    return pod.owner(conf).host_ifname


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("subnets", [(V4,), (V6,), (V4, V6)], ids=["v4", "v6", "dual"])
def test_the_result_in_every_version(br: Any, make: Any, version: str, subnets: tuple[str, ...]) -> None:
    pod = br.pod()
    conf = make("bridge", version, bridge="br0", isDefaultGateway=True, ipam=br.host_local(*subnets))
    result = pod.add(conf)
    addresses = {V4: ("10.1.2.2/24", "10.1.2.1", "4"), V6: ("2001:db8:1::2/64", "2001:db8:1::1", "6")}
    defaults = {V4: "0.0.0.0/0", V6: "::/0"}
    assert result["cniVersion"] == version
    if version in ("0.1.0", "0.2.0"):
        assert "interfaces" not in result
        for subnet in subnets:
            address, gateway, family = addresses[subnet]
            part = result[f"ip{family}"]
            assert (part["ip"], part["gateway"]) == (address, gateway)
            assert part["routes"] == [{"dst": defaults[subnet], "gw": gateway}]
    else:
        switch, outer, inner = result["interfaces"]
        assert switch["name"] == "br0" and "sandbox" not in switch
        assert switch["mac"] == br.link("br0")["address"]
        assert (outer["name"], outer["mac"]) == (host_end(pod, conf), br.link(outer["name"])["address"])
        assert inner["name"] == "eth0" and inner["sandbox"] == pod.netns.path
        assert inner["mac"] == pod.link()["address"]
        expected = [
            {"address": address, "gateway": gateway, "interface": 2}
            | ({"version": family} if version < "1.0.0" else {})
            for address, gateway, family in (addresses[subnet] for subnet in subnets)
        ]
        assert result["ips"] == expected
        assert result["routes"] == [{"dst": defaults[s], "gw": addresses[s][1]} for s in subnets]
        assert all(i.get("mtu") == (1500 if version >= "1.0.0" else None) for i in result["interfaces"])
    assert pod.addresses() == [addresses[subnet][0] for subnet in subnets]
    if version >= "0.4.0":
        pod.check_both(conf)
    pod.delete(conf)
    assert br.leases() == []


def test_a_pod_without_ipam_has_a_port_and_nothing_else(br: Any, make: Any) -> None:
    pod = br.pod()
    conf = make("bridge", bridge="br0")
    result = pod.add(conf)
    assert "ips" not in result and "routes" not in result and len(result["interfaces"]) == 3
    assert pod.addresses() == [] and "UP" in pod.link()["flags"]
    assert br.link(host_end(pod, conf))["master"] == "br0"
    assert pod.link()["linkinfo"]["info_kind"] == "veth"
    pod.check_both(conf)
    pod.delete(conf)
    assert set(br.lab.links()) == {"lo", "br0"}


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_version_without_room_for_l2_is_refused_before_the_kernel_is_touched(
    br: Any, make: Any, refused: Any, version: str
) -> None:
    pod = br.pod()
    before = br.snapshot(pod.netns)
    error = refused(6, pod.add, make("bridge", version, bridge="br0"))
    assert "cannot convert: no valid IP addresses" in error.msg
    assert br.snapshot(pod.netns) == before


def test_cni0_is_the_default_bridge(bench: Any, make: Any) -> None:
    bench.lab.allowed.add("cni0")
    pod = bench.pod()
    pod.add(make("bridge"))
    assert bench.link("cni0")["linkinfo"]["info_kind"] == "bridge"


@pytest.mark.parametrize("key", ["isGateway", "ISGATEWAY", "isgateway"])
def test_keys_match_in_any_case(br: Any, make: Any, key: str) -> None:
    pod = br.pod()
    conf = make("bridge", bridge="br0", ipam=br.host_local(V4), **{key: True})
    pod.add(conf | {"RuntimeConfig": {"mac": "02:00:00:00:00:07"}})
    assert br.addresses("br0") == ["10.1.2.1/24"]
    assert pod.link()["address"] == "02:00:00:00:00:07"


@pytest.mark.parametrize("key", ["IPAM", "Ipam"])
def test_an_address_manager_is_found_in_any_case_by_every_verb(br: Any, make: Any, key: str) -> None:
    pod = br.pod()
    conf = make("bridge", bridge="br0", **{key: br.host_local(V4)})
    pod.add(conf)
    assert pod.addresses() == ["10.1.2.2/24"]
    pod.check_both(conf)
    pod.delete(conf)
    assert br.leases() == []


def test_a_gateway_is_put_on_the_bridge_and_the_host_forwards(br: Any, make: Any) -> None:
    pod = br.pod()
    conf = make("bridge", bridge="br0", isGateway=True, ipam=br.host_local(V4, V6))
    result = pod.add(conf)
    assert br.addresses("br0") == ["10.1.2.1/24", "2001:db8:1::1/64"]
    state = br.snapshot()["host"]["sysctls"]
    assert state["net/ipv4/ip_forward"] == state["net/ipv6/conf/all/forwarding"] == "1"
    assert result.get("routes", []) == []
    assert pod.ip("-4", "route", "show", "default") == pod.ip("-6", "route", "show", "default") == []


@pytest.mark.parametrize(
    ("subnet", "other"), [(V4, "net/ipv6/conf/all/forwarding"), (V6, "net/ipv4/ip_forward")]
)
def test_only_the_families_in_use_are_forwarded(br: Any, make: Any, subnet: str, other: str) -> None:
    br.pod().add(make("bridge", bridge="br0", isGateway=True, ipam=br.host_local(subnet)))
    assert br.snapshot()["host"]["sysctls"][other] == "0"


def test_without_gateway_the_host_is_left_alone(br: Any, make: Any) -> None:
    before = br.snapshot()["host"]["sysctls"]
    pod = br.pod()
    pod.add(make("bridge", bridge="br0", ipam=br.host_local(V4, V6)))
    after = br.snapshot()["host"]["sysctls"]
    assert {key: after[key] for key in before} == before
    assert br.addresses("br0") == []


def test_default_routes_by_the_gateways(br: Any, make: Any) -> None:
    pod = br.pod()
    pod.add(make("bridge", bridge="br0", isDefaultGateway=True, ipam=br.host_local(V4, V6)))
    (four,) = pod.ip("-4", "route", "show", "default")
    (six,) = pod.ip("-6", "route", "show", "default")
    assert (four["gateway"], four["dev"]) == ("10.1.2.1", "eth0") and "prefsrc" not in four
    assert (six["gateway"], six["dev"]) == ("2001:db8:1::1", "eth0")


@pytest.mark.parametrize("route", [{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0", "gw": "10.1.2.99"}])
def test_a_default_route_of_the_ipam_is_kept(br: Any, make: Any, route: dict[str, str]) -> None:
    pod = br.pod()
    ipam = br.host_local(V4, routes=[route])
    result = pod.add(make("bridge", bridge="br0", isDefaultGateway=True, ipam=ipam))
    assert result["routes"] == [route]
    (found,) = pod.ip("route", "show", "default")
    assert found["gateway"] == route.get("gw", "10.1.2.1")


def test_a_gateway_that_the_ipam_names_is_used(br: Any, make: Any) -> None:
    pod = br.pod()
    ipam = {"type": "static", "addresses": [{"address": "10.1.2.9/24", "gateway": "10.1.2.254"}]}
    pod.add(make("bridge", bridge="br0", isDefaultGateway=True, ipam=ipam))
    assert br.addresses("br0") == ["10.1.2.254/24"]


def test_a_gateway_that_would_be_the_pods_own_address_is_refused(br: Any, make: Any, refused: Any) -> None:
    ipam = {"type": "static", "addresses": [{"address": "10.1.2.1/24"}]}
    error = refused(7, br.pod().add, make("bridge", bridge="br0", isGateway=True, ipam=ipam))
    assert "10.1.2.1" in error.msg and "gateway" in error.msg


def test_several_ranges_give_several_addresses_and_gateways(br: Any, make: Any) -> None:
    pod = br.pod()
    conf = make("bridge", bridge="br0", isGateway=True, ipam=br.host_local(V4, "10.9.0.0/16", V6))
    pod.add(conf)
    assert pod.addresses() == ["10.1.2.2/24", "10.9.0.2/16", "2001:db8:1::2/64"]
    assert br.addresses("br0") == ["10.1.2.1/24", "10.9.0.1/16", "2001:db8:1::1/64"]
    pod.check_both(conf)
    again = br.pod()
    again.add(conf)
    assert again.addresses() == ["10.1.2.3/24", "10.9.0.3/16", "2001:db8:1::3/64"]


@pytest.mark.parametrize(
    ("present", "subnet", "wanted"),
    [
        ("10.7.0.1/16", V4, "10.1.2.1/24"),
        ("10.1.2.1/16", V4, "10.1.2.1/24"),
        ("2001:db8:1::9/48", V6, "2001:db8:1::1/64"),
    ],
)
def test_a_conflicting_address_of_the_bridge(
    br: Any, make: Any, refused: Any, present: str, subnet: str, wanted: str
) -> None:
    br.lab.ip("link", "add", "br0", "type", "bridge")
    br.lab.ip("link", "set", "br0", "up")
    br.lab.ip("addr", "add", present, "dev", "br0", "nodad")
    pod = br.pod()
    conf = make("bridge", bridge="br0", isGateway=True, ipam=br.host_local(subnet))
    before = br.snapshot(pod.netns)
    error = refused(7, pod.add, conf)
    assert f'"br0" already has an IP address different from {wanted}' in error.msg
    assert "failed to set bridge addr: " in error.msg and "forceAddress" in error.msg
    assert br.snapshot(pod.netns) == before
    pod.add(conf | {"forceAddress": True})
    assert br.addresses("br0") == [wanted]
    pod.check_both(conf | {"forceAddress": True})


def test_an_ipv6_address_beside_the_gateways_is_no_conflict(br: Any, make: Any) -> None:
    br.lab.ip("link", "add", "br0", "type", "bridge")
    br.lab.ip("addr", "add", "2001:db8:77::1/64", "dev", "br0", "nodad")
    br.pod().add(make("bridge", bridge="br0", isGateway=True, ipam=br.host_local(V6)))
    assert sorted(br.addresses("br0")) == ["2001:db8:1::1/64", "2001:db8:77::1/64"]


def test_an_existing_bridge_keeps_its_identity_whatever_comes_and_goes(br: Any, make: Any) -> None:
    br.lab.ip("link", "add", "br0", "type", "bridge")
    before = br.link("br0")
    conf = make("bridge", bridge="br0", isGateway=True, ipam=br.host_local(V4))
    pods = [br.pod() for _ in range(3)]
    for pod in pods:
        pod.add(conf)
    mac = br.link("br0")["address"]
    for pod in pods:
        pod.delete(conf)
        after = br.link("br0")
        assert (after["ifindex"], after["address"]) == (before["ifindex"], mac)


def test_a_bridge_that_is_none_is_refused(br: Any, make: Any, refused: Any) -> None:
    br.uplink("up0")
    pod = br.pod()
    before = br.snapshot(pod.netns)
    error = refused(7, pod.add, make("bridge", bridge="up0", ipam=br.host_local(V4)))
    assert '"up0" already exists but is not a bridge' in error.msg
    assert br.snapshot(pod.netns) == before


@pytest.mark.parametrize("name", ["", "a" * 16, "a/b", "a b", ".", "ü" * 8])
def test_a_name_that_no_bridge_can_have(br: Any, make: Any, refused: Any, name: str) -> None:
    error = refused(7, br.pod().add, make("bridge", bridge=name))
    assert error.msg.startswith("$.bridge: ")


def test_mtu_of_both_ends_and_of_a_new_bridge(br: Any, make: Any) -> None:
    pod = br.pod()
    conf = make("bridge", bridge="br0", mtu=1300, ipam=br.host_local(V4))
    result = pod.add(conf)
    mtus = [pod.link()["mtu"], br.link(host_end(pod, conf))["mtu"], br.link("br0")["mtu"]]
    assert mtus == [1300, 1300, 1300] == [i["mtu"] for i in result["interfaces"]]
    pod.check_both(conf)


@pytest.mark.parametrize("mtu", [-1, 65536])
def test_an_mtu_out_of_range(br: Any, make: Any, refused: Any, mtu: int) -> None:
    assert "$.mtu" in refused(7, br.pod().add, make("bridge", bridge="br0", mtu=mtu)).msg


@pytest.mark.parametrize(
    ("sources", "winner"),
    [
        (("args",), "02:00:00:00:00:0a"),
        (("args", "cni"), "02:00:00:00:00:0b"),
        (("args", "cni", "runtime"), "02:00:00:00:00:0c"),
        (("args", "runtime"), "02:00:00:00:00:0c"),
        (("cni",), "02:00:00:00:00:0b"),
    ],
)
def test_whose_mac_wins(br: Any, make: Any, sources: tuple[str, ...], winner: str) -> None:
    pod = br.pod()
    conf = make("bridge", bridge="br0", ipam=br.host_local(V4))
    if "cni" in sources:
        conf["args"] = {"cni": {"mac": "02:00:00:00:00:0b"}}
    if "runtime" in sources:
        conf["runtimeConfig"] = {"mac": "02:00:00:00:00:0c"}
    args = "IgnoreUnknown=1;MAC=02:00:00:00:00:0a" if "args" in sources else ""
    result = pod.add(conf, args=args)
    assert pod.link()["address"] == winner == result["interfaces"][2]["mac"]
    pod.check_both(conf, args=args)


@pytest.mark.parametrize(
    "mac", ["zz:00:00:00:00:01", "02:00:00:00:00", "01:00:5e:00:00:01", "00:00:00:00:00:00"]
)
def test_a_mac_that_is_none(br: Any, make: Any, refused: Any, mac: str) -> None:
    error = refused(7, br.pod().add, make("bridge", bridge="br0", runtimeConfig={"mac": mac}))
    assert error.msg.startswith("$.runtimeConfig.mac: ") and mac in error.msg


def test_an_unknown_argument_fails_add_and_check_but_not_del(br: Any, make: Any, refused: Any) -> None:
    pod, conf = br.pod(), make("bridge", bridge="br0", ipam=br.host_local(V4))
    assert "unknown args" in refused(4, pod.add, conf, args="COLOUR=red").msg
    pod.add(conf)
    assert "unknown args" in refused(4, pod.check, conf, args="COLOUR=red").msg
    pod.delete(conf, args="COLOUR=red;=;nonsense")
    assert br.leases() == [] and set(br.lab.links()) == {"lo", "br0"}


def test_the_macs_are_the_same_when_an_attachment_is_made_again(br: Any, make: Any) -> None:
    pod, conf = br.pod(), make("bridge", bridge="br0")
    first = [i["mac"] for i in pod.add(conf)["interfaces"]]
    pod.delete(conf)
    assert [i["mac"] for i in pod.add(conf)["interfaces"]] == first
    assert len(set(first)) == 3


def test_port_flags(br: Any, make: Any) -> None:
    for hairpin, isolated in ((True, False), (False, True), (True, True), (False, False)):
        pod = br.pod()
        conf = make("bridge", bridge="br0", hairpinMode=hairpin, portIsolation=isolated)
        pod.add(conf)
        port = br.bridge_port(host_end(pod, conf))
        assert (port["hairpin"], port["isolated"], port["state"]) == (hairpin, isolated, "forwarding")
        pod.check_both(conf)


def test_promiscuous_bridge(br: Any, make: Any, refused: Any) -> None:
    pod, conf = br.pod(), make("bridge", bridge="br0", promiscMode=True)
    pod.add(conf)
    assert "PROMISC" in br.link("br0")["flags"]
    pod.check_both(conf)
    error = refused(7, br.pod().add, conf | {"hairpinMode": True})
    assert "cannot set hairpin mode and promiscuous mode at the same time" in error.msg


def test_a_disabled_container_interface(br: Any, make: Any, refused: Any) -> None:
    pod, conf = br.pod(), make("bridge", bridge="br0", disableContainerInterface=True)
    pod.add(conf)
    assert "UP" not in pod.link()["flags"]
    assert "UP" in br.link(host_end(pod, conf))["flags"]
    pod.check_both(conf)
    with_ipam = conf | {"ipam": br.host_local(V4)}
    error = refused(7, br.pod().add, with_ipam)
    assert "cannot use IPAM when DisableContainerInterface flag is set" in error.msg
    assert br.leases() == []


@pytest.mark.parametrize(("enabled", "values"), [(False, ("0", "*")), (True, ("1", "1"))])
def test_duplicate_address_detection_by_choice(
    br: Any, make: Any, enabled: bool, values: tuple[str, str]
) -> None:
    pod = br.pod()
    conf = make("bridge", bridge="br0", enabledad=enabled, ipam=br.host_local(V6))
    pod.add(conf)
    found = br.snapshot(pod.netns)[pod.netns.path]["sysctls"]
    for key, value in zip(("accept_dad", "enhanced_dad"), values, strict=True):
        assert value in ("*", found[f"net/ipv6/conf/eth0/{key}"])
    (inet6,) = [a for a in pod.ip("addr", "show", "dev", "eth0")[0]["addr_info"] if a["scope"] == "global"]
    assert "tentative" not in inet6 and "dadfailed" not in inet6
    pod.check_both(conf)


def test_sysctls_of_the_links(br: Any, make: Any) -> None:
    pod = br.pod()
    conf = make("bridge", bridge="br0", ipam=br.host_local(V4, V6))
    pod.add(conf)
    inside, host = (br.snapshot(pod.netns)[place]["sysctls"] for place in (pod.netns.path, "host"))
    assert inside["net/ipv4/conf/eth0/arp_notify"] == inside["net/ipv6/conf/eth0/ndisc_notify"] == "1"
    assert inside["net/ipv6/conf/eth0/keep_addr_on_down"] == "1"
    assert inside["net/ipv6/conf/eth0/disable_ipv6"] == inside["net/ipv6/conf/lo/disable_ipv6"] == "0"
    assert host["net/ipv6/conf/br0/accept_ra"] == "0"
    assert host[f"net/ipv6/conf/{host_end(pod, conf)}/accept_ra"] == "0"


def test_ipv6_is_switched_on_where_a_sandbox_has_it_off(br: Any, make: Any) -> None:
    pod = br.pod()
    br.lab.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", netns=pod.netns)
    br.lab.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", netns=pod.netns)
    pod.add(make("bridge", bridge="br0", ipam=br.host_local(V6)))
    assert pod.addresses() == ["2001:db8:1::2/64"]


def test_an_ipv6_address_survives_a_link_that_goes_down(br: Any, make: Any) -> None:
    pod = br.pod()
    pod.add(make("bridge", bridge="br0", ipam=br.host_local(V6)))
    br.lab.ip("link", "set", "eth0", "down", netns=pod.netns)
    kept = [a["local"] for a in pod.ip("addr", "show", "dev", "eth0")[0]["addr_info"]]
    assert kept == ["2001:db8:1::2"]


def test_addresses_have_broadcast_and_no_lifetime(br: Any, make: Any) -> None:
    pod = br.pod()
    addresses = [{"address": a} for a in ("10.1.2.3/24", "10.1.3.1/31", "10.1.4.9/32")]
    pod.add(make("bridge", bridge="br0", ipam={"type": "static", "addresses": addresses}))
    found = pod.ip("-4", "addr", "show", "dev", "eth0")[0]["addr_info"]
    assert [a.get("broadcast") for a in found] == ["10.1.2.255", None, None]
    assert {a["valid_life_time"] for a in found} == {2**32 - 1}


DNS = {"nameservers": ["10.0.0.53"], "domain": "example", "search": ["a.example"], "options": ["ndots:2"]}
OTHER = {"nameservers": ["10.9.9.9"]}


@pytest.mark.parametrize(
    ("own", "ipam", "result"),
    [
        (None, DNS, DNS),
        (OTHER, DNS, OTHER),
        ({"domain": "x"}, DNS, {"domain": "x"}),
        ({"domain": ""}, DNS, DNS),
        ({}, DNS, DNS),
        ({"nameservers": [], "search": [], "options": []}, DNS, {}),
        ({"Nameservers": ["10.9.9.9"]}, DNS, OTHER),
        ({"nameservers": None, "search": ["b"]}, DNS, {"search": ["b"]}),
        (None, None, {}),
    ],
)
def test_whose_dns_wins(br: Any, make: Any, own: Any, ipam: Any, result: Any) -> None:
    static = {"type": "static", "addresses": [{"address": "10.1.2.3/24"}]} | ({"dns": ipam} if ipam else {})
    conf = make("bridge", bridge="br0", ipam=static) | ({"dns": own} if own is not None else {})
    assert br.pod().add(conf).get("dns", {}) == result


@pytest.mark.parametrize("dns", [{"nameservers": "10.0.0.53"}, {"domain": 3}, "x", {"search": [1]}])
def test_dns_of_a_wrong_type(br: Any, make: Any, refused: Any, dns: Any) -> None:
    assert refused(7, br.pod().add, make("bridge", bridge="br0", dns=dns)).msg.startswith("$.dns")


def test_dns_without_ipam(br: Any, make: Any) -> None:
    assert br.pod().add(make("bridge", bridge="br0", dns=DNS))["dns"] == DNS


def test_a_vlan_out_of_range(br: Any, make: Any, refused: Any) -> None:
    error = refused(7, br.pod().add, make("bridge", bridge="br0", vlan=4095))
    assert "invalid VLAN ID 4095 (must be between 0 and 4094)" in error.msg


def test_all_faults_of_a_configuration_are_told_at_once(br: Any, make: Any, refused: Any) -> None:
    error = refused(7, br.pod().add, make("bridge", bridge=3, mtu="1500", isGateway="yes"))
    assert all(path in error.msg for path in ("$.bridge", "$.mtu", "$.isGateway"))


def test_an_unknown_backend_is_found_before_anything_is_made(br: Any, make: Any, refused: Any) -> None:
    pod = br.pod()
    before = br.snapshot(pod.netns)
    conf = make("bridge", bridge="br0", ipMasq=True, ipMasqBackend="pf", ipam=br.host_local(V4))
    assert 'unknown ipmasq backend "pf"' in refused(7, pod.add, conf).msg
    assert br.snapshot(pod.netns) == before


def test_status_asks_for_addresses_too(br: Any, make: Any, refused: Any) -> None:
    from multinet.sdk import registry

    plugin, pod = registry.plugin("bridge"), br.pod()
    assert plugin is not None
    conf = make("bridge", bridge="br0", ipam=br.host_local("10.5.5.0/30"))
    plugin.status(pod.call("STATUS", conf, netns=""), br.node())
    pod.add(conf)
    refused(50, plugin.status, pod.call("STATUS", conf, netns=""), br.node())


def test_gc_removes_links_rules_and_addresses_of_the_others(br: Any, make: Any) -> None:
    from multinet.sdk import registry

    plugin = registry.plugin("bridge")
    assert plugin is not None
    more = {"isGateway": True, "ipMasq": True, "ipMasqBackend": "nftables", "macspoofchk": True}
    conf = make("bridge", bridge="br0", ipam=br.host_local(V4), **more)
    kept, gone, other = br.pod("kept"), br.pod("gone"), br.pod("other")
    for pod in (kept, gone):
        pod.add(conf)
    other.add(make("bridge", bridge="br0") | {"name": "net-2"})
    valid = [{"containerID": "kept", "ifname": "eth0"}]
    plugin.gc(kept.call("GC", conf), br.node())
    assert len(br.leases()) == 2, "no list is not an empty list"
    plugin.gc(kept.call("GC", conf | {"cni.dev/valid-attachments": valid}), br.node())
    ports = {host_end(kept, conf), host_end(other, conf)}
    assert set(br.lab.links()) == {"lo", "br0", *ports}
    assert br.leases() == ["net/10.1.2.2"]
    rules = br.snapshot()["rules"]
    assert "kept" in rules and "gone" not in rules
    kept.check_both(conf)
