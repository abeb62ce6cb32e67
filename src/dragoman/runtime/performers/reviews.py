"""Open pull requests are looked at: because GitHub says so, or because it is time. Reviewers are answered.

A look tells the machine what asks for work there. What it has heard before it knows, and is not told again.
So it makes no difference whether a webhook came once, twice or never.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dragoman import logs
from dragoman.core.effects import ReplyToReview
from dragoman.core.events.forge import PullRequestClosed, ReviewReceived
from dragoman.core.findings import Finding
from dragoman.core.review import watched
from dragoman.core.session import Session
from dragoman.errors import ForgeError
from dragoman.ids import SessionId, session_of
from dragoman.ledger import effects, find, turns
from dragoman.ledger.pools import POLL, Job
from dragoman.ledger.tx import Tx
from dragoman.repositories.forge import Forge
from dragoman.repositories.github_hooks import Hint
from dragoman.repositories.pull_request import PullRequestReader, PullState
from dragoman.runtime.desk import Desk
from dragoman.runtime.engine import Engine
from dragoman.runtime.workers import Postponed

LOOK = "look"  # the name of a job; it goes on with the session and a moment
SLOWEST = 15  # times the usual pause, where nothing happens
LOOKS_MOST = 10  # because of one delivery, while GitHub does not know whether it can be merged
_log = logs.get("review")


class Watch:
    """One pull request that is looked at: its reader, when the clock wants it next, and what was seen last."""

    def __init__(self, reader: PullRequestReader) -> None:
        self.reader = reader
        self.due = 0.0
        self.pause_s = 0.0
        self.seen: PullState | None = None


class Reviews:
    """Looks at pull requests and answers reviewers.

    hooks  whether GitHub tells us when something happens; then the clock is only there for what was lost
    """

    def __init__(self, engine: Engine, desk: Desk, forge: Forge, *, hooks: Callable[[], bool]) -> None:
        self._engine = engine
        self._desk = desk
        self._forge = forge
        self._hooks = hooks
        self._watches: dict[str, Watch] = {}

    async def perform(self, effect: ReplyToReview) -> None:
        """Answer reviewers in their threads. Raises ForgeError."""
        session = await self._engine.session(session_of(effect.run))
        watch = self._watch(session, effect.pull_request) if session is not None else None
        if watch is None:
            return
        for reply in effect.replies:
            try:
                await watch.reader.answer(reply.key, reply.thread, reply.body)
            except ForgeError as error:
                if error.retryable:
                    raise
                # A comment that was deleted meanwhile must not keep the others from being answered.
                _log.warning("reply.refused", run=effect.run, key=reply.key, kind=error.kind, error=str(error))

    async def job(self, job: Job, attempts: int) -> float | None:
        """Do what a job says; seconds until it is to be done again, None for once. Raises ForgeError, Postponed."""
        if job.name == POLL:
            return await self._poll()
        session = await self._engine.session(SessionId(job.body))
        if session is not None and not await self._look(session) and attempts < LOOKS_MOST:
            raise Postponed("GitHub still works it out", after_s=self._engine.rules.review_settle_s)
        return None

    async def _poll(self) -> float:
        """Look at each open pull request whose time has come."""
        rules, now = self._engine.rules, time.monotonic()
        known = await self._engine.ledger.read(find.watched_pull_requests)
        for url in self._watches.keys() - {url for _, url in known}:
            del self._watches[url]
        for session_id, url in known:
            if (watch := self._watches.get(url)) is not None and watch.due > now:
                continue
            try:
                if (session := await self._engine.session(session_id)) is not None:
                    await self._look(session, first=True)
            except ForgeError as error:
                self._later(url, error)
        return rules.review_poll_s

    async def _look(self, session: Session, *, first: bool = False) -> bool:
        """Tell a session how its pull request stands; False when GitHub does not know yet. Raises ForgeError.

        first  what is found is only now beginning to come: all of it is told by another look, a little later
        """
        url = watched(session)
        watch = self._watch(session, url) if url else None
        if watch is None:
            return True
        state = await watch.reader.read()
        self._pace(watch, state)
        if state.closed:
            closed = PullRequestClosed(pull_request=url, merged=state.merged, by=state.merged_by)
            await self._engine.tell(session.id, closed)
        elif found := tuple(one for one in findings_of(state) if not _is_known(session, one)):
            if first:
                settle_s = self._engine.rules.review_settle_s
                await self._engine.ledger.turn(_look_later, session.id, settle_s)
            else:
                await self._engine.tell(session.id, ReviewReceived(pull_request=url, findings=found))
        _log.info("pull_request.seen", session=session.id, url=url, closed=state.closed, settled=state.settled)
        return state.closed or state.settled

    def _watch(self, session: Session, url: str) -> Watch | None:
        if url not in self._watches:
            github = self._forge.github(self._desk.repository(session))
            number = url.rpartition("/")[2]
            if github is None or not number.isdigit():
                return None
            self._watches[url] = Watch(PullRequestReader(github, int(number)))
        return self._watches[url]

    def _pace(self, watch: Watch, state: PullState) -> None:
        """Look again soon where something happens, and ever less often where nothing does."""
        usual = self._engine.rules.review_poll_s
        happens = state != watch.seen or not state.settled or state.running
        watch.pause_s = usual if happens else min(max(usual, 2 * watch.pause_s), SLOWEST * usual)
        if self._hooks() and not happens:
            watch.pause_s = SLOWEST * usual
        watch.seen, watch.due = state, time.monotonic() + watch.pause_s * 0.9

    def _later(self, url: str, error: ForgeError) -> None:
        _log.warning("pull_request.unread", url=url, kind=error.kind, error=str(error))
        if (watch := self._watches.get(url)) is not None:
            usual = self._engine.rules.review_poll_s
            watch.pause_s = max(error.retry_after_s or 0.0, min(max(usual, 2 * watch.pause_s), SLOWEST * usual))
            watch.due = time.monotonic() + watch.pause_s


def _is_known(session: Session, finding: Finding) -> bool:
    return session.review is not None and finding.key in session.review.known


def findings_of(state: PullState) -> tuple[Finding, ...]:
    """All on a pull request that asks for work."""
    found = [
        Finding(
            key=one.key,
            kind="review" if one.key.startswith("review:") else "comment",
            author=one.author,
            where=one.where,
            text=one.text,
            lines=one.lines,
            thread=one.thread,
            asks=one.asks,
        )
        for one in state.opinions
    ]
    found += [Finding(key=one.key, kind="check", where=one.name, text=one.text) for one in state.red]
    if state.conflict:
        found.append(Finding(key=f"conflict:{state.head}", kind="conflict", where=state.base))
    return tuple(found)


def ask_to_look(tx: Tx, hint: Hint, settle_s: float) -> str:
    """Have the pull requests of a delivery looked at, once for all that comes within `settle_s`; what became of it."""
    if hint.id and turns.was_seen(tx, [f"github:{hint.id}"]):
        return _note(tx, hint, "duplicate")
    if not hint.repository:
        return _note(tx, hint, "ignored: irrelevant")
    numbers = hint.numbers if hint.numbers is not None else (None,)
    concerned = [session for number in numbers for session in find.watching(tx, hint.repository, number)]
    if not concerned:
        return _note(tx, hint, "ignored: no session")
    for session in concerned:
        _look_later(tx, session, settle_s)
    return _note(tx, hint, "accepted")


def _look_later(tx: Tx, session: SessionId, settle_s: float) -> None:
    # All that comes in one stretch of time shares a look at its end. What comes later has another name: it must not be
    # taken for a look that is under way already.
    stretch = int(tx.now / settle_s)
    after_s = (stretch + 1) * settle_s - tx.now
    effects.insert_job(tx, Job(name=f"{LOOK}:{session}:{stretch}", body=session), after_s=after_s)


def _note(tx: Tx, hint: Hint, verdict: str) -> str:
    note = turns.Delivery(key=hint.id, kind=f"GitHub {hint.event}", action=hint.action, organization="")
    turns.log_delivery(tx, note, verdict)
    return verdict
