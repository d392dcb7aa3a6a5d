"""Multus' HTTP interface: statements 5.58 to 5.67 of the compatibility notes, over its real socket."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from multinet.adapters.netns import Netns
from multinet.daemon.app import multus_api
from multinet.daemon.exchange import Door
from multinet.daemon.multus_api.api import MultusApi
from multinet.daemon.server import Server
from tests.daemon.conftest import Daemon, Site, wait_for
from tests.leaks import nothing_left_open

TIMEOUT = 30.0


class UnixConnection(http.client.HTTPConnection):
    """The standard library's client, connected to a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("dummy", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = connect(self._path)


class Answer:
    """What came back."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def result(self) -> dict[str, Any]:
        """Of an ADD that succeeded."""
        assert self.status == 200, self.body
        result: dict[str, Any] = json.loads(self.body)["Result"]
        return result

    @property
    def error(self) -> tuple[int, str]:
        """Code and text of a CNI error."""
        assert self.status == 400, (self.status, self.body)
        error = json.loads(self.body)
        assert "cniVersion" not in error
        return error["code"], "; ".join(filter(None, (error["msg"], error.get("details"))))


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(TIMEOUT)
    connection.connect(path)
    return connection


class Caller:
    """Multus' shim, and a controller that plugs interfaces in, at one socket."""

    def __init__(self, site: Site, path: str, api: MultusApi) -> None:
        self.site, self.path, self.api = site, path, api

    def ask(self, method: str, url: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = UnixConnection(self.path)
        try:
            connection.request(method, url, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def env(self, verb: str, container: str, netns: Netns | str | None, **env: str | None) -> dict[str, str]:
        given = self.site.request(verb, container, netns, CNI_IFNAME="eth0").env | {"HOME": "/root"}
        given |= {key: value for key, value in env.items() if value is not None}
        return {key: value for key, value in given.items() if env.get(key, "") is not None}

    def message(
        self,
        verb: str,
        container: str = "c1",
        netns: Netns | str | None = None,
        conf: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        **env: str | None,
    ) -> bytes:
        whole = (
            {"cniVersion": "1.0.0", "name": "multus-cni-network", "type": "multus-shim"}
            if conf is None
            else conf
        )
        body: dict[str, Any] = {
            "env": self.env(verb, container, netns, **env),
            "config": b64encode(json.dumps(whole).encode()).decode(),
        }
        if attributes is not None:
            body["interfaceAttributes"] = attributes
        return json.dumps(body).encode()

    def cni(self, verb: str, *more: Any, **named: Any) -> Answer:
        return self.ask("POST", "/cni", self.message(verb, *more, **named))

    def delegate(self, verb: str, *more: Any, **named: Any) -> Answer:
        return self.ask("POST", "/delegate", self.message(verb, *more, **named))


@pytest.fixture
def serve(site: Site) -> Iterator[Callable[..., Caller]]:
    """Begin to serve, with options of the server."""
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="mn-") as short:

        def begin(overrides: Mapping[str, Any] | None = None, **options: Any) -> Caller:
            path = f"{short}/multus/multus.sock"
            site.options = replace(site.options, multus_socket=path, overrides=dict(overrides or {}))
            api = multus_api(site.app)
            assert api is not None
            server = Server([Door(path, api.exchange)], **options)
            server.start()
            servers.append(server)
            return Caller(site, path, api)

        yield begin
        for server in servers:
            server.stop()


@pytest.fixture
def caller(serve: Callable[..., Caller]) -> Caller:
    return serve()


class TestCni:
    def test_shim_to_daemon_round_trip_62(self, caller: Caller, site: Site, lab: Any) -> None:
        """As our own shim's calls: the pod's networks, its status, nothing left after DEL."""
        pod = lab.sandbox()
        site.nad("second", {"cniVersion": "1.0.0", "plugins": [site.bridge("10.1.0.0/24", bridge="br1")]})
        site.pod(networks="second")
        result = caller.cni("ADD", "c1", pod).result()
        assert [i["name"] for i in result["interfaces"] if i.get("sandbox")] == ["eth0"]
        assert result["cniVersion"] == "1.0.0"
        assert [one["interface"] for one in json.loads(site.status())] == ["eth0", "net1"]
        assert set(lab.links(pod)) == {"lo", "eth0", "net1"}
        checked = caller.cni("CHECK", "c1", pod)
        assert (checked.status, checked.body) == (200, b"")
        done = caller.cni("DEL", "c1", pod)
        assert (done.status, done.body) == (200, b"")
        assert caller.cni("DEL", "c1", pod).status == 200
        site.assert_clean(pod)

    def test_result_has_the_shape_of_1_0_0_5_59(self, caller: Caller, site: Site, lab: Any) -> None:
        """Whatever version its caller speaks: Multus' shim converts it itself."""
        pod = lab.sandbox()
        conf = {"cniVersion": "0.2.0", "name": "multus-cni-network", "type": "multus-shim"}
        result = caller.cni("ADD", "c1", pod, conf=conf).result()
        assert result["cniVersion"] == "1.0.0"
        assert any(one["name"] == "eth0" for one in result["interfaces"])
        assert "version" not in result["ips"][0]
        assert caller.cni("DEL", "c1", pod, conf=conf).status == 200

    def test_newer_version_keeps_its_keys(self, caller: Caller, site: Site, lab: Any) -> None:
        pod = lab.sandbox()
        conf = {"cniVersion": "1.1.0", "name": "multus-cni-network", "type": "multus-shim"}
        assert caller.cni("ADD", "c1", pod, conf=conf).result()["cniVersion"] == "1.1.0"
        assert caller.cni("DEL", "c1", conf=conf).status == 200

    def test_server_overrides_the_clients_configuration_3_13(
        self, serve: Callable[..., Caller], site: Site, lab: Any
    ) -> None:
        pod = lab.sandbox()
        site.recorders.make("ours")
        site.nad("ours", {"cniVersion": "1.0.0", "type": "ours"}, namespace="kube-system")
        caller = serve({"clusterNetwork": "ours"})
        theirs = {"cniVersion": "1.0.0", "name": "n", "type": "multus-shim", "clusterNetwork": "/no/such"}
        caller.cni("ADD", "c1", pod, conf={**theirs, "runtimeConfig": {"mac": "x"}}).result()
        assert site.recorders.asked("ADD") == [("ours", "ADD", "eth0")]
        assert caller.cni("DEL", "c1", pod, conf=theirs).status == 200
        assert site.recorders.asked("DEL") == [("ours", "DEL", "eth0")]

    def test_error_keeps_code_and_message_on_every_verb_5_60(
        self, caller: Caller, site: Site, lab: Any
    ) -> None:
        site.recorders.make("broken")
        site.recorders.fail("broken", "ADD", '{"code": 123, "msg": "told to fail", "details": "more"}')
        site.default_network({"type": "broken"})
        code, text = caller.cni("ADD", "c1", lab.sandbox()).error
        assert code == 123
        assert "told to fail" in text and text.endswith("more")

    def test_status_and_gc_need_no_pod_62(self, caller: Caller, site: Site) -> None:
        conf = {"cniVersion": "1.1.0", "name": "multus-cni-network", "type": "multus-shim"}
        for args in (None, ""):
            bare = {"CNI_CONTAINERID": None, "CNI_NETNS": None, "CNI_IFNAME": None, "CNI_ARGS": args}
            assert caller.cni("STATUS", "", conf=conf, **bare).status == 200
            assert caller.cni("GC", "", conf={**conf, "cni.dev/valid-attachments": []}, **bare).status == 200

    def test_status_error_is_typed_46(self, caller: Caller, site: Site) -> None:
        site.recorders.make("busy")
        site.recorders.fail("busy", "STATUS", '{"code": 50, "msg": "no uplink"}')
        site.default_network({"type": "busy"}, version="1.1.0")
        conf = {"cniVersion": "1.1.0", "name": "multus-cni-network", "type": "multus-shim"}
        assert caller.cni("STATUS", conf=conf).error == (50, "no uplink")

    def test_interface_is_eth0_unless_said_5_61(self, caller: Caller, site: Site, lab: Any) -> None:
        pod = lab.sandbox()
        caller.cni("ADD", "c1", pod, CNI_IFNAME=None).result()
        assert "eth0" in lab.links(pod)
        assert caller.cni("DEL", "c1", pod, CNI_IFNAME=None).status == 200
        site.assert_clean(pod)

    def test_path_is_the_nodes_when_the_caller_has_none(
        self, caller: Caller, site: Site, lab: Any, serve: Callable[..., Caller]
    ) -> None:
        """What Multus' daemon does with its binDir (5.64)."""
        pod = lab.sandbox()
        site.recorders.make("ours")
        site.default_network({"type": "ours"})
        site.close()
        site.options = replace(site.options, bin_dir=str(site.bin_dir))
        own = Caller(site, caller.path, caller.api)
        api = multus_api(site.app)
        assert api is not None
        with tempfile.TemporaryDirectory(prefix="mn-") as short:
            own.path = f"{short}/s"
            server = Server([Door(own.path, api.exchange)])
            server.start()
            own.cni("ADD", "c1", pod, CNI_PATH=None).result()
            assert own.cni("DEL", "c1", pod, CNI_PATH=None).status == 200
            server.stop()
        assert site.recorders.asked() == [("ours", "ADD", "eth0"), ("ours", "DEL", "eth0")]

    def test_missing_uid_is_looked_up_5_62(self, caller: Caller, site: Site, lab: Any) -> None:
        """A pod that can't be found is an error on ADD, and none on DEL."""
        args = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=nobody"
        code, text = caller.cni("ADD", "c1", lab.sandbox(), CNI_ARGS=args).error
        assert code == 104
        assert text.startswith("missing pod UID; attempted to recover it from the K8s API, but failed: ")
        assert caller.cni("DEL", "c1", CNI_ARGS=args).status == 200


class TestEnvironment:
    @pytest.mark.parametrize("path", ["/cni", "/delegate"])
    @pytest.mark.parametrize(
        ("env", "text"),
        [
            (
                {"CNI_COMMAND": None},
                "could not extract the CNI command args: unexpected or missing CNI_COMMAND",
            ),
            (
                {"CNI_COMMAND": ""},
                "could not extract the CNI command args: unexpected or missing CNI_COMMAND",
            ),
            ({"CNI_COMMAND": "FLY"}, "unknown cmd type: FLY"),
            ({"CNI_CONTAINERID": None}, "could not extract the CNI command args: missing CNI_CONTAINERID"),
            ({"CNI_NETNS": None}, "could not extract the CNI command args: missing CNI_NETNS"),
            ({"CNI_ARGS": None}, "could not extract the CNI command args: missing CNI_ARGS"),
            ({"CNI_ARGS": "a"}, "could not extract the kubernetes runtime args: invalid CNI_ARG 'a'"),
            ({"CNI_ARGS": "a=b=c"}, "could not extract the kubernetes runtime args: invalid CNI_ARG 'a=b=c'"),
            (
                {"CNI_ARGS": "K8S_POD_NAME=web"},
                "could not extract the kubernetes runtime args: missing K8S_POD_NAMESPACE",
            ),
            (
                {"CNI_ARGS": "K8S_POD_NAMESPACE=default"},
                "could not extract the kubernetes runtime args: missing K8S_POD_NAME",
            ),
        ],
    )
    def test_what_is_missing_is_named_5_61(
        self, caller: Caller, site: Site, path: str, env: dict[str, Any], text: str
    ) -> None:
        conf = {"cniVersion": "1.0.0", "name": "n", "type": "bridge"}
        assert caller.ask("POST", path, caller.message("ADD", conf=conf, **env)).error == (4, text)
        assert site.rows == []

    def test_gc_is_no_verb_of_a_delegate(self, caller: Caller) -> None:
        assert caller.delegate("GC").error == (4, "unknown cmd type: GC")

    def test_bad_container_id(self, caller: Caller) -> None:
        code, text = caller.cni("DEL", "../../etc").error
        assert (code, text.partition(";")[0]) == (4, "invalid characters in containerID")


class TestHttp:
    def test_health_and_readiness(self, caller: Caller) -> None:
        for path in ("/healthz", "/readyz", "/healthz?verbose"):
            for method in ("GET", "POST"):
                answer = caller.ask(method, path)
                assert (answer.status, answer.body) == (200, b"")
                assert answer.headers["Connection"] == "close"

    def test_not_ready_once_it_shuts_down(self, caller: Caller) -> None:
        caller.api.retire()
        assert caller.ask("GET", "/readyz").status == 500
        assert caller.ask("GET", "/healthz").status == 200

    def test_unknown_path(self, caller: Caller) -> None:
        for path in ("/", "/cni/", "/metrics"):
            assert caller.ask("GET", path).status == 404

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
    def test_wrong_method(self, caller: Caller, method: str) -> None:
        answer = caller.ask(method, "/cni")
        assert answer.status == 405
        assert method == "HEAD" or answer.body == b"Method not allowed\n"
        assert method == "GET" or caller.ask(method, "/readyz").status == 405

    def test_connection_ends_with_the_answer(self, caller: Caller) -> None:
        """Keep-alive is off, whatever the caller wishes."""
        with connect(caller.path) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: dummy\r\nConnection: keep-alive\r\n\r\n")
            data = b""
            while chunk := connection.recv(1 << 16):
                data += chunk
        assert data.startswith(b"HTTP/1.1 200 ") and b"connection: close" in data.lower()

    def test_chunked_body_in_single_bytes(self, caller: Caller, site: Site) -> None:
        body = caller.message("DEL")
        head = b"POST /cni HTTP/1.1\r\nHost: dummy\r\nTransfer-Encoding: chunked\r\n\r\n"
        with connect(caller.path) as connection:
            for byte in head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n":
                connection.sendall(bytes((byte,)))
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize(
        ("body", "code", "text"),
        [
            (b"", 6, "failed to decode the request: "),
            (b"{", 6, "failed to decode the request: "),
            (b"[]", 6, "failed to decode the request: "),
            (b'{"env": {"CNI_COMMAND": 1}}', 6, "$.env"),
            (b"\xff\xfe", 6, "failed to decode the request: "),
            (
                b'{"env": {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c"}, "config": "%%%"}',
                6,
                "$.config: no base64",
            ),
            (
                b'{"env": {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c"}, "config": "e30"}',
                6,
                "$.config: no base64",
            ),
            (b'{"env": {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c"}, "config": "Ww=="}', 6, "unmarshall"),
            (b'{"env": {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c"}, "config": null}', 6, "unmarshall"),
            (b'{"env": {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c"}, "config": "e30="}', 7, "network name"),
        ],
    )
    def test_body_that_says_nothing(self, caller: Caller, body: bytes, code: int, text: str) -> None:
        got, said = caller.ask("POST", "/cni", body).error
        assert got == code
        assert text in said

    def test_huge_body(self, caller: Caller) -> None:
        """Refused by what its head announces, and by what comes if the head announces nothing."""
        with connect(caller.path) as connection:
            connection.sendall(b"POST /cni HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999\r\n\r\n")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        with connect(caller.path) as connection:
            connection.sendall(b"POST /cni HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(200):
                    connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        assert caller.ask("GET", "/healthz").status == 200

    @pytest.mark.parametrize(
        "garbage",
        [
            b"\x00\x00\x00\x05hello",
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"POST /cni HTTP/1.1\r\nHost: d\r\nContent-Length: x\r\n\r\n",
            b"A" * 200_000,
        ],
    )
    def test_garbage(self, caller: Caller, garbage: bytes) -> None:
        with connect(caller.path) as connection:
            try:
                connection.sendall(garbage)
                answer = connection.recv(1 << 16)
            except (BrokenPipeError, ConnectionResetError):
                answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        assert caller.ask("GET", "/healthz").status == 200

    def test_slow_ones_hold_nobody_up(self, serve: Callable[..., Caller]) -> None:
        caller = serve(workers=1, nested_workers=1, receive_limit=1.0)
        half = b"POST /cni HTTP/1.1\r\nHost: d\r\nContent-Length: 500\r\n\r\n{"
        slow = [connect(caller.path) for _ in range(30)]
        for connection in slow:
            connection.sendall(half)
        assert caller.cni("DEL").status == 200
        for connection in slow:  # and each is ended in time
            assert connection.recv(100) == b""
            connection.close()

    def test_half_requests_leave_nothing(self, caller: Caller) -> None:
        with nothing_left_open():
            for _ in range(20):
                with connect(caller.path) as connection, open("/proc/self/ns/net", "rb") as namespace:
                    socket.send_fds(connection, [b"POST /cni HT"], [namespace.fileno()])
            assert caller.ask("GET", "/healthz").status == 200


class TestCallers:
    def test_socket_is_roots_alone(self, caller: Caller) -> None:
        assert stat.S_IMODE(os.stat(caller.path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(caller.path)).st_mode) == 0o700

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
    def test_other_users_are_refused_even_if_they_reach_it(self, caller: Caller) -> None:
        folder = os.path.dirname(caller.path)
        for path in (os.path.dirname(folder), folder):
            os.chmod(path, 0o755)
        os.chmod(caller.path, 0o666)
        other = (
            "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.settimeout(20)\n"
            "s.connect(sys.argv[1])\n"
            "try: s.sendall(b'GET /healthz HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n'); print(s.recv(100))\n"
            "except OSError as error: print(type(error).__name__)"
        )
        done = subprocess.run([sys.executable, "-c", other, caller.path], capture_output=True, text=True)
        assert done.stdout.strip() in ("b''", "ConnectionResetError", "BrokenPipeError"), done.stderr
        assert caller.ask("GET", "/healthz").status == 200

    def test_hang_up_undoes_the_add(self, caller: Caller, site: Site, lab: Any) -> None:
        pod = lab.sandbox()
        site.recorders.make("slow")
        release = site.recorders.hold("slow", "ADD")
        site.default_network(site.bridge("10.244.0.0/24"), {"type": "slow"})
        body = caller.message("ADD", "c1", pod)
        connection = connect(caller.path)
        connection.sendall(b"POST /cni HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: site.recorders.asked("ADD"))
        connection.close()
        release()
        wait_for(lambda: site.rows == [])
        site.assert_clean(pod)

    def test_dels_go_before_adds(self, serve: Callable[..., Caller], site: Site, lab: Any) -> None:
        """The same queue, the same order, as at our own socket."""
        caller = serve(workers=1)
        site.recorders.make("slow")
        site.default_network({"type": "slow"})
        assert caller.cni("ADD", "old", lab.sandbox()).status == 200
        release = site.recorders.hold("slow", "ADD")

        def one(verb: str, container: str) -> None:
            assert caller.cni(verb, container, lab_pod[container]).status == 200

        lab_pod = {name: lab.sandbox() for name in ("first", "second")} | {"old": None}
        threads = [threading.Thread(target=one, args=("ADD", "first"))]
        threads[0].start()
        wait_for(lambda: len(site.recorders.asked("ADD")) == 2)
        for verb, container in (("ADD", "second"), ("DEL", "old")):
            threads.append(threading.Thread(target=one, args=(verb, container)))
            threads[-1].start()
            time.sleep(0.2)  # so that they are in the queue in this order
        release()
        for thread in threads:
            thread.join(TIMEOUT)
        order = [f"{one.verb} {one.env['CNI_CONTAINERID']}" for one in site.recorders.calls]
        assert order == ["ADD old", "ADD first", "DEL old", "ADD second"]
        for container in ("first", "second"):
            assert caller.cni("DEL", container).status == 200


class TestDelegate:
    """One attachment of a running pod: 5.63, 8.10 to 8.14."""

    @pytest.fixture
    def running(self, caller: Caller, site: Site, lab: Any) -> Iterator[Netns]:
        """A pod that runs; its deletion leaves nothing, whatever a test has done."""
        pod: Netns = lab.sandbox()
        caller.cni("ADD", "c1", pod).result()
        yield pod
        assert caller.cni("DEL", "c1", pod).status == 200
        site.assert_clean(pod)

    def network(self, site: Site, **more: Any) -> dict[str, Any]:
        return {"cniVersion": "1.0.0", "name": "hot", **site.bridge("10.7.0.0/24", bridge="br1"), **more}

    def test_plugged_checked_and_unplugged(
        self, caller: Caller, site: Site, lab: Any, running: Netns
    ) -> None:
        """The pod's other interfaces, its status and its routes stay as they are."""
        before, status = site.routes(running), site.status()
        conf = self.network(site)
        answer = caller.delegate("ADD", "c1", running, conf=conf, CNI_IFNAME="net7", CNI_PATH=None)
        assert answer.result()["ips"][0]["address"].startswith("10.7.0.")
        assert set(lab.links(running)) == {"lo", "eth0", "net7"}
        assert before <= site.routes(running) and site.status() == status
        assert [(r.ifname, r.position, r.phase) for r in site.rows] == [
            ("eth0", 0, "ready"),
            ("net7", 1, "ready"),
        ]
        checked = caller.delegate("CHECK", "c1", running, conf=conf, CNI_IFNAME="net7")
        assert (checked.status, checked.body) == (200, b"")
        assert caller.cni("CHECK", "c1", running).status == 200
        assert caller.delegate("DEL", "c1", running, conf=conf, CNI_IFNAME="net7").status == 200
        assert set(lab.links(running)) == {"lo", "eth0"}
        assert site.routes(running) == before
        assert [r.ifname for r in site.rows] == ["eth0"]
        assert caller.cni("CHECK", "c1", running).status == 200
        assert caller.cni("DEL", "c1", running).status == 200
        site.assert_clean(running)

    def test_deletion_of_the_pod_takes_it_along_8_14(
        self, caller: Caller, site: Site, running: Netns
    ) -> None:
        """With Multus its addresses would be lost."""
        caller.delegate("ADD", "c1", running, conf=self.network(site), CNI_IFNAME="net7").result()
        assert any(name.startswith("hot/") for name in site.lease_files())
        assert caller.cni("DEL", "c1", running).status == 200
        site.assert_clean(running)

    def test_attributes(self, caller: Caller, site: Site, lab: Any, running: Netns) -> None:
        """As capabilities, as CNI_ARGS and in ``args.cni`` of the configuration."""
        site.recorders.make("seen")
        conf = {
            "cniVersion": "1.0.0",
            "name": "hot",
            "type": "seen",
            "capabilities": {"ips": True, "mac": True},
        }
        asked = {"ips": ["10.7.0.9/24"], "mac": "02:00:00:00:00:09", "cni-args": {"team": "red"}}
        caller.delegate("ADD", "c1", running, conf=conf, attributes=asked, CNI_IFNAME="net7").result()
        call = site.recorders.calls[-1]
        assert call.conf["runtimeConfig"] == {"ips": asked["ips"], "mac": asked["mac"]}
        assert call.conf["args"]["cni"] == {"team": "red"}
        assert "MAC=02:00:00:00:00:09;IP=10.7.0.9/24" in call.env["CNI_ARGS"]
        assert caller.delegate("DEL", "c1", running, conf=conf, CNI_IFNAME="net7").status == 200
        assert site.recorders.asked("DEL") == [("seen", "DEL", "net7")]
        assert caller.cni("DEL", "c1", running).status == 200

    def test_faulty_attributes(self, caller: Caller, site: Site, running: Netns) -> None:
        conf = self.network(site)
        for asked, text in (
            ({"ips": ["nowhere"]}, "$.interfaceAttributes.ips[0]"),
            ({"ips": "10.0.0.1"}, "$.interfaceAttributes.ips"),
            ({"mac": "no"}, "$.interfaceAttributes.mac"),
            ({"cni-args": []}, "$.interfaceAttributes.cni-args"),
        ):
            answer = caller.delegate("ADD", "c1", running, conf=conf, attributes=asked, CNI_IFNAME="net7")
            code, said = answer.error
            assert code == 7
            assert text in said
        assert [r.ifname for r in site.rows] == ["eth0"]

    def test_failed_add_leaves_the_pod_as_it_was(
        self, caller: Caller, site: Site, lab: Any, running: Netns
    ) -> None:
        site.recorders.make("broken")
        site.recorders.fail("broken", "ADD")
        conf: dict[str, Any] = {"cniVersion": "1.0.0", "name": "hot"}
        conf |= {"plugins": [site.bridge("10.7.0.0/24", bridge="br1"), {"type": "broken"}]}
        answer = caller.delegate("ADD", "c1", running, conf=conf, CNI_IFNAME="net7")
        assert answer.error[0] == 123
        assert set(lab.links(running)) == {"lo", "eth0"}
        assert [r.ifname for r in site.rows] == ["eth0"]
        assert not any(name.startswith("hot/") for name in site.lease_files())
        assert caller.cni("CHECK", "c1", running).status == 200

    def test_name_that_is_taken(self, caller: Caller, site: Site, lab: Any, running: Netns) -> None:
        conf = self.network(site)
        code, text = caller.delegate("ADD", "c1", running, conf=conf, CNI_IFNAME="eth0").error
        assert (code, "has interface eth0 attached already" in text) == (7, True)
        assert caller.cni("CHECK", "c1", running).status == 200

    def test_failed_del_is_told_and_retried(
        self, caller: Caller, site: Site, lab: Any, running: Netns
    ) -> None:
        """And nothing of the pod's other interfaces goes with the retry."""
        site.recorders.make("stuck")
        conf = {"cniVersion": "1.0.0", "name": "hot", "type": "stuck"}
        caller.delegate("ADD", "c1", running, conf=conf, CNI_IFNAME="net7").result()
        site.recorders.fail("stuck", "DEL")
        assert caller.delegate("DEL", "c1", running, conf=conf, CNI_IFNAME="net7").error[0] == 123
        assert [(r.ifname, r.phase) for r in site.rows] == [("eth0", "ready"), ("net7", "deleting")]
        assert site.app.handler.retry_removals() == 1
        site.recorders.succeed("stuck", "DEL")
        assert site.app.handler.retry_removals() == 0
        assert [(r.ifname, r.phase) for r in site.rows] == [("eth0", "ready")]
        assert caller.cni("CHECK", "c1", running).status == 200

    def test_unplugged_though_nobody_recorded_it(
        self, caller: Caller, site: Site, lab: Any, running: Netns
    ) -> None:
        """By the configuration that comes with the call: Multus keeps none of hot-plugged networks."""
        conf = self.network(site)
        caller.delegate("ADD", "c1", running, conf=conf, CNI_IFNAME="net7").result()
        site.app.journal.forget([record for record in site.rows if record.ifname == "net7"])
        assert caller.delegate("DEL", "c1", running, conf=conf, CNI_IFNAME="net7").status == 200
        assert set(lab.links(running)) == {"lo", "eth0"}
        assert [r.ifname for r in site.rows] == ["eth0"]
        assert not any(name.startswith("hot/") for name in site.lease_files())

    def test_death_in_the_middle_of_plugging_in(
        self, caller: Caller, site: Site, lab: Any, running: Netns
    ) -> None:
        """What was begun is undone; the pod keeps what it had."""
        record = replace(site.rows[0], ifname="net7", position=1, applied={}, result=None)
        site.app.journal.begin([record])
        site.app.handler.recover()
        assert [(r.ifname, r.phase) for r in site.rows] == [("eth0", "ready")]
        assert set(lab.links(running)) == {"lo", "eth0"}
        assert caller.cni("CHECK", "c1", running).status == 200

    def test_check_of_nothing(self, caller: Caller, site: Site, running: Netns) -> None:
        code, text = caller.delegate("CHECK", "c1", running, conf=self.network(site), CNI_IFNAME="net9").error
        assert (code, text) == (3, "container c1 has no attachment net9 on this node: nothing to check")

    def test_status_of_a_network(self, caller: Caller, site: Site) -> None:
        conf = {**self.network(site), "cniVersion": "1.1.0"}
        assert caller.delegate("STATUS", conf=conf).status == 200

    def test_meta_plugin_is_no_delegate(self, caller: Caller, site: Site, running: Netns) -> None:
        code, text = caller.delegate("ADD", "c1", running, CNI_IFNAME="net7").error
        assert code == 7
        assert "is multinet itself" in text
        assert [r.ifname for r in site.rows] == ["eth0"]


class TestWholeDaemon:
    def test_both_sockets(self, site: Site, daemon: Daemon, lab: Any, tmp_path_factory: Any) -> None:
        """A pod added by Multus' shim is deleted by ours; the socket is gone when the daemon is."""
        pod = lab.sandbox()
        with tempfile.TemporaryDirectory(prefix="mn-") as short:
            path = f"{short}/multus.sock"
            daemon.start(f"--multus-socket={path}")
            caller = Caller(site, path, None)  # type: ignore[arg-type]  # the API is another process
            assert caller.ask("GET", "/readyz").status == 200
            caller.cni("ADD", "c1", pod).result()
            daemon.ok("DEL", "c1", pod)
            daemon.stop()
            assert not Path(path).exists()
        site.assert_clean(pod)

    def test_multus_own_configuration_file(
        self, site: Site, daemon: Daemon, lab: Any, tmp_path: Path
    ) -> None:
        """``--config``: the socket, and keys that count before the callers' own (3.13)."""
        pod = lab.sandbox()
        daemon.site.recorders.make("ours")
        site.nad("ours", {"cniVersion": "1.0.0", "type": "ours"}, namespace="networks")
        with tempfile.TemporaryDirectory(prefix="mn-") as short:
            config = tmp_path / "daemon-config.json"
            content = {
                "socketDir": short,
                "clusterNetwork": "ours",
                "multusNamespace": "networks",
                "logFile": "/x",
            }
            config.write_text(json.dumps(content))
            daemon.start(f"--config={config}")
            caller = Caller(site, f"{short}/multus.sock", None)  # type: ignore[arg-type]
            caller.cni("ADD", "c1", pod).result()
            daemon.ok("ADD", "c2", lab.sandbox())
            assert site.recorders.asked("ADD") == [("ours", "ADD", "eth0")] * 2
            daemon.ok("DEL", "c1", pod)
            daemon.ok("DEL", "c2")
            daemon.stop()
        assert f"{config}: $.logFile: has no effect" in daemon.log.read_text()
