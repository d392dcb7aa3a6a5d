"""The journal for those who only look: nothing is created, changed or locked, and no daemon is needed."""

from __future__ import annotations

import os
import sqlite3
from urllib.parse import quote

import msgspec

from multinet.adapters.journal import VERSION
from multinet.cni.errors import CNIError, Code
from multinet.core.record import AttachmentRecord

__all__ = ["read_attachments"]

_BUSY = 5.0
"""Seconds to wait for a writer."""


def read_attachments(path: str) -> list[AttachmentRecord]:
    """Every attachment in the journal file ``path``, by container and position; no file: none.

    Raises CNIError code 5 when it can't be read, or is of a newer multinet.
    """
    if not os.path.exists(path):
        return []
    # With no log beside it nobody has the file open; "immutable" then keeps SQLite from making one to read.
    mode = "mode=ro" if os.path.exists(f"{path}-wal") else "immutable=1"
    try:
        database = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?{mode}", uri=True, timeout=_BUSY)
        try:
            found = database.execute("PRAGMA user_version").fetchone()[0]
            if found > VERSION:
                raise CNIError(
                    Code.IO_FAILURE,
                    f"journal {path} has version {found}, newer than this multinet knows ({VERSION})",
                )
            rows = database.execute(
                "SELECT phase, record FROM attachments ORDER BY container_id, position"
            ).fetchall()
        finally:
            database.close()
        decoder = msgspec.json.Decoder(AttachmentRecord)
        return [msgspec.structs.replace(decoder.decode(record), phase=phase) for phase, record in rows]
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise CNIError(Code.IO_FAILURE, f"cannot read journal {path}: {error}") from None
