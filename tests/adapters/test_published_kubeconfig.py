"""The kubeconfig for other plugins (multi-network 6.3, 67): its text, when it is written, and that it works."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from multinet.adapters.cluster_kubernetes import KubernetesCluster
from multinet.adapters.kubernetes_config import BadCredentials, KubernetesConfig
from multinet.adapters.published_kubeconfig import PublishedKubeconfig
from multinet.cni.errors import InvalidConfig

from .apiserver import APIServer
from .authority import Authority
from .objects import eventually

TEXT = """\
apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: "https://10.96.0.1:443"
    certificate-authority-data: YXV0aG9yaXRpZXM=
users:
- name: multus
  user:
    token: "first"
contexts:
- name: multus-context
  context:
    cluster: local
    user: multus
current-context: multus-context
"""


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("first\n")
    (folder / "ca.crt").write_text("authorities")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.delenv("KUBERNETES_SERVICE_PROTOCOL", raising=False)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.d" / "multus.d" / "multus.kubeconfig"


@pytest.fixture
def published(account: Path, path: Path) -> PublishedKubeconfig:
    return PublishedKubeconfig(KubernetesConfig(node="n1", service_account=str(account)), str(path))


def test_its_text(published: PublishedKubeconfig, path: Path) -> None:
    assert published.refresh()
    assert path.read_text() == TEXT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert os.listdir(path.parent) == [path.name]


def test_it_is_written_when_token_or_authorities_change_or_somebody_touched_it_and_only_then(
    published: PublishedKubeconfig, account: Path, path: Path
) -> None:
    assert published.refresh()
    before = path.stat()
    assert not published.refresh()
    for name, content in (("token", "second"), ("ca.crt", "others")):
        (account / name).write_text(content)
        assert published.refresh()
        assert not published.refresh()
    assert yaml.safe_load(path.read_text())["users"][0]["user"]["token"] == "second"
    path.unlink()
    assert published.refresh()
    assert path.stat().st_ino != before.st_ino or path.stat().st_ctime_ns != before.st_ctime_ns


def test_a_new_daemon_leaves_a_file_that_is_right(
    published: PublishedKubeconfig, account: Path, path: Path
) -> None:
    published.refresh()
    before = path.stat()
    again = PublishedKubeconfig(KubernetesConfig(node="n1", service_account=str(account)), str(path))
    assert not again.refresh()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_new_file_left_by_a_crash_is_no_hindrance(published: PublishedKubeconfig, path: Path) -> None:
    path.parent.mkdir(parents=True)
    left = path.with_name(path.name + ".new")
    left.write_text("half")
    left.chmod(0o644)
    assert published.refresh()
    assert path.read_text() == TEXT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not left.exists()


@pytest.mark.parametrize(
    ("host", "protocol", "server"),
    [
        ("fd00::1", "", "https://[fd00::1]:443"),
        ("10.96.0.1", "http", "http://10.96.0.1:443"),
        ("api.example", "", "https://api.example:443"),
    ],
)
def test_the_address(
    published: PublishedKubeconfig,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    protocol: str,
    server: str,
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PROTOCOL", protocol)
    published.refresh()
    assert yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"] == server


@pytest.mark.parametrize("name", ["token", "ca.crt"])
@pytest.mark.parametrize("state", ["missing", "empty"])
def test_a_service_account_that_is_not_whole_leaves_the_file_as_it_was(
    published: PublishedKubeconfig, account: Path, path: Path, name: str, state: str
) -> None:
    published.refresh()
    (account / name).unlink()
    if state == "empty":
        (account / name).touch()
    with pytest.raises(BadCredentials, match=name):
        published.refresh()
    assert path.read_text() == TEXT


def test_it_needs_a_service_account(path: Path) -> None:
    with pytest.raises(InvalidConfig, match="service account"):
        PublishedKubeconfig(KubernetesConfig(node="n1", kubeconfig="/x"), str(path))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[APIServer]:
    (tmp_path / "authority").mkdir()
    with APIServer(Authority(tmp_path / "authority").server_context()) as running:
        yield running


def test_others_reach_the_api_by_it_over_rotations(
    tmp_path: Path, account: Path, path: Path, server: APIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.tokens = {"first"}
    (account / "ca.crt").write_bytes((tmp_path / "authority" / "ca.crt").read_bytes())
    config = KubernetesConfig(node="n1", service_account=str(account), api_server=server.url)
    published = PublishedKubeconfig(config, str(path), every=0.05)
    published.start()
    try:
        eventually(path.exists)
        other = KubernetesCluster(
            KubernetesConfig(node="n1", kubeconfig=str(path), retry_base=0.05, retry_cap=0.2)
        )
        try:
            assert other.synced(10), other.problem
            authority = yaml.safe_load(path.read_text())["clusters"][0]["cluster"]
            assert b"BEGIN CERTIFICATE" in base64.b64decode(authority["certificate-authority-data"])
            (account / "token").write_text("second")
            server.tokens = {"second"}
            eventually(lambda: "second" in path.read_text())
            server.end_watches()
            eventually(lambda: server.watches_open == 2 and other.problem == "")
        finally:
            other.close()
    finally:
        published.stop()
    assert not published._thread.is_alive()
