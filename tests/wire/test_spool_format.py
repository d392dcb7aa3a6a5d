from __future__ import annotations

import os
import re
import resource
import stat
from pathlib import Path

import pytest

from multinet.wire import spool


def test_names_sort_by_age_and_are_of_fixed_width() -> None:
    assert spool.entry_name(5, 42) == "0000000000-000000005-42.del"
    assert spool.entry_name(1_700_000_000_123_456_789, 7) == "1700000000-123456789-7.del"
    ages = [0, 999_999_999, 1_000_000_000, 1_699_999_999_999_999_999, 1_700_000_000_000_000_000]
    names = [spool.entry_name(age, 99 - number) for number, age in enumerate(ages)]
    assert names == sorted(names)


def test_an_entry_is_private_whole_and_alone(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b" / "spool"
    path = Path(spool.write_entry(f"{directory}//", b"frame"))
    assert re.fullmatch(rf"\d{{10}}-\d{{9}}-{os.getpid()}\.del", path.name)
    assert path.read_bytes() == b"frame"
    assert os.listdir(directory) == [path.name]
    modes = [stat.S_IMODE(os.stat(entry).st_mode) for entry in (path, directory, directory.parent)]
    assert modes == [0o600, 0o700, 0o755]


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    spool.write_entry(str(tmp_path), b"")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_a_failure_leaves_no_temporary_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, hard))  # Python ignores SIGXFSZ, so write(2) fails
    try:
        with pytest.raises(OSError, match="File too large"):
            spool.write_entry(str(tmp_path), b"frame")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        spool.write_entry(str(tmp_path / "file" / "spool"), b"frame")
