"""The stage of stories whose people have no agent sessions: they write comments, and read comments.

What the agent wrote is told apart by its ids: the progress of a turn is its "thought", its end the "response", all
else an "elicitation". So these stories are held against the same that must always be true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dragoman.ids import CommentId, IssueId, SessionId, Thread, activity_id, thread_of, thread_session_id
from dragoman.sim.records import Activity, Comment, Person
from tests.stories.checks import TOLD_MOST
from tests.stories.world import TURNS_MOST, Stage

RESOURCES = ("Comment", "Issue")


class CommentStage(Stage):
    """A stage on which `LINEAR_AGENT_MODE` is `comment`.

    resources       the webhooks that arrive
    agent_sessions  whether Linear opens agent sessions all the same
    """

    def __init__(
        self,
        folder: Path,
        upstream: Path,
        *,
        resources: Iterable[str] = RESOURCES,
        agent_sessions: bool = False,
        settings: Mapping[str, str] | None = None,
        **how: Any,
    ) -> None:
        super().__init__(
            folder,
            upstream,
            settings={"LINEAR_AGENT_MODE": "comment", "LINEAR_AGENT_NAME": "OpenCode", **(settings or {})},
            linear={"resources": resources, "agent_sessions": agent_sessions},
            **how,
        )

    # ── acting ───────────────────────────────────────────────────────────
    def call(self, text: str = "@OpenCode please fix it", *, issue: str | None = None) -> str:
        """Somebody begins a thread; its conversation."""
        return self.conversation(self.people.comment(issue or self.issue(), text))

    def reply(self, session: str, text: str, *, by: Person | None = None) -> Comment:
        """Somebody writes into the thread of a conversation."""
        issue, root = self.place(session)
        return self.people.comment(issue, text, parent=root, by=by)

    # ── seeing ───────────────────────────────────────────────────────────
    def conversation(self, comment: Comment) -> str:
        """The conversation of a comment's thread."""
        return thread_session_id(Thread(IssueId(comment.issue or ""), CommentId(comment.parent or comment.id)))

    def place(self, session: str) -> Thread:
        """The thread of a conversation."""
        thread = thread_of(SessionId(session))
        assert thread is not None
        return thread

    def written(self, session: str) -> list[Comment]:
        """What the agent wrote into the thread, oldest first."""
        return [one for one in self.world.thread(self.place(session).root) if one.author == self.world.agent.id]

    def progress(self, session: str, turn: int = 1) -> Comment | None:
        """The comment that shows the progress of a turn."""
        return self.world.comments.get(activity_id(SessionId(session), turn, "begin"))

    def _rows(self, session: str, *, vanished: bool = False) -> list[Activity]:
        if thread_of(SessionId(session)) is None:
            return super()._rows(session, vanished=vanished)
        return [self._row(session, comment) for comment in self.written(session)]

    def _row(self, session: str, comment: Comment) -> Activity:
        kind = _kinds(SessionId(session)).get(comment.id, "elicitation")
        content = {"type": kind, "body": comment.body}
        return Activity(
            id=comment.id, session=session, created_at=comment.created_at, author=comment.author or "", content=content
        )


@cache
def _kinds(session: SessionId) -> dict[str, str]:
    """What the comments of a conversation are, by the ids that they have."""
    finals = ["final", *(f"refused:told:{number}" for number in range(1, TOLD_MOST))]
    stages = {"begin": "thought"} | dict.fromkeys(finals, "response")
    return {activity_id(session, turn, stage): kind for turn in range(1, TURNS_MOST) for stage, kind in stages.items()}
