"""Server-sent events, cut into frames: bytes in any pieces, the `data` of each event out.

Source  html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from typing import Final

from dragoman.errors import OpenCodeError

LARGEST_EVENT: Final = 64 * 1024 * 1024  # bytes; a tool's output travels whole, more than this is no event


class Frames:
    """An incremental parser. Lines end with LF, CRLF or CR; comments and fields other than `data` are dropped."""

    def __init__(self, largest: int = LARGEST_EVENT) -> None:
        self._largest = largest
        self._rest = bytearray()  # the beginning of a line whose end has not come
        self._searched = 0  # how much of it was looked through
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False  # a LF right after this belongs to the CR before it

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes.

        Raises  OpenCodeError when an event grows beyond the limit; the stream cannot be read any further
        """
        events: list[bytes] = []
        if b"\r" in chunk or self._after_cr:
            chunk = self._without_cr(chunk)
        self._rest += chunk
        start = 0
        while (end := self._rest.find(b"\n", max(start, self._searched))) >= 0:
            line = bytes(self._rest[start:end])
            start = end + 1
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data, self._size = [], 0
            elif line.startswith(b"data:"):
                self._keep(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                self._keep(b"")
        del self._rest[:start]
        self._searched = len(self._rest)
        if self._size + self._searched > self._largest:
            raise OpenCodeError(f"an event of OpenCode is larger than {self._largest} bytes")
        return events

    def _keep(self, data: bytes) -> None:
        self._data.append(data)
        self._size += len(data)

    def _without_cr(self, chunk: bytes) -> bytes:
        if not chunk:
            return chunk
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
