"""Effects on OpenCode and workspaces; only the session's host performs them.

The rule that no prompt runs twice is kept here: before a message is given to OpenCode we ask whether it is there.
The rule that nothing runs after a stop is kept here, too: the session is looked at before and after (the fence), and a
run that it has left is stopped before the lane goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dragoman import logs
from dragoman.core import prompts
from dragoman.core.effects import (
    AbortRun,
    AnswerPermission,
    AnswerQuestion,
    DisposeInstance,
    ResumeRun,
    StartRun,
    SteerRun,
)
from dragoman.core.events import Event, Prompt, RunAborted, RunFailed, RunStarted, RunWaiting
from dragoman.core.session import Closed as ClosedPhase
from dragoman.core.session import Message, Resting, Session, Starting, Working, Workspace, live_turn
from dragoman.errors import GitError, NotFound, OpenCodeDown, OpenCodeError, Told
from dragoman.ids import AgentThread, MessageId, OrganizationId, PartId, RunId, SessionId, part_id, session_of
from dragoman.ledger import read
from dragoman.ledger.effects import Claimed
from dragoman.opencode.client import OpenCode
from dragoman.opencode.stopping import stop_run
from dragoman.runtime.agent_host import AgentHost
from dragoman.runtime.desk import Desk
from dragoman.runtime.engine import Engine
from dragoman.runtime.workers import GivenUp, Postponed

ABORT_S = 3.5  # a stop is confirmed within 5 s, come what may
ABORT_ATTEMPTS = 40  # about ten minutes of trying to see it end
FOREIGN = "I do not work for this organization."
QUEUE_LOOK_S = (1.0, 5.0)  # how often a run that waits for a place looks again: at first, and later
EARLIER_MESSAGES = 12  # of earlier sessions on the issue that a new one starts from
_log = logs.get("agent")


class AgentWork:
    """Performs what OpenCode shall do.

    model     "provider/model"; None = the server's default
    places    most runs at a time
    is_ours   whether an organization is the one we work for; None while nobody knows
    """

    def __init__(
        self,
        engine: Engine,
        host: AgentHost,
        desk: Desk,
        *,
        model: str | None,
        agent: str,
        places: int,
        is_ours: Callable[[OrganizationId], Awaitable[bool | None]],
    ) -> None:
        self._engine = engine
        self._host = host
        self._desk = desk
        self._model = model
        self._agent = agent
        self._places = places
        self._is_ours = is_ours
        self._taken: set[RunId] = set()  # runs being started here that the ledger does not count as working yet

    async def perform(self, claimed: Claimed) -> Event | None:
        """Perform one effect. Raises Postponed, GivenUp, OpenCodeError."""
        effect = claimed.effect
        match effect:
            case StartRun():
                return await self._start(effect, claimed)
            case SteerRun():
                return await self._steer(effect)
            case ResumeRun():
                return await self._resume(effect)
            case AnswerPermission() | AnswerQuestion():
                return await self._answer(effect)
            case AbortRun():
                return await self._abort(effect, claimed)
            case DisposeInstance(directory=directory):
                return await self._dispose(claimed.session, directory)
            case _:
                raise TypeError(f"not for an agent: {effect!r}")

    # ── a run begins ─────────────────────────────────────────────────────
    async def _start(self, effect: StartRun, claimed: Claimed) -> Event | None:
        session = await self._fenced(effect.run)
        if session is None:
            await self._end_left_run(effect, again=claimed.attempts > 1)
            return None
        ours = await self._is_ours(session.organization)
        if ours is None:
            raise Postponed("Linear has not told yet who we are")
        if not ours:
            raise GivenUp("the session is of a foreign organization", event=RunFailed(run=effect.run, reason=FOREIGN))
        await self._take_place(effect.run, claimed)
        try:
            return await self._start_in_place(effect, session)
        finally:
            self._taken.discard(effect.run)

    async def _start_in_place(self, effect: StartRun, session: Session) -> Event | None:
        client = await self._client(effect.run)
        try:
            workspace, notes = await self._desk.workspace(session)
        except GitError as error:
            if error.retryable:
                raise Postponed(
                    str(error), event=RunWaiting(run=effect.run, cause="repository", detail=str(error))
                ) from error
            raise GivenUp(
                str(error), event=RunFailed(run=effect.run, reason=f"git could not prepare the workspace: {error}")
            ) from error
        except Told as error:
            raise GivenUp(str(error), event=RunFailed(run=effect.run, reason=str(error))) from error
        with _refusals_end(effect.run):
            thread = await self._thread(client, session, workspace)
            if await client.message(thread, workspace.directory, effect.message) is None:
                text = prompts.follow_up(effect.prompt)
                if thread != session.thread:
                    text = await self._first_text(session, effect.prompt, workspace)
                text += "".join(f"\n\nAbout the workspace: {note}" for note in notes)
                if await self._fenced(effect.run) is None:
                    return None
                await client.prompt(
                    thread, workspace.directory, effect.message, effect.part, text, self._model, self._agent
                )
        if await self._fenced(effect.run) is None:
            await stop_run(client, thread, workspace.directory, ABORT_S)
            return None
        return RunStarted(
            run=effect.run,
            thread=thread,
            repository=workspace.repository,
            directory=workspace.directory,
            branch=workspace.branch,
        )

    async def _take_place(self, run: RunId, claimed: Claimed) -> None:
        working = await self._engine.ledger.read(read.places, self._engine.host)
        beginning = {session_of(each) for each in self._taken}
        if len((beginning | set(working)) - {session_of(run)}) >= self._places or not self._host.room():
            look_s = min(QUEUE_LOOK_S[1], QUEUE_LOOK_S[0] * claimed.attempts)
            raise Postponed("all places are taken", event=RunWaiting(run=run, cause="capacity"), after_s=look_s)
        self._taken.add(run)

    async def _thread(self, client: OpenCode, session: Session, workspace: Workspace) -> AgentThread:
        if session.thread is not None and await client.thread_exists(session.thread, workspace.directory):
            return session.thread
        found = await client.find_thread(workspace.directory, session.id)
        if found is not None:
            return found
        title = f"{session.issue.key} {session.issue.title}" if session.issue else "Session"
        return await client.create_thread(workspace.directory, title, session.id)

    async def _first_text(self, session: Session, prompt: Prompt, workspace: Workspace) -> str:
        history = await self._history(session)
        return prompts.first_prompt(session, prompt, history=history, workspace=workspace)

    async def _history(self, session: Session) -> list[Message]:
        """What was said before on the issue, oldest first, the newest of it: in earlier sessions, and in this one when
        OpenCode has lost the thread."""
        ledger = self._engine.ledger
        known = await ledger.read(read.sessions_of_issue, session.issue.id, 4) if session.issue else [session]
        said: list[Message] = []
        for other in reversed(known):
            lines = await ledger.read(read.conversation, other.id, EARLIER_MESSAGES)
            if other.id == session.id:
                lines = [line for line in lines if line.turn < session.turns]
            said.extend(Message(role=line.role, text=line.text, author=line.author) for line in lines)
        return said[-EARLIER_MESSAGES:]

    # ── a run goes on ────────────────────────────────────────────────────
    async def _steer(self, effect: SteerRun) -> Event | None:
        session = await self._fenced(effect.run)
        if session is None or session.thread is None or session.workspace is None:
            return None
        client = await self._client(effect.run)
        text = prompts.follow_up(effect.prompt)
        return await self._give(client, session, effect.run, effect.message, effect.part, text)

    async def _resume(self, effect: ResumeRun) -> Event | None:
        session = await self._fenced(effect.run)
        if session is None or session.thread is None or session.workspace is None:
            return None
        client = await self._client(effect.run)
        if effect.tools:
            text = prompts.resumed(effect.note)
            return await self._give(client, session, effect.run, effect.message, effect.part, text, effect.attempt)
        # No tool had started: the same message under the same ids wakes OpenCode's loop where it stopped.
        thread, directory = session.thread, session.workspace.directory
        with _refusals_end(effect.run):
            original = await client.message(thread, directory, effect.original)
            parts = original.parts if original else []
            text = "".join(part.text for part in parts if part.type == "text" and not part.synthetic)
            text = text or await self._text_again(session, effect.original)
            part = part_id(effect.original)
            await client.prompt(thread, directory, effect.original, part, text, self._model, self._agent)
        return await self._went_on(client, effect.run, thread, directory, effect.attempt)

    async def _give(
        self,
        client: OpenCode,
        session: Session,
        run: RunId,
        message: MessageId,
        part: PartId,
        text: str,
        attempt: int = 0,
    ) -> Event | None:
        """Put a message into the thread unless it is there; `attempt` as RunStarted has it."""
        thread, directory = session.thread, session.workspace.directory if session.workspace else ""
        if thread is None:
            return None
        with _refusals_end(run):
            if await client.message(thread, directory, message) is None:
                await client.prompt(thread, directory, message, part, text, self._model, self._agent)
        return await self._went_on(client, run, thread, directory, attempt)

    async def _went_on(
        self, client: OpenCode, run: RunId, thread: AgentThread, directory: str, attempt: int
    ) -> Event | None:
        """Stop what the session has left; else say that OpenCode has it, if the session waits to hear that."""
        session = await self._fenced(run)
        if session is None:
            await stop_run(client, thread, directory, ABORT_S)
            return None
        return goes_on(session, attempt)

    async def _text_again(self, session: Session, message: MessageId) -> str:
        """The text of a message that OpenCode lost: made again from the effect that first carried it."""
        details = await self._engine.ledger.read(read.effects_of, session.id)
        for effect in details:
            if isinstance(effect, StartRun | SteerRun) and effect.message == message:
                if isinstance(effect, StartRun) and session.workspace is not None and session.turns == 1:
                    history = await self._history(session)
                    return prompts.first_prompt(session, effect.prompt, history=history, workspace=session.workspace)
                return prompts.follow_up(effect.prompt)
        return prompts.resumed("")

    async def _answer(self, effect: AnswerPermission | AnswerQuestion) -> Event | None:
        session = await self._fenced(effect.run)
        if session is None or session.workspace is None:
            return None
        client = await self._client(effect.run)
        directory = session.workspace.directory
        with _refusals_end(effect.run):
            try:
                if isinstance(effect, AnswerPermission):
                    await client.reply_permission(effect.ask, effect.thread, directory, effect.reply, effect.message)
                else:
                    await client.reply_question(effect.ask, effect.thread, directory, effect.answers)
            except NotFound:
                # Answered elsewhere, or OpenCode was restarted and forgot: the follower sees which.
                _log.info("ask.gone", run=effect.run, ask=effect.ask)
        session = await self._fenced(effect.run)
        return goes_on(session) if session is not None else None

    # ── a run ends ───────────────────────────────────────────────────────
    async def _abort(self, effect: AbortRun, claimed: Claimed) -> Event | None:
        session = await self._engine.session(SessionId(claimed.session or ""))
        if session is None:
            return None
        turn = live_turn(session)
        if turn is not None and turn.run != effect.run:
            return None  # a later run works in this thread now: it must not be cut
        thread = session.thread or effect.thread
        directory = session.workspace.directory if session.workspace else effect.directory
        if thread is None or directory is None:
            return RunAborted(run=effect.run, verified=True, detail="The work had not begun yet")
        try:
            client = await self._host.client()
            verified, detail = await stop_run(client, thread, directory, ABORT_S)
        except OpenCodeDown:
            verified, detail = False, "OpenCode could not be reached, so I could not see whether the work has ended"
        told = RunAborted(run=effect.run, verified=verified, detail=detail)
        if not verified and claimed.attempts < ABORT_ATTEMPTS:
            raise Postponed(detail, event=told)
        return told

    async def _dispose(self, session_id: SessionId | None, directory: str) -> Event | None:
        session = await self._engine.session(SessionId(session_id or ""))
        if session is None or not isinstance(session.phase, Resting | ClosedPhase):
            return None
        try:
            client = await self._host.client()
            await client.dispose(directory)
        except (OpenCodeError, Told) as error:
            # It only frees memory; a server that is down has freed all of it.
            _log.debug("instance.kept", directory=Path(directory).name, error=str(error))
        return None

    async def _end_left_run(self, effect: StartRun, *, again: bool) -> None:
        """The session left the run before or while it was started: whatever reached OpenCode is stopped.

        again  an earlier attempt was cut off and may have given the prompt to a thread that the session never heard of
        """
        session = await self._engine.session(session_of(effect.run))
        if session is None or not (again or session.thread):
            return
        turn = live_turn(session)
        if turn is not None and turn.run != effect.run:
            return
        directory = session.workspace.directory if session.workspace else self._desk.standing(session)
        if directory is None:
            return  # it never came as far as a workspace
        client = await self._client(effect.run)
        with _refusals_end(effect.run):
            thread = session.thread or await client.find_thread(directory, session.id)
            if thread and await client.message(thread, directory, effect.message) is not None:
                await stop_run(client, thread, directory, ABORT_S)

    # ── small things ─────────────────────────────────────────────────────
    async def _fenced(self, run: RunId) -> Session | None:
        """The session, if it is still in this run and wants it to go on."""
        session = await self._engine.session(session_of(run))
        if session is None or not isinstance(session.phase, Starting | Working) or session.phase.turn.run != run:
            return None
        return session

    async def _client(self, run: RunId) -> OpenCode:
        try:
            with _refusals_end(run):
                return await self._host.client()
        except Told as error:
            raise GivenUp(str(error), event=RunFailed(run=run, reason=str(error))) from error


def goes_on(session: Session, attempt: int = 0) -> RunStarted | None:
    """What ends a wait for OpenCode: it has answered. None when the session does not wait.

    attempt  of a run that was set going again
    """
    phase, thread, place = session.phase, session.thread, session.workspace
    if not isinstance(phase, Starting | Working) or thread is None or place is None:
        return None
    if not (attempt or phase.turn.waiting):
        return None
    return RunStarted(
        run=phase.turn.run,
        thread=thread,
        repository=place.repository,
        directory=place.directory,
        branch=place.branch,
        attempt=attempt,
    )


@contextmanager
def _refusals_end(run: RunId) -> Iterator[None]:
    """While OpenCode does not answer or fails, the run waits and people hear of it; what it refuses for good ends it."""
    try:
        yield
    except OpenCodeError as error:
        if error.retryable:
            raise Postponed(str(error), event=RunWaiting(run=run, cause="opencode", detail=str(error))) from error
        reason = f"OpenCode refused the request: {error}"
        raise GivenUp(str(error), event=RunFailed(run=run, reason=reason)) from error
