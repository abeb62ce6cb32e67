"""Sessions as they were last decoded or encoded, so that the next event of a session need not decode it again.

A session counts only for the very text that stands in its row. So nothing has to be told when another process writes, a
transaction is undone or a row is mended by hand: the text is another one then.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from dragoman.core.session import Session
from dragoman.ids import SessionId
from dragoman.ledger.codec import decode_session

CACHE_SIZE = 1_000


class SessionCache:
    """The `size` sessions that were used last. The ledger's threads share it."""

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size = size
        self._kept: OrderedDict[SessionId, tuple[str, Session]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def decode(self, session: SessionId, text: str) -> Session:
        """The session that `text` stands for. Raises LedgerError when this program cannot read it."""
        with self._lock:
            known = self._kept.get(session)
            if known is not None and known[0] == text:
                self._kept.move_to_end(session)
                return known[1]
        decoded = decode_session(text)
        self.keep(decoded, text)
        return decoded

    def keep(self, session: Session, text: str) -> None:
        """Remember a session with the text that is being written for it."""
        if not self._size:
            return
        with self._lock:
            self._kept[session.id] = (text, session)
            self._kept.move_to_end(session.id)
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
