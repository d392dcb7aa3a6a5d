"""Metrics of a daemon process, scraped over HTTP and read by Prometheus' own parser."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text_metrics

from multinet.core.listening import listening_address
from multinet.daemon.metrics.listener import MetricsListener
from multinet.daemon.metrics.measurements import Measurements
from tests.daemon.conftest import Daemon, Site

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "multinet.rules.yaml"
PAGE = ROOT / "docs" / "reference" / "metrics.md"


class Scraped:
    """The answer to one scrape."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_metrics(text)}
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self._values.get((name, frozenset(labels.items())))


class Target:
    """A daemon's port, in the namespace of its host."""

    def __init__(self, site: Site, daemon: Daemon) -> None:
        self._site = site
        found = re.findall(r"metrics on port (\d+)", daemon.log.read_text())
        self.port = int(found[-1])

    def connect(self) -> socket.socket:
        with self._site.lab.host.entered():
            return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(
        self, method: str = "GET", path: str = "/metrics", body: bytes | None = None, **headers: str
    ) -> tuple[int, str, str]:
        """Status, content type and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.sock = self.connect()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers.get("Content-Type", ""), response.read().decode()
        finally:
            connection.close()

    def scrape(self) -> Scraped:
        status, _, text = self.ask()
        assert status == 200, text
        return Scraped(text)


@pytest.fixture
def daemon(site: Site, shim_file: Path) -> Iterator[Daemon]:
    daemon = Daemon(site, shim_file)
    site.lab.run("ip", "link", "set", "lo", "up")
    try:
        yield daemon
    finally:
        daemon.stop()


@pytest.fixture
def target(site: Site, daemon: Daemon) -> Target:
    daemon.start("--metrics=127.0.0.1:0", f"--multus-socket={Path(site.options.socket).parent}/multus.sock")
    site.wait_for(lambda: "metrics on port" in daemon.log.read_text())
    return Target(site, daemon)


@pytest.mark.kernel
class TestDaemon:
    def test_calls_plugins_and_failures(self, site: Site, daemon: Daemon, target: Target) -> None:
        site.recorders.make("rec")
        site.nad("second", {"cniVersion": "1.0.0", "type": "rec"})
        site.pod(networks="second")
        before = target.scrape()
        assert before.value("multinet_request_duration_seconds_count", kind="pod", verb="ADD") is None
        assert before.value("multinet_attachments", phase="ready") == 0
        sandbox = site.lab.sandbox()
        assert daemon.shim("ADD", "c1", sandbox).exit_code == 0
        after = target.scrape()
        assert after.value("multinet_request_duration_seconds_count", kind="pod", verb="ADD") == 1
        for plugin in ("bridge", "host-local", "rec"):
            assert after.value("multinet_plugin_duration_seconds_count", plugin=plugin, verb="ADD") == 1
        whole = after.value("multinet_request_duration_seconds_sum", kind="pod", verb="ADD") or 0.0
        bridge = after.value("multinet_plugin_duration_seconds_sum", plugin="bridge", verb="ADD") or 0.0
        ipam = after.value("multinet_plugin_duration_seconds_sum", plugin="host-local", verb="ADD") or 0.0
        assert 0 < ipam < bridge < whole
        assert after.value("multinet_attachments", phase="ready") == 2
        assert "multinet_request_failures" not in {f.name for f in after.families.values() if f.samples}

        site.recorders.fail("rec", "ADD", '{"code": 11, "msg": "later"}')
        assert daemon.shim("ADD", "c2", site.lab.sandbox()).exit_code == 1
        site.recorders.fail("rec", "ADD", '{"code": 123, "msg": "told to fail"}')
        assert daemon.shim("ADD", "c3", site.lab.sandbox()).exit_code == 1
        assert daemon.shim("DEL", "c1", sandbox).exit_code == 0
        end = target.scrape()
        assert end.value("multinet_request_duration_seconds_count", kind="pod", verb="ADD") == 3
        assert end.value("multinet_request_duration_seconds_count", kind="pod", verb="DEL") == 1
        assert end.value("multinet_request_failures_total", kind="pod", verb="ADD", code="11") == 1
        assert end.value("multinet_plugin_failures_total", plugin="rec", verb="ADD", code="11") == 1
        assert end.value("multinet_plugin_failures_total", plugin="rec", verb="ADD", code="other") == 1
        assert end.value("multinet_attachments", phase="ready") == 0

    def test_plugin_by_its_own_name(self, site: Site, daemon: Daemon, target: Target) -> None:
        daemon.install("host-local")
        conf = {"cniVersion": "1.0.0", "name": "n", "type": "host-local", "ipam": {"type": "host-local"}}
        response = daemon.shim("STATUS", conf={**conf, "cniVersion": "1.1.0"}, program="host-local")
        assert response.exit_code in (0, 1)
        scraped = target.scrape()
        assert scraped.value("multinet_request_duration_seconds_count", kind="plugin", verb="STATUS") == 1

    def test_removals_that_wait(self, site: Site, daemon: Daemon, target: Target) -> None:
        site.recorders.make("rec")
        site.nad("second", {"cniVersion": "1.0.0", "type": "rec"})
        site.pod(networks="second")
        sandbox = site.lab.sandbox()
        assert daemon.shim("ADD", "c1", sandbox).exit_code == 0
        site.recorders.fail("rec", "DEL")
        assert daemon.shim("DEL", "c1", sandbox).exit_code == 0
        assert target.scrape().value("multinet_attachments", phase="deleting") == 1
        site.recorders.succeed("rec", "DEL")

    def test_node(self, site: Site, target: Target) -> None:
        scraped = target.scrape()
        assert scraped.value("multinet_node_ready") == 1
        assert scraped.value("multinet_spooled_removals") == 0
        assert scraped.value("multinet_calls_waiting", queue="calls") == 0
        assert scraped.value("multinet_dhcp_leases", state="bound") == 0
        assert (scraped.value("process_resident_memory_bytes") or 0) > 10_000_000
        # What isn't looked at is not told as if all were well.
        assert not {"multinet_slot_in_place", "multinet_pods_without_networks"} & scraped.families.keys()

    def test_multus_socket_5_66(self, site: Site, target: Target) -> None:
        def ask(method: str, path: str) -> int:
            connection = http.client.HTTPConnection("multus")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(f"{Path(site.options.socket).parent}/multus.sock")
            connection.request(method, path, b"{}")
            status = connection.getresponse().status
            connection.close()
            return status

        asked = [
            ("GET", "/healthz"),
            ("GET", "/healthz"),
            ("POST", "/cni"),
            ("BREW", "/cni"),
            ("GET", "/tea"),
        ]
        assert [ask(*one) for one in asked] == [200, 200, 400, 405, 404]
        scraped = target.scrape()
        counted = {
            (s.labels["handler"], s.labels["code"], s.labels["method"]): s.value
            for s in scraped.families["multus_server_request"].samples
            if s.name == "multus_server_request_total"
        }
        assert counted == {
            ("/healthz", "200", "get"): 2,
            ("/cni", "400", "post"): 1,
            ("/cni", "405", "unknown"): 1,
            ("NotFound", "404", "get"): 1,
        }

    def test_nothing_else_is_served(self, target: Target) -> None:
        assert target.ask(path="/")[0] == 404
        assert target.ask(path="/debug/pprof/")[0] == 404
        assert target.ask("POST")[0] == 405
        assert target.ask("POST", body=b"x")[0] == 413
        assert target.ask()[1].startswith("text/plain; version=0.0.4")
        status, content_type, text = target.ask(Accept="application/openmetrics-text; version=1.0.0")
        assert (status, content_type.split(";")[0]) == (200, "application/openmetrics-text")
        assert "multinet_build" in {family.name for family in open_metrics(text)}

    def test_who_only_keeps_connections_open_keeps_nobody_out(self, target: Target) -> None:
        idle = [target.connect() for _ in range(40)]
        try:
            assert target.scrape().value("multinet_node_ready") == 1
        finally:
            for one in idle:
                one.close()

    def test_page_has_every_metric(self, target: Target) -> None:
        """And no other; what this daemon has no reason to tell is in the page's second table alone."""
        scraped = target.scrape()
        exposed = {name for name in scraped.families if name.startswith(("multinet_", "multus_"))}
        page = PAGE.read_text()
        for name in exposed:
            family = scraped.families[name]
            listed = f"{name}_total" if family.type == "counter" else name
            assert f"| `{listed}` | {family.type} |" in page, listed


class TestWithoutMetrics:
    @pytest.mark.kernel
    def test_library_is_not_even_loaded(self, site: Site, daemon: Daemon) -> None:
        daemon.start()
        assert "metrics on port" not in daemon.log.read_text()
        assert not [
            t for t in Path(f"/proc/{daemon.pid}/task").glob("*/comm") if t.read_text() == "metrics\n"
        ]
        code = "import sys, multinet.daemon.app; sys.exit('prometheus_client' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_alerts_fire_when_they_should_and_only_then() -> None:
    test = RULES.with_name("multinet.rules.test.yaml")
    done = subprocess.run(
        ["promtool", "test", "rules", test.name], cwd=test.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_use_metrics_that_there_are() -> None:
    used = set(re.findall(r"\bmultinet_\w+", RULES.read_text()))
    listed = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
    assert {re.sub(r"_(bucket|count)$", "", name) for name in used} <= listed


def test_labels_are_few() -> None:
    """What users write, and what plugins answer, can't make series without end."""
    measurements = Measurements()
    for number in range(1000):
        measurements.plugin(f"p{number}", "ADD", 0.1, 1000 + number)
        measurements.request("pod", f"V{number}", 0.1, 2000 + number)
    plugins = {
        s.labels["plugin"] for f in measurements.registry.collect() for s in f.samples if "plugin" in s.labels
    }
    assert len(plugins) == 65 and "other" in plugins
    codes = {
        s.labels["code"] for f in measurements.registry.collect() for s in f.samples if "code" in s.labels
    }
    assert codes == {"other"}


@pytest.mark.parametrize(
    ("text", "means"),
    [("9090", ("", 9090)), ("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:9090", ("::1", 9090))],
)
def test_addresses(text: str, means: tuple[str, int]) -> None:
    assert listening_address(text) == means


@pytest.mark.parametrize("text", ["", "x", "70000", "::1:90", "localhost:90", "1.2.3.4", ":90", "[::1]"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):
        listening_address(text)


def test_port_that_is_taken_is_named(lab: Any) -> None:
    from multinet.cni.errors import CNIError

    with lab.host.entered(), socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            CNIError, match=f"--metrics {where}: cannot listen there: address already in use"
        ) as told:
            MetricsListener(where, Measurements().registry)
    assert told.value.code == 5
