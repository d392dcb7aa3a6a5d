"""containerd and runc of Debian on a throw-away node, at their usual paths."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

from tests.runtime.cri import Cri
from tests.runtime.node import Node

SOCKET = "/run/containerd/containerd.sock"
_IMAGE = "multinet.test/pause:1"
_CONFIG = f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{_IMAGE}"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
"""
_CONFIG_FILE = "/run/containerd/config.toml"
_PAUSE = Path(__file__).with_name("pause.c")


def missing() -> str:
    """What of it isn't installed here; empty if all is."""
    lacking = [name for name in ("containerd", "ctr", "runc", "musl-gcc") if shutil.which(name) is None]
    return f"not installed: {', '.join(lacking)} (tools/debian-packages)" if lacking else ""


class Containerd:
    """The runtime as a process; it may be ended and started again, the sandboxes live on."""

    def __init__(self, node: Node, folder: Path) -> None:
        """``folder`` is for its log and what it needs; nothing runs yet."""
        self.node = node
        self.log = folder / "containerd.log"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.cri: Cri
        node.write(_CONFIG_FILE, _CONFIG)

    def start(self) -> None:
        """Start it, and wait until it serves."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.node.command("containerd", "--config", _CONFIG_FILE), stdout=log, stderr=log
            )
        socket = self.node.path(SOCKET)
        until = time.monotonic() + 60
        while not socket.exists():
            assert self._process.poll() is None and time.monotonic() < until, self.log.read_text()
            time.sleep(0.01)
        self.cri = Cri(socket, self.node.cgroup)
        self.cri.wait_until_ready(until)
        if not self.node.run("ctr", "-a", SOCKET, "-n", "k8s.io", "images", "list", "--quiet"):
            self._import_image()

    def stop(self) -> None:
        """SIGTERM, as an upgrade of it does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            self.kill()

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self.cri.close()
        self._process.send_signal(number)
        self._process.wait(30)
        self._process = None
        self.node.path(SOCKET).unlink(missing_ok=True)  # so that the next start is seen

    def _import_image(self) -> None:
        program = self._folder / "pause"
        subprocess.run(["musl-gcc", "-static", "-Os", "-s", "-o", program, _PAUSE], check=True)
        archive = self._folder / "pause.tar"
        archive.write_bytes(_image(program.read_bytes()))
        self.node.run("ctr", "-a", SOCKET, "-n", "k8s.io", "images", "import", archive)


def _image(program: bytes) -> bytes:
    """An image of one layer with that one program, as ``docker save`` writes it."""
    layer = _tar({"pause": program}, mode=0o755)
    digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [_IMAGE], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "manifest.json": json.dumps(manifest).encode(),
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
        }
    )


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
