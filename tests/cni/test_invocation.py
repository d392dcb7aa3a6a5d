"""cni.md 2.1, 2.2, 2.4, 2.7; multi-network.md 10.1, 10.2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.errors import CNIError
from multinet.cni.invocation import Invocation, about, parse_args, require_known_args, split_args

FULL = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/c1",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "IgnoreUnknown=1",
    "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
}
NEEDED = {
    "ADD": "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH",
    "CHECK": "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH",
    "DEL": "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH",
    "GC": "CNI_PATH",
    "STATUS": "CNI_PATH",
}


def test_whole_environment() -> None:
    assert Invocation.from_environ(FULL) == Invocation(
        "ADD", "c1", "/run/netns/c1", "eth0", "IgnoreUnknown=1", ("/opt/cni/bin", "/usr/lib/cni")
    )


def test_environ_gives_the_variables_back() -> None:
    assert Invocation.from_environ(FULL).environ() == FULL


@pytest.mark.parametrize("verb", NEEDED)
def test_2_1_required_variables_of_each_verb(verb: str) -> None:
    with pytest.raises(CNIError) as caught:
        Invocation.from_environ({"CNI_COMMAND": verb})
    assert (caught.value.code, caught.value.msg) == (4, f"required env variables [{NEEDED[verb]}] missing")


@pytest.mark.parametrize("verb", NEEDED)
def test_2_1_what_is_required_suffices(verb: str) -> None:
    env = {name: FULL[name] for name in NEEDED[verb].split(",")}
    assert Invocation.from_environ({**env, "CNI_COMMAND": verb}).command == verb


def test_2_1_version_needs_nothing() -> None:
    assert Invocation.from_environ({"CNI_COMMAND": "VERSION"}) == Invocation("VERSION")


def test_2_2_empty_is_missing() -> None:
    with pytest.raises(CNIError, match=r"required env variables \[CNI_NETNS,CNI_IFNAME\] missing"):
        Invocation.from_environ({**FULL, "CNI_NETNS": "", "CNI_IFNAME": ""})


def test_2_2_no_command() -> None:
    with pytest.raises(CNIError, match=r"required env variables \[CNI_COMMAND\] missing"):
        Invocation.from_environ({})


def test_2_2_about() -> None:
    assert about("CNI multinet plugin") == (
        "CNI multinet plugin\n"
        "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n"
    )


@pytest.mark.parametrize("verb", ["add", "NOPE", "ADD ", "PING"])
def test_2_2_unknown_verb(verb: str) -> None:
    with pytest.raises(CNIError) as caught:
        Invocation.from_environ({**FULL, "CNI_COMMAND": verb})
    assert (caught.value.code, caught.value.msg) == (4, f"unknown CNI_COMMAND: {verb}")


def test_2_3_presence_comes_before_values() -> None:
    with pytest.raises(CNIError, match="required env variables"):
        Invocation.from_environ({**FULL, "CNI_CONTAINERID": "../x", "CNI_PATH": ""})


def test_2_3_container_id_comes_before_interface_name() -> None:
    with pytest.raises(CNIError, match="invalid characters in containerID"):
        Invocation.from_environ({**FULL, "CNI_CONTAINERID": "../x", "CNI_IFNAME": "a b"})
    with pytest.raises(CNIError, match="interface name contains"):
        Invocation.from_environ({**FULL, "CNI_IFNAME": "a b"})


def test_2_3_gc_doesnt_look_at_container_values() -> None:
    assert Invocation.from_environ({**FULL, "CNI_COMMAND": "GC", "CNI_IFNAME": "a b"}).command == "GC"


def test_path_has_no_empty_folders() -> None:
    env = {"CNI_COMMAND": "STATUS", "CNI_PATH": ":/a::/b:"}
    assert Invocation.from_environ(env).path == ("/a", "/b")


keys = st.text(st.characters(blacklist_characters=";=\0", blacklist_categories=("Cs",)), min_size=1)
values = st.text(st.characters(blacklist_characters=";=\0", blacklist_categories=("Cs",)))


@given(st.dictionaries(keys, values))
def test_2_7_round_trip(args: dict[str, str]) -> None:
    text = ";".join(f"{key}={value}" for key, value in args.items())
    assert parse_args(text) == args
    assert dict(split_args(text)) == args


@pytest.mark.parametrize("text", ["A", "A=1;", ";", "A=1;;B=2", "A=b=c", "=;x"])
def test_2_7_bad_pairs(text: str) -> None:
    bad = next(pair for pair in text.split(";") if pair.count("=") != 1)
    with pytest.raises(CNIError) as caught:
        parse_args(text)
    assert (caught.value.code, caught.value.msg) == (4, f'ARGS: invalid pair "{bad}"')


@given(st.text())
def test_2_7_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert len(parse_args(text)) <= text.count(";") + 1
    except CNIError as error:
        assert error.code == 4


def test_4_24_a_runtime_splits_at_the_first_sign_and_skips_what_is_no_pair() -> None:
    assert split_args("A=b=c;;word;D=") == (("A", "b=c"), ("D", ""))


def test_2_7_unknown_args() -> None:
    args = parse_args("IP=10.0.0.1;FOO=1;BAR=2")
    with pytest.raises(CNIError) as caught:
        require_known_args(args, {"IP"})
    assert (caught.value.code, caught.value.msg) == (4, 'ARGS: unknown args ["FOO=1" "BAR=2"]')


@pytest.mark.parametrize("value", ["1", "true", "TRUE"])
def test_2_7_ignore_unknown(value: str) -> None:
    require_known_args({"IgnoreUnknown": value, "FOO": "1"}, ())


@pytest.mark.parametrize("value", ["0", "false", ""])
def test_2_7_ignore_unknown_off(value: str) -> None:
    with pytest.raises(CNIError, match="unknown args"):
        require_known_args({"IgnoreUnknown": value, "FOO": "1"}, ())


def test_2_7_ignore_unknown_must_be_a_truth_value() -> None:
    with pytest.raises(CNIError, match="IgnoreUnknown"):
        require_known_args({"IgnoreUnknown": "perhaps"}, ())


def test_2_7_known_args_pass() -> None:
    require_known_args({"IP": "10.0.0.1"}, ("IP", "MAC"))
