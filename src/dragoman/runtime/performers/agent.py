"""Effects on OpenCode and workspaces; only the session's host performs them.

The rule that no prompt runs twice is kept here: before a message is given to OpenCode we ask whether it is there.
The rule that nothing runs after a stop is kept here, too: see `fence`. How a run begins is in `runs`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from dragoman import logs
from dragoman.core import prompts
from dragoman.core.effects import (
    AbortRun,
    AnswerPermission,
    AnswerQuestion,
    DisposeInstance,
    NudgeAgent,
    ResumeRun,
    StartRun,
    SteerRun,
)
from dragoman.core.events import Event
from dragoman.core.events.runs import RunAborted
from dragoman.core.session import Closed as ClosedPhase
from dragoman.core.session import Resting, Session, Working, live_turn
from dragoman.errors import NotFound, OpenCodeDown, OpenCodeError, Told
from dragoman.ids import AgentThread, MessageId, OrganizationId, PartId, RunId, SessionId, part_id, session_of
from dragoman.ledger import find
from dragoman.ledger.effects import Claimed
from dragoman.opencode.attached import FilePart
from dragoman.opencode.client import OpenCode
from dragoman.opencode.stopping import stop_run
from dragoman.repositories.leftovers import Confine
from dragoman.runtime.agent_host import AgentHost
from dragoman.runtime.desk import Desk
from dragoman.runtime.engine import Engine
from dragoman.runtime.performers.attachments import Attachments
from dragoman.runtime.performers.cuts import untold_cut
from dragoman.runtime.performers.fence import ABORT_S, Fence, goes_on, refusals_end
from dragoman.runtime.performers.preparing import Preparing
from dragoman.runtime.performers.runs import RunStarts, first_text
from dragoman.runtime.workers import Postponed

ABORT_ATTEMPTS = 40  # about ten minutes of trying to see it end
_log = logs.get("agent")


class AgentWork:
    """Performs what OpenCode shall do.

    model     "provider/model"; None = the server's default
    attachments  fetches what people attached
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
        attachments: Attachments,
        is_ours: Callable[[OrganizationId], Awaitable[bool | None]],
        confine: Confine | None,
        environment: Mapping[str, str],
    ) -> None:
        self._engine = engine
        self._host = host
        self._desk = desk
        self._attachments = attachments
        self._fence = Fence(engine, host)
        self._starts = RunStarts(
            engine,
            host,
            desk,
            self._fence,
            Preparing(engine, desk, self._fence, confine=confine, environment=environment),
            model=model,
            agent=agent,
            attachments=attachments,
            is_ours=is_ours,
        )

    async def perform(self, claimed: Claimed) -> Event | None:
        """Perform one effect. Raises Postponed, GivenUp, OpenCodeError."""
        effect = claimed.effect
        match effect:
            case StartRun():
                return await self._starts.start(effect, claimed)
            case SteerRun() | NudgeAgent():
                return await self._steer(effect, claimed)
            case ResumeRun():
                return await self._resume(effect, claimed)
            case AnswerPermission() | AnswerQuestion():
                return await self._answer(effect)
            case AbortRun():
                return await self._abort(effect, claimed)
            case DisposeInstance():
                return await self._dispose(claimed.session, effect)
            case _:
                raise TypeError(f"not for an agent: {effect!r}")

    # ── a run goes on ────────────────────────────────────────────────────
    async def _steer(self, effect: SteerRun | NudgeAgent, claimed: Claimed) -> Event | None:
        session = await self._session_still_in(effect, claimed)
        if session is None or session.thread is None or session.workspace is None:
            return None
        client = await self._fence.client(effect.run)
        files: Sequence[FilePart] = ()
        if isinstance(effect, NudgeAgent):
            text = prompts.nudge(effect.left)
        else:
            files, missing = await self._attachments.of(effect.prompt)
            text = "\n\n".join((prompts.follow_up(effect.prompt), *missing))
        with refusals_end(effect.run):
            cut = await untold_cut(client, session, effect.message)
        if cut is not None:
            await self._engine.tell(session.id, cut[1], keys=(cut[0],))
        session = await self._session_still_in(effect, claimed)
        if session is None:
            return None
        resume = await self._told_along(session, effect.message)
        if resume is not None:
            text = prompts.resumed(resume.note, text)
        return await self._give(client, session, effect.run, effect.message, effect.part, text, files=files)

    async def _told_along(self, session: Session, message: MessageId) -> ResumeRun | None:
        """The resume behind a message in the lane whose word to the agent that message takes along."""
        if not isinstance(session.phase, Working) or not session.phase.turn.resuming:
            return None
        turn = session.phase.turn
        resumes = [
            effect
            for effect in await self._engine.ledger.read(find.effects_of, session.id)
            if isinstance(effect, ResumeRun) and effect.run == turn.run and effect.attempt == turn.attempts
        ]
        return next((resume for resume in resumes if resume.tools and resume.message == message), None)

    async def _resume(self, effect: ResumeRun, claimed: Claimed) -> Event | None:
        session = await self._session_still_in(effect, claimed)
        if session is None or session.thread is None or session.workspace is None:
            return None
        client = await self._fence.client(effect.run)
        if effect.tools:
            # A person's message that took the word along is there already, unless OpenCode has lost it.
            text = prompts.resumed(effect.note, await self._text_again(session, effect.message))
            return await self._give(client, session, effect.run, effect.message, effect.part, text, effect.attempt)
        # No tool had started: the same message under the same ids wakes OpenCode's loop where it stopped.
        thread, directory = session.thread, session.workspace.directory
        with refusals_end(effect.run):
            original = await client.message(thread, directory, effect.original)
            parts = original.parts if original else []
            text = "".join(part.text for part in parts if part.type == "text" and not part.synthetic)
            text = text or await self._text_again(session, effect.original) or prompts.resumed("")
            part = part_id(effect.original)
            await client.prompt(thread, directory, effect.original, part, text, *self._starts.chosen(session))
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
        files: Sequence[FilePart] = (),
    ) -> Event | None:
        """Put a message into the thread unless it is there; `attempt` as RunStarted has it."""
        thread, directory = session.thread, session.workspace.directory if session.workspace else ""
        if thread is None:
            return None
        with refusals_end(run):
            if await client.message(thread, directory, message) is None:
                await client.prompt(thread, directory, message, part, text, *self._starts.chosen(session), files)
        return await self._went_on(client, run, thread, directory, attempt)

    async def _went_on(
        self, client: OpenCode, run: RunId, thread: AgentThread, directory: str, attempt: int
    ) -> Event | None:
        """Stop what the session has left; else say that OpenCode has it, if the session waits to hear that."""
        session = await self._fence.session_in(run)
        if session is None:
            await self._fence.stop_left(client, run, thread, directory)
            return None
        return goes_on(session, attempt)

    async def _text_again(self, session: Session, message: MessageId) -> str:
        """The text of a message that OpenCode lost, made again from the effect that first carried it; empty if none did."""
        ledger = self._engine.ledger
        for effect in await ledger.read(find.effects_of, session.id):
            if isinstance(effect, NudgeAgent) and effect.message == message:
                return prompts.nudge(effect.left)
            if isinstance(effect, StartRun | SteerRun) and effect.message == message:
                if isinstance(effect, StartRun) and session.workspace is not None and session.runs == 1:
                    return await first_text(self._engine, session, effect.prompt, session.workspace)
                return prompts.follow_up(effect.prompt)
        return ""

    async def _answer(self, effect: AnswerPermission | AnswerQuestion) -> Event | None:
        session = await self._fence.session_in(effect.run)
        if session is None or session.workspace is None:
            return None
        client = await self._fence.client(effect.run)
        directory = session.workspace.directory
        with refusals_end(effect.run):
            try:
                if isinstance(effect, AnswerPermission):
                    await client.reply_permission(effect.ask, effect.thread, directory, effect.reply, effect.message)
                else:
                    await client.reply_question(effect.ask, effect.thread, directory, effect.answers)
            except NotFound:
                # Answered elsewhere, or OpenCode was restarted and forgot: the follower sees which.
                _log.info("ask.gone", run=effect.run, ask=effect.ask)
        session = await self._fence.session_in(effect.run)
        return goes_on(session) if session is not None else None

    # ── a run ends ───────────────────────────────────────────────────────
    async def _abort(self, effect: AbortRun, claimed: Claimed) -> Event | None:
        session = await self._engine.session(SessionId(claimed.session or ""))
        if session is None or _has_left_for_another(session, effect.run):
            return None  # a later run works in this thread now: it must not be cut
        thread = session.thread or effect.thread
        directory = session.workspace.directory if session.workspace else effect.directory
        if thread is None or directory is None:
            return RunAborted(run=effect.run, verified=True, detail="The work had not begun yet")

        async def wanted() -> bool:
            now = await self._engine.session(session.id)
            return now is not None and not _has_left_for_another(now, effect.run)

        try:
            client = await self._host.client()
            verified, detail = await stop_run(client, thread, directory, ABORT_S, wanted)
        except OpenCodeDown:
            verified, detail = False, "OpenCode could not be reached, so I could not see whether the work has ended"
        told = RunAborted(run=effect.run, verified=verified, detail=detail)
        if not verified and claimed.attempts < ABORT_ATTEMPTS:
            raise Postponed(detail, event=told)
        return told

    async def _session_still_in(self, effect: SteerRun | NudgeAgent | ResumeRun, claimed: Claimed) -> Session | None:
        session = await self._fence.session_in(effect.run)
        if session is None:
            await self._end_left_run(effect, again=claimed.attempts > 1)
        return session

    async def _end_left_run(self, effect: SteerRun | NudgeAgent | ResumeRun, *, again: bool) -> None:
        """The session has left the run: what an earlier, cut off attempt may have given to OpenCode is stopped."""
        session = await self._engine.session(session_of(effect.run))
        if session is None or not again or session.thread is None or session.workspace is None:
            return
        directory = session.workspace.directory
        client = await self._fence.client(effect.run)
        resumed = isinstance(effect, ResumeRun) and not effect.tools  # then no message of its own tells
        with refusals_end(effect.run):
            if resumed or await client.message(session.thread, directory, effect.message) is not None:
                await self._fence.stop_left(client, effect.run, session.thread, directory)

    async def _dispose(self, session_id: SessionId | None, effect: DisposeInstance) -> Event | None:
        session = await self._engine.session(SessionId(session_id or ""))
        if session is None or not isinstance(session.phase, Resting | ClosedPhase):
            return None
        try:
            client = await self._host.client()
            await client.dispose(effect.directory)
        except (OpenCodeError, Told) as error:
            # It only frees memory; a server that is down has freed all of it.
            _log.debug("instance.kept", directory=Path(effect.directory).name, error=str(error))
        if effect.discard:
            await self._desk.discard(session, effect.directory)
        return None


def _has_left_for_another(session: Session, run: RunId) -> bool:
    turn = live_turn(session)
    return turn is not None and turn.run != run
