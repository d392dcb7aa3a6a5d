"""Where files that the host's administrator or kernel keeps are seen."""

from __future__ import annotations

import os

import msgspec

from multinet.cni.errors import CNIError, Code

__all__ = ["OWN_FILES", "HostFiles", "names_in", "target_of", "text_of"]


class HostFiles(msgspec.Struct, frozen=True):
    """The folders under which they are found: a process in a container may see them elsewhere."""

    etc: str = "/etc"
    sys: str = "/sys"


OWN_FILES = HostFiles()
"""For a process that sees the host as it is."""


def text_of(path: str) -> str | None:
    """The text of a file, None if it isn't there. Raises CNIError code 5 when it can't be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CNIError(Code.IO_FAILURE, f"failed to read {path}: {error}") from error


def names_in(folder: str) -> tuple[str, ...]:
    """The names in a folder, sorted; none if it isn't there. Raises CNIError code 5."""
    try:
        return tuple(sorted(os.listdir(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise CNIError(Code.IO_FAILURE, f"failed to list {folder}: {error}") from error


def target_of(link: str) -> str | None:
    """The last part of what a symbolic link leads to, None if there is no such link."""
    try:
        return os.path.basename(os.readlink(link))
    except OSError:
        return None
