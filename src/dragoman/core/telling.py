"""What people change on the issue while a run is live: gathered for a moment, then told to the agent in one message.

    heard ──→ waiting ──20 s after the first──→ one message into the run, one thought to people
                 └──the run does not hear any more──→ goes along with the next prompt

It begins no turn: people did not ask for one. And it is no request: what is said to the agent in its own thread comes as
a prompt, and is not told a second time here.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.draft import Draft
from dragoman.core.edits import COMMENT_MOST, DESCRIPTION_MOST, TITLE_MOST, Edit, Edits
from dragoman.core.events.issues import CommentRemoved, CommentWritten, IssueEdited, IssueEvent
from dragoman.core.events.linear import Prompt, Prompted, SessionOpened
from dragoman.core.events.timers import EditsDue
from dragoman.core.limits import CLOCKS_APART_S, NEARLY
from dragoman.core.session import Live, Message, Session, Starting, Working, live_turn, root_of
from dragoman.core.tools import bounded
from dragoman.core.turns import steer
from dragoman.ids import SessionId

LONGER_MOST = 4  # times that the time to gather doubles within a turn


def is_news(session: Session, event: IssueEdited | CommentWritten) -> bool:
    """Whether the agent of the session has not heard of it and is to: it works, and nothing else tells it."""
    turn = live_turn(session)
    if turn is None or event.at < turn.begun_at - CLOCKS_APART_S:
        return False  # what was done before came with the request
    if isinstance(event, IssueEdited):
        return bool(_told_by(session, event))
    if not session.edits.is_new(event.comment, event.at):
        return False
    root = root_of(session)
    if root is not None and event.root == root:
        return event.edited  # new ones there come as prompts
    # Where it is not known which thread is the session's own, any reply could be in it.
    return not event.addressed and (root is not None or event.root == event.comment)


def hearing(event: IssueEvent, sessions: Sequence[Session]) -> list[SessionId]:
    """Which sessions of the issue have something to hear of it.

    What stands in the thread of one of our sessions was said to that one alone.
    """
    if isinstance(event, CommentRemoved):
        return [one.id for one in sessions if live_turn(one) is not None]
    if isinstance(event, CommentWritten):
        sessions = [one for one in sessions if root_of(one) == event.root] or sessions
    return [one.id for one in sessions if is_news(one, event)]


def on_edit(draft: Draft, event: IssueEvent) -> None:
    """Keep it until it is told."""
    session = draft.session
    if not draft.rules.tell_edits:
        return
    edits = session.edits
    match event:
        case CommentRemoved(comment=comment):
            if isinstance(session.phase, Live) and edits.is_new(comment, event.at):
                draft.change(edits=edits.having_heard(comment, event.at).without(comment))
        case CommentWritten() if is_news(session, event):
            words = bounded(event.text.strip(), COMMENT_MOST)
            edit = Edit(
                what="rewritten" if event.edited else "comment", key=event.comment, who=(event.by.name,), words=words
            )
            gather(draft, edits.having_heard(event.comment, event.at).with_edit(edit))
        case IssueEdited() if is_news(session, event):
            gather(draft, know_edited(draft, _told_by(session, event), event.at))
        case _:
            pass


def catch_up(draft: Draft, event: Prompted) -> None:
    """At rest nobody tells what is changed, and a delivery may be lost: a message brings the issue as it is by then."""
    session, issue = draft.session, event.issue
    if not draft.rules.tell_edits or issue is None or session.runs == 0 or isinstance(session.phase, Live):
        return
    # Some deliveries leave the description out, which cannot be told from one that is empty.
    changed = _changed(session, issue.title or None, issue.description or None, (), event.prompt.sent_at)
    if changed:
        draft.change(edits=know_edited(draft, changed, event.prompt.sent_at))


def know_edited(draft: Draft, changed: Sequence[tuple[Edit, str]], at: float) -> Edits:
    """Know the issue as it reads now; what is known of its changes then."""
    session, edits = draft.session, draft.session.edits
    for edit, _ in changed:
        edits = edits.having_heard(edit.key, at).with_edit(edit)
    if session.issue is not None:
        draft.change(issue=replace(session.issue, **{edit.key: text for edit, text in changed}))
    return edits


def _told_by(session: Session, event: IssueEdited) -> list[tuple[Edit, str]]:
    return _changed(session, event.title, event.description, (event.by.name,), event.at)


def _changed(
    session: Session, title: str | None, description: str | None, who: tuple[str, ...], at: float
) -> list[tuple[Edit, str]]:
    """What of the issue reads otherwise than the agent knows it, each with the whole of its text; None is not told."""
    found: list[tuple[Edit, str]] = []
    issue, heard = session.issue, session.edits
    if issue is not None and title is not None and _differ(title, issue.title) and heard.is_new("title", at):
        words, before = bounded(title, TITLE_MOST), bounded(issue.title, TITLE_MOST)
        found.append((Edit(what="title", key="title", who=who, words=words, before=before), title))
    if issue is None or description is None or not _differ(description, issue.description):
        return found
    if heard.is_new("description", at):
        comparable = max(len(description), len(issue.description)) <= DESCRIPTION_MOST
        words, before = bounded(description, DESCRIPTION_MOST), issue.description if comparable else ""
        found.append((Edit(what="description", key="description", who=who, words=words, before=before), description))
    return found


def _differ(one: str, other: str) -> bool:
    """Whether texts differ in more than white space, which Linear does not always keep."""
    return one.split() != other.split()


def gather(draft: Draft, edits: Edits) -> None:
    """The first of several says when they are told."""
    if edits.waiting and not draft.session.edits.waiting:
        edits = replace(edits, since=draft.now, due=False)
        draft.remind(EditsDue(run=draft.turn.run), _gathering_s(draft, edits))
    draft.change(edits=edits)


def on_due(draft: Draft) -> None:
    """The time to gather may be over."""
    edits = draft.session.edits
    if edits.waiting and draft.now - edits.since >= _gathering_s(draft, edits) * NEARLY:
        draft.change(edits=replace(edits, due=True))


def tell_edits(draft: Draft, before: Session) -> None:
    """After each step: what was gathered is told as soon as the agent hears it."""
    session, edits = draft.session, draft.session.edits
    if session is before or not edits.due or not edits.waiting or not _hears(session):
        return
    draft.change(edits=replace(edits, waiting=(), due=False, times=edits.times + 1))
    told = Prompt(text="", kind="edits", edits=edits.waiting)
    draft.remember(Message(role="user", text=wording.edits.for_history(edits.waiting)))
    steer(draft, told)
    draft.tell(wording.edits.told(edits.waiting))


def _hears(session: Session) -> bool:
    """Whether a message reaches the run: not while it waits for people's answer, nor when it has given its own."""
    match session.phase:
        case Working(turn=turn, asks=asks):
            return not asks and turn.kept is None
        case Starting(prompt=prompt):
            return prompt is None
        case _:
            return False


def _gathering_s(draft: Draft, edits: Edits) -> float:
    """How long changes are gathered: longer and longer in a turn, since Linear saves while people still write."""
    return draft.rules.gather_s * 2.0 ** min(edits.times, LONGER_MOST)


def know_thread(draft: Draft, event: SessionOpened | Prompted) -> None:
    """Remember which thread is the session's own, and that the comment it was opened by is no news."""
    if event.root is not None and draft.session.root != event.root:
        draft.change(root=event.root)
    if isinstance(event, SessionOpened) and event.source is not None:
        edits = draft.session.edits.without(event.source)
        draft.change(edits=edits.having_heard(event.source, event.prompt.sent_at))
