"""cni.md 1.9, 2.4, section 9 (names); multi-network.md 10.2."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.errors import CNIError
from multinet.cni.names import validate_container_id, validate_ifname, validate_network_name

BAD_NAMES = ["-a", ".", "..", "a/b", "a b", "a\n", "\na", "é", "a:b", "_a", "a\0", "x" * 1000, "../../etc"]


@pytest.mark.parametrize("name", ["a", "Z9", "0", "a.b-c_d", "a..b", "x" * 255])
def test_1_9_good_names(name: str) -> None:
    validate_network_name(name)
    validate_container_id(name)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_1_9_bad_network_names(name: str) -> None:
    with pytest.raises(CNIError, match="network name") as caught:
        validate_network_name(name)
    assert caught.value.code == 7
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_2_4_bad_container_ids(name: str) -> None:
    with pytest.raises(CNIError, match="containerID") as caught:
        validate_container_id(name)
    assert caught.value.code == 4


@given(st.text(max_size=40))
def test_1_9_names_are_the_specifications_pattern(name: str) -> None:
    legal = re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*", name) is not None
    try:
        validate_network_name(name)
    except CNIError:
        assert not legal
    else:
        assert legal


def test_empty_names() -> None:
    with pytest.raises(CNIError) as network:
        validate_network_name("")
    assert (network.value.code, network.value.msg) == (7, "missing network name")
    with pytest.raises(CNIError) as container:
        validate_container_id("")
    assert (container.value.code, container.value.msg) == (3, "missing containerID")


@pytest.mark.parametrize(
    ("name", "msg"),
    [
        ("", "interface name is empty"),
        ("x" * 16, "interface name is too long"),
        ("é" * 8, "interface name is too long"),
        (".", "interface name is . or .."),
        ("..", "interface name is . or .."),
        ("a/b", "interface name contains / or : or whitespace characters"),
        ("a:b", "interface name contains / or : or whitespace characters"),
        ("a b", "interface name contains / or : or whitespace characters"),
        ("eth0\n", "interface name contains / or : or whitespace characters"),
        ("a\0b", "interface name contains / or : or whitespace characters"),
    ],
)
def test_10_2_bad_interface_names(name: str, msg: str) -> None:
    with pytest.raises(CNIError) as caught:
        validate_ifname(name)
    assert (caught.value.code, caught.value.msg) == (4, msg)


def test_10_2_length_is_explained() -> None:
    with pytest.raises(CNIError) as caught:
        validate_ifname("x" * 16)
    assert caught.value.details == "interface name should be less than 16 characters"


@pytest.mark.parametrize("name", ["e", "eth0", "x" * 15, "...", "eth0.100", "é" * 7])
def test_1_9_good_interface_names(name: str) -> None:
    validate_ifname(name)
