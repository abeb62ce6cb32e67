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
        return bool(_changed(session, event))
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
            changed = _changed(session, event)
            for edit in changed:
                edits = edits.having_heard(edit.key, event.at).with_edit(edit)
            if session.issue is not None:
                fields = {edit.key: getattr(event, edit.key) for edit in changed}
                draft.change(issue=replace(session.issue, **fields))
            gather(draft, edits)
        case _:
            pass


def _changed(session: Session, event: IssueEdited) -> list[Edit]:
    """What of the issue reads otherwise than the agent knows it."""
    issue = session.issue
    if issue is None:
        return []
    found = []
    who = (event.by.name,)
    if event.title is not None and event.title != issue.title and session.edits.is_new("title", event.at):
        words, before = bounded(event.title, TITLE_MOST), bounded(issue.title, TITLE_MOST)
        found.append(Edit(what="title", key="title", who=who, words=words, before=before))
    text = event.description
    if text is not None and text != issue.description and session.edits.is_new("description", event.at):
        comparable = max(len(text), len(issue.description)) <= DESCRIPTION_MOST
        words, before = bounded(text, DESCRIPTION_MOST), issue.description if comparable else ""
        found.append(Edit(what="description", key="description", who=who, words=words, before=before))
    return found


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
    """Remember which thread is the session's own, and that the words of this prompt are known by it."""
    session = draft.session
    if event.root is not None and session.root != event.root:
        draft.change(root=event.root)
    if event.prompt.comment is not None:
        edits = session.edits.without(event.prompt.comment)
        draft.change(edits=edits.having_heard(event.prompt.comment, event.prompt.sent_at))
