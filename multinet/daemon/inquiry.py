"""Questions about pods, on the daemon's own socket beside the CNI calls."""

from __future__ import annotations

import msgspec

from multinet.cni.invocation import parse_args
from multinet.core.explanation import PodExplanation
from multinet.daemon.explainer import Explainer
from multinet.wire import client
from multinet.wire.message import Request, Response

__all__ = ["PROGRAM", "ask", "tell"]

PROGRAM = "/explain"
"""No executable's name has a slash in it, so none can be meant by it."""
_SECONDS = 60.0
_DECODER = msgspec.json.Decoder(PodExplanation)


def tell(request: Request, explainer: Explainer) -> Response:
    """The answer to a question."""
    pod = parse_args(request.env.get("CNI_ARGS", ""))
    found = explainer.explain(pod.get("K8S_POD_NAMESPACE", ""), pod.get("K8S_POD_NAME", ""))
    return Response(0, msgspec.json.encode(found))


def ask(socket: str, namespace: str, name: str) -> PodExplanation:
    """Ask the daemon at ``socket``. Raises ``client.Unreachable`` when there is none, TimeoutError."""
    # CNI_COMMAND gives the question its place among the calls that wait: before additions.
    args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}"
    env = {"CNI_COMMAND": "STATUS", "CNI_ARGS": args}
    response = client.call(socket, Request(PROGRAM, env), None, _SECONDS)
    return _DECODER.decode(response.stdout)
