"""Which words were refused on an issue, as digests."""

from __future__ import annotations

from dragoman.ids import IssueId
from dragoman.ledger import queries
from dragoman.ledger.tx import Tx

_SQL = queries.load("audit")


def remember(tx: Tx, issue: IssueId, digest: str) -> None:
    """Note that words with this digest were refused; '' stands for no words."""
    if digest:
        tx.execute(_SQL["unhear"], (issue, digest))


def of_issue(tx: Tx, issue: IssueId) -> frozenset[str]:
    """The digests of all words that were refused on an issue."""
    return frozenset(digest for (digest,) in tx.execute(_SQL["unheard"], (issue,)).fetchall())
