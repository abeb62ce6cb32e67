"""How a run begins: a place, a workspace, a thread, the prompt. No prompt is given twice: we ask whether it is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dragoman import logs
from dragoman.core import prompts
from dragoman.core.choosing import Choice, rules_of
from dragoman.core.effects import StartRun
from dragoman.core.events import Event
from dragoman.core.events.linear import Prompt
from dragoman.core.events.runs import RunFailed, RunStarted, RunWaiting
from dragoman.core.session import Message, Session, Workspace, profile
from dragoman.errors import GitError, Told
from dragoman.ids import AgentThread, OrganizationId, RunId, session_of
from dragoman.ledger import find, read
from dragoman.ledger.effects import Claimed
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.opencode.client import OpenCode
from dragoman.runtime.agent_host import AgentHost
from dragoman.runtime.desk import MADE_ANEW, Desk
from dragoman.runtime.engine import Engine
from dragoman.runtime.performers.attachments import Attachments
from dragoman.runtime.performers.fence import Fence, refusals_end
from dragoman.runtime.performers.preparing import Preparing
from dragoman.runtime.performers.summaries import Summaries
from dragoman.runtime.workers import GivenUp, Postponed

_log = logs.get("runs")
FOREIGN = "I do not work for this organization."
EARLIER_MESSAGES = 12  # of earlier sessions on the issue that a new one starts from


class RunStarts:
    """Begins runs; the settings are those of AgentWork."""

    def __init__(
        self,
        engine: Engine,
        host: AgentHost,
        desk: Desk,
        fence: Fence,
        preparing: Preparing,
        *,
        model: str | None,
        agent: str,
        attachments: Attachments,
        is_ours: Callable[[OrganizationId], Awaitable[bool | None]],
    ) -> None:
        self._engine = engine
        self._host = host
        self._desk = desk
        self._fence = fence
        self._preparing = preparing
        self._model = model
        self._agent = agent
        self._attachments = attachments
        self._summaries = Summaries(fence)
        self._is_ours = is_ours

    async def start(self, effect: StartRun, claimed: Claimed) -> Event | None:
        """Begin it; it was given a place. Raises Postponed, GivenUp, OpenCodeError."""
        session = await self._fence.session_in(effect.run)
        if session is None:
            await self._end_left_run(effect, again=claimed.attempts > 1)
            return None
        ours = await self._is_ours(session.organization)
        if ours is None:
            raise Postponed("Linear has not told yet who we are")
        if not ours:
            raise GivenUp("the session is of a foreign organization", event=RunFailed(run=effect.run, reason=FOREIGN))
        client = await self._fence.client(effect.run)
        workspace, notes = await self._workspace(effect.run, session)
        for_people = tuple(note for note in notes if note != MADE_ANEW)
        notes = (*notes, *await self._preparing.ready(effect.run, session))
        if await self._fence.session_in(effect.run) is None:
            return None
        if effect.prompt.findings:
            notes = (*notes, *await self._upstream(session, workspace))
        summary = ""
        with refusals_end(effect.run):
            if session.leaving is not None:
                model, agent = self.chosen(session)
                found = await self._summaries.of(
                    client,
                    session.leaving,
                    workspace.directory,
                    run=effect.run,
                    asked_at=claimed.created_at,
                    model=model,
                    agent=agent,
                )
                if found is None:
                    return None
                summary = found
            thread = await self._thread(client, session, workspace)
            if await client.message(thread, workspace.directory, effect.message) is None:
                text = prompts.follow_up(effect.prompt)
                if thread != session.thread:
                    text = await first_text(self._engine, session, effect.prompt, workspace, summary)
                text += "".join(f"\n\nAbout the workspace: {note}" for note in notes)
                files, missing = await self._attachments.of(
                    effect.prompt, session.issue if thread != session.thread else None
                )
                text += "".join(f"\n\n{note}" for note in missing)
                if await self._fence.session_in(effect.run) is None:
                    return None
                model, agent = self.chosen(session)
                await client.prompt(thread, workspace.directory, effect.message, effect.part, text, model, agent, files)
        if await self._fence.session_in(effect.run) is None:
            await self._fence.stop_left(client, effect.run, thread, workspace.directory)
            return None
        return RunStarted(
            run=effect.run,
            thread=thread,
            repository=workspace.repository,
            directory=workspace.directory,
            branch=workspace.branch,
            base=workspace.base,
            model=self.chosen(session)[0] or "",
            summary=summary,
            notes=for_people,
        )

    async def _workspace(self, run: RunId, session: Session) -> tuple[Workspace, tuple[str, ...]]:
        try:
            return await self._desk.workspace(session)
        except GitError as error:
            if error.retryable:
                raise Postponed(str(error), event=RunWaiting(run=run, cause="repository", detail=str(error))) from error
            reason = f"git could not prepare the workspace: {error}"
            raise GivenUp(str(error), event=RunFailed(run=run, reason=reason)) from error
        except Told as error:
            raise GivenUp(str(error), event=RunFailed(run=run, reason=str(error))) from error

    async def _upstream(self, session: Session, workspace: Workspace) -> tuple[str, ...]:
        """How the agent gets what others have pushed since; without it a conflict cannot be solved."""
        try:
            note = await self._desk.bring_upstream(session, workspace)
        except (GitError, OSError) as error:
            _log.warning("upstream.unread", session=session.id, error=str(error))
            return (f"what was pushed by others since could not be brought here: {error}",)
        return (note,) if note else ()

    async def _thread(self, client: OpenCode, session: Session, workspace: Workspace) -> AgentThread:
        if session.thread is not None and await client.thread_exists(session.thread, workspace.directory):
            return session.thread
        key = thread_key(session)
        found = await client.find_thread(workspace.directory, key)
        if found is not None:
            return found
        title = f"{session.issue.key} {session.issue.title}" if session.issue else "Session"
        rules = [
            {"permission": rule.permission, "pattern": rule.pattern, "action": rule.action}
            for rule in rules_of(session.choice or Choice())
        ]
        return await client.create_thread(workspace.directory, title, key, rules)

    def chosen(self, session: Session) -> tuple[str | None, str]:
        """With which model and agent a session works: its own, else the service's."""
        choice = session.choice or Choice()
        return choice.model or self._model, choice.agent or self._agent

    async def _end_left_run(self, effect: StartRun, *, again: bool) -> None:
        """The session left the run before or while it was started: whatever reached OpenCode is stopped.

        again  an earlier attempt was cut off and may have given the prompt to a thread that the session never heard of
        """
        session = await self._engine.session(session_of(effect.run))
        if session is None or not again:
            return
        directory = session.workspace.directory if session.workspace else self._desk.standing(session)
        if directory is None:
            return  # it never came as far as a workspace
        client = await self._fence.client(effect.run)
        with refusals_end(effect.run):
            if session.leaving is not None:  # it may still be summing up
                await self._fence.stop_left(client, effect.run, session.leaving, directory)
            thread = session.thread or await client.find_thread(directory, thread_key(session))
            if thread and await client.message(thread, directory, effect.message) is not None:
                await self._fence.stop_left(client, effect.run, thread, directory)


def thread_key(session: Session) -> str:
    """By what its thread is found again. One that may not write is another than the one that works: its rules stay."""
    kind = profile(session)
    key = session.id if kind == "work" else f"{session.id} ({kind})"
    return f"{key} #{session.threads + 1}" if session.threads else key


async def first_text(engine: Engine, session: Session, prompt: Prompt, workspace: Workspace, summary: str = "") -> str:
    """What a new thread is told: the request, the issue, and what was said before, or the agent's summary of that."""
    history = await _history(engine.ledger, session)
    outbox = engine.rules.outbox_files > 0
    return prompts.first_prompt(session, prompt, history=history, workspace=workspace, summary=summary, outbox=outbox)


async def _history(ledger: SqliteLedger, session: Session) -> list[Message]:
    """What was said before on the issue, oldest first, the newest of it: in earlier sessions, and in this one when
    OpenCode has lost the thread."""
    known = await ledger.read(find.sessions_of_issue, session.issue.id, 4) if session.issue else [session]
    said: list[Message] = []
    for other in reversed(known):
        lines = await ledger.read(read.conversation, other.id, EARLIER_MESSAGES)
        if other.id == session.id:
            lines = [line for line in lines if line.turn < session.turns]
        said.extend(Message(role=line.role, text=line.text, author=line.author) for line in lines)
    return said[-EARLIER_MESSAGES:]
