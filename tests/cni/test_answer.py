"""cni.md 3.9, 3.10 and section 9; multi-network.md 10.18: what a plugin said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinet.cni.answer import read_answer
from multinet.cni.errors import CNIError
from multinet.cni.process import Outcome


def read(stdout: Any = b"", returncode: int = 0, stderr: bytes = b"", verb: str = "ADD") -> Any:
    data = stdout if isinstance(stdout, bytes) else json.dumps(stdout).encode()
    return read_answer(verb, Outcome(returncode, data, stderr))


def fault(*args: Any, **keys: Any) -> CNIError:
    with pytest.raises(CNIError) as caught:
        read(*args, **keys)
    return caught.value


def test_a_result() -> None:
    assert read({"ips": []}, stderr=b"warning") == {"ips": []}
    assert read(b' \n{"ips": []}\n\n') == {"ips": []}


def test_3_10_null_is_an_empty_result() -> None:
    assert read(b"null\n") == {}


@pytest.mark.parametrize("verb", ["DEL", "CHECK", "GC", "STATUS"])
@pytest.mark.parametrize("stdout", [b"", b"whatever", b"{}", b'{"ips": []}', b"[1]"])
def test_4_8_other_verbs_have_no_answer(verb: str, stdout: bytes) -> None:
    assert read(stdout, verb=verb) is None


@pytest.mark.parametrize("returncode", [1, 255, -9])
def test_3_9_an_error_object(returncode: int) -> None:
    error = fault({"cniVersion": "1.0.0", "code": 11, "msg": "later", "details": "d"}, returncode)
    assert (error.code, error.msg, error.details) == (11, "later", "d")


@pytest.mark.parametrize("verb", ["ADD", "DEL", "STATUS"])
def test_9_exit_0_with_an_error_object(verb: str) -> None:
    error = fault({"code": 50, "msg": "no"}, verb=verb)
    assert (error.code, error.msg) == (50, "no")


@pytest.mark.parametrize(
    "answer", [{"code": 7, "msg": "x", "ips": []}, {"code": 0, "msg": "x"}, {"code": 7}, {"msg": "x"}]
)
def test_9_exit_0_with_less_than_an_error_object(answer: dict[str, Any]) -> None:
    assert read(answer) == answer


@pytest.mark.parametrize("code", ["7", None, 0, -1, True, 7.5])
def test_an_error_without_a_proper_code_keeps_its_text(code: Any) -> None:
    error = fault({"code": code, "msg": "x"}, 3)
    assert (error.code, error.msg) == (103, "x")
    assert "exit status 3" in error.details


@pytest.mark.parametrize(
    ("stdout", "stderr", "returncode", "msg"),
    [
        (b"", b"", 1, "netplugin failed with no error message: exit status 1"),
        (b" \n", b"", 1, "netplugin failed with no error message: exit status 1"),
        (b"", b"", -9, "netplugin failed with no error message: killed by SIGKILL"),
        (b"", b"", -40, "netplugin failed with no error message: killed by signal 40"),
        (b"", b'panic: "x"\n', 2, 'netplugin failed: "panic: \\"x\\"\\n": exit status 2'),
        (b"", b"core", -11, 'netplugin failed: "core": killed by SIGSEGV'),
        (
            b"oops",
            b"trace",
            1,
            'netplugin failed but error parsing its diagnostic message "oops": '
            "line 1, column 1: Expecting value",
        ),
        (
            b'{"ips": []}',
            b"",
            1,
            'netplugin failed but error parsing its diagnostic message "{\\"ips\\": []}": '
            'it is no error object (it has no "msg")',
        ),
    ],
)
def test_3_9_failures_without_an_error_object(
    stdout: bytes, stderr: bytes, returncode: int, msg: str
) -> None:
    error = fault(stdout, returncode, stderr)
    assert (error.code, error.msg) == (103, msg)


def test_3_9_standard_error_isnt_lost() -> None:
    error = fault(b"oops", 1, b"trace")
    assert error.details == "exit status 1; trace"


@pytest.mark.parametrize(
    "stdout", [b"", b"warning\n{}", b"{} done", b"[]", b"3", b'{"ips": ', b'"text"'], ids=repr
)
def test_9_an_answer_is_never_half_parsed(stdout: bytes) -> None:
    error = fault(stdout, stderr=b"trace")
    assert error.code == 6
    assert json.dumps(stdout.decode()) in error.msg
    assert error.details == "trace"


def test_9_only_the_first_kilobyte_is_quoted() -> None:
    error = fault(b"x" * 5000)
    assert "x" * 1024 + "…" in error.msg and "x" * 1025 not in error.msg


def test_9_too_much_output() -> None:
    with pytest.raises(CNIError, match="more than 8388608 bytes") as caught:
        read_answer("ADD", Outcome(-9, b"x" * 5000, b"", overflowed=True))
    assert caught.value.code == 103
    assert len(caught.value.details) < 1200


@given(st.binary(max_size=60), st.integers(-64, 255), st.binary(max_size=20), st.sampled_from(["ADD", "DEL"]))
def test_any_output_is_an_answer_or_an_error(stdout: bytes, code: int, stderr: bytes, verb: str) -> None:
    try:
        answer = read(stdout, code, stderr, verb)
    except CNIError as error:
        assert error.code > 0
        assert error.msg
    else:
        assert code == 0
        assert isinstance(answer, dict) if verb == "ADD" else answer is None
