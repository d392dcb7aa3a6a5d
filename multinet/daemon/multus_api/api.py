"""The paths of Multus' interface: what is asked there, and how the answer is put."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Result, result_version
from multinet.cni.versions import at_least
from multinet.daemon.call import Call
from multinet.daemon.exchange import Exchange
from multinet.daemon.handler import Handler
from multinet.daemon.hot_plug import HotPlug
from multinet.daemon.http_exchange import HttpExchange, HttpReply, HttpRequest, Pending
from multinet.daemon.multus_api import message
from multinet.daemon.multus_api.message import Message
from multinet.daemon.service import DELEGATE, Act, Service
from multinet.ports import UNMEASURED, Measures

_JSON = "application/json"
_POD_FAULTS = (Code.POD, Code.CLUSTER)
_NEWEST = "1.1.0"
_PATHS = ("/cni", "/delegate", "/healthz", "/readyz")


class MultusApi:
    """Serves Multus' shim as our own is served, and plugs single interfaces into running pods.

    Source: ``pkg/server`` of multus-cni 4.
    """

    def __init__(
        self,
        service: Service,
        handler: Handler,
        hot_plug: HotPlug,
        bin_dir: str,
        measures: Measures = UNMEASURED,
    ) -> None:
        """``bin_dir``: where plugins are looked for when the caller names no folder."""
        self._measures = measures
        self._service = service
        self._handler = handler
        self._hot_plug = hot_plug
        self._bin_dir = bin_dir
        self._is_ready = True

    def exchange(self) -> Exchange:
        """The dialogue of a new connection."""
        return HttpExchange(self.counted)

    def retire(self) -> None:
        """From now on ``/readyz`` says no."""
        self._is_ready = False

    def counted(self, request: HttpRequest) -> HttpReply | Pending:
        """As ``route``, and each reply is counted (multi-network 5.66)."""

        def counted(reply: HttpReply) -> HttpReply:
            self._measures.multus(handler, request.method, reply.status)
            return reply

        handler = request.path if request.path in _PATHS else "NotFound"
        outcome = self.route(request)
        if isinstance(outcome, HttpReply):
            return counted(outcome)
        run, refuse = outcome.run, outcome.refuse
        return Pending(
            outcome.verb, lambda *caller: counted(run(*caller)), lambda error: counted(refuse(error))
        )

    def route(self, request: HttpRequest) -> HttpReply | Pending:
        """The reply, or what has to be done for it."""
        match request.path:
            case "/healthz" | "/readyz" if request.method in ("GET", "POST"):
                return HttpReply(500 if request.path == "/readyz" and not self._is_ready else 200)
            case "/cni" if request.method == "POST":
                return self._task(request.body, message.VERBS_OF_CNI, "multus-shim", self._cni)
            case "/delegate" if request.method == "POST":
                return self._task(request.body, message.VERBS_OF_DELEGATE, DELEGATE, self._delegate)
            case path if path in _PATHS:
                return HttpReply(405, b"Method not allowed\n")
        return HttpReply(404, b"404 page not found\n")

    def _task(
        self, body: bytes, verbs: frozenset[str], program: str, act_of: Callable[[Message], Act]
    ) -> HttpReply | Pending:
        try:
            read = message.read(body, verbs)
        except CNIError as error:
            return _failure(error)

        def run(hung_up: Callable[[], bool], connection_fd: int) -> HttpReply:
            request = read.wire_request(program, self._bin_dir)
            try:
                return _success(self._service.carry_out(request, act_of(read), None, hung_up, connection_fd))
            except CNIError as error:
                return _failure(error)

        return Pending(read.verb, run, _failure)

    def _cni(self, _: Message) -> Act:
        def act(call: Call) -> dict[str, Any] | None:
            _answer_as_typed(call)
            try:
                return self._handler.serve(call)
            except CNIError as error:
                raise _explained(error, call) from error

        return act

    def _delegate(self, read: Message) -> Act:
        def act(call: Call) -> dict[str, Any] | None:
            try:
                return self._hot_plug.serve(call, read.selection)
            except CNIError as error:
                raise _explained(error, call) from error

        return act


def _answer_as_typed(call: Call) -> None:
    """Multus' shim takes results in the shape of 1.0.0 or newer, and puts them in its caller's version itself."""
    call.cni_version = call.cni_version if at_least(call.cni_version, "1.0.0") else "1.0.0"


def _explained(error: CNIError, call: Call) -> CNIError:
    """The pod could not be found by its name alone, because the runtime didn't say which one it means."""
    if call.verb == "ADD" and error.code in _POD_FAULTS and not call.args.get("K8S_POD_UID"):
        return error.prefixed("missing pod UID; attempted to recover it from the K8s API, but failed: ")
    return error


def _success(result: dict[str, Any] | None) -> HttpReply:
    if result is None:
        return HttpReply(200)
    version = result_version(result, _NEWEST)
    if not at_least(version, "1.0.0"):
        result = Result.from_json(result, version).as_version("1.0.0")
    return HttpReply(200, msgspec.json.encode({"Result": result}), _JSON)


def _failure(error: CNIError) -> HttpReply:
    """Code and text survive whatever the verb: Multus' own daemon keeps them for STATUS only."""
    body: dict[str, Any] = {"code": error.code, "msg": error.msg}
    if error.details:
        body["details"] = error.details
    return HttpReply(400, json.dumps(body).encode(), _JSON)
