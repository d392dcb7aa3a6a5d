"""cni.md 4.2 and section 9: addresses keep their host part and have one spelling."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.addresses import canonical_address, canonical_cidr, is_ipv6


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("10.1.2.3/24", "10.1.2.3/24"),
        ("10.1.2.0/24", "10.1.2.0/24"),
        ("10.1.2.3/31", "10.1.2.3/31"),
        ("10.1.2.3/32", "10.1.2.3/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8:0::1/64", "2001:db8::1/64"),
        ("2001:db8::/127", "2001:db8::/127"),
        ("2001:db8::1/128", "2001:db8::1/128"),
        ("::/0", "::/0"),
        ("::ffff:10.1.2.3/120", "10.1.2.3/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:10.1.2.3/64", "::ffff:a01:203/64"),
    ],
)
def test_usual_spelling(text: str, usual: str) -> None:
    assert canonical_cidr(text) == usual


@pytest.mark.parametrize(
    "text",
    ["", "10.1.2.3", "10.1.2.3/", "10.1.2.3/33", "10.1.2.3/-1", "10.1.2.3/+1", "10.1.2/24", "010.1.2.3/24",
     "::1/129", "::1", "fe80::1%eth0/64", "10.1.2.3/24/24", " 10.1.2.3/24", "10.1.2.3/2４", "x/24", "10.1.2.3/0024"],
)  # fmt: skip
def test_no_cidr(text: str) -> None:
    with pytest.raises(ValueError, match="invalid CIDR address"):
        canonical_cidr(text)


@pytest.mark.parametrize(
    ("text", "usual"), [("10.1.2.3", "10.1.2.3"), ("FE80::1", "fe80::1"), ("::ffff:10.0.0.1", "10.0.0.1")]
)
def test_addresses(text: str, usual: str) -> None:
    assert canonical_address(text) == usual


@pytest.mark.parametrize("text", ["", "x", "10.1.2.3/24", "fe80::1%eth0", "<nil>"])
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="invalid IP address"):
        canonical_address(text)


@given(st.ip_addresses(), st.integers(0, 128))
def test_every_address_of_the_standard_library(address: ipaddress.IPv4Address, bits: int) -> None:
    bits = min(bits, address.max_prefixlen)
    text = canonical_cidr(f"{address}/{bits}")
    assert canonical_cidr(text) == text
    if getattr(address, "ipv4_mapped", None) is None:
        assert text == f"{address}/{bits}"
        assert is_ipv6(text) == (address.version == 6)
