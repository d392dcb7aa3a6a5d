"""The journal in SQLite: one row an attachment.

Write-ahead logging without a sync at each commit: a killed process loses nothing. A machine that loses power
may lose the last rows, but with them it loses every sandbox they speak of.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Collection, Sequence

import msgspec

from multinet.cni.errors import CNIError, Code
from multinet.core.record import AttachmentRecord

_SCHEMA = """
CREATE TABLE IF NOT EXISTS attachments (
  container_id TEXT NOT NULL,
  ifname TEXT NOT NULL,
  position INTEGER NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN ('adding', 'ready', 'deleting')),
  record BLOB NOT NULL,
  PRIMARY KEY (container_id, ifname)
) WITHOUT ROWID
"""
_DOUBTFUL = "CREATE TABLE IF NOT EXISTS doubtful (container_id TEXT PRIMARY KEY) WITHOUT ROWID"
"""Made when it is first asked for: only a GC does."""
VERSION = 1
"""Of the file, in SQLite's ``user_version``."""
_PAUSE = 0.01
_BUSY = 5.0
"""Seconds to wait for another process (``multinet status``, an inline call) that has the file locked."""


class SqliteJournal:
    """A journal file; safe for use by several threads and processes."""

    def __init__(self, path: str) -> None:
        """Raises CNIError code 5 when the file can't be opened, or is of a newer version."""
        try:
            os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
            self._database = _opened(path)
        except (sqlite3.Error, OSError) as error:
            raise CNIError(Code.IO_FAILURE, f"cannot open journal {path}: {error}") from None
        self.path = path
        self._lock = threading.Lock()
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(AttachmentRecord)

    def begin(self, records: Sequence[AttachmentRecord]) -> None:
        """Rows in phase ``adding``, all or none. Raises CNIError code 7 for a name that is taken."""
        now = time.time()
        rows = [self._row(msgspec.structs.replace(r, phase="adding", created=now)) for r in records]
        try:
            self._write("INSERT INTO attachments VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.IntegrityError:
            taken = {r.ifname for r in self.of(records[0].container_id)} & {r.ifname for r in records}
            raise CNIError(
                Code.INVALID_CONFIG,
                f"container {records[0].container_id} has interface {', '.join(sorted(taken))} attached already: "
                "delete it before adding it again",
            ) from None

    def ready(self, records: Sequence[AttachmentRecord]) -> None:
        """Rows in phase ``ready``, with what was applied."""
        rows = [self._row(msgspec.structs.replace(r, phase="ready")) for r in records]
        self._write("INSERT OR REPLACE INTO attachments VALUES (?, ?, ?, ?, ?)", rows)

    def deleting(self, records: Sequence[AttachmentRecord]) -> None:
        """Their rows in phase ``deleting``."""
        keys = [(r.container_id, r.ifname) for r in records]
        self._write("UPDATE attachments SET phase = 'deleting' WHERE container_id = ? AND ifname = ?", keys)

    def failed(self, record: AttachmentRecord, failure: str) -> None:
        """The row stays in phase ``deleting``, with the reason."""
        row = self._row(msgspec.structs.replace(record, phase="deleting", failure=failure))
        self._write("INSERT OR REPLACE INTO attachments VALUES (?, ?, ?, ?, ?)", [row])

    def forget(self, records: Sequence[AttachmentRecord]) -> None:
        """The rows are removed."""
        keys = [(r.container_id, r.ifname) for r in records]
        self._write("DELETE FROM attachments WHERE container_id = ? AND ifname = ?", keys)

    def of(self, container_id: str) -> list[AttachmentRecord]:
        """A container's rows in the order in which they were made."""
        return self._read("WHERE container_id = ? ORDER BY position", (container_id,))

    def all(self) -> list[AttachmentRecord]:
        """Every row, by container and position."""
        return self._read("ORDER BY container_id, position", ())

    def phases(self) -> dict[str, int]:
        """How many rows are in which phase, without reading them. Raises CNIError code 5."""
        found = dict.fromkeys(("adding", "ready", "deleting"), 0)
        with self._lock:
            try:
                rows = self._database.execute(
                    "SELECT phase, count(*) FROM attachments GROUP BY phase"
                ).fetchall()
            except sqlite3.Error as error:
                raise CNIError(Code.IO_FAILURE, f"cannot read journal {self.path}: {error}") from None
        return found | dict(rows)

    def doubtful(self) -> frozenset[str]:
        """Containers that the last list of the runtime lacked."""
        with self._lock:
            try:
                self._database.execute(_DOUBTFUL)
                rows = self._database.execute("SELECT container_id FROM doubtful").fetchall()
            except sqlite3.Error as error:
                raise CNIError(Code.IO_FAILURE, f"cannot read journal {self.path}: {error}") from None
        return frozenset(container_id for (container_id,) in rows)

    def doubt(self, container_ids: Collection[str]) -> None:
        """Remember these, and no others, for the next list."""
        before = self.doubtful()
        self._write(
            "DELETE FROM doubtful WHERE container_id = ?",
            [(one,) for one in before.difference(container_ids)],
        )
        self._write("INSERT OR IGNORE INTO doubtful VALUES (?)", [(one,) for one in container_ids])

    def close(self) -> None:
        """Close the file; safe to repeat."""
        with self._lock:
            self._database.close()

    def _row(self, record: AttachmentRecord) -> tuple[str, str, int, str, bytes]:
        return (
            record.container_id,
            record.ifname,
            record.position,
            record.phase,
            self._encoder.encode(record),
        )

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        with self._lock:
            try:
                if len(rows) == 1:  # its own transaction
                    self._database.execute(statement, rows[0])
                    return
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    self._database.executemany(statement, rows)
                except BaseException:
                    self._database.execute("ROLLBACK")
                    raise
                self._database.execute("COMMIT")
            except sqlite3.IntegrityError:
                raise
            except sqlite3.Error as error:
                raise CNIError(Code.IO_FAILURE, f"cannot write journal {self.path}: {error}") from None

    def _read(self, clause: str, values: tuple[str, ...]) -> list[AttachmentRecord]:
        with self._lock:
            try:
                rows = self._database.execute(
                    f"SELECT phase, record FROM attachments {clause}", values
                ).fetchall()
            except sqlite3.Error as error:
                raise CNIError(Code.IO_FAILURE, f"cannot read journal {self.path}: {error}") from None
        # The column counts: ``deleting`` changes it alone.
        try:
            return [
                msgspec.structs.replace(self._decoder.decode(record), phase=phase) for phase, record in rows
            ]
        except msgspec.DecodeError as error:
            raise CNIError(Code.IO_FAILURE, f"journal {self.path} holds an unreadable row: {error}") from None


def _opened(path: str) -> sqlite3.Connection:
    """The file, made if absent. Raises sqlite3.Error, OSError, or CNIError for a newer version.

    Tried for a while: SQLite doesn't wait by itself for one who is turning the file to write-ahead logging,
    or who was its last user and is tidying up.
    """
    until = time.monotonic() + _BUSY
    while True:
        database = sqlite3.connect(
            path, timeout=_BUSY, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            _prepare(database, path)
            return database
        except BaseException as error:
            database.close()
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(_PAUSE)


def _prepare(database: sqlite3.Connection, path: str) -> None:
    os.chmod(path, 0o600)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    found = database.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise CNIError(
            Code.IO_FAILURE, f"journal {path} has version {found}, newer than this multinet knows ({VERSION})"
        )
    if found < VERSION:
        database.execute(_SCHEMA)
        database.execute(f"PRAGMA user_version = {VERSION}")
