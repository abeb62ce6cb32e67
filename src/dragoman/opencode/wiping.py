"""What OpenCode keeps of threads that were deleted: pages of its database, long outputs of tools, lines of its log.

OpenCode deletes rows, not bytes: its database is rewritten here, beside the server, as any second process of SQLite may.
Its writes wait meanwhile, so it is done only while no run is open.
Source  seen with 1.18.33: after DELETE /session/ID the words stand in free pages; VACUUM and an emptied log remove them
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_OUTPUT: Final = re.compile(r"tool-output/(tool_[0-9A-Za-z]+)")
WAIT_S: Final = 2.0  # for the server to let go of its database


def drop_outputs(home: Path, files: Iterable[str]) -> None:
    """Remove long outputs of tools; OpenCode itself does so after days.

    home   the server's own
    files  their names
    """
    for name in files:
        (home / "data" / "opencode" / "tool-output" / Path(name).name).unlink(missing_ok=True)


def _drop_unnamed_outputs(folder: Path, connection: sqlite3.Connection) -> None:
    """Remove outputs that no message names any more: a tool may write one and tell only of the next."""
    rows = connection.execute("SELECT data FROM part WHERE data LIKE '%tool-output/tool_%'")
    named = {name for (data,) in rows for name in _OUTPUT.findall(data)}
    for file in folder.glob("tool_*"):
        if file.name not in named:
            file.unlink(missing_ok=True)


def wipe(home: Path) -> str:
    """Remove what is left of deleted threads. Blocks: run it in a thread.

    Returns  why not all of it could be removed now; empty when it could
    """
    data = home / "data" / "opencode"
    for log in (data / "log").glob("*.log"):
        os.truncate(log, 0)  # the server appends to it, whatever its length
    database = data / "opencode.db"
    if not database.is_file():
        return ""
    try:
        connection = sqlite3.connect(database, timeout=WAIT_S, isolation_level=None)
        try:
            _drop_unnamed_outputs(data / "tool-output", connection)
            connection.execute("VACUUM")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        return f"OpenCode's database could not be rewritten: {error}"
    return "OpenCode's database is being read at this moment" if busy else ""
