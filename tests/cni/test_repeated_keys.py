"""Keys that come twice in an object called ``sysctl``."""

from __future__ import annotations

import json

import pytest

from multinet.cni.errors import CNIError
from multinet.cni.repeated_keys import require_distinct_sysctls
from multinet.cni.request import read_request

TWICE = '{"net.a": "1", "net.b": "2", "net.a": "3"}'
FAULTY = [
    '{"sysctl": %s}',
    '{"SysCtl": %s}',
    '{"type": "tuning", "args": {"cni": {"sysctl": %s}}}',
    '{"plugins": [{"type": "x"}, {"type": "tuning", "sysctl": %s}]}',
    '{"sysctl": %s, "sysctl": {}}',
]
FINE = [
    '{"sysctl": {"net.a": "1", "net.b": "1"}}',
    '{"mtu": 1, "mtu": 2, "sysctl": {}}',
    f'{{"other": {TWICE}}}',
    f'["sysctl", {TWICE}]',
    '{"sysctl": [{"a": 1, "a": 2}]}',
    '{"sysctl": "sysctl"}',
]


@pytest.mark.parametrize("text", FAULTY)
def test_refused(text: str) -> None:
    for form in (text % TWICE, (text % TWICE).encode()):
        with pytest.raises(CNIError) as caught:
            require_distinct_sysctls(form)
        assert caught.value.code == 7
        assert caught.value.msg == "duplicated sysctl keys are not allowed"
        assert caught.value.details == "twice: net.a"


@pytest.mark.parametrize("text", FINE)
def test_fine(text: str) -> None:
    require_distinct_sysctls(text)


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL"])
def test_a_request(verb: str) -> None:
    """A DEL goes on: what was made must go, whatever the configuration looks like."""
    env = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/n",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/p",
    }
    conf = (
        json.dumps({"cniVersion": "1.0.0", "name": "net", "type": "tuning"})[:-1] + f', "sysctl": {TWICE}}}'
    )
    if verb == "DEL":
        assert read_request(env, conf.encode).conf["sysctl"]["net.a"] == "3"
        return
    with pytest.raises(CNIError, match="duplicated sysctl keys are not allowed"):
        read_request(env, conf.encode)
