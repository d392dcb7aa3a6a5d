"""Device information files in real folders (5.43 to 5.45)."""

from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from multinet.adapters.device_info_files import DeviceInfoFiles

PCI = {
    "type": "pci",
    "version": "1.1.0",
    "pci": {"pci-address": "0000:03:02.1", "pf-pci-address": "0000:03:00.0"},
}
RESOURCE, DEVICE = "intel.com/net_a", "0000:03:02.1"


@pytest.fixture
def dp(tmp_path: Path) -> Path:
    (tmp_path / "dp").mkdir()
    return tmp_path / "dp"


@pytest.fixture
def files(tmp_path: Path, dp: Path) -> DeviceInfoFiles:
    """The folder for networks isn't there yet."""
    return DeviceInfoFiles(str(dp), str(tmp_path / "run" / "cni"))


def publish(dp: Path, content: Any = PCI) -> None:
    """As a device plugin does it."""
    text = content if isinstance(content, str) else json.dumps(content)
    (dp / "intel.com-net_a-0000:03:02.1-device.json").write_text(text)


def test_what_the_device_plugin_says_reaches_the_network(
    tmp_path: Path, dp: Path, files: DeviceInfoFiles
) -> None:
    publish(dp)
    path = files.path("default/net-a", "c1", "net1")
    assert path == f"{tmp_path}/run/cni/default-net-a-c1_net1"
    old = os.umask(0o077)
    try:
        files.copy(RESOURCE, DEVICE, path)
    finally:
        os.umask(old)
    assert json.loads(Path(path).read_text()) == PCI
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o444
    assert files.read(path) == PCI
    files.remove(path)
    assert os.listdir(os.path.dirname(path)) == []
    assert os.listdir(dp) == ["intel.com-net_a-0000:03:02.1-device.json"]


def test_a_device_plugin_that_says_nothing(files: DeviceInfoFiles, caplog: pytest.LogCaptureFixture) -> None:
    path = files.path("default/net-a", "c1", "net1")
    files.copy(RESOURCE, DEVICE, path)
    assert files.read(path) is None
    files.remove(path)
    assert not os.path.exists(path)
    assert caplog.text == ""


def test_a_file_that_is_there_stays(
    dp: Path, files: DeviceInfoFiles, caplog: pytest.LogCaptureFixture
) -> None:
    publish(dp)
    path = files.path("default/net-a", "c1", "net1")
    os.makedirs(os.path.dirname(path))
    Path(path).write_text("mine")
    files.copy(RESOURCE, DEVICE, path)
    assert Path(path).read_text() == "mine"
    assert f"Device Information file already exists: {path}" in caplog.text


def test_a_link_that_someone_left_is_not_followed(tmp_path: Path, dp: Path, files: DeviceInfoFiles) -> None:
    publish(dp)
    path = files.path("default/net-a", "c1", "net1")
    os.makedirs(os.path.dirname(path))
    os.symlink(tmp_path / "elsewhere", path)
    files.copy(RESOURCE, DEVICE, path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "truncated"),
        ("[1]", "expected an object"),
        ({"type": "pci", "version": "1.1.0"}, 'type "pci" needs the key "pci"'),
        ("x" * 300_000, "longer than 262144 bytes"),
    ],
)
def test_rubbish_of_a_plugin_is_left_out(
    files: DeviceInfoFiles, caplog: pytest.LogCaptureFixture, content: Any, problem: str
) -> None:
    path = files.path("default/net-a", "c1", "net1")
    os.makedirs(os.path.dirname(path))
    Path(path).write_text(content if isinstance(content, str) else json.dumps(content))
    with caplog.at_level(logging.WARNING):
        assert files.read(path) is None
    assert path in caplog.text
    assert problem in caplog.text


def test_a_file_that_is_too_long_is_not_copied(
    dp: Path, files: DeviceInfoFiles, caplog: pytest.LogCaptureFixture
) -> None:
    publish(dp, "x" * 300_000)
    path = files.path("default/net-a", "c1", "net1")
    files.copy(RESOURCE, DEVICE, path)
    assert not os.path.exists(path)
    assert "longer than" in caplog.text


def test_a_folder_that_cant_be_made(tmp_path: Path, dp: Path, caplog: pytest.LogCaptureFixture) -> None:
    publish(dp)
    (tmp_path / "run").write_text("a file")
    files = DeviceInfoFiles(str(dp), str(tmp_path / "run" / "cni"))
    files.copy(RESOURCE, DEVICE, files.path("n", "c", "net1"))
    assert "is not copied to" in caplog.text


def test_only_files_of_its_own_folder_are_removed(tmp_path: Path, files: DeviceInfoFiles) -> None:
    precious = tmp_path / "precious"
    precious.touch()
    files.remove(str(precious))
    files.remove(f"{tmp_path}/run/cni/../precious")
    assert precious.exists()
