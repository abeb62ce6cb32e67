"""The view of one run, and what is new in it. Pure: no I/O, no clock.

Two kinds of input tell the same story: events of the stream (hints: fast, may be lost, repeated or late) and
snapshots read over REST (the truth, a moment old). Both are merged into one picture in which nothing goes backwards:
a finished part does not run again, a completed message stays so. Facts are derived from the picture, not from the
inputs, so it does not matter which of the two told it or how often; and their keys are made of OpenCode's own ids, so
that a view which starts afresh after a crash hands out the same facts under the same keys.

What is told of a sub-agent: its asks, under its own thread, for a person must answer them. Its tools are not: the
parent's `task` row begins and ends with it and shows its result.

The plan comes from the arguments of each `todowrite` call, not from `todo.updated` or `GET /todo`: those have no id,
so two equal plans could not be told apart, and the list left over from an earlier run would look like this one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from dragoman import logs
from dragoman.core.events.opencode import (
    AgentEvent,
    AskGone,
    AskRaised,
    Compacted,
    Reasoned,
    RunInterrupted,
    RunRetrying,
    RunSettled,
    Said,
    TodosChanged,
    ToolFinished,
    ToolStarted,
)
from dragoman.ids import AgentThread, AskId, MessageId, PartId, RunId
from dragoman.opencode import wire, wire_events
from dragoman.opencode.outcome import cause_of, is_compaction, read_outcome, tools_started
from dragoman.opencode.parts import permission_of, question_of, todos_of, tool_of
from dragoman.opencode.picture import Picture, Snapshot

Fact = tuple[str, AgentEvent]

SETTLED_AFTER_S: Final = 0.3  # two reads this far apart must agree: the first idle may precede the final write
CUT_AFTER_S: Final = 2.0  # longer for an interruption: a prompt just admitted looks like one until its loop begins
_ERRORS_KEPT: Final = 4


class Verdict(Struct, frozen=True):
    """The end of a run as seen so far. Only a confirmed one is a fact.

    key, event  what to tell, once confirmed
    mark        what it rests on; a later read with another mark begins anew
    since       when it was first seen; `wait_s` how long after that a further read confirms it
    """

    key: str
    event: RunSettled | RunInterrupted
    mark: str
    since: float
    wait_s: float
    confirmed: bool = False


class RunView:
    """What is known of one run.

    messages  ids of our own user messages of this run, oldest first; the first begins the run
    attempts  how often the run was set going; a cut is told once for each
    asks      those that the session thinks open, so that one which went away while nobody looked is told as gone
    """

    def __init__(
        self,
        run: RunId,
        thread: AgentThread,
        directory: str,
        messages: tuple[MessageId, ...],
        *,
        attempts: int = 1,
        asks: Iterable[AskId] = (),
    ) -> None:
        self.run = run
        self.thread = thread
        self.directory = directory
        self.messages = messages
        self.attempts = attempts
        self.children: set[AgentThread] = set()
        self._picture = Picture()
        self._told: set[str] = set()
        self._first_untold = 0  # messages before this one have nothing more to tell
        self._read_whole: set[str] = set()  # messages that a snapshot showed finished: no lost event is missing in them
        self._status = wire.Status("unknown")
        self._read_at = 0.0  # of the newest snapshot; 0 = none yet
        # The answer that is tried again, "" while none is known yet, and since when; None before the first try.
        self._retrying_since: tuple[str | None, float] = (None, 0.0)
        self._errors: list[wire.MessageError] = []
        self._asks: dict[str, AskRaised] = {}
        self._open: set[str] = set(asks)  # handed out, or known to the session
        self._closed: set[str] = set()
        self._fresh: set[str] = set()  # asks that an event told since the last snapshot: it may be older than they
        self._changes = 0

    # ── what we know of it from our own side ─────────────────────────────
    def add_message(self, message: MessageId) -> None:
        """Another user message of ours belongs to this run (steering, or a resume)."""
        if message not in self.messages:
            self.messages = (*self.messages, message)
            self._errors.clear()

    def resumed(self, attempts: int) -> None:
        """The run was set going again."""
        self.attempts = attempts
        self._errors.clear()

    def owns(self, thread: str) -> bool:
        """Whether a thread is this run's or a sub-agent's of it."""
        return thread == self.thread or thread in self.children

    def fingerprint(self) -> int:
        """Changes whenever a part, a message or an ask of the run changes, running output included."""
        return self._changes + self._picture.changes

    @property
    def idle(self) -> bool:
        """Whether the thread was last heard to be idle: time for a snapshot."""
        return self._status.type == "idle"

    @property
    def waiting(self) -> bool:
        """Whether an ask is open: then silence is no stall."""
        return bool(self._asks)

    def answers(self, message: str) -> bool:
        """Whether a message is known to be one of the agent's in this run, and meant for people."""
        info = self._picture.infos.get(message)
        return info is not None and info.role == "assistant" and info.summary is not True

    def resync_from(self) -> MessageId:
        """The message from which a snapshot must reach: nothing before it can change any more."""
        known = self._picture.order[self._first_untold : self._first_untold + 1]
        return MessageId(known[0]) if known else self.messages[0]

    # ── inputs ───────────────────────────────────────────────────────────
    def apply_event(self, event: wire_events.WireEvent, at: float = 0.0) -> None:
        """Merge an event of the stream; those of other threads change nothing. `at`: when it came, epoch seconds."""
        match event:
            case wire_events.PartUpdated():
                self._heard_part(event.properties.part)
            case wire_events.MessageUpdated():
                info = event.properties.info
                if info.sessionID == self.thread and self._picture.belongs(info, self.messages):
                    self._put_message(info)
            case wire_events.SessionCreated():
                if self.owns(event.properties.info.parentID or ""):
                    self.children.add(AgentThread(event.properties.info.id))
            case wire_events.SessionStatus():
                if event.properties.sessionID == self.thread:
                    self._put_status(event.properties.status, at)
            case wire_events.SessionIdle():
                if event.properties.sessionID == self.thread:
                    self._put_status(wire.Status("idle"), at)
            case wire_events.SessionError():
                if event.properties.sessionID == self.thread:
                    self.note_error(event.properties.error)
            case wire_events.PermissionAsked() | wire_events.QuestionAsked():
                self._fresh.add(event.properties.id)
                self._put_ask(event.properties)
            case wire_events.PermissionReplied() | wire_events.QuestionReplied() | wire_events.QuestionRejected():
                if self.owns(event.properties.sessionID):
                    self._close_ask(event.properties.requestID)
            case wire_events.Disposed():
                pass  # the follower reads a snapshot then

    def note_error(self, error: wire.MessageError) -> None:
        """Keep an error that may never become a message (unknown agent, unknown model)."""
        if len(self._errors) < _ERRORS_KEPT:
            self._errors.append(error)

    def apply_snapshot(self, snapshot: Snapshot) -> None:
        """Merge what REST says. An ask that it no longer lists is gone, unless an event told it since the last one."""
        self._read_at = snapshot.at
        self.children.update(AgentThread(child) for child in snapshot.children)
        self._put_status(snapshot.status, snapshot.at)
        ours = {*self.messages, *self._picture.infos}
        begin = next((n for n, message in enumerate(snapshot.messages) if message.info.id in ours), None)
        if begin is not None:
            messages = snapshot.messages[begin:]
            for message in messages:
                self._put_message(message.info)
            if self._picture.reorder([message.info.id for message in messages]):
                self._first_untold = 0
            for message in messages:
                for part in message.parts:
                    self._put_part(part)
                if message.info.time.completed is not None or (message.info.role == "user" and message.parts):
                    self._read_whole.add(message.info.id)
        self._sync_asks(snapshot)

    # ── what is new ──────────────────────────────────────────────────────
    def facts(self) -> list[Fact]:
        """The facts that are known now and that this view has not handed out, in the order of the run."""
        found: list[Fact] = []
        for key, event in self._all_facts():
            if key not in self._told:
                self._told.add(key)
                found.append((key, event))
        self._let_go()
        return found

    def settled(self, previous: Verdict | None = None) -> Verdict | None:
        """Whether the run is over, and how: None while it is not, confirmed when two snapshots agree.

        Call it after `apply_snapshot` and give it what it returned after the one before. Interruptions need a longer
        agreement: a prompt that was just admitted is idle without an answer, too.
        """
        if not self._read_at or self._status.type != "idle":
            return None
        messages = self._picture.messages()
        outcome = read_outcome(messages, self._errors)
        if outcome is None:
            return None
        present = [message for message in self.messages if message in self._picture.infos]
        newest = present[-1] if present else self.messages[-1]
        event: RunSettled | RunInterrupted
        if outcome == "cut":
            event = RunInterrupted(run=self.run, tools=tools_started(messages), after=self.attempts, newest=newest)
            key, wait_s = f"cut:{self.attempts}", CUT_AFTER_S
        else:
            event = RunSettled(run=self.run, newest=newest, outcome=outcome)
            key, wait_s = f"settled:{newest}:{self._picture.newest_answer()}", SETTLED_AFTER_S
        mark = f"{key} {newest} {self._picture.changes}"
        if previous is None or previous.mark != mark or self._read_at < previous.since:  # the clock was set back
            return Verdict(key=key, event=event, mark=mark, since=self._read_at, wait_s=wait_s)
        confirmed = self._read_at - previous.since >= wait_s
        return Verdict(key=key, event=event, mark=mark, since=previous.since, wait_s=wait_s, confirmed=confirmed)

    # ── merging ──────────────────────────────────────────────────────────
    def _heard_part(self, part: wire.Part) -> None:
        if part.sessionID == self.thread:
            self._put_part(part)
        elif part.sessionID in self.children:
            self._changes += 1  # a sub-agent at work is no stall

    def _put_message(self, info: wire.MessageInfo) -> None:
        if not self._picture.put_message(info):
            return
        self._first_untold = min(self._first_untold, self._picture.order.index(info.id))
        if info.role == "assistant":
            self._errors.clear()  # whatever they were about, it went on

    def _put_part(self, part: wire.Part) -> None:
        if self._picture.put_part(part) and part.tool == "task" and part.state is not None and part.state.metadata:
            child = part.state.metadata.sessionId
            if isinstance(child, str):
                self.children.add(AgentThread(child))

    def _put_status(self, status: wire.Status, at: float) -> None:
        self._status = status
        if status.type == "retry":
            series = self._picture.newest_answer()
            if self._retrying_since[0] != series:
                self._retrying_since = (series, at or status.next / 1000)

    def _put_ask(self, ask: wire.Permission | wire.QuestionRequest) -> None:
        if not self.owns(ask.sessionID) or ask.id in self._asks or ask.id in self._closed:
            return
        made = permission_of(self.run, ask) if isinstance(ask, wire.Permission) else question_of(self.run, ask)
        self._asks[ask.id] = made
        self._changes += 1

    def _close_ask(self, ask: str) -> None:
        self._asks.pop(ask, None)
        if ask not in self._closed:
            self._closed.add(ask)
            self._changes += 1

    def _sync_asks(self, snapshot: Snapshot) -> None:
        idle = {thread for thread, status in snapshot.children.items() if status.type == "idle"}
        if snapshot.status.type == "idle":
            idle.add(self.thread)
        pending: set[str] = set()
        asks: list[wire.Permission | wire.QuestionRequest] = [*snapshot.permissions, *snapshot.questions]
        for ask in asks:
            if ask.sessionID not in idle:  # an aborted run leaves its permission in the list
                pending.add(ask.id)
                self._put_ask(ask)
        if self.thread not in idle:  # else the run has ended or was cut, and that says what becomes of its asks
            for known in ({*self._asks} | self._open) - pending - self._fresh - self._closed:
                self._close_ask(known)
        self._fresh.clear()

    # ── facts ────────────────────────────────────────────────────────────
    def _all_facts(self) -> Iterator[Fact]:
        order = self._picture.order
        for n in range(self._first_untold, len(order)):
            info, parts = self._picture.infos[order[n]], self._picture.parts(order[n])
            if info.role == "assistant" and info.summary is not True:
                yield from self._told_by(info, parts, followed=n + 1 < len(order))
            elif info.role == "user" and is_compaction(wire.Message(info, parts)) and self._was_compacted(info.id):
                yield f"compact:{info.id}", Compacted(run=self.run, key=info.id)
        if self._status.type == "retry":
            series, since = self._retrying_since
            yield (
                f"retry:{series or ''}:{self._status.attempt}",
                RunRetrying(
                    run=self.run,
                    attempt=self._status.attempt,
                    message=logs.masked(self._status.message),
                    since_s=max(0.0, self._status.next / 1000 - since),
                    cause=cause_of(self._status.message),
                ),
            )
        for ask, raised in self._asks.items():
            self._open.add(ask)
            yield f"ask:{ask}", raised
        for ask in sorted(self._closed & self._open):
            yield f"gone:{ask}", AskGone(run=self.run, ask=AskId(ask))

    def _told_by(self, info: wire.MessageInfo, parts: list[wire.Part], *, followed: bool) -> Iterator[Fact]:
        last_tool = max((n for n, part in enumerate(parts) if part.type == "tool"), default=-1)
        for n, part in enumerate(parts):
            done = f"part:{part.id}:done"
            if part.type == "tool" and done not in self._told:
                yield from self._told_by_tool(part, done)
                continue
            ended = info.time.completed is not None or (part.time is not None and part.time.end is not None)
            if not ended or part.synthetic or part.ignored or not (text := part.text.strip()):
                continue
            if part.type == "reasoning":
                yield done, Reasoned(run=self.run, part=PartId(part.id), text=text)
            elif part.type == "text" and (followed or n < last_tool):
                yield done, Said(run=self.run, part=PartId(part.id), text=text)

    def _told_by_tool(self, part: wire.Part, done: str) -> Iterator[Fact]:
        status = part.state.status if part.state is not None else "pending"
        if status == "pending":
            return
        if part.tool == "todowrite" and status != "error" and (todos := todos_of(part)) is not None:
            yield f"todo:{part.id}", TodosChanged(run=self.run, todos=todos)
        if status == "running":
            yield f"part:{part.id}:start", ToolStarted(run=self.run, part=PartId(part.id), tool=tool_of(part))
        else:
            failed = status == "error"
            yield done, ToolFinished(run=self.run, part=PartId(part.id), tool=tool_of(part), failed=failed)

    def _was_compacted(self, request: str) -> bool:
        return any(
            info.parentID == request and info.summary is True and info.time.completed is not None and info.error is None
            for info in self._picture.infos.values()
        )

    def _let_go(self) -> None:
        """Forget the results of tools that were told, and step over messages that have nothing more to tell."""
        picture = self._picture
        while self._first_untold + 1 < len(picture.order):
            info = picture.infos[picture.order[self._first_untold]]
            parts = picture.parts(info.id)
            picture.let_go(info.id, {part.id for part in parts if f"part:{part.id}:done" in self._told})
            compacting = info.role == "user" and is_compaction(wire.Message(info, parts))
            if info.id not in self._read_whole or (compacting and f"compact:{info.id}" not in self._told):
                return
            self._first_untold += 1
