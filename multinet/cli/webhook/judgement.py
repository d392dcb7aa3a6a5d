"""What is wrong with a definition or a pod that is to be stored: the rules of ``multinet validate``, and policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multinet.cli.failure import one_line
from multinet.cli.validation.findings import Finding, Subject
from multinet.cli.validation.objects import Objects, object_name
from multinet.cli.validation.places import Places, compose
from multinet.cli.validation.pods import member, networks_of_pods
from multinet.cli.validation.pools import Pools
from multinet.cli.webhook.policy import Policy, violations
from multinet.cli.webhook.review import Question, Verdict
from multinet.cni import jsontext
from multinet.cni.errors import CNIError
from multinet.core.permission import require_permission
from multinet.core.settings import Settings
from multinet.npwg.attachment_definition import KIND, NetworkAttachmentDefinition
from multinet.npwg.selection import parse_networks

__all__ = ["Definitions", "judge_definition", "judge_pod"]

Definitions = Callable[[str, str], NetworkAttachmentDefinition | None]
"""The definition of that namespace and name; None when there is none. Raises ClusterUnavailable when unknown."""


class _ReviewPlaces(Places):
    """Lines are those of the text in ``$.spec.config``; of the object itself, which came as JSON, there are none."""

    def __init__(self) -> None:
        super().__init__(None, first_line=0)

    def embedded(self, path: str, text: str) -> Places:
        """See Places.embedded."""
        return Places(compose(text))


def judge_definition(question: Question, policy: Policy) -> Verdict:
    """A NetworkAttachmentDefinition; objects of other kinds pass."""
    raw = question.object
    if raw.get("kind") != KIND:
        return Verdict()
    found, subject = _subject(raw)
    Objects(Pools()).check(raw, subject)
    name, config = member(raw, "$.metadata.name"), member(raw, "$.spec.config")
    try:
        if isinstance(name, str):
            parse_networks(name, question.namespace)
    except CNIError as error:
        subject.error("$.metadata.name", f"no pod could ask for it: {error}")
    for problem in violations(question.namespace, _network(config), policy):
        path, _, text = problem.partition(": ")
        subject.error(path, text)
    return _verdict(found)


def judge_pod(question: Question, settings: Settings, definitions: Definitions | None) -> Verdict:
    """A pod; ``settings`` are those of the nodes as to isolation. Without ``definitions`` nothing is said of what
    hangs on them but for a warning.
    """
    from multinet.ports import ClusterUnavailable

    raw = {**question.object, "kind": "Pod"}
    found, subject = _subject(raw)
    for planned, wanted, path in networks_of_pods(raw, subject):
        definition, known = None, definitions is not None
        if definitions is not None:
            try:
                definition = definitions(wanted.namespace, wanted.name)
            except ClusterUnavailable:
                known = False
        try:
            require_permission(planned, definition, settings)
        except CNIError as error:
            # Without the definition it isn't certain: its own word counts before isolation.
            (subject.error if known else subject.warning)(path, str(error))
            continue
        if known and definition is None:
            name = f"{wanted.namespace}/{wanted.name}"
            subject.warning(
                path, f"network-attachment-definition {name} isn't there: the pod waits until it is"
            )
    return _verdict(found)


def _subject(raw: dict[str, Any]) -> tuple[list[Finding], Subject]:
    found: list[Finding] = []
    return found, Subject("", object_name(raw), _ReviewPlaces(), found)


def _verdict(found: list[Finding]) -> Verdict:
    texts: dict[str, list[str]] = {"error": [], "warning": []}
    for one in found:
        numbers = ((one.line, "line"), (one.column, "column"))
        place = " ".join(f"{word} {number}" for number, word in numbers if number)
        text = one_line(one.text) + (f" ({place} of $.spec.config)" if place else "")
        texts[one.severity].append(text)
    return Verdict(tuple(dict.fromkeys(texts["error"])), tuple(dict.fromkeys(texts["warning"])))


def _network(config: Any) -> dict[str, Any] | None:
    """The configuration object, {} for what can't be one (which is told elsewhere); None when there is none."""
    if not config:
        return None
    try:
        value = jsontext.decode(config) if isinstance(config, str) else {}
    except jsontext.MalformedJSON:
        return {}
    return value if isinstance(value, dict) else {}
