"""From JSON objects to structs: the reference plugins' leniency, and faults with their paths."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.decode import convert, unknown_keys
from multinet.cni.errors import InvalidConfig


class Range(msgspec.Struct, frozen=True):
    subnet: str
    first: str = msgspec.field(name="rangeStart", default="")


class Ipam(msgspec.Struct, frozen=True):
    type: str
    ranges: tuple[tuple[Range, ...], ...] = ()
    by_name: dict[str, Range] = {}
    extra: Any = None


class Conf(msgspec.Struct, frozen=True):
    type: str
    mtu: int = 0
    ipam: Ipam | None = None
    tags: list[str] | None = None
    args: dict[str, Any] = {}
    ratio: int | str = 0

    def __post_init__(self) -> None:
        if self.mtu < 0:
            raise ValueError("mtu is negative")


def fault(raw: Any) -> InvalidConfig:
    with pytest.raises(InvalidConfig) as caught:
        convert(raw, Conf)
    return caught.value


def test_exact_keys() -> None:
    raw = {"type": "x", "mtu": 9, "ipam": {"type": "y", "ranges": [[{"subnet": "s", "rangeStart": "f"}]]}}
    assert convert(raw, Conf) == Conf("x", 9, Ipam("y", ((Range("s", "f"),),)))


def test_keys_in_any_case_at_any_depth() -> None:
    raw = {"Type": "x", "MTU": 9, "IPAM": {"TYPE": "y", "Ranges": [[{"SUBNET": "s", "rangestart": "f"}]]}}
    assert convert(raw, Conf) == Conf("x", 9, Ipam("y", ((Range("s", "f"),),)))


@pytest.mark.parametrize("raw", [{"type": "a", "TYPE": "b"}, {"TYPE": "b", "type": "a"}])
def test_exact_spelling_wins(raw: dict[str, str]) -> None:
    assert convert(raw, Conf).type == "a"


@pytest.mark.parametrize("raw", [{"type": None, "TYPE": "b"}, {"TYPE": "b", "type": None}])
def test_a_null_hides_no_other_spelling(raw: dict[str, str | None]) -> None:
    assert convert(raw, Conf).type == "b"


def test_structs_as_values_of_an_object() -> None:
    raw = {"type": "x", "ipam": {"type": "y", "by_name": {"Lan": {"Subnet": "s", "rangeStart": None}}}}
    assert convert(raw, Conf) == Conf("x", ipam=Ipam("y", by_name={"Lan": Range("s")}))


def test_null_is_absent() -> None:
    assert convert({"type": "x", "mtu": None, "ipam": None, "tags": None}, Conf) == Conf("x")
    assert fault({"type": None}).path == "$.type"


def test_unknown_keys_are_tolerated() -> None:
    assert convert({"type": "x", "unknown": {"deep": [1]}}, Conf) == Conf("x")


def test_free_objects_are_kept_as_they_are() -> None:
    raw = {"type": "x", "args": {"CNI": {"A": None}}}
    assert convert(raw, Conf).args == {"CNI": {"A": None}}


def test_the_input_isnt_changed() -> None:
    raw = {"TYPE": "x", "mtu": None, "ipam": {"TYPE": "y"}}
    convert(raw, Conf)
    assert raw == {"TYPE": "x", "mtu": None, "ipam": {"TYPE": "y"}}


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({}, "$.type"),
        ({"type": 1}, "$.type"),
        ({"type": "x", "mtu": "9"}, "$.mtu"),
        ({"type": "x", "ipam": []}, "$.ipam"),
        ({"type": "x", "ipam": {"type": "y", "ranges": [[{"subnet": 3}]]}}, "$.ipam.ranges[0][0].subnet"),
        ({"type": "x", "tags": ["a", 1]}, "$.tags[1]"),
        ({"type": "x", "ratio": []}, "$.ratio"),
        ({"type": "x", "mtu": -1}, "$"),
        ([], "$"),
        ("x", "$"),
    ],
)
def test_faults_name_the_path(raw: Any, path: str) -> None:
    error = fault(raw)
    assert error.path == path
    assert error.code == 7
    assert "`" not in error.problem


def test_all_faults_at_once() -> None:
    error = fault({"mtu": "9", "tags": [1]})
    assert error.msg == "$.type: is required; $.mtu: expected int, got str; $.tags[0]: expected str, got int"


def test_all_faults_at_any_depth() -> None:
    error = fault(
        {
            "type": "x",
            "ipam": {"ranges": [[{"subnet": 1}, {}]], "by_name": {"a": {}, "b.c": 3}},
            "tags": [1, "", 2],
        }
    )
    paths = [error.path, *(part.split(": ")[0] for part in error.problem.split("; ")[1:])]
    assert paths == [
        "$.ipam.type",
        "$.ipam.ranges[0][0].subnet",
        "$.ipam.ranges[0][1].subnet",
        "$.ipam.by_name.a.subnet",
        '$.ipam.by_name["b.c"]',
        "$.tags[0]",
        "$.tags[2]",
    ]


def test_code_and_path_are_the_callers() -> None:
    with pytest.raises(InvalidConfig) as caught:
        convert({"type": 1}, Conf, "$.plugins[2]", 6)
    assert (caught.value.path, caught.value.code) == ("$.plugins[2].type", 6)


def test_unknown_keys_with_the_nearest_known_one() -> None:
    assert unknown_keys({"typ": 1, "MTU": 2, "colour": 3}, Conf) == {"typ": "type", "colour": None}


keys = st.sampled_from(
    ["type", "Type", "mtu", "MTU", "ipam", "ranges", "subnet", "tags", "args", "by_name", "z"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_anything_converts_or_names_a_path(raw: Any) -> None:
    try:
        conf = convert(raw, Conf)
    except InvalidConfig as error:
        assert error.path.startswith("$")
        assert error.problem
    else:
        assert convert(msgspec.to_builtins(conf), Conf) == conf


def test_many_threads_use_a_type_for_the_first_time() -> None:
    """msgspec alone dies of it with a segmentation fault, so this runs in a process of its own."""
    program = '''
import sys, threading, types
from multinet.cni.decode import convert

sys.setswitchinterval(1e-6)
source = """
from __future__ import annotations
import msgspec
class Inner(msgspec.Struct, frozen=True):
    a: int = 0
    b: dict[str, int] = {}
class Outer(msgspec.Struct, frozen=True):
    x: list[Inner] = []
    y: Inner = Inner()
"""
for number in range(150):
    module = types.ModuleType(f"made{number}")
    sys.modules[module.__name__] = module
    exec(source, module.__dict__)
    together = threading.Barrier(8)
    def use() -> None:
        together.wait()
        assert convert({"x": [{"a": 1}], "y": {"b": {"k": 1}}}, module.Outer).x[0].a == 1
    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("all read it")
'''
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "all read it\n", f"exit {done.returncode}: {done.stderr[-300:]}"
