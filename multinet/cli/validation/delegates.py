"""One of our delegates in its list: its place, its options together, and what the pods' annotations need of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from multinet.cli.validation.findings import Subject, faults_of
from multinet.cli.validation.rehearsal import Rehearsal
from multinet.cni.decode import convert
from multinet.cni.errors import CNIError, InvalidConfig
from multinet.sdk.chained_plugin import ChainedPlugin
from multinet.sdk.delegate import DelegateConf
from multinet.sdk.delegate_plugin import DelegatePlugin

__all__ = ["Typed", "check_delegate", "typed"]

_OF_PODS: dict[str, Any] = {
    "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
    "bandwidth": {"ingressRate": 8000, "ingressBurst": 8000, "egressRate": 8000, "egressBurst": 8000},
}
"""Capabilities that pods fill by their annotations, each with an example."""
_HANDED_OVER = {**_OF_PODS, "deviceID": "0000:00:00.0"}
"""Capabilities without which some delegates have nothing to do."""


class Typed(NamedTuple):
    """A configuration without the keys whose values are of wrong types."""

    values: dict[str, Any]
    faulty: frozenset[str]
    """The keys that were left out, in lower case."""


def typed(complete: Mapping[str, Any], options: type[msgspec.Struct], subject: Subject) -> Typed:
    """The configuration as far as its types are right; the others are errors."""
    try:
        convert(complete, options)
    except InvalidConfig as error:
        subject.faults(error)
        faulty = frozenset(filter(None, (_key_of(path) for path, _ in faults_of(error))))
        return Typed({key: value for key, value in complete.items() if key.lower() not in faulty}, faulty)
    return Typed(dict(complete), frozenset())


def check_delegate(
    delegate: DelegatePlugin[Any], written: Typed, subject: Subject, rehearsal: Rehearsal
) -> None:
    """Its place in the list, and its options together."""
    try:
        conf: DelegateConf = convert(written.values, delegate.conf)
    except CNIError as error:
        subject.faults(error)
        rehearsal.pass_over()
        return
    if isinstance(delegate, ChainedPlugin) and rehearsal.previous is None:
        subject.error(
            "$.type",
            f'"{conf.type}" adjusts what an earlier plugin of the list has made: it cannot be the first',
        )
        rehearsal.pass_over()
    if not written.faulty:
        _warn_of_what_is_not_handed_over(delegate, conf, subject, rehearsal)
    declared = {name: value for name, value in _HANDED_OVER.items() if conf.capabilities.get(name)}
    given = msgspec.structs.replace(conf, runtime_config={**declared, **conf.runtime_config})
    for path, problem in rehearsal.play(delegate, given):
        if _key_of(path) not in written.faulty:  # it is there, though it can't be used
            subject.error(path, problem)


def _warn_of_what_is_not_handed_over(
    delegate: DelegatePlugin[Any], conf: DelegateConf, subject: Subject, rehearsal: Rehearsal
) -> None:
    """A warning for each thing that pods may ask for, that the delegate would heed, and that it isn't given."""
    for capability, example in _OF_PODS.items():
        if conf.capabilities.get(capability):
            continue
        if rehearsal.takes(delegate, conf, capability, example):
            subject.warning(
                "$.capabilities",
                f'"{capability}" of a pod is not handed over to "{conf.type}": '
                f'add "capabilities": {{"{capability}": true}}',
            )


def _key_of(path: str) -> str:
    """The configuration's key that a JSON path goes through, in lower case; "" for the whole."""
    return path.split(".")[1].partition("[")[0].lower() if "." in path else ""
