"""Comments as the way people talk with us, where there are no agent sessions: one thread of an issue, one conversation.

A comment that mentions us opens the conversation of its thread; from then on every reply there is for us, as in an agent
session. Should both kinds of webhooks arrive, they lead to the same conversation, and one comment is heard once: its id
is the key of both.
"""

from __future__ import annotations

from msgspec.structs import replace

from dragoman.core.asks import normalised
from dragoman.core.events.linear import Prompt, Prompted, SessionOpened, StopRequested
from dragoman.ids import ActivityId, CommentId, IssueId, OrganizationId, Thread, UserId, thread_session_id
from dragoman.linear import asked, edits, readings, wire
from dragoman.linear.mentions import is_addressed, without_address
from dragoman.linear.readings import AboutIssue, Reading, Relevant
from dragoman.linear.webhook import Delivery

_STOP = frozenset({"stop", "/stop"})


def read(delivery: Delivery, organization: OrganizationId, us: UserId | None, name: str) -> Reading:
    """Say what a `Comment` webhook means.

    us    whose key we use; comments of this user are never answered, whoever typed them
    name  what people call us
    """
    payload = delivery.payload
    if payload.action != "create":
        return edits.of_comment(delivery, organization, us, (name,))
    comment = payload.data
    if comment is None or not comment.id or not comment.body:
        return readings.ignored("odd_shape", payload)
    issue = readings.issue_of(comment.issue)
    if issue is None:
        return readings.ignored("not_ours", payload)  # on a project, a document, …: only issues are worked on
    author = readings.person_of(comment.user, comment.user_id)
    if author is None:
        return readings.ignored("nobody", payload)  # a bot or an integration: two of them could talk for ever
    if author.id == us or asked.is_stub(comment.body):
        return readings.ignored("own_event", payload)
    addressed = is_addressed(comment.body, name)
    aside = None if addressed else edits.of_comment(delivery, organization, us)
    if aside is not None and not comment.parent_id:
        return aside
    text = without_address(comment.body, name)
    sent_at = readings.seconds_of(comment.created_at, payload)
    prompt = Prompt(text=text, author=author, activity=ActivityId(comment.id), sent_at=sent_at)
    event: SessionOpened | Prompted | StopRequested
    if normalised(text) in _STOP:
        event = StopRequested(sent_at=sent_at, by=author)
    elif addressed:
        event = SessionOpened(issue=issue, prompt=replace(prompt, kind="mention"))
    else:
        event = Prompted(prompt=prompt, issue=issue)
    thread = Thread(issue.id, CommentId(comment.parent_id or comment.id))
    return Relevant(
        session=thread_session_id(thread),
        organization=organization,
        event=event,
        keys=readings.keys_of(delivery, key_of(comment.id)),
        opens=addressed,
        otherwise=aside if isinstance(aside, AboutIssue) else None,
    )


def in_thread(reading: Reading, payload: wire.Payload, name: str) -> Reading:
    """What was read of an agent session's event, as an event of the thread which that session is attached to."""
    session = payload.agent_session
    if not isinstance(reading, Relevant) or session is None:
        return reading
    root, issue = session.comment, session.issue
    if root is None or not root.id or issue is None or not issue.id:
        return readings.ignored("not_ours", payload)  # we could not answer there
    source = payload.agent_activity.source_comment_id if payload.agent_activity else session.source_comment_id
    if source is None and payload.agent_activity is None:
        source = root.id
    event = reading.event
    if isinstance(event, SessionOpened | Prompted):
        event = replace(event, prompt=replace(event.prompt, text=without_address(event.prompt.text, name)))
    return replace(
        reading,
        session=thread_session_id(Thread(IssueId(issue.id), CommentId(root.id))),
        event=event,
        keys=(*reading.keys, key_of(source)) if source else reading.keys,
    )


def key_of(comment: str) -> str:
    """The dedupe key of a comment, whichever webhook brings it; ours are remembered under it before they are sent."""
    return f"comment:{comment}"
