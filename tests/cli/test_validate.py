from __future__ import annotations

import json
from pathlib import Path

import pytest

DEFINITION = """\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: {name}
spec:
  config: |
    {config}
"""


@pytest.fixture
def validate(multinet, tmp_path):
    """Write files, validate them all; exit code and findings, the directory left out."""

    def run(stdin: str = "", **texts: str) -> tuple[int, list[str]]:
        files = []
        for name, text in texts.items():
            path = tmp_path / name.replace("_", ".")
            path.write_text(text)
            files.append(path)
        done = multinet("validate", *(files or ["-"]), stdin=stdin)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout.replace(f"{tmp_path}/", "").splitlines()

    return run


def definition(config: object, name: str = "lan") -> str:
    text = config if isinstance(config, str) else json.dumps(config)
    return DEFINITION.format(name=name, config=text.replace("\n", "\n    "))


def pod(networks: str, kind: str = "Pod") -> str:
    annotations = {"k8s.v1.cni.cncf.io/networks": networks}
    metadata = {"name": "web", "annotations": annotations}
    if kind == "Pod":
        return json.dumps({"apiVersion": "v1", "kind": kind, "metadata": metadata})
    template: dict[str, object] = {"spec": {"template": {"metadata": metadata}}}
    if kind == "CronJob":
        template = {"spec": {"jobTemplate": template}}
    return json.dumps({"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "web"}, **template})


def test_the_examples_of_the_repository_have_no_errors(multinet) -> None:
    root = Path(__file__).parents[2]
    examples = [
        *sorted((root / "multinet" / "demo" / "manifests").glob("*.yaml")),
        root / "deploy" / "multinet.yaml",
    ]
    assert len(examples) > 1
    done = multinet("validate", *examples)
    assert (done.returncode, [line for line in done.stdout.splitlines() if ": error: " in line]) == (0, [])


def test_what_is_right_says_nothing(validate) -> None:
    lan = {"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "ipam": {"type": "static"}}
    code, found = validate(a_yaml=definition(lan), b_json=pod("lan@net1"))
    assert (code, found) == (0, [])


def test_each_fault_of_a_definition_has_its_own_line(validate) -> None:
    config = """\
{
  "type": "macvlan",
  "mode": "brigde",
  "mtu": "big",
  "ipam": {
    "type": "host-local",
    "ranges": [
      [{"subnet": "10.1.0.0/24", "rangeStart": "10.9.0.1"}],
      [{"subnet": "fd00::1/64"}]
    ]
  }
}"""
    code, found = validate(web_yaml=definition(config))
    who = "error: NetworkAttachmentDefinition default/lan"
    assert code == 1
    assert found == [
        f'web.yaml:9: {who}: $.mode: unknown macvlan mode: "brigde" (one of bridge, private, vepa, passthru)',
        f"web.yaml:10: {who}: $.mtu: expected int, got str",
        f"web.yaml:14: {who}: $.ipam.ranges[0][0].rangeStart: invalid range set 0: "
        "RangeStart 10.9.0.1 not in network 10.1.0.0/24",
        f"web.yaml:15: {who}: $.ipam.ranges[1][0].subnet: invalid range set 1: Network has host bits set. "
        "For a subnet mask of length 64 the network address is fd00::",
    ]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"type": "bridge", "brigde": "x"}, '$.brigde: unknown key "brigde", did you mean "bridge"?'),
        (
            {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.0.0.0/8", "zzz": 1}},
            '$.ipam.zzz: unknown key "zzz"',
        ),
        (
            {
                "type": "bridge",
                "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/8", "gatway": ""}]]},
            },
            '$.ipam.ranges[0][0].gatway: unknown key "gatway", did you mean "gateway"?',
        ),
        (
            {
                "type": "bridge",
                "ipam": {"type": "static", "addresses": [{"address": "10.0.0.2/8", "gateways": ""}]},
            },
            '$.ipam.addresses[0].gateways: unknown key "gateways", did you mean "gateway"?',
        ),
        (
            {"type": "bridge", "ipam": {"type": "dhcp", "request": [{"option": "42", "skipDefaults": True}]}},
            '$.ipam.request[0].skipDefaults: unknown key "skipDefaults", did you mean "skipDefault"?',
        ),
        ({"type": "macvln"}, '$.type: no delegate is called "macvln", did you mean "macvlan"?'),
        (
            {"plugins": [{"type": "multinet", "namespaceIsolaton": True}]},
            '$.plugins[0]: unknown key "namespaceIsolaton", did you mean "namespaceIsolation"?',
        ),
        (
            {"plugins": [{"type": "x"}], "plugin": 1},
            '$.plugin: unknown key "plugin", did you mean "plugins"?',
        ),
    ],
)
def test_what_is_tolerated_is_a_warning(validate, config: dict, expected: str) -> None:
    text = json.dumps({"cniVersion": "1.0.0", "name": "n", **config})
    code, found = validate(n_conf=text)
    assert (code, found) == (0, [f"n.conf:1: warning: network n: {expected}"])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"type": "bridge", "mtu": -1}, "$.mtu: invalid MTU -1, must be between 0 and 65535"),
        (
            {"type": "bridge", "ipam": {"type": "static", "addresses": 3}},
            "$.ipam.addresses: expected array, got int",
        ),
        (
            {"type": "bridge", "ipam": {"type": "dhcp", "clientId": "pod", "provide": [{"option": "53"}]}},
            "$.ipam.provide[0].option: option 53 is set by the protocol itself",
        ),
        (
            {"type": "bridge", "ipam": {"type": "host-local"}},
            '$.ipam: has no addresses to give: set "ranges", or declare the capability "ipRanges"',
        ),
        (
            {"plugins": [{"type": "x"}, {"type": "bridge", "hairpinMode": True, "promiscMode": True}]},
            "$.plugins[1].hairpinMode: cannot set hairpin mode and promiscuous mode at the same time",
        ),
        ({"plugins": []}, "$.plugins: error parsing configuration list: no plugins in list"),
        ({"plugins": [{"tpye": "x"}]}, "$.plugins[0].type: error parsing configuration: missing 'type'"),
        ({"type": "x", "cniVersion": "one"}, "$.cniVersion: "),
        (
            {"plugins": [{"type": "multinet", "delegates": [{"type": "bridge", "mtu": "x"}]}]},
            "$.plugins[0].delegates[0].mtu: expected int, got str",
        ),
        (
            {"plugins": [{"type": "multinet", "systemNamespaces": 3}]},
            "$.plugins[0].systemNamespaces: expected array",
        ),
    ],
)
def test_what_an_add_would_fail_on_is_an_error(validate, config: dict, expected: str) -> None:
    text = json.dumps({"cniVersion": "1.0.0", "name": "n", **config})
    code, found = validate(n_conflist=text)
    errors = [line for line in found if ": error: " in line]
    assert code == 1
    assert len(errors) == 1, found
    assert errors[0].startswith(f"n.conflist:1: error: network n: {expected}")


def test_a_capability_may_bring_the_ranges(validate) -> None:
    conf = {"type": "bridge", "name": "n", "capabilities": {"ipRanges": True}, "ipam": {"type": "host-local"}}
    assert validate(n_conf=json.dumps(conf)) == (0, [])


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ("lan@way-too-long-name", "Failed to parse interface name"),
        ('[{"name": "lan", "ips": ["10.1"]}]', 'failed to parse IP address "10.1": $[0].ips[0]'),
        ('[{"name": "lan"', "line 1, column 16"),
        ("lan@net1,lan@net1", 'both get interface "net1"'),
        (
            '[{"name": "lan", "default-route": ["10.0.0.1"]}, {"name": "lan", "default-route": ["10.0.0.2"]}]',
            "default",
        ),
    ],
)
def test_a_selection_that_cannot_be(validate, networks: str, expected: str) -> None:
    code, found = validate(a_yaml=definition({"type": "bridge"}), web_json=pod(networks))
    assert code == 1
    assert len(found) == 1
    assert found[0].startswith(
        'web.json:1: error: Pod default/web: $.metadata.annotations["k8s.v1.cni.cncf.io/networks"]: '
    )
    assert expected in found[0]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"])
def test_pods_are_found_where_workloads_describe_them(validate, kind: str) -> None:
    code, found = validate(web_json=pod("gone", kind))
    path = "$.spec.jobTemplate.spec.template" if kind == "CronJob" else "$.spec.template"
    assert (code, found) == (
        0,
        [
            f'web.json:1: warning: {kind} default/web: {path}.metadata.annotations["k8s.v1.cni.cncf.io/networks"]: '
            "network-attachment-definition default/gone is in none of these files"
        ],
    )


def test_a_definition_may_come_after_its_pod_and_in_a_list(validate) -> None:
    listed = {
        "kind": "List",
        "items": [
            {
                "apiVersion": "k8s.cni.cncf.io/v1",
                "kind": "NetworkAttachmentDefinition",
                "metadata": {"name": "lan", "namespace": "default"},
            }
        ],
    }
    assert validate(a_json=pod("default/lan"), b_json=json.dumps(listed)) == (0, [])


@pytest.mark.parametrize(
    ("pools", "overlap"),
    [
        (["10.1.0.0/24", "10.1.0.128/25"], "10.1.0.129-10.1.0.254"),
        (["fd00::/64", "fd00::/120"], "fd00::1-fd00::ff"),
        (["10.1.0.0/25", "10.1.0.128/25"], ""),
    ],
)
def test_one_subnet_under_two_names(validate, pools: list[str], overlap: str) -> None:
    texts = [
        definition({"type": "bridge", "name": name, "ipam": {"type": "host-local", "subnet": pool}}, name)
        for name, pool in zip(("one", "two"), pools, strict=True)
    ]
    code, found = validate(one_yaml=texts[0], two_yaml=texts[1])
    assert code == 0
    assert len(found) == bool(overlap)
    if overlap:
        assert found[0].startswith(
            f"two.yaml:7: warning: NetworkAttachmentDefinition default/two: $.ipam: gives out {overlap}, "
            'as network "one" does (one.yaml)'
        )


def test_one_name_is_one_pool(validate) -> None:
    conf = {"type": "bridge", "name": "same", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}
    assert validate(one_yaml=definition(conf, "one"), two_yaml=definition(conf, "two")) == (0, [])


def test_disjoint_ranges_and_excluded_addresses_do_not_overlap(validate) -> None:
    ipam = {"type": "host-local", "subnet": "10.1.0.0/24", "exclude": ["10.1.0.128/25"]}
    other = {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.200"}]]}
    confs = [{"type": "bridge", "ipam": one} for one in (ipam, other)]
    assert validate(a_yaml=definition(confs[0], "one"), b_yaml=definition(confs[1], "two")) == (0, [])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a_yaml", "kind: [\n  x: }", "a.yaml:2:6: error: did not find expected node content"),
        ("a_yaml", "kind: \x01", "a.yaml:1:7: error: control characters are not allowed"),
        (
            "a_json",
            '{\n "a": 1,\n b}',
            "a.json:3:2: error: Expecting property name enclosed in double quotes",
        ),
        (
            "a_conf",
            "[]",
            "a.conf:1: error: document: $: neither a Kubernetes object (kind) nor a CNI configuration",
        ),
        ("a_yaml", "just text", "a.yaml:1: error: document: $: neither a Kubernetes object"),
        (
            "a_yaml",
            definition('{\n"type": ,\n}'),
            "a.yaml:8: error: NetworkAttachmentDefinition default/lan: $.spec.config: line 2, column 9: ",
        ),
        (
            "a_yaml",
            definition("[1]"),
            "a.yaml:7: error: NetworkAttachmentDefinition default/lan: $: expected an object, got list",
        ),
        ("a_yaml", definition({}).replace("v1", "v2", 1), "a.yaml:1: error: NetworkAttachmentDefinition"),
        (
            "a_yaml",
            "kind: Pod\nmetadata:\n  name: a\n  annotations: {k8s.v1.cni.cncf.io/networks: 3}\n",
            'a.yaml:4: error: Pod default/a: $.metadata.annotations["k8s.v1.cni.cncf.io/networks"]: expected str',
        ),
        (
            "a_yaml",
            "kind: NetworkAttachmentDefinition\nmetadata: {name: a}\nspec: {config: {}}\n",
            "a.yaml:3: error: NetworkAttachmentDefinition default/a: $.spec.config: expected str",
        ),
    ],
)
def test_what_cannot_be_read(validate, name: str, text: str, expected: str) -> None:
    code, found = validate(**{name: text})
    assert code == 1
    assert found[0].startswith(expected), found


def test_a_key_written_twice_is_a_warning(validate) -> None:
    code, found = validate(n_conf='{"type": "bridge",\n"name": "n",\n"name": "n"}')
    assert (code, found) == (
        0,
        ['n.conf:3: warning: network n: $.name: key "name" is written twice: the last one counts'],
    )


def test_other_kinds_and_empty_documents_pass(validate) -> None:
    assert validate(a_yaml="---\n---\nkind: Service\nmetadata: {name: x}\n") == (0, [])


def test_files_that_are_not_there_and_standard_input(multinet, validate, tmp_path) -> None:
    done = multinet("validate", tmp_path / "gone.yaml", tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{tmp_path}/gone.yaml: error: No such file or directory",
        f"{tmp_path}: error: Is a directory",
    ]
    assert done.stderr == "multinet: 2 errors, 0 warnings\n"
    code, found = validate(stdin=definition({"type": "bridge", "mtu": True}))
    assert (code, found) == (
        1,
        ["-:7: error: NetworkAttachmentDefinition default/lan: $.mtu: expected int, got bool"],
    )


def annotated(**annotations: str) -> str:
    """A pod that asks by any annotations; its networks are defined beside it."""
    return json.dumps(
        {
            "kind": "Pod",
            "metadata": {
                "name": "web",
                "annotations": {key.replace("__", "/"): v for key, v in annotations.items()},
            },
            "spec": {"hostNetwork": "hosts" in annotations},
        }
    )


ANNOTATIONS = "$.metadata.annotations"


@pytest.mark.parametrize(
    ("annotations", "severity", "expected"),
    [
        (
            {"multinet.dev/default-networks": "no"},
            "error",
            f'{ANNOTATIONS}["multinet.dev/default-networks"]: multinet.dev/default-networks: expected "none" or "all"',
        ),
        (
            {"k8s.v1.cni.cncf.io/network": "lan"},
            "warning",
            f'{ANNOTATIONS}["k8s.v1.cni.cncf.io/network"]: nobody reads this annotation, did you mean '
            '"k8s.v1.cni.cncf.io/networks"?',
        ),
        (
            {"kubernetes.v1.cni.cncf.io/networks": "lan"},
            "warning",
            f'{ANNOTATIONS}["kubernetes.v1.cni.cncf.io/networks"]: nobody reads this annotation, did you mean '
            '"k8s.v1.cni.cncf.io/networks"?',
        ),
        (
            {"v1.multus-cni.io/default-network": "default/lan@net1", "k8s.v1.cni.cncf.io/networks": "lan"},
            "error",
            f'{ANNOTATIONS}: default network (default/lan) and network 1 (default/lan) both get interface "net1"',
        ),
        (
            {"v1.multus-cni.io/default-network": "a,b"},
            "error",
            f'{ANNOTATIONS}["v1.multus-cni.io/default-network"]: tryLoadK8sPodDefaultNetwork: more than one',
        ),
        (
            {"k8s.v1.cni.cncf.io/networks": "other/lan"},
            "warning",
            f'{ANNOTATIONS}["k8s.v1.cni.cncf.io/networks"]: network other/lan is in another namespace than the pod',
        ),
        (
            {"k8s.v1.cni.cncf.io/networks": "lan", "hosts": ""},
            "warning",
            "$.spec.hostNetwork: is true: the pod gets no networks, whatever it asks for",
        ),
    ],
)
def test_what_annotations_get_wrong(validate, annotations: dict, severity: str, expected: str) -> None:
    both = (
        definition({"type": "bridge"})
        + "---\n"
        + definition({"type": "bridge"}).replace("name: lan", "name: lan\n  namespace: other")
    )
    code, found = validate(a_yaml=both, web_json=annotated(**annotations))
    assert code == (severity == "error")
    (line,) = (one for one in found if "Pod" in one)
    assert line.startswith(f"web.json:1: {severity}: Pod default/web: {expected}")


@pytest.mark.parametrize(
    ("allowed", "code", "expected"),
    [
        ("default", 0, None),
        ("*", 0, None),
        ("team-a", 1, "web.json:1: error: Pod default/web: "),
        (
            "team-a default",
            1,
            'error: NetworkAttachmentDefinition other/lan: $.metadata.annotations["multinet.dev/',
        ),
    ],
)
def test_a_definition_says_who_may_use_it(validate, allowed: str, code: int, expected: str | None) -> None:
    annotation = f'annotations: {{"multinet.dev/allowed-namespaces": "{allowed}"}}'
    nad = definition({"type": "bridge"}).replace(
        "name: lan", f"name: lan\n  namespace: other\n  {annotation}"
    )
    found_code, found = validate(a_yaml=nad, web_json=pod("other/lan"))
    assert found_code == code
    assert (found == []) if expected is None else any(expected in line for line in found)


def test_annotations_of_others_and_what_was_written_say_nothing(validate) -> None:
    annotations = {
        "k8s.v1.cni.cncf.io/network-status": "[]",
        "k8s.v1.cni.cncf.io/networks-status": "[]",
        "multinet.dev/default-networks": "none",
        "example.org/networks": "x",
    }
    assert validate(web_json=annotated(**annotations)) == (0, [])


def test_a_definition_that_is_the_meta_plugin(validate) -> None:
    code, found = validate(a_yaml=definition({"cniVersion": "1.0.0", "type": "multus", "delegates": []}))
    assert (code, len(found)) == (1, 1)
    assert "it cannot be its own delegate" in found[0]


def test_keys_of_the_meta_plugin_that_have_no_effect(validate) -> None:
    conf = {
        "cniVersion": "1.0.0",
        "name": "node",
        "type": "multus",
        "clusterNetwork": "cbr0",
        "logFile": "/var/log/multus.log",
        "retryDeleteOnError": True,
        "auxiliaryCNIChainName": "vendor",
    }
    code, found = validate(a_conf=json.dumps(conf))
    assert (code, len(found)) == (1, 2)
    assert found[0].startswith(
        "a.conf:1: warning: network node: $.logFile: the daemon logs to standard error"
    )
    assert "auxiliary chain used but ClusterNetwork must be a path, and it is not a path: cbr0" in found[1]
