"""On which line of a TOML file something stands. The parser of the standard library does not tell.

It reads headers and the keys at the beginning of lines, which is how such files are written; what it does not find
(keys within an inline table, quoted or dotted ones) has the line of its table.
"""

from __future__ import annotations

import re
from typing import Final

_HEADER: Final = re.compile(r"""\s*(\[\[?)\s*([\w.\-"' ]+?)\s*\]\]?\s*(?:#.*)?""")
_KEY: Final = re.compile(r"""\s*["']?([\w\-]+)["']?\s*[=.]""")
_WHERE: Final = re.compile(r"\[\[?([^\]]+)\]\]?(?:\s+(\d+))?")
_LONG: Final = re.compile(r'"""|\'\'\'')


class Lines:
    """The lines of one file."""

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[str, int, str], int] = {}  # (table, which of that name, key or "") -> line
        table, count, within = "", {"": 1}, ""
        for line, written in enumerate(text.splitlines(), 1):
            began_within = within
            for mark in _LONG.findall(written):
                within = "" if within == mark else within or mark
            if began_within:
                continue
            if header := _HEADER.fullmatch(written):
                table = header[2]
                count[table] = count.get(table, 0) + 1
                self._found.setdefault((table, count[table], ""), line)
            elif key := _KEY.match(written):
                self._found.setdefault((table, count[table], key[1]), line)

    def of(self, where: str, key: str = "") -> int | None:
        """The line of a key, or of its table.

        where  as our messages write it: `[session]`, `[[repositories]] 2`; empty = outside all tables
        """
        named = _WHERE.match(where.strip())
        table, number = (named[1], int(named[2] or 1)) if named else ("", 1)
        places = ((table, number, key), (table, number, ""), ("", 1, table), ("", 1, key), (key, 1, ""))
        return next((self._found[place] for place in places if place in self._found), None)
