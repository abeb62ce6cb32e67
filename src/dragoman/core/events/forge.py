"""From the forge: what happens to a pull request of ours."""

from __future__ import annotations

from dragoman.core.findings import Finding
from dragoman.record import Record


class ReviewReceived(Record):
    """What asks for work on a pull request as it stands: by people who may write there, and by its checks.

    What was heard before is among it; the machine knows it by its key.
    """

    pull_request: str
    findings: tuple[Finding, ...]


class PullRequestClosed(Record):
    """The pull request is closed, merged or not; `by` is who merged it, empty when unknown."""

    pull_request: str
    merged: bool
    by: str = ""


ForgeEvent = ReviewReceived | PullRequestClosed
