"""The container image, built and run: the manifests' containers on a node of its own, under its containerd."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from multinet import __version__
from tests.debian.turns import alone
from tests.deploy.conftest import DEPLOY, ROOT
from tests.deploy.containers import CTR, Container, run
from tests.runtime.clusters import Api
from tests.runtime.containerd import missing
from tests.runtime.node import Node
from tests.runtime.worker import BIN_DIR, CONF_DIR, CONF_FILE, Worker, bridge, single, wait_for

CACHE = ROOT / ".cache" / "image"
TAG = f"localhost/multinet:{__version__}"

pytestmark = [pytest.mark.runtime, pytest.mark.kernel]


@pytest.fixture(scope="module")
def image() -> Path:
    """The archive; built anew when anything that goes into it has changed."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if problem := missing():
        pytest.skip(problem)
    for tool in ("buildah", "mmdebstrap", "/usr/lib/cni/bridge"):
        if shutil.which(tool) is None:
            pytest.skip(f"not installed: {tool} (tools/debian-packages)")
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"tested-{digest()}.tar"
    with alone(CACHE / "tested.lock", "waiting for another run to build the image"):
        if not archive.exists():
            for old in CACHE.glob("tested-*.tar"):
                old.unlink()
            done = subprocess.run(
                [DEPLOY / "image" / "build", "--tag", TAG, archive],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    return archive


def digest() -> str:
    """Of what goes into the image."""
    files = [path for path in (ROOT / "multinet").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    files += [path for path in (DEPLOY / "image").iterdir() if path.is_file()]
    content = hashlib.sha256()
    for path in sorted(files):
        content.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return content.hexdigest()[:16]


def object_of(manifest: str, kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / manifest).read_text())
    found: dict[str, Any] = next(one for one in documents if one["kind"] == kind)
    return found


def pod_of(manifest: str) -> dict[str, Any]:
    pod: dict[str, Any] = object_of(manifest, "DaemonSet")["spec"]["template"]["spec"]
    return pod


class Deployed:
    """A node on which the DaemonSet's pod runs, of a cluster with an apiserver."""

    def __init__(self, node: Node, api: Api, folder: Path) -> None:
        self.node = node
        self.worker = Worker(node, api, folder)
        self.folder = folder
        self.pod = pod_of("multinet.yaml")

    def begin(self, image: Path) -> None:
        """The runtime, with the image."""
        # As systemd has it on every node; without it no mount would arrive in containers.
        self.node.run("mount", "--make-rshared", "/")
        self.worker.default_network()
        shutil.copy("/usr/lib/cni/loopback", self.node.path(BIN_DIR))  # the runtime's own demand
        self.worker.containerd.start()
        self.node.run(*CTR, "images", "import", image)

    def install(self) -> Container:
        """The init container, run to its end."""
        (container,) = self.pod["initContainers"]
        done = run(self.node, self.pod, container, TAG, self.folder / "install.log")
        assert done.wait() == 0, done.log
        return done

    def start(self) -> Container:
        """The daemon's container, ready, and the runtime's configuration in place."""
        (container,) = self.pod["containers"]
        for name, content in object_of("multinet.yaml", "ConfigMap")["data"].items():
            self.node.write(f"/etc/multinet/{name}", content)
        daemon = run(
            self.node,
            self.pod,
            container,
            TAG,
            self.folder / "daemon.log",
            more=["--kubeconfig=/etc/multinet/kubeconfig"],
            volumes={"config": "/etc/multinet"},
        )
        daemon.until(container["livenessProbe"]["exec"]["command"])
        daemon.until(container["readinessProbe"]["exec"]["command"])
        wait_for(lambda: self.node.path(CONF_FILE).exists())
        wait_for(lambda: '"multinet"' in self.worker.cni_config())
        return daemon

    def uninstall(self) -> Container:
        pod = pod_of("uninstall.yaml")
        (container,) = pod["initContainers"]
        return run(self.node, pod, container, TAG, self.folder / "uninstall.log")

    def tree(self) -> dict[str, tuple[int, bytes]]:
        """Every entry of the node's folders that an installation changes: mode and content."""
        return {
            str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
            for folder in (BIN_DIR, CONF_DIR, "/var/lib/multinet")
            for path in self.node.path(folder).rglob("*")
        }


@pytest.fixture
def deployed(image: Path, tmp_path: Path) -> Iterator[Deployed]:
    folder = tmp_path / "node"
    folder.mkdir()
    with Node(tmp_path / "disk") as node:
        api = Api(node)
        deployed = Deployed(node, api, folder)
        try:
            deployed.begin(image)
            yield deployed
        finally:
            deployed.worker.close()
            api.close()
    shutil.rmtree(tmp_path / "disk")


def test_the_daemonset_serves_pods_and_leaves_the_node_as_it_was(deployed: Deployed) -> None:
    node, worker = deployed.node, deployed.worker
    before = deployed.tree()

    said = deployed.install().log
    assert "installed multinet in /opt/cni/bin: the shim (" in said
    version = node.run(f"{BIN_DIR}/multinet", "--version")
    assert version == f"multinet {__version__}\n"

    daemon = deployed.start()
    worker.cluster.nad("storage", single(**bridge("10.9.0.0/24", name="br1")))
    # A plugin of the node's own: it finds the node's files in its root, not the image's.
    node.write(f"{BIN_DIR}/ours", "#!/bin/bash\ncat >/dev/null; cat /run/only-on-the-node\n")
    node.path(f"{BIN_DIR}/ours").chmod(0o755)
    node.write("/run/only-on-the-node", '{"cniVersion": "1.0.0", "ips": [{"address": "10.8.0.1/24"}]}\n')
    worker.cluster.nad("external", single(type="ours"))
    # Another opens the pod's namespace by its path, which has been mounted since the daemon started.
    shutil.copy("/usr/lib/cni/bridge", node.path(f"{BIN_DIR}/reference-bridge"))
    shutil.copy("/usr/lib/cni/host-local", node.path(BIN_DIR))
    worker.cluster.nad(
        "reference", single(**{**bridge("10.7.0.0/24", name="br2"), "type": "reference-bridge"})
    )
    pod = worker.start("web", "storage, external, reference")
    assert pod.links() == {"lo", "eth0", "net1", "net3"}
    networks = ["cbr0", "default/storage", "default/external", "default/reference"]
    assert [one["name"] for one in pod.status] == networks
    assert pod.status[2]["ips"] == ["10.8.0.1"]
    assert pod.addresses("net3") == {f"{pod.status[3]['ips'][0]}/24"}

    assert peak_memory(node, daemon) < 128 << 20  # half of its limit; the rest is for external plugins
    refused = deployed.uninstall()  # as long as a pod is attached, or the daemon serves
    assert (refused.wait(), "delete these pods first" in refused.log) == (1, True)
    pod.remove()
    assert daemon.terminate() == 0, daemon.log
    worker.assert_clean()

    done = deployed.uninstall()
    assert done.wait() == 0, done.log
    for name in ("ours", "reference-bridge", "host-local"):
        node.path(f"{BIN_DIR}/{name}").unlink()
    assert deployed.tree() == before


def peak_memory(node: Node, container: Container) -> int:
    """Bytes that its control group had at most, by either version of control groups."""
    names = ("memory.peak", "memory.max_usage_in_bytes")
    group = next(path for path in node.pod_groups() if path.name == container.name and memory(path, names))
    return memory(group, names)


def memory(group: Path, names: tuple[str, ...]) -> int:
    return next((int((group / name).read_text()) for name in names if (group / name).exists()), 0)


def test_every_module_and_library_is_in_the_image(deployed: Deployed) -> None:
    """Whatever multinet imports, at once or when it is needed; the back end of each packet filter."""
    code = (
        "import ctypes, importlib, pkgutil, multinet\n"
        "tests = ('multinet.testkit.plugin', 'multinet.bench', 'multinet.__main__')\n"
        "for module in pkgutil.walk_packages(multinet.__path__, 'multinet.'):\n"
        "    if not module.name.startswith(tests): importlib.import_module(module.name)\n"
        "import cryptography.x509, jeepney, kubernetes.client.rest, kubernetes.config, yaml\n"
        "ctypes.CDLL('libnftables.so.1')\n"
    )
    words = [*CTR, "run", "--rm", "--net-host", TAG]
    deployed.node.run(*words, "modules", "python3", "-I", "-c", code)
    for number, program in enumerate(("iptables", "ip6tables", "iptables-legacy", "iptables-restore")):
        assert "v1." in deployed.node.run(*words, f"filter{number}", program, "--version")


def test_the_probes_fail_without_a_daemon(deployed: Deployed) -> None:
    probe = "/usr/libexec/multinet/probe"
    script = f"for what in alive ready; do {probe} $what; code=$?; echo; echo $code $what; done"
    words = [*CTR, "run", "--rm", "--net-host", TAG, "probes", "sh", "-c", script]
    said = deployed.node.run(*words).splitlines()
    assert [line for line in said if line[:1].isdigit()] == ["1 alive", "1 ready"]
    assert sum("daemon is not reachable at /run/multinet/multinet.sock" in line for line in said) == 2


def test_an_upgrade_of_the_pod_loses_no_call(deployed: Deployed) -> None:
    """The old daemon ends, the new one installs and takes over the journal; a DEL between is carried out."""
    worker = deployed.worker
    deployed.install()
    daemon = deployed.start()
    first, second = worker.start("first"), worker.start("second")
    assert daemon.terminate() == 0, daemon.log
    first.remove()
    assert len(worker.spooled()) > 0
    deployed.install()
    again = deployed.start()
    assert {row.container_id for row in worker.rows} == {second.id}
    second.remove()
    assert again.terminate() == 0, again.log
    worker.assert_clean()
