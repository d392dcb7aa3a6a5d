"""The address files of one network: who holds which address, on disk, shared with the reference plugin.

One file an address, named by it, with the holder as content; beside them ``last_reserved_ip.N`` and the
lock. Names, contents and modes are byte for byte those of the reference host-local (plugins-ipam 1.4), so
that either program can follow the other on a node, or run beside it.

Nothing is fsynced, and why that is safe: docs/decisions/0007-host-local-durability.md.
"""

from __future__ import annotations

import ipaddress
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from multinet.cni.errors import CNIError, Code
from multinet.core.desired import Owner
from multinet.sdk.address_index import UNNAMED, Index, identity, read, sign
from multinet.sdk.folder_lock import busy, folder_locked
from multinet.sdk.ipam import Address

__all__ = ["AddressFiles", "LockedFiles", "holder", "legacy_holder"]

_FAMILY: dict[int, type[Address]] = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}


def holder(owner: Owner) -> bytes:
    """Content of an address file that ``owner`` holds."""
    return f"{owner.container_id.strip()}\r\n{owner.ifname}".encode()


def legacy_holder(owner: Owner) -> bytes:
    """Content as very old releases wrote it: the container, whichever the interface."""
    return owner.container_id.strip().encode()


class AddressFiles:
    """The folder of one network, for all threads of this process."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.abspath(folder)
        self._turn = threading.Lock()
        self._index = Index()
        self._stamp: tuple[int, int, int] | None = None

    def exist(self) -> bool:
        """Whether the folder is there: without it nobody holds anything."""
        return os.path.isdir(self.folder)

    def make_folder(self) -> None:
        """Make the folder and its parents, mode 0755, where they are missing. Raises CNIError code 5."""
        try:
            _make_folders(self.folder)
        except OSError as error:
            raise _io_failure("make folder", self.folder, error) from None

    @contextmanager
    def locked(self, deadline: float | None) -> Iterator[LockedFiles]:
        """Be alone with the files, among threads and processes.

        ``deadline``: monotonic time, seconds. Raises CNIError code 11 when it passes before it is our turn,
        code 5 when files can't be read or written.
        """
        # Threads queue here, so that only one of them at a time polls the lock file.
        if not self._turn.acquire(timeout=-1 if deadline is None else max(0.0, deadline - time.monotonic())):
            raise busy(self.folder)
        try:
            with folder_locked(self.folder, deadline) as directory, self._section(directory) as files:
                yield files
        except OSError as error:
            raise _io_failure("use", self.folder, error) from None
        finally:
            self._turn.release()

    @contextmanager
    def _section(self, directory: int) -> Iterator[LockedFiles]:
        stamp, self._stamp = self._stamp, None  # stays None if anything goes wrong
        fresh = stamp is not None and stamp == identity(directory)
        if not fresh:
            self._index = read(directory)
        files = LockedFiles(self.folder, directory, self._index)
        try:
            yield files
        except CNIError:
            raise
        except BaseException:  # between a change on disk and its note in the index
            files.doubtful = True
            raise
        finally:
            if not files.doubtful:
                self._stamp = stamp if fresh and not files.changed else sign(directory)


class LockedFiles:
    """The files while the lock is held."""

    def __init__(self, folder: str, directory: int, index: Index) -> None:
        self._folder = folder
        self._directory = directory
        self._index = index
        self.changed = False
        """Whether files came or went."""
        self.doubtful = False
        """Whether the index may be wrong: a call failed, or somebody changes files without the lock."""

    def taken(self, version: int) -> Collection[int]:
        """Numbers of all addresses of a family (4 or 6) that are held; a live view."""
        return self._index.files[version]

    def held(self, content: bytes) -> list[Address]:
        """Addresses whose file has this content, ascending."""
        return [_FAMILY[version](number) for version, number in sorted(self._index.held.get(content, ()))]

    def holders(self) -> list[bytes]:
        """The content of each address file, each once."""
        return list(self._index.held)

    def reserve(self, address: Address, content: bytes) -> bool:
        """Make the address file; it appears whole or not at all. False when there is one already.

        Raises CNIError code 5.
        """
        name = str(address)
        self.changed = True
        try:
            self._write_new(content)
            try:
                # Not rename(2): link(2) never replaces a file that another program made meanwhile.
                os.link(UNNAMED, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            except FileExistsError:
                self.doubtful = int(address) not in self.taken(address.version) or self.doubtful
                self._index.add(name, b"?")  # till the next reading
                return False
            finally:
                os.unlink(UNNAMED, dir_fd=self._directory)
        except OSError as error:
            self.doubtful = True
            raise _io_failure("write", f"{self._folder}/{name}", error) from None
        self._index.add(name, content)
        return True

    def free(self, addresses: Collection[Address]) -> None:
        """Remove address files; ones that are gone are fine.

        All are tried. Raises CNIError code 5 if one can't be removed.
        """
        failure: CNIError | None = None
        for address in addresses:
            self.changed = True
            name = self._index.name_of(address)
            try:
                os.unlink(name, dir_fd=self._directory)
            except FileNotFoundError:
                self.doubtful = True
            except OSError as error:
                self.doubtful = True
                failure = _io_failure("remove", f"{self._folder}/{name}", error)
            self._index.discard(address)
        if failure is not None:
            raise failure

    def last_reserved(self, number: int) -> str:
        """What ``last_reserved_ip.<number>`` says; "" without such a file. Raises OSError."""
        try:
            file = os.open(f"last_reserved_ip.{number}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        except FileNotFoundError:
            return ""
        try:
            return os.read(file, 64).decode("ascii", "replace")
        finally:
            os.close(file)

    def remember_last(self, number: int, address: Address) -> None:
        """Rewrite ``last_reserved_ip.<number>`` in place. Raises OSError."""
        name = f"last_reserved_ip.{number}"
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self._directory)
        self.changed = True  # it may have been made just now
        try:
            # Truncating first would make ext4 start writing out on close: 150 µs here instead of 9.
            content = str(address).encode()
            _write_all(file, content)
            os.ftruncate(file, len(content))
        finally:
            os.close(file)

    def prove_writable(self) -> None:
        """Make a file and remove it again. Raises CNIError code 5 when that doesn't work."""
        self.changed = True
        try:
            self._write_new(b"?")
            os.unlink(UNNAMED, dir_fd=self._directory)
        except OSError as error:
            raise _io_failure("write in", self._folder, error) from None

    def _write_new(self, content: bytes) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        new = os.open(UNNAMED, flags, 0o600, dir_fd=self._directory)
        try:
            _write_all(new, content)
        except OSError:
            os.unlink(UNNAMED, dir_fd=self._directory)
            raise
        finally:
            os.close(new)


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


def _make_folders(folder: str) -> None:
    # Not os.makedirs: it gives parents the mode 0777.
    try:
        os.mkdir(folder, 0o755)
    except FileNotFoundError:
        _make_folders(os.path.dirname(folder))
        _make_folders(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise


def _io_failure(doing: str, path: str, error: OSError) -> CNIError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return CNIError(Code.IO_FAILURE, f"host-local: can't {doing} {path}: {reason}")
