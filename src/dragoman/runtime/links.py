"""Links to a session's page here. Each holds a key of its own, made from one that lies in the data folder."""

from __future__ import annotations

import hmac
from pathlib import Path

from dragoman.ids import SessionId
from dragoman.runtime import data_folder


class Links:
    """Makes and checks links.

    base  our public address, empty when we have none
    file  where the key lies; made when it is missing
    """

    def __init__(self, base: str, file: Path) -> None:
        self._base = base
        self._key = data_folder.key(file).encode("ascii")

    def to(self, session: SessionId) -> str | None:
        """The page of a session; None without a public address."""
        return f"{self._base}/sessions/{session}?key={self.key_of(session)}" if self._base else None

    def key_of(self, session: SessionId) -> str:
        """What opens the page of a session, and no other."""
        return hmac.digest(self._key, session.encode("utf-8", "replace"), "sha256").hex()[:32]
