"""Messages and packets as bytes: what is written can be read, and what is damaged is refused."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.dhcp.datagram import unwrap, wrap
from multinet.dhcp.message import ANY, Kind, Malformed, Message, decode, encode

MAC = bytes.fromhex("020000000001")
ADDRESSES = st.integers(0, 0xFFFFFFFF).map(IPv4Address)
CODES = st.integers(1, 254).filter(lambda code: code != 52)
MESSAGES = st.builds(
    Message,
    xid=st.integers(0, 0xFFFFFFFF),
    mac=st.binary(min_size=6, max_size=6),
    reply=st.booleans(),
    secs=st.integers(0, 0xFFFF),
    broadcast=st.booleans(),
    ciaddr=ADDRESSES,
    yiaddr=ADDRESSES,
    siaddr=ADDRESSES,
    giaddr=ADDRESSES,
    options=st.dictionaries(CODES, st.binary(max_size=600), max_size=8),
)
EMPTY = encode(Message(xid=1, mac=MAC))
HEAD = EMPTY[:240]


@given(MESSAGES)
def test_what_is_written_is_read(message: Message) -> None:
    data = encode(message)
    assert len(data) >= 300 and decode(data) == message
    packet = wrap(data, message.ciaddr, message.yiaddr)
    assert unwrap(_to_client(packet)) == data


@given(MESSAGES, st.data())
def test_a_message_that_was_cut_off_is_refused(message: Message, data: st.DataObject) -> None:
    whole = encode(message).rstrip(b"\0")  # up to its End
    short = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(Malformed):
        decode(short)


@given(st.binary(max_size=700))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    for data in (noise, HEAD + noise):
        try:
            decode(data)
        except Malformed:
            continue
    unwrap(noise)


@given(st.binary(min_size=28, max_size=400))
def test_any_packet_is_read_or_not(noise: bytes) -> None:
    payload = unwrap(b"\x45" + noise)
    assert payload is None or payload in noise


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "too few"),
        (EMPTY[:239], "too few"),
        (b"\3" + EMPTY[1:], "neither request nor reply"),
        (EMPTY[:1] + b"\6" + EMPTY[2:], "hardware address"),
        (EMPTY[:2] + b"\7" + EMPTY[3:], "hardware address"),
        (EMPTY[:236] + b"\0" * 64, "magic cookie"),
        (HEAD, "no End option"),
        (HEAD + b"\0" * 60, "no End option"),
        (HEAD + b"\x35\1", "reaches beyond"),
        (HEAD + b"\x35", "reaches beyond"),
        (HEAD + b"\x34\1\4\xff", "overload"),
        (HEAD + b"\x34\1\1\xff", "file field has no End"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        decode(data)


def test_options_in_the_name_fields() -> None:
    """Options, then the file field, then the server's name (RFC 2131, 4.1; RFC 3396, 5)."""
    sname = b"\x0c\1c\xff".ljust(64, b"\0")
    file = b"\x0c\1b\xff".ljust(128, b"\0")
    data = EMPTY[:44] + sname + file + EMPTY[236:240]
    assert decode(data + b"\x0c\1a\x34\1\3\xff").options == {12: b"abc"}
    assert decode(data + b"\x0c\1a\x34\1\1\xff").options == {12: b"ab"}
    assert decode(data + b"\x0c\1a\x34\1\2\xff").options == {12: b"ac"}
    assert decode(data + b"\x0c\1a\xff").options == {12: b"a"}


@pytest.mark.parametrize(
    ("raw", "kind"), [(b"\5", Kind.ACK), (b"", None), (b"\0", None), (b"\x09", None), (b"\5\5", None)]
)
def test_the_kind(raw: bytes, kind: Kind | None) -> None:
    assert Message(xid=1, mac=MAC, options={53: raw}).kind is kind


@pytest.mark.parametrize("raw", [b"", b"\0\0\0\0", b"\1\2\3", b"\1\2\3\4\5"])
def test_no_server(raw: bytes) -> None:
    assert Message(xid=1, mac=MAC, options={54: raw}).server is None


@pytest.mark.parametrize(
    ("at", "byte"),
    [(0, 0x65), (0, 0x44), (6, 0x20), (7, 1), (9, 6), (10, 0), (23, 69), (2, 255), (24, 255)],
    ids=[
        "version",
        "header size",
        "more fragments",
        "offset",
        "protocol",
        "checksum",
        "port",
        "total",
        "size",
    ],
)
def test_packets_that_are_not_taken(at: int, byte: int) -> None:
    packet = bytearray(_to_client(wrap(EMPTY, IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"))))
    assert unwrap(bytes(packet)) == EMPTY
    packet[at] = byte
    assert unwrap(bytes(packet)) is None
    packet[:] = _to_client(wrap(EMPTY, IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")))
    packet[24:26] = b"\0\7"  # less than UDP's own header
    assert unwrap(bytes(packet)) is None


def test_tcpdump_reads_a_packet(tmp_path: Path) -> None:
    """Both checksums are right in somebody else's eyes, and so are the fields."""
    options = {53: b"\1", 61: b"\0id", 12: b"web-0", 50: bytes((10, 7, 0, 50))}
    message = Message(xid=0x01020304, mac=MAC, broadcast=True, secs=7, options=options)
    packet = wrap(encode(message), ANY, IPv4Address("255.255.255.255"))
    frame = b"\xff" * 6 + MAC + b"\x08\x00" + packet
    file = tmp_path / "x.pcap"
    head = pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    file.write_bytes(head + pack("=IIII", 0, 0, len(frame), len(frame)) + frame)
    done = subprocess.run(["tcpdump", "-vvnr", str(file)], capture_output=True, text=True, check=True)
    for part in (
        "DHCP-Message",
        "Discover",
        "web-0",
        "10.7.0.50",
        "xid 0x1020304",
        "secs 7",
        "[Broadcast]",
        "udp sum ok",
    ):
        assert part in done.stdout, done.stdout
    assert "bad cksum" not in done.stdout


def _to_client(packet: bytes) -> bytes:
    """The packet with the ports the other way round, which changes no checksum."""
    return packet[:20] + packet[22:24] + packet[20:22] + packet[24:]
