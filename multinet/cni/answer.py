"""What a plugin said: its result or its error, from exit status, standard output and standard error.

Source: CNI specification 1.1.0, "Error"; texts as libcni's ``invoke``. Beyond libcni: an error object counts
as one also when the plugin exits 0; a death by signal is named; of long output the first KiB is quoted.
"""

from __future__ import annotations

import json
import signal
from typing import Any

from multinet.cni import jsontext
from multinet.cni.errors import CNIError, Code
from multinet.cni.process import STDOUT_LIMIT, Outcome

__all__ = ["read_answer"]

_QUOTED = 1024
_RESULT_KEYS = frozenset({"interfaces", "ips", "routes", "dns", "ip4", "ip6", "supportedVersions"})
_WITH_ANSWER = frozenset({"ADD", "VERSION"})


def read_answer(verb: str, outcome: Outcome) -> dict[str, Any] | None:
    """The object that ADD or VERSION printed (``null``: an empty one); None for the other verbs.

    Raises CNIError: the plugin's own; code 103 when it failed without one; 6 when the answer can't be read.
    """
    if outcome.overflowed:
        raise CNIError(
            Code.DELEGATE_FAILED,
            f"netplugin failed: it printed more than {STDOUT_LIMIT} bytes, and was ended",
            f"output starts with {_quoted(outcome.stdout)}",
        )
    if outcome.returncode != 0:
        raise _failure(outcome)
    try:
        answer = jsontext.decode(outcome.stdout)
    except jsontext.MalformedJSON as error:
        if verb not in _WITH_ANSWER:
            return None  # nothing was to be printed, so nothing is to be read
        raise _unreadable(verb, outcome, str(error)) from None
    if isinstance(answer, dict) and _is_error(answer):
        raise _plugin_error(answer, "exit status 0")
    if verb not in _WITH_ANSWER:
        return None
    if not isinstance(answer, dict | None):
        raise _unreadable(verb, outcome, f"expected an object, got {type(answer).__name__}")
    return answer or {}


def _failure(outcome: Outcome) -> CNIError:
    """The error of a plugin that didn't exit 0."""
    reason = _reason(outcome.returncode)
    if not outcome.stdout.strip():
        if not outcome.stderr.strip():
            msg = f"netplugin failed with no error message: {reason}"
        else:
            msg = f"netplugin failed: {_quoted(outcome.stderr)}: {reason}"
        return CNIError(Code.DELEGATE_FAILED, msg)
    try:
        said = jsontext.decode(outcome.stdout)
    except jsontext.MalformedJSON as error:
        problem = str(error)
    else:
        if isinstance(said, dict) and isinstance(said.get("msg"), str):
            return _plugin_error(said, reason)
        problem = 'it is no error object (it has no "msg")'
    return CNIError(
        Code.DELEGATE_FAILED,
        f"netplugin failed but error parsing its diagnostic message {_quoted(outcome.stdout)}: {problem}",
        "; ".join(filter(None, (reason, outcome.stderr[:_QUOTED].decode(errors="replace").strip()))),
    )


def _is_error(answer: dict[str, Any]) -> bool:
    return bool(answer.get("code")) and "msg" in answer and not _RESULT_KEYS & answer.keys()


def _plugin_error(said: dict[str, Any], reason: str) -> CNIError:
    code = said.get("code")
    details = str(said.get("details") or "")
    if isinstance(code, bool) or not isinstance(code, int) or code <= 0:
        return CNIError(Code.DELEGATE_FAILED, str(said["msg"]), details or f"{reason}, with no error code")
    return CNIError(code, str(said["msg"]), details)


def _unreadable(verb: str, outcome: Outcome, problem: str) -> CNIError:
    return CNIError(
        Code.DECODING_FAILURE,
        f"failed to read the plugin's answer to {verb}: {problem}; it printed {_quoted(outcome.stdout)}",
        outcome.stderr[:_QUOTED].decode(errors="replace").strip(),
    )


def _reason(returncode: int) -> str:
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"


def _quoted(output: bytes) -> str:
    """The beginning of what was printed, as one line in double quotes."""
    text = output[:_QUOTED].decode(errors="replace")
    return json.dumps(text + ("…" if len(output) > _QUOTED else ""), ensure_ascii=False)
